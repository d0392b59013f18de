"""The codec of the toy carrier: all that docs/adding-a-carrier.md asks for, and its prices."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Never

from schemas.status import DeliveryStatus, Reason
from tests.carriers.toy.account import ToyAccount
from tests.carriers.toy.replies import PROBLEMS, after_asking, after_changing
from tests.carriers.toy.status import STATUS_OF_WORD
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
    Price,
    Raw,
    Reading,
)
from worker.errors import Forged, Refused, Uncertain, Unreadable
from worker.http.call import Call, Operation, Reply
from worker.http.redaction import single_line

ID = re.compile(r"[A-Za-z0-9-]{1,40}")
"""It stands in paths, so nothing else is one."""
LONGEST_WORD = 40


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

    def check_order(self, booking: Booking, now: datetime) -> None:
        """Raise Refused when `book` would."""
        self.book(booking, now)

    def book(self, booking: Booking, now: datetime) -> Call:  # noqa: ARG002 - the port's signature
        """Describe POST /orders, with our tag as its reference."""
        return self._call(
            Operation.CREATE, "/orders", booking.attempt_id, {**_told(booking), "reference": booking.reference}
        )

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:  # noqa: ARG002 - the same
        """Read the answer to a create: 201 with an id, or 409 with a problem."""
        ref = after_changing(reply).get("id")
        if not isinstance(ref, str) or not ID.fullmatch(ref):
            raise Uncertain("the create was answered without an id")
        return Booked(Observation(DeliveryStatus.CREATED, Raw("order", "waiting"), ref=ref))

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the same
        """Describe GET /orders/ID for each attempt that has an id."""
        return [self._call(Operation.READ, f"/orders/{each.ref}", each.id) for each in attempts if each.ref]

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the same
        """Describe nothing: there is no look-up by our reference."""
        return []

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:  # noqa: ARG002
        """Read an order; a word that is in no table has no status."""
        word = after_asking(reply).get("state")
        if not isinstance(word, str):
            raise Unreadable("the order has no state")
        seen = Observation(STATUS_OF_WORD.get(word), Raw("order", single_line(word, LONGEST_WORD)))
        return Reading({each.id: (seen,) for each in attempts if each.id in call.attempt_ids})

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Never:  # noqa: ARG002 - the same
        """Refuse: nothing is ever offered."""
        raise Refused(Reason.CONFIG, "nothing to confirm")

    def read_confirmation(self, reply: Reply, attempt: AttemptView, *, accept: bool, now: datetime) -> Never:  # noqa: ARG002
        """Refuse: nothing is ever offered."""
        self.confirm(attempt, accept=accept)

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:  # noqa: ARG002 - the same
        """Describe POST /orders/ID/cancel."""
        if attempt.ref is None:
            raise Refused(Reason.UNKNOWN, "the order's id is not known")
        return self._call(Operation.CANCEL, f"/orders/{attempt.ref}/cancel", attempt.id, {})

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> None:  # noqa: ARG002 - the same
        """Return when the cancel was taken; Refused when it was not."""
        after_changing(reply)

    def authenticate(self, callback: Callback) -> None:  # noqa: ARG002 - the same
        """Raise Forged: no callbacks are sent."""
        raise Forged("the toy carrier sends no callbacks")

    def callback_key(self, callback: Callback) -> CallbackKey:  # noqa: ARG002 - the same
        """Raise Unreadable: no callbacks are sent."""
        raise Unreadable("the toy carrier sends no callbacks")

    def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:  # noqa: ARG002
        """Say nothing: no callbacks are sent."""
        return ()

    def probe(self) -> Call:
        """Describe GET /me, which needs the key."""
        return Call(Operation.PROBE, "GET", "/me", headers=self._headers())

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Read nothing out of it: there is nothing to know about an account."""
        after_asking(reply)
        return {}

    def quote(self, booking: Booking, now: datetime) -> Call:  # noqa: ARG002 - the same
        """Describe POST /prices."""
        return self._call(Operation.ASK, "/prices", booking.attempt_id, _told(booking))

    def read_quote(self, reply: Reply, now: datetime) -> Quote:  # noqa: ARG002 - the same
        """Read the price, which is told even where the order would be refused."""
        document = after_asking(reply)
        problem = document.get("problem")
        price = _price(document.get("price"))
        if not isinstance(problem, str):
            return Quote(price)
        return Quote(price, orderable=False, why=(single_line(problem),), reason=PROBLEMS.get(problem, Reason.UNKNOWN))

    def _call(self, operation: Operation, path: str, attempt_id: int, body: dict[str, Any] | None = None) -> Call:
        if body is None:
            return Call(operation, "GET", path, (attempt_id,), headers=self._headers())
        headers = (*self._headers(), ("Content-Type", "application/json"))
        return Call(operation, "POST", path, (attempt_id,), headers=headers, body=json.dumps(body).encode())

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("X-Key", self._own.key.get_secret_value()),)


def _told(booking: Booking) -> dict[str, Any]:
    order, store = booking.order, booking.store
    return {
        "from": f"{store.street}, {store.city}",
        "to": f"{order.dropoff.street}, {order.dropoff.city}",
        "name": order.customer.name,
        "phone": order.customer.phone,
        "pickup": booking.pickup_at.isoformat(timespec="seconds"),
        "notes": order.notes,
    }


def _price(amount: object) -> Price | None:
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        return None
    return Price(value, "EUR", "included") if value.is_finite() else None
