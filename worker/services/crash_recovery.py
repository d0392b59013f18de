"""Settles what a dead process left in the journal of this host: a thread of each Celery worker.

A reply is read as if it had just come; what was never sent is sent again; everything else stays in doubt. Two processes
may replay together, and whatever goes wrong here never ends the worker.
"""

import threading
from collections.abc import Callable
from functools import partial

from worker import enqueue, log
from worker.carriers.port import Booked, Carrier
from worker.container import Container
from worker.database.connection import is_transient
from worker.domain import lifecycle
from worker.domain.delivery import Attempt, Change, Delivery
from worker.errors import CarrierError, Unavailable
from worker.http.call import Outcome, Reply
from worker.resilience.call_journal import JournalFile
from worker.services.carrier_calls import doubted, guarded, read_booking, unread

logger = log.get(__name__)
PAUSE = 5.0
END_WITHIN = 10.0
Meaning = Callable[[Delivery, Attempt], Booked | CarrierError]
NEVER_SENT = Unavailable("not sent: its process ended before")


class CrashRecovery:
    """Looks for pages without a holder until it is stopped."""

    def __init__(self, made: Container) -> None:
        self._house = made
        self._stop = threading.Event()

    def run(self) -> None:
        """Look at once, and then every few seconds."""
        while True:
            try:
                self.step()
            except Exception:
                logger.exception("journal.not_read")
            if self._stop.wait(PAUSE):
                return

    def step(self) -> None:
        """Settle each page that was left; one that must wait for the database or a login is left for the next time."""
        for page in self._house.journal.abandoned():
            try:
                self._replay(page)
            except Exception as error:
                if is_transient(error) or isinstance(error, CarrierError):
                    logger.warning("journal.waits", error=type(error).__name__)
                    continue
                logger.exception("journal.not_replayed")
            page.remove()

    def _replay(self, page: JournalFile) -> None:
        made, notes = self._house, page.read()
        for delivery_id, attempt_id, carrier in made.database.journalled(page.name, notes.outcomes):
            outcome = notes.outcomes.get(attempt_id)
            if outcome is None and attempt_id in notes.sent:
                continue
            meaning = self._meaning(carrier, outcome or NEVER_SENT)
            changed = made.database.update([delivery_id], partial(self._settle, page.name, attempt_id, meaning))
            enqueue.enqueue_next_steps(changed, made.clock())
            for each in changed:
                logger.info("journal.settled", delivery_id=each.id, carrier=carrier, status=each.status.value)

    def _settle(self, page: str, attempt_id: int, meaning: Meaning, delivery: Delivery) -> Change | None:
        """Decide about an attempt, unless it was begun anew meanwhile: then another page tells of it."""
        attempt = delivery.attempt(attempt_id)
        if attempt is None or attempt.journal_file != page:
            return None
        meant = meaning(delivery, attempt)
        return lifecycle.apply_create_outcome(delivery, attempt_id, meant, self._house.terms, self._house.clock())

    def _meaning(self, carrier: str, outcome: Outcome) -> Meaning:
        if isinstance(outcome, CarrierError):
            return lambda _delivery, _attempt: outcome
        # Made before any row is locked; and a login that fails here says nothing about the reply.
        return partial(self._read, self._house.carrier(carrier), outcome)

    def _read(self, codec: Carrier, reply: Reply, delivery: Delivery, attempt: Attempt) -> Booked | CarrierError:
        made = self._house
        told = guarded(attempt.carrier, lambda: read_booking(made, codec, delivery, attempt, reply), unread)
        return doubted(made, codec, {attempt.id: told})[attempt.id]

    def stop(self) -> None:
        """Ask it to end after the page it is at."""
        self._stop.set()
