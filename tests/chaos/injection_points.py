"""The points at which a process under test is killed or stopped: along a create, a cancel, a change or a write-back.

A point is reached at the public faces of the product: the updates of the database, the replies of the gateway, the
time that the gateway reads before it sends, and the events that the publisher has sent.
"""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Self

from schemas.status import AttemptState
from worker.database import deliveries, write_backs
from worker.domain.delivery import Change, Delivery
from worker.http.call import Operation, Reply

VARIABLE = "CHAOS_INJECTION"
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
"""The platform has the new status, and the database does not know it yet."""
AFTER_REPLY = {
    Operation.CREATE: ANSWERED,
    Operation.FIND: FOUND,
    Operation.CANCEL: CANCELLED,
    Operation.AMEND: AMENDED,
}
"""The point after the reply to each operation, with nothing of it committed yet."""
SENDING = "sending"
"""The connection of a create is open, its time was checked, and its first byte is next."""
BEFORE_FIRST_BYTE = 3
"""The number of the reading of the gateway's clock that is followed by the first byte of a process."""
ONE_THREAD = frozenset({PUBLISHED, SENDING})
"""Points that one thread reaches for every carrier in turn, so it must not wait there for the others."""


@dataclass
class Injection:
    """Sends a signal to its own process, once, when all of its carriers have reached its point."""

    point: str
    carriers: frozenset[str]
    marker: Path
    """A file that exists from the moment at which the signal was sent."""
    signal: int = signal.SIGKILL
    _arrived: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _triggered: threading.Event = field(default_factory=threading.Event)

    @property
    def variable(self) -> dict[str, str]:
        """The environment variable that hands this injection to a child process."""
        fields = {"point": self.point, "carriers": sorted(self.carriers), "marker": str(self.marker)}
        return {VARIABLE: json.dumps({**fields, "signal": self.signal})}

    @classmethod
    def inherited(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """Return the injection that the parent process has set, None when there is none or it was triggered before."""
        fields = json.loads(environ.get(VARIABLE, "null"))
        if fields is None or Path(fields["marker"]).exists():
            return None
        return cls(fields["point"], frozenset(fields["carriers"]), Path(fields["marker"]), fields["signal"])

    def reach(self, point: str, carriers: Iterable[str]) -> None:
        """Record that these carriers have reached a point; wait there for the others, or send the signal."""
        expected = self.carriers.intersection(carriers)
        if point != self.point or not expected or self._triggered.is_set():
            return
        with self._lock:
            self._arrived |= expected
            complete = self._arrived == self.carriers and not self._triggered.is_set()
            if complete:
                self.marker.write_text(f"{os.getpid()}")
                # To this thread: a signal to the whole process would let this thread run on for some steps.
                signal.pthread_kill(threading.get_ident(), self.signal)
                self._triggered.set()
        if not complete and point not in ONE_THREAD:
            self._triggered.wait()


class Override:
    """An object with some of its attributes replaced."""

    def __init__(self, inner: Any, **replaced: Any) -> None:
        self._inner = inner
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Instrumentation:
    """Wraps the product's parts so that an injection learns which points each thread reaches."""

    def __init__(self, injection: Injection) -> None:
        self._injection = injection
        self._thread = threading.local()

    def gateway_clock(self, clock: Callable[[], datetime]) -> Callable[[], datetime]:
        """Return a clock for the gateway, which reads it twice for each change: for its slot and before its first byte.

        The create is the first change that a process sends.
        """
        readings = count(1)

        def now() -> datetime:
            before = clock()
            if next(readings) == BEFORE_FIRST_BYTE:
                self._injection.reach(SENDING, self._injection.carriers)
            return before

        return now

    def gateway(self, inner: Any) -> Any:
        """Wrap the gateway, whose replies are points."""

        def send(account: str, calls: Any, **more: Any) -> Iterator[Any]:
            for group in inner.send(account, calls, **more):
                # A call that was too late to be sent is made again: its carrier has not reached the point yet.
                if any(isinstance(outcome, Reply) for outcome in group.values()):
                    self._thread.answered = (next(iter(calls.values())).operation, account)
                yield group

        return Override(inner, send=send)

    def database(self, inner: Any) -> Any:
        """Wrap the database, whose updates are points."""

        def persist(function: Callable[..., Any], *arguments: Any) -> Any:
            if function is deliveries.update:
                return update(*arguments)
            if function is write_backs.release:
                operation, account = self._last_reply()
                self._injection.reach(WRITTEN if operation is Operation.AMEND else "", [account])
            return inner.persist(function, *arguments)

        def update(ids: Iterable[str], decide: Callable[[Delivery], Change | None], *known: Any) -> Any:
            intents: set[tuple[str, str]] = set()
            operation, account = self._last_reply()
            self._injection.reach(AFTER_REPLY.get(operation, ""), [account])

            def observed(delivery: Delivery) -> Change | None:
                change = decide(delivery)
                if change and (intent := _intent(delivery, change.delivery)):
                    intents.add(intent)
                    self._injection.reach(BOOKING if intent[0] == BOOKED else "", [intent[1]])
                return change

            changes = inner.persist(deliveries.update, ids, observed, *known)
            for point, carrier in intents:
                self._injection.reach(point, [carrier])
            self._injection.reach(SETTLED if operation is Operation.CREATE else "", [account])
            return changes

        def write(function: Callable[..., Any], *arguments: Any) -> Any:
            def observed(connection: Any, *given: Any) -> Any:
                result = function(connection, *given)
                self._injection.reach(BOOKING, _booked_directly(result))
                return result

            result = inner.write(observed, *arguments)
            self._injection.reach(BOOKED, _booked_directly(result))
            return result

        return Override(inner, persist=persist, write=write)

    def publisher(self, inner: Any) -> Any:
        """Wrap the publisher, whose published events are points."""

        def publish(database: str, events: Any, newest: str) -> Any:
            published = inner.publish(database, events, newest)
            found = [json.loads(event.body)["data"] for event in events]
            self._injection.reach(PUBLISHED, [data["carrier"] for data in found if data.get("status") == "created"])
            return published

        return Override(inner, publish=publish)

    def _last_reply(self) -> tuple[Any, str]:
        """Return the operation and the account of this thread's last reply, once."""
        answered: tuple[Any, str] = getattr(self._thread, "answered", (None, ""))
        self._thread.answered = (None, "")
        return answered


def _booked_directly(result: Any) -> list[str]:
    """Return the carriers of the intents in the changes that a transaction of new orders returned."""
    changes = result if isinstance(result, list) else []
    return [each.begun.carrier for each in changes if isinstance(each, Change) and each.begun]


def _intent(before: Delivery, after: Delivery) -> tuple[str, str] | None:
    """Return the point after the commit of this intent and its carrier, None when a change is no intent."""
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
