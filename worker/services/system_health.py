"""Measure whether the parts of the system work: workers, beat, the sweep, the outbox, the streams and the accounts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from worker.bus.port import OUTAGES, REDIS, Bus
from worker.clock import Clock
from worker.database import accounts, callback_health, diagnostics, due_work, leases, subscribers
from worker.database.accounts import Pause
from worker.database.connection import Connection, DatabaseError
from worker.database.database import Database
from worker.database.diagnostics import Backlog, DeadLetters
from worker.database.due_work import OldestStep
from worker.database.subscribers import SubscriberState
from worker.http.call import CallClass
from worker.resilience.circuit_breaker import BreakerStatus, CircuitBreaker
from worker.services import sweep, worker_heartbeats
from worker.services.worker_heartbeats import FORGOTTEN, GONE

FAILING = 3
"""After this many tries, a fetch or a write-back counts as failing."""


@dataclass(frozen=True, slots=True)
class LastSweep:
    """The last sweep: when it was, and whether beat had sent it. Otherwise a worker swept by itself."""

    at: datetime
    by_beat: bool


@dataclass(frozen=True, slots=True)
class StoredState:
    """What the database shows."""

    commit_wait: timedelta | None
    """How long the oldest commit has waited for a standby; None if none waits."""
    purged_at: datetime | None
    """When a purge last removed all that was too old; before the first one, when the oldest delivery was placed."""
    last_sweep: LastSweep | None
    callbacks_recorded_at: datetime | None
    """When the web process last recorded that callbacks can be stored."""
    missing_callbacks: Sequence[tuple[str, str, datetime]]
    """The kinds of callbacks that do not come: the account, the kind of object, and since when."""
    refused_callbacks: Sequence[tuple[str, int, datetime]]
    """The records of callbacks that were not authentic: the account, their number, and when it was recorded."""
    oldest_steps: Sequence[OldestStep]
    unknown_steps: Mapping[str, datetime]
    """The steps that only a newer version knows, and the earliest time of each."""
    unpublished: Backlog
    dead_letters: Sequence[DeadLetters]
    failing_fetches: Backlog
    failing_write_backs: Backlog
    pauses: Mapping[str, Pause]
    workers: Mapping[str, datetime]
    """When each worker last showed that it runs. A worker that was stopped is not among them."""
    subscribers: Sequence[SubscriberState]
    """The subscribers that get events over HTTP."""


@dataclass(frozen=True, slots=True)
class SystemState:
    """The state of all parts at one time."""

    at: datetime
    stored: StoredState | None
    """None while the database is unreachable."""
    lags: Mapping[tuple[str, str], float] | None
    """The age in seconds of the oldest unacknowledged entry, by stream and group; None while the bus is unreachable."""
    breakers: Mapping[str, Mapping[CallClass, BreakerStatus] | None]
    """The circuit breakers of each account; None while Redis is unreachable."""
    bus_server: str = REDIS
    """What kind of server the bus is."""

    @property
    def running_workers(self) -> list[str]:
        """The names of the workers that run."""
        known = self.stored.workers if self.stored else {}
        return sorted(name for name, seen_at in known.items() if self.at - seen_at < GONE)

    @property
    def vanished_workers(self) -> dict[str, datetime]:
        """The workers that ended although nobody stopped them, within the last hour, and when they last ran."""
        known = self.stored.workers if self.stored else {}
        return {name: seen_at for name, seen_at in sorted(known.items()) if GONE <= self.at - seen_at < FORGOTTEN}

    @property
    def overdue(self) -> OldestStep | None:
        """The step that has been due for the longest time; None when none is due."""
        due = [each for each in self.stored.oldest_steps if each.at <= self.at] if self.stored else []
        return min(due, key=lambda each: each.at, default=None)


@dataclass(frozen=True)
class SystemHealth:
    """Measure the state of the system. A part that is unreachable does not hide the other parts."""

    database: Database
    bus: Bus
    breaker: CircuitBreaker
    carriers: Sequence[str]
    """The accounts of carriers."""
    clock: Clock

    def measure(self) -> SystemState:
        """Return the state of all parts now. Both parts of Redis are read at once, so a hanging one is awaited once."""
        with ThreadPoolExecutor(1) as other:
            reading = other.submit(self._breakers)
            now, stored, lags = self._stored_and_lags()
            return SystemState(now, stored, lags, reading.result(), self.bus.server)

    def _breakers(self) -> Mapping[str, Mapping[CallClass, BreakerStatus] | None]:
        return {name: self.breaker.statuses(name) for name in self.carriers}

    def _stored_and_lags(self) -> tuple[datetime, StoredState | None, Mapping[tuple[str, str], float] | None]:
        stored: StoredState | None = None
        now = datetime.now(UTC)  # the shared clock needs the database
        with suppress(DatabaseError):
            now = self.clock()
            stored = self.database.read(stored_state)
        lags: Mapping[tuple[str, str], float] | None = None
        with suppress(*OUTAGES):
            lags = self.bus.lags(now)
        return now, stored, lags


def stored_state(connection: Connection) -> StoredState:
    """Measure what the database shows, for the troubles, the desk, `order-sync status` and the metrics."""
    return StoredState(
        commit_wait=diagnostics.commit_wait(connection),
        purged_at=diagnostics.purged_at(connection),
        last_sweep=_last_sweep(connection),
        callbacks_recorded_at=callback_health.last_heartbeat(connection),
        missing_callbacks=callback_health.missing_kinds(connection),
        refused_callbacks=callback_health.refused(connection),
        oldest_steps=due_work.oldest_steps(connection),
        unknown_steps=due_work.unknown_steps(connection),
        unpublished=diagnostics.unpublished(connection),
        dead_letters=diagnostics.dead_letters(connection),
        failing_fetches=diagnostics.failing_fetches(connection, FAILING),
        failing_write_backs=diagnostics.failing_write_backs(connection, FAILING),
        pauses=accounts.paused(connection),
        workers=worker_heartbeats.last_seen(connection),
        subscribers=subscribers.states(connection),
    )


def _last_sweep(connection: Connection) -> LastSweep | None:
    """Return the last sweep, which the lease of the sweep shows."""
    lease = leases.find(connection, sweep.LEASE)
    if lease is None:
        return None
    holder, until = lease
    return LastSweep(sweep.swept_at(holder, until), by_beat=holder == sweep.LEASE)
