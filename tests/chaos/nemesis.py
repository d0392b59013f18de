"""What goes wrong during a run: faults by twos, each for a while, as the seed decides."""

import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Act = Callable[[], None]


def nothing() -> None:
    """End a fault that ends by itself."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong: what it hurts, and how it begins and ends. Two at once never hurt the same thing."""

    name: str
    hurts: str
    begin: Act
    end: Act = nothing
    seconds: tuple[float, float] = (0.5, 6.0)


@dataclass
class Lane:
    """One of the faults that are going on at a time."""

    fault: Fault | None = None
    until: float = 0.0


@dataclass
class Nemesis:
    """Draws faults and lets them happen, in two lanes."""

    faults: Sequence[Fault]
    dice: random.Random
    pause: tuple[float, float] = (0.5, 2.5)
    counts: Counter[str] = field(default_factory=Counter)
    told: list[tuple[float, str, str]] = field(default_factory=list)
    lanes: tuple[Lane, Lane] = field(default_factory=lambda: (Lane(), Lane()))

    def tick(self, now: float) -> None:
        """Begin and end what is due at this time of the run, in seconds."""
        for lane in self.lanes:
            if now < lane.until:
                continue
            if lane.fault is None:
                self._begin(lane, now)
            else:
                self._end(lane, now)
                lane.until = now + self.dice.uniform(*self.pause)

    def rest(self, now: float) -> None:
        """End everything."""
        for lane in self.lanes:
            self._end(lane, now)

    def _begin(self, lane: Lane, now: float) -> None:
        hurt = {each.fault.hurts for each in self.lanes if each.fault}
        fault = self.dice.choice([each for each in self.faults if each.hurts not in hurt])
        self.told.append((now, "begins", fault.name))
        self.counts[fault.name] += 1
        fault.begin()
        lane.fault, lane.until = fault, now + self.dice.uniform(*fault.seconds)

    def _end(self, lane: Lane, now: float) -> None:
        if lane.fault is not None:
            self.told.append((now, "ends", lane.fault.name))
            lane.fault.end()
        lane.fault = None


def stopped(name: str, hurts: str, send: Callable[[int], None], seconds: tuple[float, float]) -> Fault:
    """Stop a process for a while."""
    return Fault(name, hurts, lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT), seconds)
