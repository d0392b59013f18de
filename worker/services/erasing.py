"""Erase the personal data of one order on request, wherever this program keeps them."""

from dataclasses import dataclass

from worker.bus.port import Bus
from worker.clock import Clock
from worker.database import deliveries, erasure, operator_actions
from worker.database.connection import Connection
from worker.database.database import Database
from worker.domain.delivery import Delivery
from worker.domain.erasure import erase, erasure_blocker
from worker.domain.operator import Operator, OperatorAction
from worker.resilience.call_journal import CallJournal


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed beside the data of the delivery itself."""

    dead_letters: int
    orders_entries: int
    events_entries: int
    journal_files: int


@dataclass(frozen=True)
class Erasing:
    """Erase the personal data of one order: in the database, on the bus and in this host's call journal."""

    database: Database
    bus: Bus
    journal: CallJournal
    clock: Clock

    def blocker(self, delivery: Delivery) -> str | None:
        """Return why an order cannot be erased now, and what to do instead; None if it can be erased."""
        if (reason := erasure_blocker(delivery)) is not None:
            return reason
        if self.database.read(erasure.has_unpublished, delivery.id):
            return "an event about it waits to be published: try again when the bus has it"
        letters = self.database.read(erasure.dead_letters_about, delivery.order.order_id)
        if waiting := [letter for letter, settled in letters.items() if not settled]:
            return f"a dead letter contains its order id: replay, correct or discard {', '.join(waiting)} first"
        return None

    def erase(self, delivery: Delivery, by: Operator) -> Erased | None:
        """Erase an order for which there is no blocker, and record who did it and why; return None if it has one now.

        The action can be repeated: it then erases what came since.
        """
        letters = self.database.write(self._erase_rows, delivery, by)
        if letters is None:
            return None
        attempts = {attempt.id for attempt in delivery.attempts}
        erased = Erased(
            dead_letters=letters,
            orders_entries=self.bus.remove_orders(erasure.names(delivery.order.order_id)),
            events_entries=self.bus.remove_events(erasure.names(delivery.id)),
            journal_files=sum(file.forget(attempts) for file in self.journal.abandoned()),
        )
        self.database.compact()
        return erased

    def _erase_rows(self, connection: Connection, delivery: Delivery, by: Operator) -> int | None:
        """Erase the rows; return how many dead letters were deleted, or None if there is a blocker now."""
        if not deliveries.update(connection, [delivery.id], erase, store=erasure.delete_records):
            return None
        letters = erasure.dead_letters_about(connection, delivery.order.order_id)
        settled = [letter for letter, is_settled in letters.items() if is_settled]
        erasure.delete_dead_letters(connection, settled)
        erasure.erase_events(connection, delivery.id)
        operator_actions.record(connection, OperatorAction(self.clock(), by.name, "erase", by.reason, delivery.id))
        return len(settled)
