"""Detect missing callbacks: we could not store them, or the carrier does not send them.

A carrier repeats a callback for a day at most, and some carriers never repeat one. So the web process records once a
minute that callbacks can be stored. After a gap in these records, every delivery whose next step is a read and whose
carrier sends callbacks is read soon (B-85).

At a carrier, callbacks about orders may be enabled while callbacks about deliveries are disabled. A missing kind of
callback is logged once. If callbacks of this kind come again and then go missing again, this is logged again (B-80).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker import log
from worker.clock import Clock
from worker.database import callback_health, deliveries
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
"""The ages that show whether a kind of callback is missing.

A kind is missing if both are true for the last `MISSED_WITHIN`: no callback of this kind came, and a callback of
another kind came at least `MISSED_AFTER` ago.
"""

logger = log.get(__name__)


@dataclass(frozen=True)
class CallbackGaps:
    """Record that callbacks can be stored, schedule reads after a gap, and report missing kinds of callbacks."""

    database: Database
    terms: TermsByAccount
    clock: Clock

    def heartbeat(self) -> int:
        """Record that callbacks can be stored now; return the number of reads that were scheduled.

        Reads are scheduled only after a gap. They are scheduled before the record is written, so that the next process
        still sees the gap if this process dies in between.
        """
        now = self.clock()
        last = self.database.read(callback_health.last_heartbeat)
        scheduled = self._catch_up(now) if last is not None and now - last > GAP else 0
        self.database.write(callback_health.heartbeat, now)
        self._report_missing(now)
        return scheduled

    def missing(self, account: str, now: datetime) -> list[str]:
        """Return the kinds of objects about which an account gets no callbacks, although it gets other callbacks."""
        expected = self.terms[account].capabilities.callback_entities
        found = self.database.read(callback_health.entities_since, account, now - MISSED_WITHIN) if expected else {}
        if not any(oldest <= now - MISSED_AFTER for oldest in found.values()):
            return []
        return [entity for entity in expected if entity not in found]

    def _report_missing(self, now: datetime) -> None:
        """Log each missing kind of callback once. If the kind comes again and then goes missing, log this again."""
        for account, terms in self.terms.items():
            missing = self.missing(account, now)
            for entity in terms.capabilities.callback_entities:
                if entity not in missing:
                    self.database.write(callback_health.unmark_missing, account, entity)
                elif self.database.write(callback_health.mark_missing, account, entity, now):
                    logger.warning("callback.kind_missing", account=account, kind=entity)

    def _catch_up(self, now: datetime) -> int:
        accounts = [name for name, terms in self.terms.items() if terms.capabilities.callbacks != "none"]
        ids = self.database.read(callback_health.tracked_at, accounts)

        def decide(delivery: Delivery) -> Change | None:
            soon = now + SPREAD * schedule.fraction(delivery.id)
            if delivery.next_run_at is None or delivery.next_run_at <= soon:
                return None
            return lifecycle.schedule_read_now(delivery, self.terms, soon)

        batches = (ids[at : at + BATCH] for at in range(0, len(ids), BATCH))
        return sum(len(self.database.persist(deliveries.update, batch, decide)) for batch in batches)
