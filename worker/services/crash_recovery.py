"""Settle the journal files that dead processes left on this host.

A recorded reply is parsed as if it had just come. A create that was not sent becomes due again. Every other create
keeps its unknown outcome. Two processes may recover at the same time.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from worker import log
from worker.carriers.port import Booked
from worker.clock import Clock
from worker.database import deliveries
from worker.database.connection import IntegrityError, is_transient
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
from worker.services.updates import Updates, log_fields

logger = log.get(__name__)
COMMITS_WITHIN = 30.0
"""Seconds after which a transaction whose commit got no answer has certainly ended: longer than any statement may take.
"""
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
    commits_within: float = COMMITS_WITHIN
    _kept: set[str] = field(default_factory=set)

    def recover(self) -> None:
        """Settle each abandoned file, and then remove the file.

        If a create cannot be settled, the file is kept for the next run, because a reply in the file may be the only
        proof of a courier.
        """
        for file in self.journal.abandoned():
            try:
                settled = self._settle(file)
            except Exception as error:  # noqa: BLE001 - whatever happens to one file, the others must be settled
                self._report_kept(file, error)
                continue
            if settled:
                file.remove()

    def _settle(self, file: JournalFile) -> bool:
        """Settle the creates of a file; return whether the file may be removed."""
        try:
            entries = file.read()
        except Exception as error:  # noqa: BLE001 - a corrupt line may cause any error
            self._report_kept(file, error)
            return not self.database.read(deliveries.journalled_attempts, file.name, ())
        self.lost_commits.check_attempts(entries.database, entries.sent)
        settled = True
        attempts = self.database.read(deliveries.journalled_attempts, file.name, entries.outcomes)
        if not (attempts or entries.sent) and file.age < self.commits_within:
            return False  # the transaction that names the file may still be committed
        for delivery_id, attempt_id, account in attempts:
            outcome = entries.outcomes.get(attempt_id)
            if outcome is None and attempt_id in entries.sent:
                continue
            try:
                self._settle_create(file.name, delivery_id, attempt_id, account, outcome or NEVER_SENT)
            except Exception as error:
                if is_transient(error):
                    raise
                self._report_kept(file, error)
                settled = False
        return settled

    def _settle_create(self, file: str, delivery_id: str, attempt_id: int, account: str, outcome: Outcome) -> None:
        (delivery,) = self.database.read(deliveries.load, [delivery_id])
        response, now = self._parse(account, delivery, attempt_id, outcome), self.clock()
        try:
            changes = self.updates.apply([delivery_id], partial(self._decide, file, attempt_id, response, now), now)
        except IntegrityError:
            conflict = partial(lifecycle.record_conflict, attempt_id=attempt_id, terms=self.terms, now=now)
            changes = self.updates.apply([delivery_id], conflict, now)
        for change in changes:
            about = log_fields(change.delivery, change.delivery.attempt(attempt_id))
            logger.info("journal.settled", **about, status=change.delivery.status.value)

    def _report_kept(self, file: JournalFile, error: Exception) -> None:
        """Log why a file is kept. Each process logs this only once for each file."""
        if file.name not in self._kept:
            self._kept.add(file.name)
            logger.warning(
                "journal.file_kept", file=file.name, error=type(error).__name__, exc_info=not _is_outage(error)
            )

    def _parse(self, account: str, delivery: Delivery, attempt_id: int, outcome: Outcome) -> Booked | CarrierError:
        """Parse the recorded outcome of a create, before any row is locked.

        Raises KeyError when the account is not in the settings, and CarrierError when the log-in fails.
        """
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
        """Return the change that a recorded response makes.

        An attempt's `journal_file` is the file that recorded its create. It is cleared when the create's outcome is
        stored, and replaced when the create is sent again. While it is still this file, any response is applied.
        Afterwards, a booking of an order that the delivery does not know yet is applied, and nothing else is.
        """
        attempt = delivery.attempt(attempt_id)
        if attempt is not None and attempt.journal_file == file:
            return lifecycle.apply_create_outcome(delivery, attempt_id, response, self.terms, now)
        if isinstance(response, Booked):
            return lifecycle.apply_late_booking(delivery, attempt_id, response, self.terms, now)
        return None


def _is_outage(error: Exception) -> bool:
    """Return whether an error is temporary: an outage, a failed log-in, or an account missing from the settings."""
    return is_transient(error) or isinstance(error, (CarrierError, KeyError))
