"""Times and intervals: backoff, polling cadences, quarantines and deadlines.

Pure: the current time is an argument, and jitter is a hash of a key. Therefore ten thousand restored rows do not become
due at the same time, and every test is repeatable.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from schemas.order import Order
from schemas.status import RANK, DeliveryStatus
from schemas.stores import Store
from worker.carriers.port import Cadence

LEASE = timedelta(seconds=30)
"""How long a claimed delivery cannot be claimed again."""
REMOVED_ACCOUNT_LEASE = timedelta(minutes=5)
"""The time after which a create counts as lost if its account, which has the deadline, is not in the settings."""
CALL_MARGIN = timedelta(seconds=30)
"""The time after a call's deadline at which a call without a stored outcome counts as lost."""
QUARANTINE = (60.0, 90.0, 120.0)
"""Seconds from a create's deadline to each of its look-ups. No earlier look-up counts as proof of absence."""
LOOKUPS_APART = timedelta(seconds=15)
"""The shortest time between two look-ups that count."""
CANCEL_CHECKS = (5.0, 30.0, 120.0, 600.0)
"""Seconds between the reads that confirm a cancel (C-47)."""
CANCEL_REQUESTS = 3
"""The most cancel requests for one order."""
AMEND_REQUESTS = 3
"""The most requests for one amendment; after them an operator is needed."""
AMEND_RETRY = timedelta(seconds=30)
"""The wait after an amendment that got no answer, before the order is read and the amendment is sent again."""
OFFER_CHECK = timedelta(seconds=30)
"""The interval between the two look-ups that show the outcome of an offer, at the default cadence (D-30)."""
ROUTE_RETRY = timedelta(minutes=1)
"""The interval between two tries to find a store, an account or an open gate."""
FAILOVER_AFTER, FAILOVER_SOONEST = timedelta(minutes=2), timedelta(seconds=30)
"""The longest and shortest wait for an unavailable carrier before another one is asked."""
ACCOUNT_RETRY = timedelta(minutes=5)
"""The shortest wait after an error of the whole account."""
OPERATOR_WAIT = timedelta(minutes=10)
"""The interval between look-ups of an unknown outcome that waits for an operator."""
SURPLUS_READ_INTERVAL = timedelta(minutes=10)
"""The interval between reads of a surplus courier who cannot be cancelled."""
SURPLUS_CANCEL_RETRY = timedelta(seconds=30)
"""The interval between tries to cancel a surplus courier while the carrier is unavailable."""
SURPLUS_ESCALATION = timedelta(minutes=5)
"""How long to try to cancel a surplus courier before an operator is also needed."""
FOLLOW_UPS = (timedelta(minutes=10), timedelta(hours=2))
"""The times after its end at which an ended attempt is read again, because carriers revive ended orders."""
LATE_LOOKUPS = (timedelta(minutes=2), timedelta(minutes=5), *FOLLOW_UPS)
"""The times after its end at which a never-created attempt is looked up again, because a carrier may be slow."""
FOLLOW_UP_RETRY, FOLLOW_UPS_END = timedelta(minutes=5), timedelta(hours=6)
"""The wait after a failed follow-up read, and the time after which there are no more follow-up reads."""
CONTRADICTION_GAP = timedelta(seconds=60)
"""The shortest time between two reads that together prove a contradiction of the current state."""
ALARM_BEFORE = timedelta(minutes=5)
"""How long before the pickup an operator is needed if no carrier has confirmed a courier."""
ALARM_AFTER = timedelta(minutes=3)
"""The shortest time from the acceptance of an order to that alarm."""
GIVE_UP = timedelta(hours=3)
"""How long after its pickup a delivery without a courier is rejected."""
STALLED = timedelta(hours=3)
"""How long a courier may have the goods without a change before `delivery.stalled` is published."""
DAY = timedelta(hours=24)
BACKOFF_FIRST, BACKOFF_CEILING = 2.0, 300.0
YOUNG = timedelta(minutes=10)
"""An attempt younger than this is read at the `fresh` cadence.

It is also the time without a change after which the cadence `without_callbacks` applies.
"""
QUIET = timedelta(hours=1)
"""The time without a change after which the intervals between reads grow."""
FAR = timedelta(hours=1)
"""A delivery whose pickup is farther ahead than this is read at the `ahead` cadence."""


def fraction(*key: object) -> float:
    """Return a number in [0, 1) for a key, the same on every machine and in every process."""
    digest = blake2b("\n".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def backoff(failures: int, key: str, retry_after: float | None = None) -> timedelta:
    """Return how long to wait after a failure: exponential, with full jitter, never less than `retry_after` seconds."""
    ceiling = min(BACKOFF_CEILING, BACKOFF_FIRST * 2 ** min(failures, 10))
    wait = max(1.0, ceiling * fraction(key, failures))
    return timedelta(seconds=max(wait, retry_after or 0.0))


def pickup_time(order: Order, store: Store | None, now: datetime) -> datetime:
    """Return when the courier should be at the store, in UTC: when the food is ready, never before `now`."""
    if order.ready_at is not None:
        pickup = order.ready_at
    elif order.deliver_at is not None:
        pickup = order.deliver_at - timedelta(minutes=store.travel_minutes if store else 0)
    else:
        pickup = now + timedelta(minutes=store.prep_minutes if store else 0)
    return max(pickup, now).astimezone(UTC)


def dispatch_time(order: Order, store: Store, now: datetime) -> datetime:
    """Return when the carrier should be asked: at once, or the store's lead time before a later delivery."""
    if order.deliver_at is None:
        return now
    return max(now, order.deliver_at.astimezone(UTC) - timedelta(minutes=store.lead_minutes))


def failover_time(order: Order, store: Store, accepted_at: datetime, since: datetime) -> datetime:
    """Return when another carrier is asked in place of one that has been unavailable since `since`.

    The wait is `FAILOVER_AFTER`, or a sixth of the time to the pickup where that is shorter.
    """
    left = pickup_time(order, store, accepted_at) - since
    return since + min(FAILOVER_AFTER, max(FAILOVER_SOONEST, left / 6))


def next_read(  # noqa: PLR0913 - a cadence depends on all of these
    cadence: Cadence,
    scale: float,
    status: DeliveryStatus,
    *,
    now: datetime,
    since: datetime,
    changed_at: datetime,
    pickup: datetime,
    account: str,
    key: str,
) -> datetime:
    """Return when to read a delivery again (C-61, D-65, B-87).

    `scale` multiplies every interval, `since` is the time of the create, and `changed_at` is the time of the last
    change. If one request covers many deliveries, all reads of an account are due at the same times; otherwise each
    delivery has its own jitter of a fifth of the interval.
    """
    seconds = _interval(cadence, status, now=now, since=since, changed_at=changed_at, pickup=pickup) * scale
    if not cadence.aligned:
        return now + timedelta(seconds=seconds * (0.8 + 0.4 * fraction(key, changed_at)))
    grid = cadence.shortest * scale
    phase = grid * fraction(account)
    # The nearest slot and not the next one, because a read that starts slightly late would skip every second slot.
    slot = max(round((now.timestamp() + seconds - phase) / grid), int((now.timestamp() - phase) // grid) + 1)
    return datetime.fromtimestamp(slot * grid + phase, UTC)


def _interval(
    cadence: Cadence, status: DeliveryStatus, *, now: datetime, since: datetime, changed_at: datetime, pickup: datetime
) -> float:
    if pickup - now > FAR:
        return cadence.ahead
    assigned = RANK.get(status, 0) >= RANK[DeliveryStatus.COURIER_ASSIGNED]
    base = cadence.moving if assigned and now - since > YOUNG else cadence.fresh
    if cadence.without_callbacks is not None and assigned and now - changed_at > YOUNG:
        base = cadence.without_callbacks
    quiet_hours = (now - changed_at) / QUIET
    return base if quiet_hours < 1 else min(max(base, cadence.ceiling), base * 1.5 ** min(quiet_hours, 20))
