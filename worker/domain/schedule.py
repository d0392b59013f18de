"""When to do a thing again: backoff, polling cadence, quarantines and deadlines.

Pure: time comes in as an argument, and jitter is a hash of who asks, so that ten thousand restored rows do not fire
together and every test is repeatable.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from schemas.order import Order
from schemas.status import RANK, DeliveryStatus
from schemas.stores import Store
from worker.carriers.port import Cadence

LEASE = timedelta(seconds=30)
"""How long what was handed out is left alone before it is handed out again."""
CALL_MARGIN = timedelta(seconds=30)
"""Added to a call's deadline: after that, a call whose outcome is not in the database was lost with its process."""
QUARANTINE = (60.0, 90.0, 120.0)
"""Seconds after a create's deadline at which it is looked up; finding nothing counts only from the first on."""
LOOKUPS_APART = timedelta(seconds=15)
CANCEL_CHECKS = (5.0, 30.0, 120.0, 600.0)
"""Seconds between the reads that confirm a cancel (C-47)."""
CANCEL_REQUESTS = 3
"""How often a carrier is asked to cancel one order at the most."""
AMEND_REQUESTS = 3
"""How often a carrier is asked for one change of an order before a person is."""
AMEND_RETRY = timedelta(seconds=30)
"""Between a change whose answer did not come and the read after which it is asked for again."""
OFFER_CHECK = timedelta(seconds=30)
"""Between the two look-ups that show what became of an offer, at the default cadence (D-30)."""
ROUTE_RETRY = timedelta(minutes=1)
FAILOVER_AFTER, FAILOVER_SOONEST = timedelta(minutes=2), timedelta(seconds=30)
"""How long a carrier that cannot be called is waited for while another one could be."""
ACCOUNT_RETRY = timedelta(minutes=5)
OPERATOR_WAIT = timedelta(minutes=10)
SURPLUS_READ_INTERVAL = timedelta(minutes=10)
"""Between reads of a courier who is one too many and cannot be stopped."""
SURPLUS_CANCEL_RETRY = timedelta(seconds=30)
"""Between tries to stop him while his carrier cannot be reached."""
SURPLUS_ESCALATION = timedelta(minutes=5)
"""How long that is tried before a person is asked as well."""
FOLLOW_UPS = (timedelta(minutes=10), timedelta(hours=2))
"""After its end, when an attempt is read again: carriers revive what was over."""
LATE_LOOKUPS = (timedelta(minutes=2), timedelta(minutes=5), *FOLLOW_UPS)
"""After it was written off, when a create is looked for again: a slow carrier may make it yet."""
FOLLOW_UP_RETRY, FOLLOW_UPS_END = timedelta(minutes=5), timedelta(hours=6)
CONTRADICTION_GAP = timedelta(seconds=60)
"""How far apart two reads must be to prove together what goes against everything seen before."""
ALARM_BEFORE = timedelta(minutes=5)
"""How long before its pickup a person is told that no courier is certain, while something can be done about it."""
ALARM_AFTER = timedelta(minutes=3)
"""How long an order with less notice has after its acceptance."""
GIVE_UP = timedelta(hours=3)
STALLED = timedelta(hours=3)
DAY = timedelta(hours=24)
BACKOFF_FIRST, BACKOFF_CEILING = 2.0, 300.0
YOUNG = timedelta(minutes=10)
QUIET = timedelta(hours=1)
FAR = timedelta(hours=1)


def fraction(*key: object) -> float:
    """Map a key to a number in [0, 1), the same on every machine and in every process."""
    digest = blake2b("\n".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def backoff(failures: int, key: str, retry_after: float | None = None) -> timedelta:
    """Wait exponentially longer after each failure, with full jitter, and never less than the carrier asked for."""
    ceiling = min(BACKOFF_CEILING, BACKOFF_FIRST * 2 ** min(failures, 10))
    wait = max(1.0, ceiling * fraction(key, failures))
    return timedelta(seconds=max(wait, retry_after or 0.0))


def pickup_time(order: Order, store: Store | None, now: datetime) -> datetime:
    """Tell when the courier should be at the store: when the food is ready, and never in the past."""
    if order.ready_at is not None:
        wanted = order.ready_at
    elif order.deliver_at is not None:
        wanted = order.deliver_at - timedelta(minutes=store.travel_minutes if store else 0)
    else:
        wanted = now + timedelta(minutes=store.prep_minutes if store else 0)
    return max(wanted, now).astimezone(UTC)


def dispatch_time(order: Order, store: Store, now: datetime) -> datetime:
    """Tell when the carrier should be asked: at once, or the store's lead time before a later delivery."""
    if order.deliver_at is None:
        return now
    return max(now, order.deliver_at.astimezone(UTC) - timedelta(minutes=store.lead_minutes))


def failover_time(order: Order, store: Store, accepted_at: datetime, since: datetime) -> datetime:
    """Tell when a carrier that is to be asked since then, and cannot be, is left for another one.

    After `FAILOVER_AFTER`, or after a sixth of the time to the pickup where that is shorter.
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
    """Tell when to read a delivery again (C-61, D-65, B-87).

    `scale` multiplies every interval. `since` is the create, `changed_at` the last news. Where one request covers
    many, the times of an account fall on one grid; elsewhere each delivery has its own jitter of a fifth.
    """
    seconds = _interval(cadence, status, now=now, since=since, changed_at=changed_at, pickup=pickup) * scale
    if not cadence.together:
        return now + timedelta(seconds=seconds * (0.8 + 0.4 * fraction(key, changed_at)))
    grid = cadence.shortest * scale
    phase = grid * fraction(account)
    # To the nearest slot, not the next: a read that starts a moment late would otherwise skip every other slot.
    slot = max(round((now.timestamp() + seconds - phase) / grid), int((now.timestamp() - phase) // grid) + 1)
    return datetime.fromtimestamp(slot * grid + phase, UTC)


def _interval(
    cadence: Cadence, status: DeliveryStatus, *, now: datetime, since: datetime, changed_at: datetime, pickup: datetime
) -> float:
    if pickup - now > FAR:
        return cadence.ahead
    assigned = RANK.get(status, 0) >= RANK[DeliveryStatus.COURIER_ASSIGNED]
    base = cadence.moving if assigned and now - since > YOUNG else cadence.fresh
    if cadence.unheard is not None and assigned and now - changed_at > YOUNG:
        base = cadence.unheard
    quiet_hours = (now - changed_at) / QUIET
    return base if quiet_hours < 1 else min(max(base, cadence.ceiling), base * 1.5 ** min(quiet_hours, 20))
