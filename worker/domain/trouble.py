"""Troubles: what needs an operator, one for each cause, with all the orders that the cause affects.

A paused account with forty orders is one trouble. No text of a trouble contains the customer's data.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from schemas.status import GOODS_WITH_COURIER, AttentionReason, Evidence
from worker.carriers.account import is_within
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Delivery, Step
from worker.domain.planner import offer_ends

NEVER = datetime.max.replace(tzinfo=UTC)
ORDERS_SHOWN = 50
"""The most orders that a trouble names. `Trouble.count` counts all of them."""


class Severity(StrEnum):
    """The harm that a trouble does, the worst first."""

    GOODS_ON_THE_ROAD = "goods_on_the_road"
    """A courier has goods, or goes to fetch some, that should go elsewhere."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """Nobody knows whether a courier comes."""
    LATE = "late"
    """An order has no courier and its pickup is near."""
    WAITING = "waiting"
    """Orders or messages wait for an operator."""
    SYSTEM = "system"
    """A part of the system does not work. No order waits for it yet."""


class Action(StrEnum):
    """What an operator may do about a trouble: the command of `order-sync`, without its arguments."""

    RETRY = "retry"
    CANCEL = "cancel"
    REFRESH = "refresh"
    RESOLVE_EXISTS = "resolve exists"
    RESOLVE_ABSENT = "resolve absent"
    ACCEPT = "accept"
    DENY = "deny"
    ATTENDED = "attended"
    PAUSE = "carriers pause"
    RESUME = "carriers resume"
    MAP_STATUS = "carriers map"
    RELEASE = "carriers release"
    LOAD_STORES = "stores load"
    REPLAY = "dead-letters replay"
    DISCARD = "dead-letters discard"
    BACKFILL = "backfill"
    TRIM = "trim"


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the status of a delivery is, how well it is proven, and when its carrier is asked next."""

    since: datetime
    """When the delivery got the status."""
    last_report_at: datetime | None
    """When the carrier last reported; None while there is no report."""
    evidence: Evidence
    next_step: Step | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class TroubledOrder:
    """An order that a trouble affects."""

    delivery_id: str
    order_id: str
    source: str
    store_id: str
    status: str
    deadline: datetime | None
    """When a courier must be at the store or a decision must be made; None when there is no such time."""
    timezone: str | None
    """The time zone of the store; None while the store is unknown."""
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class CarrierQuestion:
    """What to say when an operator phones a carrier, or looks for an order on the carrier's screen."""

    account: str
    question: str
    order_id: str
    reference: str | None
    """The carrier's id of the order; None while it is unknown."""
    our_id: int
    """Our id of the attempt, for carriers that store a number."""
    our_tag: str
    """The same id in eleven characters, for carriers that store a text."""
    sent_at: datetime
    pickup_at: datetime
    timezone: str
    """The time zone of the store. The times in `question` are in this zone."""
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """One cause for which an operator is needed."""

    key: str
    """The same for the same cause, as long as the cause lasts."""
    kind: str
    """An `AttentionReason`, or a `worker.services.system_troubles.SystemTrouble`."""
    severity: Severity
    title: str
    explanation: str
    count: int = 0
    """How many orders are affected."""
    orders: tuple[TroubledOrder, ...] = ()
    """Up to `ORDERS_SHOWN` of these orders, the earliest deadline first."""
    account: str | None = None
    store_id: str | None = None
    subject: str | None = None
    """What the cause is about, if it is no order, account or store: a carrier status, the reason of dead letters."""
    letter_id: str | None = None
    """One of the dead letters that the cause is about."""
    deadline: datetime | None = None
    """The earliest deadline of the orders."""
    since: datetime | None = None
    """When the cause began, as far as it is known."""
    questions: tuple[CarrierQuestion, ...] = ()
    actions: tuple[Action, ...] = ()


UNMAPPED_STATUS = "unmapped_status"
"""The kind of the trouble of an unmapped status."""


def with_orders(
    trouble: Trouble, affected: Iterable[Delivery], count: int, terms: TermsByAccount, now: datetime
) -> Trouble:
    """Return a trouble with its orders, its deadline, and the severity that follows from them."""
    known = list(affected)
    orders = sorted((_troubled(each, terms) for each in known), key=lambda each: (each.deadline is None, each.deadline))
    deadline = orders[0].deadline if orders else None
    severity = trouble.severity
    if severity is Severity.SYSTEM and count:
        severity = Severity.WAITING
    if severity is Severity.WAITING and deadline is not None and deadline - now <= schedule.ALARM_BEFORE:
        severity = Severity.LATE
    return replace(trouble, severity=severity, count=count, orders=tuple(orders[:ORDERS_SHOWN]), deadline=deadline)


def by_harm(troubles: Iterable[Trouble]) -> list[Trouble]:
    """Return troubles ordered by their harm, then by their deadline, then by their age."""
    severities = list(Severity)

    def rank(trouble: Trouble) -> tuple[int, datetime, datetime, str]:
        return severities.index(trouble.severity), trouble.deadline or NEVER, trouble.since or NEVER, trouble.key

    return sorted(troubles, key=rank)


def deadline_of(delivery: Delivery, terms: TermsByAccount) -> datetime | None:
    """Return when a courier must be at the store, or when an offer ends; None when neither is awaited any more."""
    attempt = delivery.active
    if delivery.final or (attempt is not None and attempt.rank >= GOODS_WITH_COURIER):
        return None
    if attempt is None:
        return schedule.pickup_time(delivery.order, delivery.store, delivery.created_at)
    if AttentionReason.OFFER_WAITS in delivery.attention_reasons and attempt.carrier in terms:
        return min(offer_ends(attempt, terms[attempt.carrier]), attempt.pickup_at)
    return attempt.pickup_at


def freshness_of(delivery: Delivery) -> Freshness:
    """Return how old the status of a delivery is, and when its carrier is asked next."""
    attempt = delivery.active
    if delivery.final and attempt is None:
        attempt = next(reversed(delivery.attempts), None)
    last_report_at = attempt.last_report_at or attempt.shown_at if attempt else None
    return Freshness(delivery.changed_at, last_report_at, delivery.evidence, delivery.step, delivery.next_run_at)


def _troubled(delivery: Delivery, terms: TermsByAccount) -> TroubledOrder:
    return TroubledOrder(
        delivery.id,
        delivery.order.order_id,
        delivery.source,
        delivery.order.store_id,
        delivery.status.value,
        deadline_of(delivery, terms),
        delivery.store.timezone if delivery.store else None,
        freshness_of(delivery),
    )


def is_quiet(trouble: Trouble, hours: str, now: datetime) -> bool:
    """Return whether a trouble can wait: it only keeps orders waiting, and it is within `hours` at all their stores.

    Without hours, no trouble can wait.
    """
    zones = [each.timezone for each in trouble.orders]
    if not hours or not zones or trouble.count > len(zones) or trouble.severity is not Severity.WAITING:
        return False
    return all(zone is not None and is_within(hours, now.astimezone(ZoneInfo(zone)).time()) for zone in zones)


def unmapped_status_troubles(reported: Iterable[Delivery], terms: TermsByAccount, now: datetime) -> list[Trouble]:
    """Return a trouble for each account and carrier status that is now the unmapped status of a delivery."""
    found: dict[tuple[str, str], list[Delivery]] = {}
    for delivery in reported:
        for attempt in delivery.attempts:
            if attempt.live and attempt.unmapped_status is not None:
                status = f"{attempt.unmapped_status.entity}:{attempt.unmapped_status.code}"
                found.setdefault((attempt.carrier, status), []).append(delivery)
    return [
        with_orders(_unmapped_status_trouble(account, status, affected), affected, len(affected), terms, now)
        for (account, status), affected in found.items()
    ]


def _unmapped_status_trouble(account: str, status: str, affected: Sequence[Delivery]) -> Trouble:
    return Trouble(
        key=f"{UNMAPPED_STATUS}:{account}:{status}",
        kind=UNMAPPED_STATUS,
        severity=Severity.WAITING,
        title=f"{account} reports a status that we do not know: {status}",
        explanation="The deliveries keep their last status until you say what this one means.",
        account=account,
        subject=status,
        since=min(each.changed_at for each in affected),
        actions=(Action.MAP_STATUS, Action.REFRESH),
    )
