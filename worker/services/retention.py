"""Remove what nobody needs any more: entries of the streams, old records, and customers' data."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import NamedTuple
from uuid import uuid4

from worker import log
from worker.bus.port import Bus
from worker.clock import Clock
from worker.database import archive, deliveries, diagnostics, erasure, leases, retention
from worker.database.connection import Connection, DatabaseError
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
ANOTHER_PURGES = "another process purges, or one died less than five minutes ago"
NO_FOLDER = "deliveries are archived, and this process has no ORDER_SYNC_ARCHIVE_FOLDER"
Delete = Callable[[Connection, datetime, int], Page]


class Part(NamedTuple):
    """Where a part of a purge begins. A purge goes through the kinds of records in their order."""

    holder: str = ""
    """Who has the lease until this part begins; empty for the first part."""
    kind: str = "customers"
    after: int = 0
    """The position after which the next page of this kind begins."""
    complete: bool = True
    """Whether everything was removed in the parts before."""


FIRST = Part()


class Purged(NamedTuple):
    """What a purge did, or a part of one."""

    removed: Counter[str]
    """How many rows were deleted, erased or archived, by kind."""
    fault: str = ""
    """Why something is left that should have been removed; empty if nothing is."""
    rest: Part | None = None
    """The part that follows."""


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

    def delete_old(self) -> Purged:
        """Delete, erase or archive all that is too old.

        Do nothing while another process does it. After a fault of the archive, its deliveries stay.
        """
        return self._delete(FIRST, count())

    def _delete(self, part: Part, pages: Iterable[int]) -> Purged:
        """Delete some pages, each in a short transaction.

        There is no rest if another process has the lease. Each part has a holder of its own, so a part that the broker
        delivers twice runs once.
        """
        holder = uuid4().hex
        if not self.database.write(_take_lease, part.holder, holder, self.clock()):
            return Purged(Counter(), ANOTHER_PURGES)
        try:
            purged = self._delete_pages(part._replace(holder=holder), pages)
        except BaseException:
            self._drop_lease(holder)
            raise
        if purged.rest is None:
            self._drop_lease(holder)
            if part.complete and not purged.fault:
                self.database.write(diagnostics.record_purge, self.clock())
        return purged

    def _delete_pages(self, part: Part, pages: Iterable[int]) -> Purged:
        kinds, removed, fault, after = self._kinds(), Counter[str](), "", part.after
        waiting = list(kinds)[list(kinds).index(part.kind) :]
        for _ in pages:
            if not self.database.write(leases.take, LEASE, part.holder, self.clock(), LEASE_SECONDS):
                return Purged(removed, fault or ANOTHER_PURGES)
            delete, age = kinds[waiting[0]]
            try:
                page = self.database.write(delete, self.clock() - age, after)
            except ArchiveError as error:
                logger.exception("archive.failed", error=str(error))
                fault = f"not everything was archived: {error}"
                page = Page(0)
            removed += Counter({waiting[0]: page.count})
            after = page.after or 0
            if page.after is None:
                del waiting[0]
            if not waiting:
                return Purged(removed, fault or self._left())
        return Purged(removed, fault, Part(part.holder, waiting[0], after, part.complete and not fault))

    def _left(self) -> str:
        """Return why this process removes no deliveries; nothing if it does."""
        return NO_FOLDER if self.archive is None and self.database.read(archive.is_used) else ""

    def _drop_lease(self, holder: str) -> None:
        with suppress(DatabaseError):  # then it ends by itself
            self.database.write(leases.drop, LEASE, holder)

    def _kinds(self) -> dict[str, tuple[Delete, timedelta]]:
        """Return how each kind of record is deleted, and for how long it is kept.

        The customers' data are first, because nothing may delay them. Archived deliveries take their events with them,
        and other deliveries are deleted after their events.
        """
        ages, archived = self.ages, self.archive is not None or self.database.read(archive.is_used)
        events = ("events", (partial(retention.delete_events, archived=archived), ages.events))
        deliveries = ("deliveries", (self._remove_deliveries(archived=archived), ages.events))
        return {
            "customers": (_erase, ages.customers),
            "cancellations": (retention.delete_cancellations, ages.customers),
            "calls": (retention.delete_calls, ages.calls),
            "callbacks": (retention.delete_callbacks, ages.callbacks),
            "dead letters": (retention.delete_dead_letters, ages.dead_letters),
            "messages": (retention.delete_messages, ages.events),
            **dict((deliveries, events) if archived else (events, deliveries)),
        }

    def _remove_deliveries(self, *, archived: bool) -> Delete:
        """Return how old deliveries are removed. They are left if only other processes have the archive's folder."""
        if self.archive is not None:
            return self.archive.move
        return _leave if archived else retention.delete_deliveries

    def purge(self, part: Part = FIRST) -> None:
        """Delete a part of what is too old, by default the first, and send a task for the rest.

        After the last part, trim the streams, and log the consumer groups that are too slow.
        """
        purged = self._delete(part, range(self.most_pages))
        if purged.removed:
            logger.info("records.purged", **{kind.replace(" ", "_"): each for kind, each in purged.removed.items()})
        if purged.rest is not None:
            if not self.queue.send([(PURGE, list(purged.rest))]):
                self._drop_lease(purged.rest.holder)
            return
        self.trim()
        for (stream, group), seconds in self.bus.lags(self.clock()).items():
            if seconds > LATE_SECONDS:
                logger.warning("group.lagged", stream=stream, group=group, seconds=round(seconds))


def _take_lease(connection: Connection, before: str, holder: str, now: datetime) -> bool:
    if before:
        return leases.pass_on(connection, LEASE, before, holder)
    return leases.take(connection, LEASE, holder, now, LEASE_SECONDS)


def _leave(_connection: Connection, _limit: datetime, _after: int) -> Page:
    return Page(0)


def _erase(connection: Connection, limit: datetime, _after: int) -> Page:
    """Erase the personal data of the deliveries that ended before `limit` longest ago."""
    ids = retention.erasable(connection, limit)
    changes = deliveries.update(connection, ids, erase, store=erasure.delete_records)
    return Page(len(changes), 0 if changes else None)
