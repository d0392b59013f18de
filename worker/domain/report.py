"""The carriers' report: what the events of a time span say about each carrier account.

The figures are about the orders that were offered to a carrier in the time span. An order counts in a time only when it
has ended. Prices of different currencies are never added.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeVar

from schemas.events import EventType
from schemas.status import CancelledBy, Cause, DeliveryStatus, Reason

S = DeliveryStatus
T = TypeVar("T", int, Decimal)
NEVER_CREATED = "never_created"
"""The reason in place of a `Reason`, if the outcome was unknown and the carrier turned out to have no order."""
REFUSED = "refused"
"""The outcome of an attempt that its carrier did not accept. Every other outcome is a final status."""
FEW = 10
"""Below so many orders, a figure is only an impression, and is shown with their number."""
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
