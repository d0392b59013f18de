"""The codec of Cervo Delivery API V2. It turns actions into requests, and replies and callbacks into observations.

A method without a counterpart in the API document returns nothing or raises Refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Never

from schemas.status import GOODS_WITH_COURIER, DeliveryStatus, Reason
from worker.carriers.account import CarrierAccount
from worker.carriers.cervo.account import CervoAccount
from worker.carriers.cervo.errors import check_cancel, check_create, check_probe, check_read
from worker.carriers.cervo.observations import observe_callback, observe_order, record_cancel_reason
from worker.carriers.cervo.request import check_order, create_body, printed_number
from worker.carriers.cervo.status import meanings
from worker.carriers.cervo.wire import CallbackFields, is_order_id, parse_callback, parse_order, parse_order_id
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
from worker.errors import Forged, Refused, Uncertain, Unreadable
from worker.http.call import Call, Operation, Reply

ORDER_PATH = "/apis/v2/order"
CANCEL_PATH = "/apis/v2/cancelorder"
NO_ORDER = "0"
"""An order id that no order has."""

CADENCE = Cadence(fresh=20, moving=45, ahead=120, ceiling=300)
WITHDRAWAL_GRACE = 600.0
TRACK_BATCH = 25


class Cervo:
    """The codec of one Cervo account."""

    kind: ClassVar[str] = "cervo"
    account_type: ClassVar[type[CarrierAccount]] = CervoAccount

    def __init__(self, account: CervoAccount, facts: Mapping[str, str]) -> None:  # noqa: ARG002 - a probe returns no facts
        self.account: CarrierAccount = account
        self.needs_login = False
        self._own = account
        self.capabilities = Capabilities(
            find=False,
            cadence=CADENCE,
            track_batch=TRACK_BATCH,
            resubmits=account.resubmit_in_doubt,
            withdrawal_grace=WITHDRAWAL_GRACE,
            callbacks="token",
        )

    def check_order(self, booking: Booking, now: datetime) -> None:  # noqa: ARG002 - the port's signature
        """Raise Refused for an order that `book` would refuse; the text names the field of the order that is wrong."""
        check_order(booking, self._own)

    def book(self, booking: Booking, now: datetime) -> Call:
        """Build POST /order (Cervo, "Register new order"; C-10 to C-20). Raises Refused."""
        return Call(
            Operation.CREATE,
            "POST",
            ORDER_PATH,
            attempt_ids=(booking.attempt_id,),
            headers=(*self._headers(), ("Content-Type", "application/json; charset=utf-8")),
            body=create_body(booking, self._own, now).to_json(),
        )

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Read the bare order id that answers a create (C-21).

        Raises Unavailable, Refused or Uncertain as `check_create` does, and Uncertain for a 200 without an order id.
        """
        check_create(reply, booking, now)
        order_id = parse_order_id(reply.body)
        if order_id is None:
            raise Uncertain("the create was answered with HTTP 200, but not with an id")
        return Booked(Observation(DeliveryStatus.CREATED, Raw("response", str(reply.status)), ref=order_id))

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the port's signature
        """Build one GET /order for each attempt whose id at Cervo is known (Cervo, "Get order data"; C-04, C-31)."""
        return [
            self._get_for(Operation.READ, ORDER_PATH, attempt, attempt.ref)
            for attempt in attempts
            if attempt.ref and is_order_id(attempt.ref)
        ]

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the port's signature
        """Return nothing, because Cervo has no look-up by our reference (C-23)."""
        return []

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        """Read the answer to GET /order.

        Raises Unavailable, and Unreadable for an unexpected HTTP status or an answer without `Status` (C-33, C-40).
        """
        check_read(reply, now)
        order = parse_order(reply.body)
        if order is None or order.code is None:
            raise Unreadable("the order read has no Status")
        return Reading(
            {
                attempt.id: observe_order(order, order.code, attempt, self._own.timezone, now)
                for attempt in attempts
                if attempt.id in call.attempt_ids
            }
        )

    def sent_names(self, attempt: AttemptView) -> dict[str, str]:
        """Return the two ids of the create, because Cervo's orders cannot be listed (C-10, C-11, C-23)."""
        return {"order_id": printed_number(attempt.order, attempt.number), "id": str(attempt.id)}

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Never:  # noqa: ARG002 - the port's signature
        """Raise Refused, because Cervo makes no offers."""
        raise Refused(Reason.CONFIG, "Cervo offers nothing to confirm")

    def read_confirmation(
        self,
        reply: Reply,  # noqa: ARG002 - the port's signature
        attempt: AttemptView,
        *,
        accept: bool,
        now: datetime,  # noqa: ARG002 - the same
    ) -> Observation:
        """Raise Refused, because Cervo makes no offers."""
        return self.confirm(attempt, accept=accept)

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:  # noqa: ARG002 - the port's signature
        """Build GET /cancelorder (C-45). Raises Refused while Cervo's order id is unknown (C-24).

        Raises Refused also when the courier has the goods and `allow_paid` is false (C-48).
        """
        if attempt.ref is None or not is_order_id(attempt.ref):
            raise Refused(Reason.UNKNOWN, "Cervo's order id is unknown, so the order must be cancelled by hand (C-24)")
        if attempt.rank >= GOODS_WITH_COURIER and not allow_paid:
            raise Refused(Reason.UNKNOWN, "the courier has the goods")
        return self._get_for(Operation.CANCEL, CANCEL_PATH, attempt, attempt.ref, ("Cache-Control", "no-store"))

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> None:
        """Check the answer to a cancel. Success proves nothing until a read confirms the cancel (C-47).

        Raises Unavailable, Refused or Uncertain.
        """
        check_cancel(reply, attempt.order)

    def authenticate(self, callback: Callback) -> None:
        """Raise Forged for a callback without a token (C-50). The caller rejects a token of no attempt."""
        if not callback.token:
            raise Forged("the callback has no token")

    def callback_key(self, callback: Callback) -> CallbackKey:
        """Return the token from the callback's path, because the body's `order_id` is not authentic (C-51).

        Raises Unreadable for a callback that has none of the documented fields (C-50).
        """
        _fields_of(callback)
        return CallbackKey(token=callback.token)

    def read_callback(
        self,
        callback: Callback,
        attempt: AttemptView,
        now: datetime,  # noqa: ARG002 - a callback has no time to compare with it
    ) -> tuple[Observation, ...]:
        """Return the observations of a callback.

        While Cervo's order id is unknown, the order cannot be read, so the callback's status is observed (C-24). Once
        the id is known, only a cancellation reason is observed, and a read shows the status (C-41, C-50).
        Raises Unreadable for a callback that has none of the documented fields.
        """
        fields = _fields_of(callback)
        return observe_callback(fields, attempt) if attempt.ref is None else record_cancel_reason(fields, attempt)

    def meanings(self, raw: Raw) -> frozenset[DeliveryStatus | None]:
        """Return every status that a code may mean. The answer to a create means `created`."""
        return meanings(raw)

    def probe(self) -> Call:
        """Build a harmless call that tests whether Cervo answers and accepts the token.

        Every call of the API is about one order, so this is GET /order for an order that cannot exist (C-04, C-31).
        """
        return self._get(Operation.PROBE, ORDER_PATH, NO_ORDER)

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Return an empty mapping, because the answer to a probe has no facts about the account. Raises Unavailable."""
        check_probe(reply)
        return {}

    def _get_for(
        self, operation: Operation, path: str, attempt: AttemptView, order_id: str, *headers: tuple[str, str]
    ) -> Call:
        return replace(self._get(operation, path, order_id, *headers), attempt_ids=(attempt.id,))

    def _get(self, operation: Operation, path: str, order_id: str, *headers: tuple[str, str]) -> Call:
        """Build a GET about one order, with the order id at the account's `id_location` (C-30, C-46)."""
        location = self._own.id_location
        return Call(
            operation,
            "GET",
            f"{path}/{order_id}" if location == "path" else path,
            query=(("id", order_id),) if location == "query" else (),
            headers=(*self._headers(), *headers, *((("id", order_id),) if location == "header" else ())),
        )

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("Authorization", f"Bearer {self._own.token.get_secret_value()}"), ("Accept", "*/*"))  # C-03


def _fields_of(callback: Callback) -> CallbackFields:
    fields = parse_callback(callback)
    if fields is None:
        raise Unreadable("the callback has no documented field in its JSON, form or query")
    return fields
