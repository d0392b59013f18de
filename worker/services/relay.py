"""Publish the outbox on the bus, in order. Events that the bus has lost are published again first."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from worker import log, tracing
from worker.bus.port import OUTAGES, Bus, StreamMoved, newest_of, unpublished_keys
from worker.clock import Clock
from worker.database import leases, outbox
from worker.database.connection import Connection
from worker.database.database import Database
from worker.domain.delivery import OutgoingEvent
from worker.enqueue import SingleFlight
from worker.services.lost_commits import LostCommits

logger = log.get(__name__)
LEASE, LEASE_SECONDS = "relay", 10.0
BATCH = 500
MAX_STUCK_KEYS = 1000
"""If the bus refuses events of this many keys, the relay ends its run, because the fault is then in the bus."""


@dataclass(frozen=True)
class Relay:
    """Publish every waiting event. Only one relay runs at a time."""

    database: Database
    bus: Bus
    lost_commits: LostCommits
    single_flight: SingleFlight
    events_keep: int
    """How many of the newest events the bus keeps. If the bus was emptied, only these are published again."""
    wake_subscribers: Callable[[], None]
    """Wakes up what sends events to subscribers over HTTP."""
    clock: Clock

    def publish(self) -> None:
        """Publish the waiting events.

        While another thread of this process is publishing, only ask that thread to run again.
        """
        self.single_flight.run(self._publish_alone)

    def requeue(self, events: Sequence[OutgoingEvent]) -> bool:
        """Let the next run publish events that are on the bus already; return False while another relay publishes.

        Otherwise that relay could publish a later event of a key meanwhile, and the guard would refuse these.
        """
        holder = uuid4().hex
        if not self._has_lease(holder):
            return False
        try:
            self.bus.publisher.forget(self.database.identity, {event.key for event in events})
            self.database.write(outbox.requeue, [event.position for event in events])
        finally:
            self.database.write(leases.drop, LEASE, holder)
        return True

    def _publish_alone(self) -> bool:
        """Publish while this thread has the lease; return False if some events could not be published.

        The sweep later enqueues another relay for these events. While this thread has the lease, other relays end
        without publishing. So after the lease is released, the outbox is checked once more.
        """
        holder = uuid4().hex
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
        """Publish until no event waits; return False if some events could not be published.

        In a process that ends, also return False after the current batch, so that another process goes on at once.
        """
        identity, newest = self.database.identity, self._requeue_lost()
        stuck: set[str] = set()
        while waiting := self.database.read(outbox.unpublished, BATCH, stuck):
            began = time.time()
            published = self.bus.publisher.publish(identity, waiting, newest)
            if not self.database.persist(_mark_published, holder, published):
                return False
            self.wake_subscribers()
            positions = {position for position, _ in published}
            tracing.record_sent((each.body for each in waiting if each.position in positions), began)
            stuck |= unpublished_keys(waiting, published)
            if len(waiting) < BATCH or len(stuck) >= MAX_STUCK_KEYS:
                break
            if self.single_flight.stopped or not self._has_lease(holder):
                return False
            newest = newest_of(newest, published)
        if stuck:
            logger.warning("events.left_behind", keys=sorted(stuck)[:10], count=len(stuck))
            self.bus.trim(self.events_keep)  # the server may be full; the next relay publishes the remaining events
        return not stuck

    def _requeue_lost(self) -> str:
        """Mark the events that the bus lost as unpublished; return the newest stream id on the bus.

        If the database does not know that id, also check for lost commits. This check must precede all publishing:
        after an event is published, the database always knows the newest stream id.
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


def _mark_published(connection: Connection, holder: str, published: Sequence[tuple[int, str]]) -> bool:
    """Record the stream ids of published events; return False if this relay no longer has the lease.

    Without the lease, nothing is recorded. If the answer to the commit is lost, this transaction is repeated. By then,
    another relay may have the lease and may have found that the bus lost the events. To record the stream ids again
    would hide this loss.
    """
    if not leases.holds(connection, LEASE, holder):
        return False
    outbox.mark_published(connection, published)
    return True
