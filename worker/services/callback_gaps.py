"""Schedule reads for callbacks that may have been missed while the web process or the database was down.

A carrier repeats a callback for a day at most, and some carriers never repeat one. So the web process records every
minute that callbacks can be stored. After a gap, every delivery whose carrier sends callbacks is read soon (B-85).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.clock import Clock
from worker.database import callbacks, deliveries
from worker.database.database import Database
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle import TermsByAccount

HEARTBEAT_SECONDS = 60.0
GAP = timedelta(minutes=5)
SPREAD = timedelta(minutes=2)
"""The time over which the reads after a gap are spread, so that they do not all use the rate limit at once."""
BATCH = 200


@dataclass(frozen=True)
class CallbackGaps:
    """Record that callbacks can be stored, and schedule reads after a gap."""

    database: Database
    terms: TermsByAccount
    clock: Clock

    def heartbeat(self) -> int:
        """Record that callbacks can be stored now; after a gap, schedule reads first. Return the number of reads.

        If the process dies before the record, the next process still sees the gap.
        """
        now = self.clock()
        last = self.database.read(callbacks.last_heartbeat)
        scheduled = self._catch_up(now) if last is not None and now - last > GAP else 0
        self.database.write(callbacks.heartbeat, now)
        return scheduled

    def _catch_up(self, now: datetime) -> int:
        accounts = [name for name, terms in self.terms.items() if terms.capabilities.callbacks != "none"]
        ids = self.database.read(callbacks.tracked_at, accounts)

        def decide(delivery: Delivery) -> Change | None:
            soon = now + SPREAD * schedule.fraction(delivery.id)
            if delivery.next_run_at is None or delivery.next_run_at <= soon:
                return None
            return lifecycle.schedule_read_now(delivery, self.terms, soon)

        batches = (ids[at : at + BATCH] for at in range(0, len(ids), BATCH))
        return sum(len(self.database.persist(deliveries.update, batch, decide)) for batch in batches)
