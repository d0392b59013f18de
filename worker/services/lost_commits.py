"""Hold all creates when the database has lost commits, for example in a fail-over to a standby that lagged behind.

If creates are among the lost commits, the database does not know their couriers. A loss is detected outside the
database: the bus has events that the database lacks, or the call journal has attempts that the database lacks.
"""

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from worker import log
from worker.bus.port import EXAMINED, OUTAGES, Bus, PublishedEvent
from worker.clock import Clock
from worker.database import accounts, deliveries, event_feed, outbox
from worker.database.database import Database
from worker.enqueue import TaskQueue, publish_task

logger = log.get(__name__)
REPORTED = {
    "order_id": "order_id",
    "status": "status",
    "attempt": "attempt",
    "carrier": "account",
    "carrier_ref": "ref",
}
"""The fields of a lost event that an operator needs to find its courier, and their names in the log."""


@dataclass(frozen=True)
class LostCommits:
    """Compare the database with the bus and the call journal, and hold all creates after a loss."""

    database: Database
    bus: Bus
    queue: TaskQueue
    clock: Clock

    def check(self) -> None:
        """Compare the database with the bus. Do nothing while the bus is unreachable."""
        with suppress(*OUTAGES):
            self.check_after(self.database.read(outbox.newest_stream_id))

    def check_after(self, place: str) -> None:
        """Hold all creates if the bus has an event that this database published and no longer contains.

        Only the events after the stream id `place` are compared, because `place` is the newest stream id in the outbox.
        An event may be in the outbox although its stream id is not recorded yet. Such an event is not lost.
        """
        lost = self.find(place)
        if lost and self.hold(f"events on the bus that the database has lost: {len(lost)}"):
            for event in lost:
                self._report(event)
        self.continue_after(lost)

    def find(self, place: str, examined: int | None = EXAMINED) -> list[PublishedEvent]:
        """Return the newest event of each key that is on the bus after `place` and that the database lacks."""
        found = self.bus.publisher.published_after(self.database.identity, place, examined)
        published = {(event.key, event.sequence): event for event in found}
        lost = self.database.read(outbox.lost, {at: event.body for at, event in published.items()}) if found else set()
        return [published[at] for at in sorted(lost)]

    def continue_after(self, lost: Iterable[PublishedEvent]) -> None:
        """Let the sequences of deliveries continue after lost events, which subscribers have already received."""
        for event in lost:
            self.database.write(deliveries.advance_sequence, event.key, event.sequence)

    def check_attempts(self, database: str, attempts: Collection[int]) -> None:
        """Hold all creates if this database lacks one of these attempts.

        `database` is the id of the database in which the attempts were committed. Do nothing if it is the id of another
        database.
        """
        if database != self.database.identity:
            return
        lost = set(attempts) - self.database.read(deliveries.known_attempts, attempts)
        if lost:
            logger.error("database.attempts_lost", references=sorted(lost))
            self.hold(f"attempts in the call journal that the database has lost: {len(lost)}")

    def hold(self, because: str) -> bool:
        """Hold the creates of every account until an operator releases them; return False if they were held already.

        Readers of the feed begin again, because their cursors may be those of lost events.
        """
        held = self.database.write(accounts.pause, accounts.EVERY_ACCOUNT, "database", because, self.clock())
        if held:
            self.database.write(event_feed.begin_generation)
            logger.error("carrier.creates_held", account=accounts.EVERY_ACCOUNT, cause=because)
            self.queue.send([publish_task()])
        return held

    def _report(self, event: PublishedEvent) -> None:
        data = json.loads(event.body).get("data") or {}
        about = {field: data.get(name) for name, field in REPORTED.items()}
        logger.error("database.event_lost", delivery_id=event.key, **about)
