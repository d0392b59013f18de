"""What an operator does about accounts, stores and dead letters. Each action is recorded with its operator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from schemas.json_reader import MalformedError
from schemas.messages import read_fields
from schemas.ordering import ProjectDefaults
from schemas.stores import Store
from worker.bus.port import Bus, Fields, load_fields
from worker.clock import Clock
from worker.database import accounts, deliveries, inbox, leases, operator_actions, shops
from worker.database.connection import Connection
from worker.database.database import Database
from worker.database.diagnostics import commit_wait
from worker.database.inbox import DeadLetter
from worker.domain.operator import Operator, OperatorAction
from worker.services.system_troubles import NO_STANDBY, is_too_long

SHOW_CUSTOMER = "show customer"
"""The recorded action of an operator who looks at a customer's data."""
FORM = "form."
FORM_SECONDS = 86_400.0
"""Seconds for which a form that was sent is remembered."""
FORM_WAIT = timedelta(seconds=30)
"""How long it may take until a form is done."""
SENT_BEFORE = "This form was sent before. Nothing was done again: look whether it was done."
T = TypeVar("T")
Change = Callable[[Connection, datetime], T]
"""A change of the database at a time. It returns a false value if it has changed nothing."""


@dataclass(frozen=True)
class Operations:
    """Do what an operator asks for. An action that changes nothing is not recorded."""

    database: Database
    bus: Bus
    defaults: ProjectDefaults
    """Values for fields that orders of the Ordering platform do not have."""
    clock: Clock

    def pause(self, account: str, by: Operator) -> bool:
        """Stop calling an account; return False when an operator has paused it already."""

        def pause(connection: Connection, now: datetime) -> bool:
            return accounts.pause(connection, account, accounts.OPERATOR, by.reason, now)

        return self._do("carriers pause", by, pause, account)

    def resume(self, account: str, by: Operator) -> bool:
        """Call an account again; return False when it is not paused."""

        def resume(connection: Connection, now: datetime) -> bool:
            return accounts.resume(connection, account, accounts.OPERATOR, now)

        return self._do("carriers resume", by, resume, account)

    def hold(self, by: Operator) -> bool:
        """Send no creates to any account; return False when an operator holds them already."""

        def hold(connection: Connection, now: datetime) -> bool:
            return accounts.pause(connection, accounts.EVERY_ACCOUNT, accounts.OPERATOR, by.reason, now)

        return self._do("carriers hold", by, hold)

    def release(self, by: Operator) -> bool:
        """Send creates again; return False when they are not held."""

        def release(connection: Connection, now: datetime) -> bool:
            return accounts.resume(connection, accounts.EVERY_ACCOUNT, accounts.OPERATOR, now)

        return self._do("carriers release", by, release)

    def remove_mapping(self, account: str, carrier_status: str, by: Operator) -> bool:
        """Remove the mapping of a carrier status; return False when there is none."""

        def remove(connection: Connection, _now: datetime) -> bool:
            return accounts.drop_mapping(connection, account, carrier_status)

        return self._do("carriers map --remove", by, remove, f"{account} {carrier_status}")

    def load_stores(self, stores: Mapping[str, Store], by: Operator) -> int:
        """Store a store directory; return the number of orders that waited for a store and continue."""

        def load(connection: Connection, now: datetime) -> tuple[int]:
            return (shops.save_shops(connection, stores, now),)

        (waiting,) = self._do("stores load", by, load, f"{len(stores)} stores")
        return waiting

    def replay(self, letter_id: str, by: Operator) -> str | None:
        """Put the message of a dead letter on the bus again; return the id of its entry, None without such a letter."""
        letter = self.database.read(inbox.dead_letter, letter_id)
        if letter is None:
            return None
        entry = self.bus.add_entry(load_fields(letter.raw)) if letter.has_fields else self.bus.add_order(letter.raw)
        self._settle("dead-letters replay", letter_id, by)  # after the message is on the bus: a crash loses nothing
        return entry

    def correct(self, letter_id: str, text: str, by: Operator) -> str | None:
        """Put a corrected message on the bus in place of a dead letter; return its entry, None without such a letter.

        The dead letter keeps the original message. Raises MalformedError if the corrected message is unreadable.
        """
        letter = self.database.read(inbox.dead_letter, letter_id)
        if letter is None:
            return None
        fields = _fields(text.encode()) if letter.has_fields else {b"event": text.encode()}
        read_fields(fields, self.defaults)
        entry = self.bus.add_entry(fields)
        self._settle("dead-letters correct", letter_id, by)
        return entry

    def discard(self, letter_id: str, by: Operator) -> bool:
        """Take a dead letter off the list; return False without such a letter."""
        if self.database.read(inbox.dead_letter, letter_id) is None:
            return False
        return self._settle("dead-letters discard", letter_id, by)

    def show_customer(self, delivery_id: str, by: Operator) -> bool:
        """Record that an operator looks at a customer's data; return False without such a delivery."""

        def find(connection: Connection, _now: datetime) -> bool:
            return bool(deliveries.load(connection, [delivery_id]))

        return self._do(SHOW_CUSTOMER, by, find, delivery_id=delivery_id)

    def show_letter(self, letter_id: str, by: Operator) -> DeadLetter | None:
        """Return a dead letter, and record that an operator looks at it; None without such a letter."""

        def find(connection: Connection, _now: datetime) -> DeadLetter | None:
            return inbox.dead_letter(connection, letter_id)

        return self._do("dead-letters show", by, find, letter_id)

    def claim_form(self, token: str) -> str | None:
        """Record that a form is sent; return why it must not be done, and None if it may be done now.

        A form is done once. It is not done while nothing can be stored, or long after it was sent: the operator
        may have decided something else since.
        """
        if is_too_long(self.database.read(commit_wait)):
            return f"Nothing was done. {NO_STANDBY}"
        now = self.clock()

        def claim(connection: Connection) -> bool:
            leases.drop_ended(connection, FORM, now)
            return leases.take(connection, f"{FORM}{token}", uuid4().hex, now, FORM_SECONDS)

        is_new = self.database.write(claim)
        if self.clock() - now > FORM_WAIT:
            return "Nothing was done: the database was too slow."
        return None if is_new else SENT_BEFORE

    def _settle(self, action: str, letter_id: str, by: Operator) -> bool:
        def settle(connection: Connection, now: datetime) -> bool:
            inbox.settle_dead_letter(connection, letter_id, now)
            return True

        return self._do(action, by, settle, letter_id)

    def _do(
        self,
        action: str,
        by: Operator,
        change: Change[T],
        subject: str | None = None,
        delivery_id: str | None = None,
    ) -> T:
        """Make a change and record it in one transaction; return its result. Record nothing for a false result."""
        now = self.clock()

        def change_and_record(connection: Connection) -> T:
            if done := change(connection, now):
                action_done = OperatorAction(now, by.name, action, by.reason, delivery_id, subject)
                operator_actions.record(connection, action_done)
            return done

        return self.database.write(change_and_record)


def _fields(text: bytes) -> Fields:
    """Return the fields of a stream entry from their JSON. Raises MalformedError for any other text."""
    try:
        return load_fields(text)
    except (ValueError, AttributeError, RecursionError):  # no JSON, no object, or a value that is no text
        raise MalformedError("message: not a JSON object of texts") from None
