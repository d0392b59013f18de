"""The relay publishes the outbox on the bus, in order. Events that the bus has lost come first."""

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from worker import log
from worker.bus.publisher import StreamMoved, newest_of, unpublished_keys
from worker.bus.streams import OUTAGES, Bus
from worker.clock import Clock
from worker.database import leases, outbox
from worker.database.connection import Connection
from worker.database.database import Database
from worker.enqueue import SingleFlight
from worker.services.lost_commits import LostCommits

logger = log.get(__name__)
LEASE, LEASE_SECONDS = "relay", 10.0
BATCH = 500
MAX_STUCK_KEYS = 1000
"""When the bus has refused events of this many keys, the relay stops, because the fault is in the bus."""


@dataclass(frozen=True)
class Relay:
    """Publish every waiting event; one relay at a time."""

    database: Database
    bus: Bus
    lost_commits: LostCommits
    single_flight: SingleFlight
    events_keep: int
    """How many of the newest events are published again after the bus was emptied."""
    clock: Clock

    def publish(self) -> None:
        """Publish the waiting events.

        While another thread of this process is publishing, only ask that thread to run again.
        """
        self.single_flight.run(self._publish_alone)

    def _publish_alone(self) -> bool:
        """Publish while this process holds the lease; return False when some events could not be published.

        The sweep tries those again. After the lease is released, new events are looked for once more, because the task
        that announced them may have found the lease taken.
        """
        holder = f"{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"
        try:
            while self._has_lease(holder):
                try:
                    drained = self._drain(holder)
                finally:
                    self.database.write(leases.drop, LEASE, holder)
                if not drained or not self.database.read(outbox.has_unpublished):
                    return drained
        except (*OUTAGES, StreamMoved) as error:
            logger.warning("events.publishing_failed", error=type(error).__name__)
            return False
        return True

    def _has_lease(self, holder: str) -> bool:
        return self.database.write(leases.take, LEASE, holder, self.clock(), LEASE_SECONDS)

    def _drain(self, holder: str) -> bool:
        """Publish until no event waits; return False when some events could not be published."""
        identity, newest = self.database.identity, self._requeue_lost()
        stuck: set[str] = set()
        while waiting := self.database.read(outbox.unpublished, BATCH, stuck):
            published = self.bus.publisher.publish(identity, waiting, newest)
            if not self.database.persist(_mark_published, holder, published, self.clock()):
                return False
            stuck |= unpublished_keys(waiting, published)
            if len(waiting) < BATCH or len(stuck) >= MAX_STUCK_KEYS:
                break
            if not self._has_lease(holder):
                return False
            newest = newest_of(newest, published)
        if stuck:
            logger.warning("events.left_behind", keys=sorted(stuck)[:10], count=len(stuck))
            self.bus.trim(self.events_keep)  # the server may be full; the next relay publishes what was left
        return not stuck

    def _requeue_lost(self) -> str:
        """Mark the events that the bus lost as unpublished; return the newest stream id.

        Before anything is published, because afterwards the newest event on the bus is always one of the database.
        """
        known = self.database.read(outbox.newest_stream_id)
        surviving, newest = self.bus.publisher.last_surviving(known)
        if newest > known:
            self.lost_commits.check_after(known)
        if surviving != known:
            lost = self.database.write(outbox.requeue_lost, surviving, known, self.events_keep)
            if lost:
                logger.warning("events.lost_by_bus", count=lost)
        return newest


def _mark_published(connection: Connection, holder: str, published: Sequence[tuple[int, str]], now: datetime) -> bool:
    """Record where events are on the bus, while this relay has the lease; return whether it has it.

    Another relay may have found that the bus lost them, while the answer to the commit was lost and this is repeated.
    """
    if not leases.holds(connection, LEASE, holder):
        return False
    outbox.mark_published(connection, published, now)
    return True
