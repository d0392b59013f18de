"""Record which workers run, so that a worker that vanished shows.

Each worker has a lease of its own, which it renews while it runs and drops when it is stopped. The lease of a
process that died ends by itself.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.clock import Clock
from worker.database import leases
from worker.database.connection import Connection, DatabaseError
from worker.database.database import Database

PREFIX = "worker."
GONE = timedelta(seconds=30)
"""The time without a heartbeat after which a worker counts as gone."""
FORGOTTEN = timedelta(hours=1)
"""The time after which a worker that vanished is no longer listed."""


@dataclass(frozen=True)
class WorkerHeartbeats:
    """Record that a worker runs, or that it was stopped."""

    database: Database
    clock: Clock

    def record(self, worker: str) -> None:
        """Record that a worker runs."""
        self.database.write(_record, worker, self.clock())

    def end(self, worker: str) -> None:
        """Record that a worker was stopped. Without a database, the worker seems to have vanished."""
        with suppress(DatabaseError):
            self.database.write(leases.drop, f"{PREFIX}{worker}", worker)


def _record(connection: Connection, worker: str, now: datetime) -> None:
    leases.take(connection, f"{PREFIX}{worker}", worker, now, GONE.total_seconds())
    leases.drop_ended(connection, PREFIX, now - FORGOTTEN)


def last_seen(connection: Connection) -> dict[str, datetime]:
    """Return when each worker last recorded that it runs."""
    return {name: until - GONE for name, until in leases.find_all(connection, PREFIX).items()}
