"""Settle the journal files that dead processes left on this host.

A recorded reply is parsed as if it had just come, and a create that was never sent is sent again. Every other create
keeps its unknown outcome. Two processes may recover at the same time.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from worker import log
from worker.carriers.port import Booked
from worker.clock import Clock
from worker.database import deliveries
from worker.database.connection import is_transient
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle import TermsByAccount
from worker.errors import CarrierError, Unavailable
from worker.http.call import Outcome
from worker.resilience.call_journal import CallJournal, JournalFile
from worker.services.accounts import CarrierAccounts
from worker.services.carrier_actions import CarrierActions
from worker.services.carrier_calls import CarrierCalls
from worker.services.lost_commits import LostCommits
from worker.services.outcomes import run_codec, unreadable_reply
from worker.services.updates import Updates

logger = log.get(__name__)
NEVER_SENT = Unavailable("not sent: its process ended before")


@dataclass(frozen=True)
class CrashRecovery:
    """Settle abandoned journal files."""

    journal: CallJournal
    database: Database
    lost_commits: LostCommits
    accounts: CarrierAccounts
    actions: CarrierActions
    calls: CarrierCalls
    updates: Updates
    terms: TermsByAccount
    clock: Clock

    def recover(self) -> None:
        """Settle each abandoned file. A file is kept for the next run when the database or a log-in fails."""
        for file in self.journal.abandoned():
            try:
                self._settle(file)
            except Exception as error:
                if is_transient(error) or isinstance(error, CarrierError):
                    logger.warning("journal.recovery_postponed", error=type(error).__name__)
                    continue
                logger.exception("journal.recovery_failed")
            file.remove()

    def _settle(self, file: JournalFile) -> None:
        entries = file.read()
        self.lost_commits.check_attempts(entries.database, entries.sent)
        attempts = self.database.read(deliveries.journalled_attempts, file.name, entries.outcomes)
        for delivery_id, attempt_id, account in attempts:
            outcome = entries.outcomes.get(attempt_id)
            if outcome is None and attempt_id in entries.sent:
                continue
            (delivery,) = self.database.read(deliveries.load, [delivery_id])
            response = self._parse(account, delivery, attempt_id, outcome or NEVER_SENT)
            now = self.clock()
            decide = partial(self._decide, file.name, attempt_id, response, now)
            for change in self.updates.apply([delivery_id], decide, now):
                status = change.delivery.status.value
                logger.info("journal.settled", delivery_id=delivery_id, carrier=account, status=status)

    def _parse(self, account: str, delivery: Delivery, attempt_id: int, outcome: Outcome) -> Booked | CarrierError:
        """Parse a reply before any row is locked. Raises CarrierError when the log-in fails; the file is then kept."""
        if isinstance(outcome, CarrierError):
            return outcome
        (attempt,) = (each for each in delivery.attempts if each.id == attempt_id)
        codec = self.accounts.logged_in(account)
        parse = partial(self.actions.parse_create, codec, delivery, attempt, outcome)
        response = run_codec(account, parse, unreadable_reply)
        return self.calls.reject_reused_ids(codec, {attempt_id: response})[attempt_id]

    def _decide(
        self, file: str, attempt_id: int, response: Booked | CarrierError, now: datetime, delivery: Delivery
    ) -> Change | None:
        """Apply a response, unless the create was sent again meanwhile and its outcome is in another file."""
        attempt = delivery.attempt(attempt_id)
        if attempt is None or attempt.journal_file != file:
            return None
        return lifecycle.apply_create_outcome(delivery, attempt_id, response, self.terms, now)
