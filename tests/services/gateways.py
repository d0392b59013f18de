"""Gateways that take the place of a simulation's own."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.services.simulation import Simulation
from worker.errors import CarrierError
from worker.http.call import Call, Outcome, Reply


class ScriptedGateway:
    """Record what is sent to each account, and return outcomes of the test's own in place of the carrier's."""

    def __init__(self, simulation: Simulation) -> None:
        self._real = simulation.container.gateway
        self.sent: list[tuple[str, str]] = []
        self.outcome: Callable[[str, Call], Outcome | None] = lambda _account, _call: None
        simulation.container.gateway = self  # type: ignore[assignment]

    def send(self, account: str, calls: Mapping[Any, Call], **how: Any) -> Iterator[dict[Any, Outcome]]:
        self.sent += [(account, call.operation.value) for call in calls.values()]
        for key, call in calls.items():
            outcome = self.outcome(account, call)
            if outcome is not None:
                yield {key: outcome}
            else:
                yield from self._real.send(account, {key: call}, **how)

    def send_one(self, account: str, call: Call, *, max_body: int = 1_000_000, within: float | None = None) -> Reply:
        outcome = next(self.send(account, {None: call}, max_body=max_body, within=within))[None]
        if isinstance(outcome, CarrierError):
            raise outcome
        return outcome

    def close(self) -> None:
        self._real.close()

    def take_sent(self) -> dict[tuple[str, str], int]:
        """Return how often each call was sent, and count from zero again."""
        sent, self.sent = Counter(self.sent), []
        return dict(sent)


class Meanwhile:
    """A gateway behind which something happens after the carrier has replied and before its replies are read."""

    def __init__(self, real: Any, happens: Callable[[], None]) -> None:
        self._real, self._happens = real, happens

    def send(self, *what: Any, **how: Any) -> Iterator[Any]:
        groups = list(self._real.send(*what, **how))
        self._happens()
        yield from groups

    def send_one(self, *what: Any, **how: Any) -> Any:
        return self._real.send_one(*what, **how)

    def close(self) -> None:
        self._real.close()


class RepliesInOneGroup:
    """A gateway whose replies all come in one group."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def send(self, *what: Any, **how: Any) -> Iterator[Any]:
        yield {key: reply for group in self._real.send(*what, **how) for key, reply in group.items()}

    def close(self) -> None:
        self._real.close()
