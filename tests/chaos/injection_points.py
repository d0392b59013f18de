"""Where a process under test dies: named points of the way of a create, a cancel, a change
or a write on the platform, and the trap that waits at one.

The points are found from outside, at the doors of the house: what the store is asked to write, what the gateway
answers, what the bus has taken.
"""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.status import AttemptState
from worker.domain.delivery import Change, Delivery
from worker.http.call import Operation, Reply

VARIABLE = "CHAOS_TRAP"
BOOKING = "K0"
BOOKED = "K1"
ANSWERED = "K3"
SETTLED = "K4"
PUBLISHED = "K5"
FOUND = "found"
CANCELLING = "cancelling"
CANCELLED = "cancelled"
AMENDING = "amending"
AMENDED = "amended"
WRITTEN = "written"
"""A status stands on the platform, and nothing here knows it yet."""
AFTER_ANSWER = {
    Operation.CREATE: ANSWERED,
    Operation.FIND: FOUND,
    Operation.CANCEL: CANCELLED,
    Operation.AMEND: AMENDED,
}
"""A call was answered and nothing of it is committed yet."""
SENDING = "sending"
"""The call's connection stands, it was not too late, and the next thing is its first byte."""
PASSING = frozenset({PUBLISHED, SENDING})
"""Points at which nobody waits for the others: one thread comes by for all carriers, one after the other."""


@dataclass
class Trap:
    """Signals its own process once every one of these carriers has come to the point; it springs only once."""

    point: str
    carriers: frozenset[str]
    mark: Path
    signal: int = signal.SIGKILL
    _arrived: set[str] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _sprung: threading.Event = field(default_factory=threading.Event)

    @property
    def variable(self) -> dict[str, str]:
        """What a process must find in its environment to have this trap."""
        told = {"point": self.point, "carriers": sorted(self.carriers), "mark": str(self.mark), "signal": self.signal}
        return {VARIABLE: json.dumps(told)}

    @classmethod
    def inherited(cls, environ: Mapping[str, str] = os.environ) -> "Trap | None":
        """Take over the trap that whoever started this process set, unless it has sprung already."""
        told = json.loads(environ.get(VARIABLE, "null"))
        if told is None or Path(told["mark"]).exists():
            return None
        return cls(told["point"], frozenset(told["carriers"]), Path(told["mark"]), told["signal"])

    def reach(self, point: str, carriers: Iterable[str]) -> None:
        """Come to a point; whoever comes first waits there for the others."""
        expected = self.carriers.intersection(carriers)
        if point != self.point or not expected or self._sprung.is_set():
            return
        with self._guard:
            self._arrived |= expected
            complete = self._arrived == self.carriers and not self._sprung.is_set()
            if complete:
                self.mark.write_text(f"{os.getpid()}")
                # To this very thread: to the process as a whole, it would get some steps further before it is reached.
                signal.pthread_kill(threading.get_ident(), self.signal)
                self._sprung.set()
        if not complete and point not in PASSING:
            self._sprung.wait()


class Instead:
    """An object with some of its methods or parts replaced."""

    def __init__(self, inner: Any, **replaced: Any) -> None:
        self._inner = inner
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Watch:
    """Tells the trap which point each thread of the process has come to."""

    def __init__(self, trap: Trap) -> None:
        self._trap = trap
        self._thread = threading.local()

    def gateway(self, inner: Any) -> Any:
        """Watch what is answered."""

        def send(account: str, calls: Any, **more: Any) -> Iterator[Any]:
            for group in inner.send(account, calls, **more):
                # One that was too late to be sent is made again: then its carrier is yet to come.
                if any(isinstance(outcome, Reply) for _, outcome in group):
                    self._thread.answered = (calls[0].operation, account)
                yield group

        inner._transport = self._transport(inner._transport)
        return Instead(inner, send=send)

    def _transport(self, choose: Callable[..., Any]) -> Callable[..., Any]:
        """Watch what goes out."""

        def chosen(account: Any, call: Any) -> Any:
            made = choose(account, call)

            async def handle_async_request(request: Any) -> Any:
                checked = request.extensions["trace"]

                async def trace(event: str, info: Any) -> None:
                    await checked(event, info)
                    if call.operation is Operation.CREATE and event.endswith("send_request_headers.started"):
                        self._trap.reach(SENDING, [account.name])

                request.extensions["trace"] = trace
                return await made.handle_async_request(request)

            return Instead(made, handle_async_request=handle_async_request)

        return chosen

    def store(self, inner: Any) -> Any:
        """Watch what is written."""

        def update(ids: Iterable[str], decide: Callable[[Delivery], Change | None]) -> list[Delivery]:
            begun: set[tuple[str, str]] = set()
            operation, account = self._take_answer()
            self._trap.reach(AFTER_ANSWER.get(operation, ""), [account])

            def watched(delivery: Delivery) -> Change | None:
                change = decide(delivery)
                if change and (begins := _begins(delivery, change.delivery)):
                    begun.add(begins)
                    self._trap.reach(BOOKING if begins[0] == BOOKED else "", [begins[1]])
                return change

            changed: list[Delivery] = inner.update(ids, watched)
            for point, carrier in begun:
                self._trap.reach(point, [carrier])
            self._trap.reach(SETTLED if operation is Operation.CREATE else "", [account])
            return changed

        def end_write_back(*what: Any) -> Any:
            operation, account = self._take_answer()
            self._trap.reach(WRITTEN if operation is Operation.AMEND else "", [account])
            return inner.end_write_back(*what)

        return Instead(inner, update=update, end_write_back=end_write_back)

    def outlet(self, inner: Any) -> Any:
        """Watch what is published."""

        def publish(database: str, events: Any, newest: str) -> Any:
            published = inner.publish(database, events, newest)
            told = [json.loads(event.body)["data"] for event in events]
            self._trap.reach(PUBLISHED, [data["carrier"] for data in told if data.get("status") == "created"])
            return published

        return Instead(inner, publish=publish)

    def _take_answer(self) -> tuple[Any, str]:
        answered: tuple[Any, str] = getattr(self._thread, "answered", (None, ""))
        self._thread.answered = (None, "")
        return answered


def _begins(before: Delivery, after: Delivery) -> tuple[str, str] | None:
    """Tell which call this change is the intent of: the point after its commit, and the carrier."""
    attempt = after.active
    if attempt is None:
        return None
    known = before.attempt(attempt.id)
    if attempt.state == AttemptState.SUBMITTING and (known is None or known.state != AttemptState.SUBMITTING):
        return BOOKED, attempt.carrier
    if attempt.cancel_requested_at is not None and (known is None or known.cancel_requested_at is None):
        return CANCELLING, attempt.carrier
    if attempt.pending_fingerprint is not None and (known is None or known.pending_fingerprint is None):
        return AMENDING, attempt.carrier
    return None
