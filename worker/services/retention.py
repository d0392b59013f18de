"""Remove what nobody needs any more: entries of the streams, old records, and customers' data."""

from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from worker import log
from worker.bus.port import Bus
from worker.clock import Clock
from worker.database import archive, deliveries, erasure, leases, retention
from worker.database.connection import Connection
from worker.database.database import Database
from worker.database.retention import Page
from worker.domain.erasure import erase
from worker.enqueue import PURGE, TaskQueue
from worker.services.archive import Archive, ArchiveError

logger = log.get(__name__)
LATE_SECONDS = 3600
LEASE, LEASE_SECONDS = "purge", 300.0
"""The lease of a purge. It is renewed before each page."""
MOST_PAGES = 20
"""How many pages a part of a purge deletes. Then other tasks may run, and the worker may stop."""
Delete = Callable[[Connection, datetime, int], Page]


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part of a purge begins. A purge goes through the kinds of records in their order."""

    holder: str = field(default_factory=lambda: uuid4().hex)
    """Who has the lease, from the first part of the purge to its last."""
    kind: str = "calls"
    after: int = 0
    """The position after which the next page of this kind begins."""


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
    queue: TaskQueue
    clock: Clock
    archive: Archive | None = None
    """Where old deliveries are moved with their events; None if they are deleted."""
    most_pages: int = MOST_PAGES

    def trim(self) -> dict[str, int]:
        """Trim each stream up to its slowest consumer group; return how many entries were removed, by stream."""
        return self.bus.trim(self.events_keep)

    def delete_old(self) -> dict[str, int]:
        """Delete, erase or archive all that is too old; return the numbers by kind, those that are not zero.

        Do nothing while another process does it. A fault of the archive is logged, and its deliveries stay.
        """
        deleted, part = self._delete_part(Part())
        while part is not None:
            more, part = self._delete_part(part)
            deleted += more
        return dict(deleted)

    def _delete_part(self, part: Part) -> tuple[Counter[str], Part | None]:
        """Delete the pages of one part; return how many rows were deleted by kind, and the next part, if any.

        Each page is a short transaction. There is no next part if another process has taken the lease.
        """
        kinds, deleted, after = self._kinds(), Counter[str](), part.after
        waiting = list(kinds)[list(kinds).index(part.kind) :]
        for _ in range(self.most_pages):
            if not self.database.write(leases.take, LEASE, part.holder, self.clock(), LEASE_SECONDS):
                return deleted, None
            delete, age = kinds[waiting[0]]
            try:
                page = self.database.write(delete, self.clock() - age, after)
            except ArchiveError as error:
                logger.exception("archive.failed", error=str(error))
                page = Page(0)
            deleted += Counter({waiting[0]: page.count})
            after = page.after or 0
            if page.after is None:
                del waiting[0]
            if not waiting:
                self.database.write(leases.drop, LEASE, part.holder)
                return deleted, None
        return deleted, Part(part.holder, waiting[0], after)

    def _kinds(self) -> dict[str, tuple[Delete, timedelta]]:
        """Return how each kind of record is deleted, and for how long it is kept."""
        ages, archived = self.ages, self.archive is not None or self.database.read(archive.is_used)
        return {
            "calls": (retention.delete_calls, ages.calls),
            "callbacks": (retention.delete_callbacks, ages.callbacks),
            "dead letters": (retention.delete_dead_letters, ages.dead_letters),
            "cancellations": (retention.delete_cancellations, ages.customers),
            "customers": (_erase, ages.customers),
            "events": (partial(retention.delete_events, archived=archived), ages.events),
            "messages": (retention.delete_messages, ages.events),
            "deliveries": (self._remove_deliveries(archived=archived), ages.events),
        }

    def _remove_deliveries(self, *, archived: bool) -> Delete:
        """Return how old deliveries are removed. They are left if only other processes have the archive's folder."""
        if self.archive is not None:
            return self.archive.move
        return _leave if archived else retention.delete_deliveries

    def purge(self, *part: Any) -> None:
        """Delete a part of what is too old; the fields of a `Part` say where it begins.

        A task for the next part is sent. After the last, trim the streams, and log the consumer groups that are too
        slow.
        """
        deleted, following = self._delete_part(Part(*part))
        if deleted:
            logger.info("records.purged", **{kind.replace(" ", "_"): count for kind, count in deleted.items()})
        if following is not None:
            self.queue.send([(PURGE, list(astuple(following)))])
            return
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
    return Page(len(changes), 0 if changes else None)
