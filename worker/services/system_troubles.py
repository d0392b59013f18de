"""The troubles that the state of the system shows and that keep no delivery from going on."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeGuard

from worker.bus.port import GROUP, REDIS
from worker.database.diagnostics import DeadLetters
from worker.database.subscribers import SubscriberState
from worker.domain.trouble import UNMAPPED_STATUS, Action, Severity, Trouble
from worker.services.callback_gaps import GAP
from worker.services.refused_callbacks import MOST_REFUSED, REFUSED_WITHIN
from worker.services.system_health import StoredState, SystemState
from worker.wording import counted

COMMITS_WAIT = timedelta(seconds=10)
"""How long a commit may wait for a synchronous standby."""
NO_STANDBY = (
    "No synchronous standby of PostgreSQL answers, so nothing can be stored: no order or callback is accepted, and no "
    "order is sent. Start or replace the standby. If the primary is the server that is cut off, stop it and promote "
    "the standby. Do not end the waits with pg_cancel_backend: that confirms commits that no standby has. See "
    "https://github.com/order-sync/order-sync/blob/main/docs/troubleshooting.md#commits-wait-for-a-standby"
)
NO_SWEEP = timedelta(seconds=45)
"""The time without any sweep after which no worker counts as running."""
STEP_OVERDUE = timedelta(minutes=2)
"""How long a due step may wait until its queue counts as not served."""
EVENTS_OVERDUE = timedelta(minutes=1)
"""How long an event may be unpublished."""
ORDERS_LAG = timedelta(minutes=1)
"""How long a message may wait on the orders stream."""
MOST_REASONS = 50
"""The most reasons of dead letters that are troubles."""
SUBSCRIBER_LAG = timedelta(minutes=15)
"""How long a subscriber may leave an event unacknowledged or, over HTTP, not accept it."""
PURGE_OVERDUE = timedelta(days=2)
"""The time without a purge that has removed all that is too old. One of a large backlog may take hours."""


class SystemTrouble(StrEnum):
    """The kinds of troubles that are not attention reasons."""

    ACCOUNT_PAUSED = "account_paused"
    CREATES_HELD = "creates_held"
    CARRIER_UNAVAILABLE = "carrier_unavailable"
    CARRIER_THROTTLED = "carrier_throttled"
    ACCOUNT_MISSING = "account_missing"
    UNMAPPED_STATUS = UNMAPPED_STATUS
    DEAD_LETTERS = "dead_letters"
    COMMITS_WAIT_FOR_STANDBY = "commits_wait_for_standby"
    NO_WORKER = "no_worker"
    NO_BEAT = "no_beat"
    QUEUE_NOT_SERVED = "queue_not_served"
    NEWER_VERSION_NEEDED = "newer_version_needed"
    ORDERS_UNREAD = "orders_unread"
    EVENTS_UNPUBLISHED = "events_unpublished"
    SUBSCRIBER_BEHIND = "subscriber_behind"
    SUBSCRIBER_DISABLED = "subscriber_disabled"
    CALLBACKS_NOT_STORED = "callbacks_not_stored"
    CALLBACKS_MISSING = "callbacks_missing"
    CALLBACKS_REFUSED = "callbacks_refused"
    ORDERS_NOT_FETCHED = "orders_not_fetched"
    PLATFORM_NOT_WRITTEN = "platform_not_written"
    REDIS_UNAVAILABLE = "redis_unavailable"
    RABBITMQ_UNAVAILABLE = "rabbitmq_unavailable"
    DATABASE_UNAVAILABLE = "database_unavailable"
    RECORDS_NOT_REMOVED = "records_not_removed"


K = SystemTrouble


def is_too_long(commit_wait: timedelta | None) -> TypeGuard[timedelta]:
    """Return whether a commit has waited too long for a standby."""
    return commit_wait is not None and commit_wait > COMMITS_WAIT


def no_standby_since(state: SystemState, stored: StoredState) -> datetime | None:
    """Return since when nothing can be stored, because no standby confirms it; None while commits do not wait."""
    waits = stored.commit_wait
    return state.at - waits if is_too_long(waits) else None


def no_worker(state: SystemState, stored: StoredState) -> bool:
    """Return whether no worker counts as running."""
    return stored.last_sweep is None or state.at - stored.last_sweep.at > NO_SWEEP


def outages(state: SystemState) -> Iterator[Trouble]:
    """Yield the servers that are unreachable."""
    if state.stored is None:
        yield database_unavailable()
    bus_away, on_redis = state.lags is None, state.bus_server == REDIS
    if bus_away and not on_redis:
        yield Trouble(
            K.RABBITMQ_UNAVAILABLE,
            K.RABBITMQ_UNAVAILABLE,
            Severity.SYSTEM,
            "RabbitMQ does not answer",
            "No message is read and no event is published. Accepted orders are still sent.",
        )
    if (bus_away and on_redis) or None in state.breakers.values():
        yield Trouble(
            K.REDIS_UNAVAILABLE,
            K.REDIS_UNAVAILABLE,
            Severity.SYSTEM,
            "Redis does not answer",
            f"{'No message is read and no event is published. ' if on_redis else ''}"
            "Accepted orders are still sent, at a quarter of their rate.",
        )


def database_unavailable() -> Trouble:
    """Return the trouble of a database that does not answer."""
    return Trouble(
        K.DATABASE_UNAVAILABLE,
        K.DATABASE_UNAVAILABLE,
        Severity.SYSTEM,
        "The database does not answer",
        "Nothing goes on, and what else is wrong cannot be shown. `order-sync check` says why it does not answer.",
    )


def _records_not_removed(since: datetime) -> Trouble:
    return Trouble(
        K.RECORDS_NOT_REMOVED,
        K.RECORDS_NOT_REMOVED,
        Severity.SYSTEM,
        "Old records are not removed",
        f"No purge has removed all that is too old for {PURGE_OVERDUE.days} days. Run `order-sync purge` on the host "
        "of a worker: it says what is left and why. Once a database has an archive, the purge needs "
        "ORDER_SYNC_ARCHIVE_FOLDER, which `order-sync check` tests.",
        since=since,
    )


def system_troubles(state: SystemState, stored: StoredState, *, awaits_callbacks: bool) -> Iterator[Trouble]:
    """Yield the troubles of the system itself that keep no delivery from going on."""
    now = state.at
    yield from (_dead_letters(each) for each in stored.dead_letters[:MOST_REASONS])
    for subscriber in stored.subscribers:
        yield from _webhooks(subscriber, now)
    yield from _callbacks(stored, now)
    yield from _platform(stored)
    if no_standby_since(state, stored) is None:  # otherwise, everything is late for this reason
        yield from _late(state, stored, awaits_callbacks=awaits_callbacks)


def _late(state: SystemState, stored: StoredState, *, awaits_callbacks: bool) -> Iterator[Trouble]:
    now = state.at
    if stored.purged_at is not None and now - stored.purged_at > PURGE_OVERDUE:
        yield _records_not_removed(stored.purged_at)
    if stored.last_sweep and not stored.last_sweep.by_beat and not no_worker(state, stored):
        yield _no_beat()
    overdue = {step: at for step, at in stored.unknown_steps.items() if now - at > STEP_OVERDUE}
    yield from (_newer_version_needed(step, at) for step, at in overdue.items())
    if stored.unpublished.oldest is not None and now - stored.unpublished.oldest > EVENTS_OVERDUE:
        yield Trouble(
            K.EVENTS_UNPUBLISHED,
            K.EVENTS_UNPUBLISHED,
            Severity.SYSTEM,
            "Events are not published",
            f"{counted(stored.unpublished.count, 'event waits', 'events wait')} in the outbox. Check the bus "
            "(Redis or RabbitMQ) and the queue `events`.",
            since=stored.unpublished.oldest,
        )
    yield from _lags(state)
    recorded_at = stored.callbacks_recorded_at
    if awaits_callbacks and recorded_at is not None and now - recorded_at > GAP:
        yield Trouble(
            K.CALLBACKS_NOT_STORED,
            K.CALLBACKS_NOT_STORED,
            Severity.SYSTEM,
            "No web process runs",
            "Callbacks of the carriers are not stored. Deliveries are read less often than callbacks would report.",
            since=recorded_at,
        )


def _no_beat() -> Trouble:
    return Trouble(
        K.NO_BEAT,
        K.NO_BEAT,
        Severity.SYSTEM,
        "Beat sends no sweeps",
        "The workers sweep by themselves, every few seconds. Check that beat and the broker run.",
    )


def _newer_version_needed(step: str, since: datetime) -> Trouble:
    return Trouble(
        key=f"{K.NEWER_VERSION_NEEDED}:{step}",
        kind=K.NEWER_VERSION_NEEDED,
        severity=Severity.WAITING,
        title=f"Deliveries wait for the step {step}, which only a newer version knows",
        explanation="No worker of a newer version runs it. Start one, for example by upgrading again.",
        subject=step,
        since=since,
    )


def _dead_letters(letters: DeadLetters) -> Trouble:
    return Trouble(
        key=f"{K.DEAD_LETTERS}:{letters.reason}",
        kind=K.DEAD_LETTERS,
        severity=Severity.WAITING,
        title=f"{counted(letters.count, 'message', 'messages')} could not be read",
        explanation=f"The reason is: {letters.reason}. An order in such a message gets no courier.",
        subject=letters.reason,
        letter_id=letters.one_id,
        since=letters.oldest,
        actions=(Action.REPLAY, Action.DISCARD),
    )


def _lags(state: SystemState) -> Iterator[Trouble]:
    for (stream, group), seconds in sorted((state.lags or {}).items()):
        lag, reads_orders = timedelta(seconds=seconds), group == GROUP
        if lag <= (ORDERS_LAG if reads_orders else SUBSCRIBER_LAG):
            continue
        kind = K.ORDERS_UNREAD if reads_orders else K.SUBSCRIBER_BEHIND
        yield Trouble(
            key=f"{kind}:{stream}:{group}",
            kind=kind,
            severity=Severity.WAITING if reads_orders else Severity.SYSTEM,
            title="Messages are not read" if reads_orders else f"The subscriber {group} is behind",
            explanation="Orders on the stream wait for a worker that reads them."
            if reads_orders
            else f"It has not acknowledged an event on the stream {stream}, which therefore cannot be trimmed.",
            subject=f"{stream}:{group}",
            since=state.at - lag,
        )


def _webhooks(state: SubscriberState, now: datetime) -> Iterator[Trouble]:
    subscriber, since = state.subscriber, state.waiting_since
    if subscriber.disabled_at is not None:
        if subscriber.disabled_because is not None:  # otherwise, an operator did it
            yield Trouble(
                key=f"{K.SUBSCRIBER_DISABLED}:{subscriber.id}",
                kind=K.SUBSCRIBER_DISABLED,
                severity=Severity.SYSTEM,
                title=f"The subscriber {subscriber.id} is disabled",
                explanation=f"It gets no events: {subscriber.disabled_because}. When its receiver works again, "
                f"`order-sync subscribers enable {subscriber.id}` sends it what it has missed.",
                subject=subscriber.id,
                since=subscriber.disabled_at,
            )
    elif since is not None and now - since > SUBSCRIBER_LAG:
        because = f" ({subscriber.last_error})" if subscriber.last_error else ""
        blocked = counted(state.blocked, "delivery", "deliveries")
        yield Trouble(
            key=f"{K.SUBSCRIBER_BEHIND}:webhooks:{subscriber.id}",
            kind=K.SUBSCRIBER_BEHIND,
            severity=Severity.SYSTEM,
            title=f"The subscriber {subscriber.id} is behind",
            explanation=f"It does not accept events of {blocked}{because}. They are sent again until it does."
            if state.blocked
            else f"It has not accepted an event{because}. If it does not fail, check that a worker serves the queue "
            "`webhooks`.",
            subject=subscriber.id,
            since=since,
        )


def _callbacks(stored: StoredState, now: datetime) -> Iterator[Trouble]:
    for account, entity, since in stored.missing_callbacks:
        yield Trouble(
            key=f"{K.CALLBACKS_MISSING}:{account}:{entity}",
            kind=K.CALLBACKS_MISSING,
            severity=Severity.SYSTEM,
            title=f"{account} sends no callbacks about a {entity}",
            explanation="Other callbacks of this account come. Enable this kind at the carrier.",
            account=account,
            subject=entity,
            since=since,
        )
    yield from _refused_callbacks(stored.refused_callbacks, now)


def _refused_callbacks(records: Iterable[tuple[str, int, datetime]], now: datetime) -> Iterator[Trouble]:
    by_account: dict[str, list[tuple[int, datetime]]] = {}
    for account, count, at in records:
        if now - at < REFUSED_WITHIN:
            by_account.setdefault(account, []).append((count, at))
    for account, recent in by_account.items():
        total, (_, since) = sum(count for count, _ in recent), recent[0]
        if total > MOST_REFUSED:
            yield Trouble(
                key=f"{K.CALLBACKS_REFUSED}:{account}",
                kind=K.CALLBACKS_REFUSED,
                severity=Severity.SYSTEM,
                title=f"Callbacks of {account} are refused",
                explanation=f"{total} were not authentic within {REFUSED_WITHIN.seconds // 60} minutes. Compare the "
                "account's callback secret and address with the carrier's settings. If callbacks of this account are "
                "stored too, somebody else sends these.",
                account=account,
                since=since,
            )


def _platform(stored: StoredState) -> Iterator[Trouble]:
    fetches, write_backs = stored.failing_fetches, stored.failing_write_backs
    if fetches.count:
        yield Trouble(
            K.ORDERS_NOT_FETCHED,
            K.ORDERS_NOT_FETCHED,
            Severity.WAITING,
            "Orders cannot be fetched from the platform",
            f"{counted(fetches.count, 'order was', 'orders were')} named in a message and could not be fetched.",
            since=fetches.oldest,
            actions=(Action.BACKFILL,),
        )
    if write_backs.count:
        yield Trouble(
            K.PLATFORM_NOT_WRITTEN,
            K.PLATFORM_NOT_WRITTEN,
            Severity.SYSTEM,
            "Statuses cannot be written to the platform",
            f"{counted(write_backs.count, 'order has', 'orders have')} an outdated status there.",
        )
