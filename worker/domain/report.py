"""The carriers' report: what the events of a time span say about each carrier account.

The figures are about the orders that were offered to a carrier in the time span. An order counts in a time only when it
has ended. Prices of different currencies are never added.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeVar

from schemas.events import EventType
from schemas.status import FINAL, RANK, CancelledBy, Cause, DeliveryStatus, Reason

S = DeliveryStatus
T = TypeVar("T", int, Decimal)
MINUTE = timedelta(minutes=1)
LATE_CALLBACK = timedelta(minutes=2)
"""A callback is late if it is applied this long after the time that the carrier gives for its status."""
NEVER_CREATED = "never_created"
"""The reason in place of a `Reason`, if the outcome was unknown and the carrier turned out to have no order."""
REFUSED = "refused"
"""The outcome of an attempt that its carrier did not accept. Every other outcome is a final status."""
ACCEPTED = frozenset(RANK) - {S.QUEUED, S.SUBMIT_UNKNOWN, S.AWAITING_CONFIRMATION, S.CANCELLED, S.REJECTED, S.FAILED}
"""The statuses that prove that the carrier accepted the order."""
OUTCOMES = (REFUSED, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED)


class Milestone(StrEnum):
    """What an order reaches on its way, counted from the carrier's first answer to the create."""

    COURIER = "courier"
    PICKUP = "pickup"
    DOOR = "door"


MILESTONES: Mapping[DeliveryStatus, Milestone] = {
    S.COURIER_ASSIGNED: Milestone.COURIER,
    S.PICKUP_ENROUTE: Milestone.COURIER,
    S.PICKUP_ARRIVED: Milestone.COURIER,
    S.PICKED_UP: Milestone.PICKUP,
    S.DROPOFF_ENROUTE: Milestone.PICKUP,
    S.DROPOFF_ARRIVED: Milestone.DOOR,
    S.DELIVERED: Milestone.DOOR,
}
"""The milestone that each status proves. The first status of a milestone gives its time."""


@dataclass(frozen=True, slots=True)
class AttemptEvent:
    """What the report reads of a `delivery.*` event. The fields are those of `schemas.events.DeliveryEvent`."""

    type: EventType
    delivery_id: str
    sequence: int
    store_id: str
    status: DeliveryStatus
    previous_status: DeliveryStatus | None
    carrier: str | None
    attempt: int
    cause: Cause
    observed_at: datetime
    occurred_at: datetime | None = None
    reason: Reason | None = None
    cancelled_by: CancelledBy | None = None
    raw: str | None = None
    """The carrier's own status, as its entity, a colon and its code."""
    price: tuple[str, Decimal] | None = None
    """The currency and the amount."""
    pickup_at: datetime | None = None
    """When the courier should be at the store; known only where the event proves the pickup."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median and the 90th percentile of values (nearest rank), and how many values there are."""

    count: int
    median: int
    p90: int


@dataclass(slots=True)
class Figures:
    """The figures of one group. Times are whole minutes, each with the number of its orders."""

    offered: int = 0
    """The attempts whose create the carrier may have received."""
    accepted: int = 0
    unknown: int = 0
    """The attempts whose outcome was unknown at some time."""
    refused: Counter[str] = field(default_factory=Counter)
    """The attempts that were not accepted, by reason."""
    ended: Counter[str] = field(default_factory=Counter)
    """The attempts that ended, by outcome (`OUTCOMES`)."""
    cancelled: Counter[str] = field(default_factory=Counter)
    """The attempts that ended cancelled, by who cancelled."""
    minutes: dict[Milestone, Counter[int]] = field(default_factory=lambda: {each: Counter() for each in Milestone})
    late: Counter[int] = field(default_factory=Counter)
    """Minutes from the requested pickup time to the pickup; negative if the courier was early."""
    times: int = 0
    """The times in `minutes`."""
    estimated: int = 0
    """The times in `minutes` for which the carrier gave no time, so that the time of our observation counts."""
    by_callback: int = 0
    """The statuses that a callback reported first."""
    by_read: int = 0
    """The statuses that a read reported first."""
    late_callbacks: int = 0
    unmapped: Counter[str] = field(default_factory=Counter)
    """The carrier's statuses without a mapping."""
    prices: Counter[tuple[str, Decimal]] = field(default_factory=Counter)
    """The prices of the orders that were handed over."""

    @property
    def accepted_share(self) -> float | None:
        """The share of the offered orders that the carrier accepted; None without an order."""
        return share(self.accepted, self.offered)

    @property
    def unknown_per_thousand(self) -> float | None:
        """The unknown outcomes per thousand creates; None without a create."""
        return 1000 * self.unknown / self.offered if self.offered else None

    @property
    def silent_share(self) -> float | None:
        """The share of the statuses that a read reported first; None without a status."""
        return share(self.by_read, self.by_callback + self.by_read)

    @property
    def late_share(self) -> float | None:
        """The share of the callbacks that were late; None without a callback."""
        return share(self.late_callbacks, self.by_callback)

    @property
    def estimated_share(self) -> float | None:
        """The share of the times that are estimated; None without a time."""
        return share(self.estimated, self.times)

    @property
    def median_prices(self) -> dict[str, tuple[Decimal, int]]:
        """The median price and the number of prices, by currency."""
        by_currency: dict[str, Counter[Decimal]] = defaultdict(Counter)
        for (currency, amount), count in self.prices.items():
            by_currency[currency][amount] += count
        return {name: (quantile(found, 50), found.total()) for name, found in sorted(by_currency.items())}


class By(StrEnum):
    """What the figures of an account are divided by."""

    CARRIER = "carrier"
    STORE = "store"
    HOUR = "hour"
    """The hour of the store's local day in which the order was offered."""


class Group(NamedTuple):
    """The account, and for `By.STORE` the store's id, for `By.HOUR` the hour as two digits."""

    by: By
    name: str
    carrier: str


@dataclass(frozen=True)
class Report:
    """The figures of a time span, by group."""

    groups: Mapping[Group, Figures]

    def by(self, division: By) -> list[tuple[Group, Figures]]:
        """Return the groups of a division, in the order of their names and accounts."""
        return [(group, self.groups[group]) for group in sorted(self.groups) if group.by is division]


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


# --- statistics -------------------------------------------------------------------------------------------------------


def share(part: int, whole: int) -> float | None:
    """Return a part of a whole as a number from 0 to 1; None without a whole."""
    return part / whole if whole else None


def quantile(counts: Counter[T], percent: int) -> T:
    """Return the value at a percentile by the nearest rank. `counts` has at least one value."""
    rank, seen = -(-counts.total() * percent // 100), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    raise ValueError("no values")


def spread(counts: Counter[int]) -> Spread | None:
    """Return the median and the 90th percentile; None without a value."""
    return Spread(counts.total(), quantile(counts, 50), quantile(counts, 90)) if counts else None
