"""Times and intervals: backoff, polling cadences, quarantines and deadlines.

All functions are pure. The current time is an argument, so every test is repeatable. Jitter is a hash of a key. It
keeps ten thousand restored deliveries from becoming due at the same time.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from schemas.order import Order
from schemas.status import RANK, DeliveryStatus
from schemas.stores import Store
from worker.carriers.port import Cadence

LEASE = timedelta(seconds=30)
"""The time after a claim during which the same delivery or write-back cannot be claimed again."""
OVERDUE = timedelta(seconds=30)
"""If nobody has run a step for this time, another due step of the delivery goes first, for the same time."""
LONGEST_LEASE = timedelta(minutes=5)
"""The time after which a create without a stored outcome counts as lost, whatever its account's deadline is."""
CALL_MARGIN = timedelta(seconds=30)
"""A call without a stored outcome counts as lost when this time has passed since its deadline."""
QUARANTINE = (60.0, 90.0, 120.0)
"""Seconds from a create's deadline to its first, second and third look-up.

A proof of absence needs all three look-ups. A look-up before the first of these times would prove nothing.
"""
LOOKUPS_APART = timedelta(seconds=15)
"""The shortest time between two look-ups of the same create."""
CANCEL_CHECKS = (5.0, 30.0, 120.0, 600.0)
"""Seconds from the answer to a cancel to the first read that checks the cancel, and between further checks (C-47)."""
CANCEL_REQUESTS = 3
"""The highest number of requests for the same cancel."""
REFUSED_CANCEL_READ = timedelta(minutes=1)
"""How long the read after a refused cancel may fail to show the order before an operator is requested all the same."""
AMEND_REQUESTS = 3
"""The highest number of requests for the same amendment. If the last request has no success, an operator is needed."""
AMEND_RETRY = timedelta(seconds=30)
"""The shortest wait after a failed amendment. Afterwards the order is read, and the amendment may be sent again."""
OFFER_CHECK = timedelta(seconds=30)
"""The interval between the look-ups of an offer with an unclear outcome, at the default `poll_interval` (D-30)."""
ROUTE_RETRY = timedelta(minutes=1)
"""The interval between tries to route a delivery with an unknown store, a closed gate or no carrier."""
FAILOVER_AFTER, FAILOVER_SOONEST = timedelta(minutes=2), timedelta(seconds=30)
"""The longest and the shortest time to wait for an unavailable carrier before another carrier is asked."""
ACCOUNT_RETRY = timedelta(minutes=5)
"""The shortest wait after an error that affects the whole account, such as rejected credentials."""
OPERATOR_WAIT = timedelta(minutes=10)
"""The interval between look-ups of a create with an unknown outcome after an operator was requested."""
SURPLUS_READ_INTERVAL = timedelta(minutes=10)
"""The interval between reads of a surplus courier who could not be cancelled."""
SURPLUS_CANCEL_RETRY = timedelta(seconds=30)
"""The interval between tries to cancel a surplus courier while the carrier is unavailable."""
SURPLUS_ESCALATION = timedelta(minutes=5)
"""How long the cancel of a surplus courier may fail before an operator is also requested."""
FOLLOW_UPS = (timedelta(minutes=10), timedelta(hours=2))
"""The times from an attempt's end to its follow-up reads. Carriers sometimes revive an ended order."""
LATE_LOOKUPS = (timedelta(minutes=2), timedelta(minutes=5), *FOLLOW_UPS)
"""The times from the end of a never-created attempt to its further look-ups. The carrier may create the order late."""
FOLLOW_UP_RETRY, FOLLOW_UPS_END = timedelta(minutes=5), timedelta(hours=6)
"""The wait after a failed follow-up read, and the time after an attempt's end at which the follow-up reads stop."""
CONTRADICTION_GAP = timedelta(seconds=60)
"""The shortest time between the two reads that are needed to confirm a contradiction of the current state."""
ALARM_BEFORE = timedelta(minutes=5)
"""The time before the pickup at which an operator is requested if no carrier has confirmed the order."""
ALARM_AFTER = timedelta(minutes=3)
"""The shortest time from the dispatch of a delivery to the alarm that `ALARM_BEFORE` describes."""
GIVE_UP = timedelta(hours=3)
"""A delivery without an active attempt is rejected this long after its pickup time.

After the end of an attempt, however, it first waits at least `ALARM_AFTER` for the next carrier.
"""
STALLED = timedelta(hours=3)
"""How long a courier may have the goods without a change of the status before `delivery.stalled` is published."""
DAY = timedelta(hours=24)
BACKOFF_FIRST, BACKOFF_CEILING = 2.0, 300.0
YOUNG = timedelta(minutes=10)
"""An attempt is read at the interval `Cadence.fresh` for this time after its create, and until it has a courier.

If the carrier sends callbacks, an attempt with a courier whose status has not changed for this time is read at the
interval `Cadence.without_callbacks`.
"""
QUIET = timedelta(hours=1)
"""The time without a change of the status after which the intervals between reads grow."""
FAR = timedelta(hours=1)
"""If the pickup is more than this time away, the delivery is read at the interval `Cadence.ahead`."""


def fraction(*key: object) -> float:
    """Return a number in [0, 1) for a key. The number is the same on every machine and in every process."""
    digest = blake2b("\n".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def backoff(failures: int, key: str, retry_after: float | None = None) -> timedelta:
    """Return how long to wait after a failure: exponential, with full jitter, never less than `retry_after` seconds."""
    ceiling = min(BACKOFF_CEILING, BACKOFF_FIRST * 2 ** min(failures, 10))
    wait = max(1.0, ceiling * fraction(key, failures))
    return timedelta(seconds=max(wait, retry_after or 0.0))


def pickup_time(order: Order, store: Store | None, now: datetime) -> datetime:
    """Return when the courier should be at the store, in UTC: when the food is ready, but not before `now`."""
    if order.ready_at is not None:
        pickup = order.ready_at
    elif order.deliver_at is not None:
        pickup = order.deliver_at - timedelta(minutes=store.travel_minutes if store else 0)
    else:
        pickup = now + timedelta(minutes=store.prep_minutes if store else 0)
    return max(pickup, now).astimezone(UTC)


def dispatch_time(order: Order, store: Store, now: datetime) -> datetime:
    """Return the earliest time to request a courier.

    With a `deliver_at`, this is `deliver_at` minus the store's lead time, but not before `now`. Without, it is `now`.
    """
    if order.deliver_at is None:
        return now
    return max(now, order.deliver_at.astimezone(UTC) - timedelta(minutes=store.lead_minutes))


def failover_time(order: Order, store: Store, accepted_at: datetime, since: datetime) -> datetime:
    """Return the time of a failover from a carrier that has been unavailable since the time `since`.

    The wait is a sixth of the time from `since` to the pickup, but at least `FAILOVER_SOONEST` and at most
    `FAILOVER_AFTER`. For an order "as soon as possible", the pickup time counts from `accepted_at`.
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
    change of the state. If the cadence is `aligned`, one request reads many deliveries, and the reads of all deliveries
    of an account are due at the same times. Otherwise jitter changes each interval by up to a fifth.
    """
    seconds = _interval(cadence, status, now=now, since=since, changed_at=changed_at, pickup=pickup) * scale
    if not cadence.aligned:
        return now + timedelta(seconds=seconds * (0.8 + 0.4 * fraction(key, changed_at)))
    grid = cadence.shortest * scale
    phase = grid * fraction(account)
    # Round to the nearest slot. With the next slot, a read that starts slightly late would skip every second slot.
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
