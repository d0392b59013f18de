"""The codec of the toy carrier: everything that docs/adding-a-carrier.md requires, and its prices."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Never

from schemas.status import DeliveryStatus, Reason
from tests.carriers.toy.account import ToyAccount
from tests.carriers.toy.errors import document_of_read, document_of_write
from tests.carriers.toy.observations import observe_created, observe_order, quote_of
from tests.carriers.toy.request import check_order, order_parameters
from tests.carriers.toy.status import STATUS_TABLE
from worker.carriers.abilities import Quote
from worker.carriers.account import CarrierAccount
from worker.carriers.port import (
    AttemptView,
    Booked,
    Booking,
    Cadence,
    Callback,
    CallbackKey,
    Capabilities,
    Observation,
    Raw,
    Reading,
)
from worker.errors import Forged, Refused, Unreadable
from worker.http.call import Call, Operation, Reply


class Toy:
    """One account at the toy carrier."""

    kind: ClassVar[str] = "toy"
    account_type: ClassVar[type[CarrierAccount]] = ToyAccount

    def __init__(self, account: ToyAccount, facts: Mapping[str, str]) -> None:  # noqa: ARG002 - no login, no facts
        self.account: CarrierAccount = account
        self.needs_login = False
        self.quotes_first = account.quotes_first
        self._own = account
        self.capabilities = Capabilities(
            find=False, cadence=Cadence(fresh=30, moving=30, ahead=300, ceiling=300), track_batch=1
        )

    def check_order(self, booking: Booking, now: datetime) -> None:  # noqa: ARG002 - the port's signature
        """Raise Refused, naming the field, when `book` would."""
        check_order(booking)

    def book(self, booking: Booking, now: datetime) -> Call:  # noqa: ARG002 - the port's signature
        """Build POST /orders with our reference. Raises Refused naming the field."""
        parameters = {**order_parameters(booking), "reference": booking.reference}
        return self._call(Operation.CREATE, "/orders", booking.attempt_id, parameters)

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:  # noqa: ARG002 - the same
        """Return the booking: 201 with an id. A 409 with a problem is a refusal."""
        return Booked(observe_created(document_of_write(reply)))

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the same
        """Build GET /orders/ID for each attempt that has an id."""
        return [self._call(Operation.READ, f"/orders/{each.ref}", each.id) for each in attempts if each.ref]

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the same
        """Return no call: there is no look-up by our reference."""
        return []

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:  # noqa: ARG002
        """Return what an order shows."""
        seen = observe_order(document_of_read(reply))
        return Reading({each.id: (seen,) for each in attempts if each.id in call.attempt_ids})

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Never:  # noqa: ARG002 - the same
        """Raise Refused: the toy carrier makes no offers."""
        raise Refused(Reason.CONFIG, "nothing to confirm")

    def read_confirmation(self, reply: Reply, attempt: AttemptView, *, accept: bool, now: datetime) -> Never:  # noqa: ARG002
        """Raise Refused: the toy carrier makes no offers."""
        self.confirm(attempt, accept=accept)

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:  # noqa: ARG002 - the same
        """Build POST /orders/ID/cancel. Raises Refused while the order's id is not known."""
        if attempt.ref is None:
            raise Refused(Reason.UNKNOWN, "the order's id is not known")
        return self._call(Operation.CANCEL, f"/orders/{attempt.ref}/cancel", attempt.id, {})

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> None:  # noqa: ARG002 - the same
        """Return when the cancel was accepted. Raises Refused."""
        document_of_write(reply)

    def authenticate(self, callback: Callback) -> None:  # noqa: ARG002 - the same
        """Raise Forged: no callbacks are sent."""
        raise Forged("the toy carrier sends no callbacks")

    def callback_key(self, callback: Callback) -> CallbackKey:  # noqa: ARG002 - the same
        """Raise Unreadable: no callbacks are sent."""
        raise Unreadable("the toy carrier sends no callbacks")

    def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:  # noqa: ARG002
        """Return nothing: no callbacks are sent."""
        return ()

    def meanings(self, raw: Raw) -> frozenset[DeliveryStatus | None]:
        """Return the status of a code; the same for every attempt."""
        return frozenset({STATUS_TABLE.get(raw.code)})

    def probe(self) -> Call:
        """Build GET /me, which needs the key."""
        return Call(Operation.PROBE, "GET", "/me", headers=self._headers())

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Check the answer; an account has no facts."""
        document_of_read(reply)
        return {}

    def quote(self, booking: Booking, now: datetime) -> Call:  # noqa: ARG002 - the same
        """Build POST /prices. Raises Refused naming the field."""
        return self._call(Operation.QUERY, "/prices", booking.attempt_id, order_parameters(booking))

    def read_quote(self, reply: Reply, now: datetime) -> Quote:  # noqa: ARG002 - the same
        """Return the price."""
        return quote_of(document_of_read(reply))

    def _call(self, operation: Operation, path: str, attempt_id: int, body: dict[str, Any] | None = None) -> Call:
        if body is None:
            return Call(operation, "GET", path, (attempt_id,), headers=self._headers())
        headers = (*self._headers(), ("Content-Type", "application/json"))
        return Call(operation, "POST", path, (attempt_id,), headers=headers, body=json.dumps(body).encode())

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("X-Key", self._own.key.get_secret_value()),)
