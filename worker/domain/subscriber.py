"""Which events a subscriber gets next over HTTP, and what the answers mean for the ones after them.

A subscriber has a cursor, and a row for each key (usually a delivery) whose events it has not accepted. At any time,
each event is after the cursor, was accepted, or is at or after the position of the row of its key. So no event is
skipped, and a failing event holds back only those of the same key. A row may also begin above the cursor: the events of
its key before it were accepted, and are not sent again.

When nothing is accepted any more, the whole receiver is left alone for a while, and tried again with one event.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from schemas.events import EventType
from worker.domain.delivery import OutgoingEvent
from worker.errors import Uncertain
from worker.http.call import Outcome, Reply

MAX_FAILING = 5
"""If the events of this many keys fail and nothing is accepted, the fault is that of the whole receiver."""
MAX_BLOCKED = 100
"""While the events of this many keys fail, no further events are read."""
FIRST_WAIT = timedelta(seconds=5)
KEY_WAIT, RECEIVER_WAIT = timedelta(hours=1), timedelta(minutes=15)
"""The longest waits between two tries of an event, and of a receiver that accepts nothing."""
DEAD_AFTER = timedelta(days=1)
"""A receiver that has accepted nothing for this long is disabled."""
ACCEPTED = range(200, 300)
GONE, TOO_MANY, UNAVAILABLE = 410, 429, 503


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A receiver of events, and how far it has come."""

    id: str
    url: str
    types: tuple[EventType, ...]
    """The types of the events that it gets; all types if empty."""
    secrets: tuple[str, ...]
    """The keys of its signatures: the present one and, during a rotation, the one before."""
    position: int
    """The cursor: the position of an event."""
    created_at: datetime
    accepted: int = 0
    """How many requests were accepted, and how many failed, since the subscriber exists."""
    failed: int = 0
    accepted_at: datetime | None = None
    failures: int = 0
    """How many keys have begun to fail since an event was last accepted."""
    failing_since: datetime | None = None
    """When the first request failed since an event was last accepted; None if none has."""
    try_at: datetime | None = None
    """When the receiver is tried again; None while it is not left alone."""
    last_error: str | None = None
    disabled_at: datetime | None = None
    disabled_because: str | None = None
    """Why it was disabled; None if an operator did it."""


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """A key whose next event was not accepted, or is to be sent again."""

    key: str
    position: int
    """The position of its first event that is still to be sent, or a lower one."""
    since: datetime
    try_at: datetime
    error: str | None = None
    """Why the event was not accepted; None if those before it were, or if an operator wants it to be sent again."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The next events of one key, oldest first. Each is sent after the one before was accepted."""

    key: str
    events: tuple[OutgoingEvent, ...]
    blocked: BlockedKey | None = None
    """The row of the key, if it has one."""
    ends: bool = True
    """Whether these are all events of the key up to the end of the batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a subscriber is sent next."""

    chains: tuple[Chain, ...]
    start: int
    """The cursor before the batch."""
    end: int
    """The cursor when every event after the start was accepted."""


class Scope(StrEnum):
    """What a failed request says about the requests after it."""

    EVENT = "event"
    """Perhaps only this event fails."""
    RECEIVER = "receiver"
    """The receiver cannot be reached, so no event can be sent."""
    THROTTLED = "throttled"
    """The receiver wants no request for a while."""
    GONE = "gone"
    """The receiver wants no request any more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event was not accepted, without any text of the receiver."""

    scope: Scope
    text: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What to store after a batch."""

    subscriber: Subscriber
    blocked: tuple[tuple[BlockedKey | None, BlockedKey], ...] = ()
    """The rows to write, each after the row that the key had in the batch; None if it had none."""
    freed: tuple[BlockedKey, ...] = ()
    """The rows to delete, because all their events were accepted."""
    recovered: bool = False
    """Whether the receiver accepts events again, so that its blocked keys are due."""


# --- what is sent -----------------------------------------------------------------------------------------------------


def chains_of(events: Iterable[OutgoingEvent], blocked: Collection[str]) -> list[Chain]:
    """Return the events after a cursor by their keys, without those of blocked keys."""
    found: dict[str, list[OutgoingEvent]] = {}
    for event in events:
        if event.key not in blocked:
            found.setdefault(event.key, []).append(event)
    return [Chain(key, tuple(each)) for key, each in found.items()]


def probe(batch: Batch, choose: Callable[[Sequence[Chain]], Chain]) -> Batch:
    """Return a batch with only the first event of one key, for a receiver that was left alone.

    The key is chosen anew each time, in case the events of one key alone are what the receiver cannot cope with.
    """
    chains = [each for each in batch.chains if each.events]
    if not chains:
        return batch
    chosen = choose([each for each in chains if each.blocked is None] or chains)
    event, *rest = chosen.events
    fresh = {each.position for chain in batch.chains if chain.blocked is None for each in chain.events}
    end = min([batch.end, *(position - 1 for position in fresh - {event.position})])
    return Batch((replace(chosen, events=(event,), ends=chosen.ends and not rest),), batch.start, end)


def goes_on(outcomes: Iterable[Outcome]) -> bool:
    """Return whether the batch goes on after these outcomes, or waits for none but the requests under way."""
    failures = [failure_of(each) for each in outcomes]
    found = [each for each in failures if each is not None]
    if any(each.scope is not Scope.EVENT for each in found):
        return False
    return len(found) < MAX_FAILING or len(found) < len(failures)


# --- what the answers mean --------------------------------------------------------------------------------------------


def failure_of(outcome: Outcome) -> Failure | None:
    """Return why an event was not accepted; None if it was accepted.

    Only 2xx accepts an event. A redirect is a failure, because it could lead inside our network. A refusal (4xx) is
    tried again, because receivers deploy mistakes and correct them.
    """
    if not isinstance(outcome, Reply):
        return Failure(Scope.EVENT if isinstance(outcome, Uncertain) else Scope.RECEIVER, str(outcome))
    if outcome.status in ACCEPTED:
        return None
    text, seconds = f"HTTP {outcome.status}", outcome.retry_after(None)
    wait = None if seconds is None else timedelta(seconds=seconds)
    if outcome.status == GONE:
        return Failure(Scope.GONE, "HTTP 410: the receiver is gone")
    if outcome.status == TOO_MANY or (outcome.status == UNAVAILABLE and wait is not None):
        return Failure(Scope.THROTTLED, text, wait)
    return Failure(Scope.EVENT, text)


def apply(subscriber: Subscriber, batch: Batch, outcomes: Mapping[str, Sequence[Outcome]], now: datetime) -> Progress:
    """Return what follows from the outcomes of a batch. `outcomes` are those of each key, as far as it was sent."""
    sent = [_Sent(each, outcomes.get(each.key, ())) for each in batch.chains]
    accepted, failing = sum(each.accepted for each in sent), [each for each in sent if each.failure]
    failures = [each.failure for each in failing if each.failure]
    new = replace(
        subscriber,
        accepted=subscriber.accepted + accepted,
        failed=subscriber.failed + len(failing),
        try_at=None,
        last_error=failures[-1].text if failures else subscriber.last_error,
    )
    if accepted:
        new = replace(new, accepted_at=now, failures=0, failing_since=None)
    elif failing:
        fresh = sum(each.chain.blocked is None for each in failing)
        new = replace(new, failures=new.failures + fresh, failing_since=new.failing_since or now)
    is_down = not accepted and _is_down(new, failures)
    if is_down or any(each.scope is Scope.THROTTLED for each in failures):
        new = replace(new, try_at=now + _wait(new.failing_since or now, now, RECEIVER_WAIT, failures))
    new = _disabled(new, failures, now)
    blocked = [] if is_down else [(each.chain.blocked, _blocked(each, now)) for each in failing]
    blocked += [(each.chain.blocked, _advanced(each, now)) for each in sent if not each.failure and each.is_left]
    cursor, done = _cursor(batch, sent, {row.key for _, row in blocked}), [each for each in sent if each.is_done]
    # The cursor does not say of these that they were accepted.
    blocked += [(each.chain.blocked, _advanced(each, now)) for each in done if each.position > cursor + 1]
    return Progress(
        replace(new, position=cursor),
        blocked=tuple(blocked),
        freed=tuple(each.chain.blocked for each in done if each.chain.blocked and each.position <= cursor + 1),
        recovered=bool(accepted) and subscriber.try_at is not None,
    )


@dataclass(frozen=True, slots=True)
class _Sent:
    """A chain and its outcomes."""

    chain: Chain
    outcomes: Sequence[Outcome]

    @property
    def failure(self) -> Failure | None:
        return failure_of(self.outcomes[-1]) if self.outcomes else None

    @property
    def accepted(self) -> int:
        return len(self.outcomes) - bool(self.failure)

    @property
    def next(self) -> OutgoingEvent | None:
        """The first event that was not accepted."""
        return self.chain.events[self.accepted] if self.accepted < len(self.chain.events) else None

    @property
    def is_done(self) -> bool:
        return self.next is None and self.chain.ends

    @property
    def is_left(self) -> bool:
        """Whether some events of the key were accepted, and others are still to be sent."""
        return self.accepted > 0 and not self.is_done

    @property
    def position(self) -> int:
        """The position from which the events are still to be sent."""
        if self.next is not None:
            return self.next.position
        if self.chain.events:
            return self.chain.events[-1].position + 1
        return self.chain.blocked.position if self.chain.blocked else 0


def _is_down(subscriber: Subscriber, failures: Sequence[Failure]) -> bool:
    unreachable = any(each.scope is not Scope.EVENT for each in failures)
    return unreachable or (bool(failures) and subscriber.failures >= MAX_FAILING)


def _disabled(subscriber: Subscriber, failures: Sequence[Failure], now: datetime) -> Subscriber:
    because = next((each.text for each in failures if each.scope is Scope.GONE), None)
    if because is None and subscriber.failing_since and now - subscriber.failing_since >= DEAD_AFTER:
        because = f"it has accepted nothing for a day ({subscriber.last_error})"
    if because is None or subscriber.disabled_at is not None:
        return subscriber
    return replace(subscriber, disabled_at=now, disabled_because=because)


def _blocked(sent: _Sent, now: datetime) -> BlockedKey:
    assert sent.failure is not None  # noqa: S101 - only chains that failed are given
    known = sent.chain.blocked
    goes_on_failing = known is not None and known.error is not None and not sent.accepted
    since = known.since if known is not None and goes_on_failing else now
    wait = _wait(since, now, KEY_WAIT, [sent.failure])
    return BlockedKey(sent.chain.key, sent.position, since, now + wait, sent.failure.text)


def _advanced(sent: _Sent, now: datetime) -> BlockedKey:
    return BlockedKey(sent.chain.key, sent.position, since=now, try_at=now)


def _cursor(batch: Batch, sent: Iterable[_Sent], blocked: Collection[str]) -> int:
    """Return the highest cursor below every event that is still to be sent and has no row."""
    left = [
        each.next.position for each in sent if not each.chain.blocked and each.next and each.chain.key not in blocked
    ]
    return min([batch.end, *(position - 1 for position in left)])


def _wait(since: datetime, now: datetime, longest: timedelta, failures: Sequence[Failure]) -> timedelta:
    """Return the time until the next try: half the time that it has failed, or as long as the receiver wants."""
    wanted = max((each.retry_after for each in failures if each.retry_after), default=timedelta())
    return max(FIRST_WAIT, min((now - since) / 2, longest), wanted)
