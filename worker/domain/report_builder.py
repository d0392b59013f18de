"""Build the carriers' report from events, in the order of their positions."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from schemas.events import EventType
from schemas.status import FINAL, RANK, CancelledBy, Cause, DeliveryStatus
from worker.domain.report import (
    MILESTONES,
    NEVER_CREATED,
    REFUSED,
    AttemptEvent,
    By,
    Figures,
    Group,
    Milestone,
    Report,
)

S = DeliveryStatus
MINUTE = timedelta(minutes=1)
LATE_CALLBACK = timedelta(minutes=2)
"""A callback is late if it is applied this long after the time that the carrier gives for its status."""
ACCEPTED = frozenset(RANK) - {S.QUEUED, S.SUBMIT_UNKNOWN, S.AWAITING_CONFIRMATION, S.CANCELLED, S.REJECTED, S.FAILED}
"""The statuses that prove that the carrier accepted the order."""


@dataclass(slots=True)
class _Attempt:
    """An attempt that has not ended."""

    number: int
    began_at: datetime
    figures: tuple[Figures, ...]
    accepted: bool = False
    unknown: bool = False
    reached: dict[Milestone, datetime] = field(default_factory=dict)
    estimated: int = 0
    pickup_at: datetime | None = None
    end: AttemptEvent | None = None
    """The event `delivery.attempt_ended`; the next change of the status says what follows."""


class ReportBuilder:
    """Builds a report from events in the order of their positions. It holds only the attempts that have not ended."""

    def __init__(self, zones: Mapping[str, tzinfo] | None = None, divisions: Collection[By] = tuple(By)) -> None:
        """`zones` are the zones of the stores, by store id; a store without one counts in UTC."""
        self._zones, self._divisions = zones or {}, divisions
        self._groups: defaultdict[Group, Figures] = defaultdict(Figures)
        self._open: dict[str, _Attempt] = {}
        """The attempt of each delivery that is followed, by the delivery's id."""

    def build(self) -> Report:
        """Return the report of the events so far."""
        return Report(dict(self._groups))

    def add(self, event: AttemptEvent) -> None:
        """Count an event. Events of attempts that began before the first event are left out."""
        attempt = self._open.get(event.delivery_id)
        if _begins(event) and (attempt is None or attempt.number != event.attempt):
            attempt = self._begin(event)
        if attempt is not None:
            self._follow(attempt, event)

    def _begin(self, event: AttemptEvent) -> _Attempt:
        figures = tuple(self._groups[group] for group in self._groups_of(event))
        for each in figures:
            each.offered += 1
        attempt = _Attempt(event.attempt, event.observed_at, figures)
        self._open[event.delivery_id] = attempt
        return attempt

    def _groups_of(self, event: AttemptEvent) -> Iterator[Group]:
        hour = event.observed_at.astimezone(self._zones.get(event.store_id, UTC)).hour
        names = {By.CARRIER: "", By.STORE: event.store_id, By.HOUR: f"{hour:02}"}
        return (Group(by, names[by], event.carrier or "") for by in self._divisions)

    def _follow(self, attempt: _Attempt, event: AttemptEvent) -> None:
        same = event.carrier is not None and event.attempt == attempt.number
        match event.type:
            case EventType.STATUS_UNRECOGNIZED if same:
                for each in attempt.figures:
                    each.unmapped[event.raw or ""] += 1
            case EventType.ATTEMPT_ENDED if same:
                attempt.end = event
                if event.reason is not None and not attempt.accepted:
                    self._close(attempt, event)  # a delivery that is `queued` may stay so, without another event
            case EventType.STATUS_CHANGED:
                if same and attempt.end is None:
                    _advance(attempt, event)
                if event.status in FINAL or (event.status is S.QUEUED and event.carrier is None):
                    self._close(attempt, event)

    def _close(self, attempt: _Attempt, event: AttemptEvent) -> None:
        del self._open[event.delivery_id]
        for each in attempt.figures:
            if attempt.accepted:
                _count_end(each, attempt, event)
            else:
                _count_refusal(each, attempt.end or event, event)


def _begins(event: AttemptEvent) -> bool:
    """Return whether an event may be the first one about an attempt.

    A refused create has no change of the status before `delivery.attempt_ended`. The event of a surplus attempt, which
    has another cause, is no begin.
    """
    if event.carrier is None:
        return False
    if event.type is EventType.ATTEMPT_ENDED:
        return event.status is S.QUEUED and event.cause is Cause.RESPONSE
    changed = event.type is EventType.STATUS_CHANGED and event.previous_status is S.QUEUED
    return changed and event.status not in {S.QUEUED, S.CANCELLED, S.REJECTED, S.FAILED}


def _advance(attempt: _Attempt, event: AttemptEvent) -> None:
    """Record how far a change of its status brings an attempt."""
    if event.status is S.SUBMIT_UNKNOWN and not attempt.unknown:
        attempt.unknown = True
        for each in attempt.figures:
            each.unknown += 1
    if event.status in ACCEPTED and not attempt.accepted:
        attempt.accepted = True
        for each in attempt.figures:
            each.accepted += 1
    attempt.pickup_at = event.pickup_at or attempt.pickup_at
    milestone = MILESTONES.get(event.status)
    if milestone is not None and milestone not in attempt.reached:
        # A time after our own observation cannot be right.
        attempt.reached[milestone] = min(event.occurred_at or event.observed_at, event.observed_at)
        attempt.estimated += event.occurred_at is None
    for each in attempt.figures:
        _count_source(each, event)


def _count_source(figures: Figures, event: AttemptEvent) -> None:
    if event.cause is Cause.CALLBACK:
        figures.by_callback += 1
        delay = event.observed_at - (event.occurred_at or event.observed_at)
        figures.late_callbacks += delay >= LATE_CALLBACK
    elif event.cause is Cause.POLL:
        figures.by_read += 1


def _count_refusal(figures: Figures, end: AttemptEvent, after: AttemptEvent) -> None:
    if end.reason is None and after.status is S.CANCELLED:  # we took the order back before the carrier accepted it
        figures.ended[S.CANCELLED] += 1
        figures.cancelled[after.cancelled_by or CancelledBy.UNKNOWN] += 1
        return
    figures.ended[REFUSED] += 1
    figures.refused[end.reason or NEVER_CREATED] += 1


def _count_end(figures: Figures, attempt: _Attempt, event: AttemptEvent) -> None:
    """Count the end of an accepted order. If another carrier follows, the order counts as cancelled."""
    outcome = event.status if event.status in FINAL else S.CANCELLED
    figures.ended[outcome] += 1
    if outcome is S.CANCELLED:
        by = event.cancelled_by or (attempt.end.cancelled_by if attempt.end else None)
        figures.cancelled[by or CancelledBy.UNKNOWN] += 1
    for milestone, at in attempt.reached.items():
        figures.minutes[milestone][max(0, round((at - attempt.began_at) / MINUTE))] += 1
    figures.times += len(attempt.reached)
    figures.estimated += attempt.estimated
    if attempt.pickup_at is not None and Milestone.PICKUP in attempt.reached:
        figures.late[round((attempt.reached[Milestone.PICKUP] - attempt.pickup_at) / MINUTE)] += 1
    if event.price is not None and outcome in {S.DELIVERED, S.RETURNED}:
        figures.prices[event.price] += 1
