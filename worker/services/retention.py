"""Remove what nobody needs any more: entries of the streams, old records, and customers' data."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from worker import log
from worker.bus.port import Bus
from worker.clock import Clock
from worker.database import archive, deliveries, erasure, leases, retention
from worker.database.connection import Connection
from worker.database.database import Database
from worker.database.retention import Page
from worker.domain.erasure import erase
from worker.services.archive import Archive, ArchiveError

logger = log.get(__name__)
LATE_SECONDS = 3600
LEASE, LEASE_SECONDS = "purge", 300.0
"""The lease of a purge. It is renewed before each kind of record."""
MOST_PAGES = 100
"""How many transactions of one purge delete one kind of record. The next purge continues."""
Delete = Callable[[Connection, datetime, int], Page]


@dataclass(frozen=True, slots=True)
class Ages:
    """For how long each kind of record is kept."""

    calls: timedelta
    callbacks: timedelta
    dead_letters: timedelta
    customers: timedelta
    """Counted from the end of the delivery."""
    events: timedelta


@dataclass(frozen=True)
class Retention:
    """Trim the streams, delete old records, and erase customers' data."""

    bus: Bus
    database: Database
    events_keep: int
    ages: Ages
    clock: Clock
    archive: Archive | None = None
    """Where old deliveries are moved with their events; None if they are deleted."""

    def trim(self) -> dict[str, int]:
        """Trim each stream up to its slowest consumer group; return how many entries were removed, by stream."""
        return self.bus.trim(self.events_keep)

    def delete_old(self) -> dict[str, int]:
        """Delete, erase or archive what is too old; return the numbers by kind, those that are not zero.

        Do nothing while another process does it. A fault of the archive is logged, and its deliveries stay.
        """
        now, ages = self.clock(), self.ages
        archived = self.archive is not None or self.database.read(archive.is_used)
        delete_events = partial(retention.delete_events, archived=archived)
        kinds: tuple[tuple[str, Delete, timedelta], ...] = (
            ("calls", retention.delete_calls, ages.calls),
            ("callbacks", retention.delete_callbacks, ages.callbacks),
            ("dead letters", retention.delete_dead_letters, ages.dead_letters),
            ("cancellations", retention.delete_cancellations, ages.customers),
            ("customers", _erase, ages.customers),
            ("events", delete_events, ages.events),
            ("messages", retention.delete_messages, ages.events),
            ("deliveries", self._remove_deliveries(archived=archived), ages.events),
        )
        holder = uuid4().hex
        deleted: dict[str, int] = {}
        for kind, delete, age in kinds:
            if not self.database.write(leases.take, LEASE, holder, self.clock(), LEASE_SECONDS):
                break
            try:
                count = self._delete_pages(delete, now - age)
            except (ArchiveError, OSError) as error:
                logger.exception("archive.failed", error=str(error))
                continue
            if count:
                deleted[kind] = count
        self.database.write(leases.drop, LEASE, holder)
        return deleted

    def _remove_deliveries(self, *, archived: bool) -> Delete:
        """Return how old deliveries are removed. They are left if only other processes have the archive's folder."""
        if self.archive is not None:
            return self.archive.move
        return _leave if archived else retention.delete_deliveries

    def _delete_pages(self, delete: Delete, limit: datetime) -> int:
        """Delete page after page, each in a short transaction; return how many rows were deleted."""
        count, after = 0, 0
        for _ in range(MOST_PAGES):
            page = self.database.write(delete, limit, after)
            count += page.count
            if page.after is None:
                break
            after = page.after
        return count

    def purge(self) -> None:
        """Delete what is too old, trim the streams, and log the consumer groups that are too slow."""
        if deleted := self.delete_old():
            logger.info("records.purged", **{kind.replace(" ", "_"): count for kind, count in deleted.items()})
        self.trim()
        for (stream, group), seconds in self.bus.lags(self.clock()).items():
            if seconds > LATE_SECONDS:
                logger.warning("group.lagged", stream=stream, group=group, seconds=round(seconds))


def _leave(_connection: Connection, _limit: datetime, _after: int) -> Page:
    return Page(0)


def _erase(connection: Connection, limit: datetime, _after: int) -> Page:
    """Erase the personal data of the deliveries that ended before `limit` longest ago."""
    ids = retention.erasable(connection, limit)
    changes = deliveries.update(connection, ids, erase, store=erasure.delete_records)
    return Page(len(changes), 0 if len(changes) == retention.DELIVERIES else None)
