"""Notice callbacks that do not come, because we could not store them or the carrier does not send them.

A carrier repeats a callback for a day at most, and some carriers never repeat one. So, once a
minute, the web process records that callbacks can be stored. After a gap, every delivery whose carrier sends callbacks
is read soon (B-85).

At a carrier, callbacks about orders may be enabled while those about deliveries are not. A kind that does not come is
logged once, until it comes (B-80).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker import log
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
MISSED_AFTER, MISSED_WITHIN = timedelta(hours=1), timedelta(days=1)
"""How old a callback about one kind of object must be, and may be, to show that those about another are missing."""

logger = log.get(__name__)


@dataclass(frozen=True)
class CallbackGaps:
    """Record that callbacks can be stored, schedule reads after a gap, and report missing kinds of callbacks."""

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
        self._report_missing(now)
        return scheduled

    def missing(self, account: str, now: datetime) -> list[str]:
        """Return the kinds of objects about which an account gets no callbacks, although it gets others."""
        expected = self.terms[account].capabilities.callback_entities
        found = self.database.read(callbacks.entities_since, account, now - MISSED_WITHIN) if expected else {}
        if not any(oldest <= now - MISSED_AFTER for oldest in found.values()):
            return []
        return [entity for entity in expected if entity not in found]

    def _report_missing(self, now: datetime) -> None:
        """Log each kind of callback that is missing once, until it has come."""
        for account, terms in self.terms.items():
            missing = self.missing(account, now)
            for entity in terms.capabilities.callback_entities:
                if entity not in missing:
                    self.database.write(callbacks.unmark_missing, account, entity)
                elif self.database.write(callbacks.mark_missing, account, entity, now):
                    logger.warning("callback.kind_missing", carrier=account, kind=entity)

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
