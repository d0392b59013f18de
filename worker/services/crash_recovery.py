"""Settle the journal files that dead processes left on this host.

A reply is parsed as if it had just come; a create that was never sent is sent again; every other create keeps its
unknown outcome. Two processes may recover at the same time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from worker import log
from worker.carriers.port import Booked, Carrier
from worker.clock import Clock
from worker.database import deliveries
from worker.database.connection import is_transient
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.delivery import Attempt, Change, Delivery
from worker.domain.lifecycle import TermsByAccount
from worker.errors import CarrierError, Unavailable
from worker.http.call import Outcome, Reply
from worker.resilience.call_journal import CallJournal, JournalFile
from worker.services.accounts import CarrierAccounts
from worker.services.carrier_actions import CarrierActions
from worker.services.carrier_calls import CarrierCalls
from worker.services.outcomes import run_codec, unreadable_reply
from worker.services.updates import Updates

logger = log.get(__name__)
Response = Callable[[Delivery, Attempt], Booked | CarrierError]
NEVER_SENT = Unavailable("not sent: its process ended before")


@dataclass(frozen=True)
class CrashRecovery:
    """Settle abandoned journal files."""

    journal: CallJournal
    database: Database
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
        attempts = self.database.read(deliveries.journalled_attempts, file.name, entries.outcomes)
        for delivery_id, attempt_id, account in attempts:
            outcome = entries.outcomes.get(attempt_id)
            if outcome is None and attempt_id in entries.sent:
                continue
            response = self._response(account, outcome or NEVER_SENT)
            decide = partial(self._decide, file.name, attempt_id, response)
            for change in self.updates.apply([delivery_id], decide, self.clock()):
                status = change.delivery.status.value
                logger.info("journal.settled", delivery_id=delivery_id, carrier=account, status=status)

    def _decide(self, file: str, attempt_id: int, response: Response, delivery: Delivery) -> Change | None:
        """Apply an outcome, unless the attempt was begun again meanwhile: then another file holds its outcome."""
        attempt = delivery.attempt(attempt_id)
        if attempt is None or attempt.journal_file != file:
            return None
        outcome = response(delivery, attempt)
        return lifecycle.apply_create_outcome(delivery, attempt_id, outcome, self.terms, self.clock())

    def _response(self, account: str, outcome: Outcome) -> Response:
        if isinstance(outcome, CarrierError):
            return lambda _delivery, _attempt: outcome
        # Log in before any row is locked. A log-in that fails here says nothing about the reply.
        return partial(self._parse, self.accounts.logged_in(account), outcome)

    def _parse(self, codec: Carrier, reply: Reply, delivery: Delivery, attempt: Attempt) -> Booked | CarrierError:
        parse = partial(self.actions.parse_create, codec, delivery, attempt, reply)
        response = run_codec(attempt.carrier, parse, unreadable_reply)
        return self.calls.reject_reused_ids(codec, {attempt.id: response})[attempt.id]
