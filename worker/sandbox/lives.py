"""The scripted lives: one table per carrier, from a script's name to the words it passes through.

A life is a pure function of the time since it began; only the operator's door and the API's own actions turn it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

Script = tuple[str, ...]

_MARKER = re.compile(r"sandbox:(?:([a-z]+)=)?([a-z_]+)")


def _words(*parts: str) -> Script:
    return tuple(" ".join(parts).split())


CERVO: Mapping[str, Script] = {
    "happy": _words("1 2 3 4"),
    "courier_withdraws": _words("1 2 5 2 3 4"),
    "withdrawn_for_good": _words("1 2 5"),
    "returned": _words("1 2 3 0"),
    "cancelled": _words("1 2 0"),
    "unknown_word": _words("1 2 3 6"),
}

_ASSIGNED = "available/planned active/courier_assigned"
_TO_PICKUP = "active/courier_departed active/courier_at_pickup active/parcel_picked_up"
_TO_DOOR = f"{_TO_PICKUP} active/active active/courier_arrived"

BORZO: Mapping[str, Script] = {
    "happy": _words(_ASSIGNED, _TO_DOOR, "completed/finished"),
    "courier_withdraws": _words(
        _ASSIGNED, "reactivated/planned active/courier_assigned", _TO_DOOR, "completed/finished"
    ),
    "withdrawn_for_good": _words(_ASSIGNED, "reactivated/planned"),
    "returned": _words(
        _ASSIGNED,
        _TO_DOOR,
        "active/return_planned active/return_courier_assigned active/return_courier_departed",
        "active/return_courier_picked_up completed/return_finished",
    ),
    "reattempt": _words(
        _ASSIGNED,
        _TO_DOOR,
        "active/reattempt_planned active/reattempt_courier_assigned active/reattempt_courier_departed",
        "active/reattempt_courier_picked_up completed/reattempt_finished",
    ),
    "cancelled": _words(_ASSIGNED, "canceled/canceled"),
    "unknown_word": _words(_ASSIGNED, _TO_PICKUP, "active/left_in_locker"),
    "delayed": _words(_ASSIGNED, "delayed/delayed active/courier_assigned", _TO_DOOR, "completed/finished"),
    "verified": _words("new/planned", _ASSIGNED, _TO_DOOR, "completed/finished"),
}

DELIVERIT: Mapping[str, Script] = {
    "happy": _words("booked driverArrive driverLeft arriveAtCustomer done"),
    "returned": _words("booked driverArrive driverLeft cancelled"),
    "cancelled": _words("booked driverArrive cancelled"),
    "weak_done": _words("booked done"),
}

REFUSING = ("closed", "refused")
"""Scripts that never become a life: the create is answered with an error."""

OFFERS: Mapping[str, timedelta] = {"offered": timedelta(minutes=10), "offered_late": timedelta(minutes=40)}
"""Scripts in which DeliverIt offers another time, and how far it lies from the requested one."""

NAMES = tuple(dict.fromkeys([*CERVO, *BORZO, *DELIVERIT, *OFFERS, *REFUSING, "booked"]))


def script_in(carrier: str, *texts: object) -> str:
    """Return the name after `sandbox:`, or `sandbox:CARRIER=` for one carrier alone, in the free text, or `happy`."""
    found = _MARKER.findall(" ".join(str(text) for text in texts if text))
    return next((name for only, name in found if only in {"", carrier} and name in NAMES), "happy")


@dataclass(frozen=True, slots=True)
class Moment:
    """One word of a life and the instant it began."""

    word: str
    at: datetime


@dataclass(slots=True)
class Life:
    """Words ahead, one every `step` from `since`, after those that are fixed in the past."""

    ahead: Script
    since: datetime
    step: timedelta
    past: tuple[Moment, ...] = ()

    def history(self, now: datetime) -> tuple[Moment, ...]:
        """Return every word reached by `now`, oldest first; the first of all always is."""
        past = tuple(moment for moment in self.past if moment.at <= now) or self.past[:1]
        reached = enumerate(self.ahead[: self._reached(now)])
        return past + tuple(Moment(word, self.since + index * self.step) for index, word in reached)

    def word(self, now: datetime) -> str:
        """Return the word that holds at `now`."""
        reached = self._reached(now)
        return self.ahead[reached - 1] if reached else self.history(now)[-1].word

    def next_change(self, now: datetime) -> datetime | None:
        """Return when the next word begins, or None when there is none."""
        reached = self._reached(now)
        return self.since + reached * self.step if reached < len(self.ahead) else None

    def turn(self, now: datetime, word: str) -> None:
        """Stop the script and hold `word` from now on."""
        self.past, self.ahead = (*self.history(now), Moment(word, now)), ()

    def interject(self, now: datetime, word: str, then: Script = ()) -> None:
        """Hold `word` from now on, then the words that follow it by themselves, until the script goes on."""
        going_on = None if then else self.next_change(now)
        self.past, self.ahead = (
            (*self.history(now), Moment(word, now)),
            (*then, *self.ahead[self._reached(now) :]),
        )
        self.since = going_on or now + self.step

    def restart(self, now: datetime, script: Script, step: timedelta) -> None:
        """Go on with another script from now on."""
        self.past, self.ahead, self.since, self.step = self.history(now), script, now, step

    def advance(self, now: datetime) -> None:
        """Begin the next word of the script now."""
        self.restart(now, self.ahead[self._reached(now) :], self.step)

    def _reached(self, now: datetime) -> int:
        if now < self.since:
            return 0 if self.past else 1
        steps = int((now - self.since) / self.step) if self.step else len(self.ahead)
        return min(len(self.ahead), steps + 1)


def begin(table: Mapping[str, Script], script: str, now: datetime, step: float) -> Life:
    """Return a new life of `script`, or of `happy` where the carrier has no such script."""
    return Life(table.get(script, table["happy"]), now, timedelta(seconds=step))
