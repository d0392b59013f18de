"""The codec for Cervo Delivery API V2: our words into its requests, its answers into observations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import ClassVar, Never

from schemas.status import GOODS_WITH_COURIER, DeliveryStatus, Reason
from worker.carriers.account import CarrierAccount
from worker.carriers.cervo.account import CervoAccount
from worker.carriers.cervo.booking import raw_order
from worker.carriers.cervo.observe import left_behind, of_callback, of_view
from worker.carriers.cervo.replies import error_text, is_cervo_ref, read_ref, refuse_entry, refuse_unread
from worker.carriers.cervo.wire import raw_callback, raw_view
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
from worker.errors import Forged, Refused, Unavailable, Uncertain, Unreadable
from worker.http.call import Call, Operation, Reply

ORDER_PATH = "/apis/v2/order"
CANCEL_PATH = "/apis/v2/cancelorder"
NO_ORDER = "0"

CADENCE = Cadence(fresh=20, moving=45, ahead=120, ceiling=300)
WITHDRAWAL_GRACE = 600.0
TRACK_BATCH = 25


class Cervo:
    """One account at Cervo."""

    kind: ClassVar[str] = "cervo"
    account_type: ClassVar[type[CarrierAccount]] = CervoAccount

    def __init__(self, account: CervoAccount, facts: Mapping[str, str]) -> None:  # noqa: ARG002 - no probe, no facts
        self.account: CarrierAccount = account
        self.needs_login = False
        self._own = account
        self.capabilities = Capabilities(
            find=False,
            cadence=CADENCE,
            track_batch=TRACK_BATCH,
            max_creates=2 if account.resubmit_in_doubt else 1,
            withdrawal_grace=WITHDRAWAL_GRACE,
            callbacks="token",
        )

    def check_order(self, booking: Booking, now: datetime) -> None:
        """Raise Refused when `book` would."""
        self.book(booking, now)

    def book(self, booking: Booking, now: datetime) -> Call:
        """Describe POST /order (Cervo, "Register new order"; C-10 to C-20)."""
        return Call(
            Operation.CREATE,
            "POST",
            ORDER_PATH,
            attempt_ids=(booking.attempt_id,),
            headers=(*self._headers(), ("Content-Type", "application/json; charset=utf-8")),
            body=raw_order(booking, self._own, now).to_json(),
        )

    def read_booking(self, booking: Booking, reply: Reply, now: datetime) -> Booked:
        """Read the bare id that a create is answered with (C-21); what is neither that nor a complaint is Uncertain."""
        ref = read_ref(reply, booking.order, now)
        return Booked(Observation(DeliveryStatus.CREATED, Raw("response", str(reply.status)), ref=ref))

    def track(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the port's signature
        """Describe one GET /order for each attempt that has Cervo's id (Cervo, "Get order data"; C-04, C-31)."""
        return [
            self._about(Operation.READ, ORDER_PATH, attempt, attempt.ref)
            for attempt in attempts
            if attempt.ref and is_cervo_ref(attempt.ref)
        ]

    def find(self, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:  # noqa: ARG002 - the port's signature
        """Describe nothing: Cervo has no look-up by our reference (C-23)."""
        return []

    def read(self, call: Call, reply: Reply, attempts: Sequence[AttemptView], now: datetime) -> Reading:
        """Read the answer to GET /order; one without a Status is Unreadable, never a cancellation (C-33, C-40)."""
        refuse_unread(reply, now)
        view = raw_view(reply.body)
        if view is None or view.status is None:
            raise Unreadable("the order read has no Status")
        return Reading(
            {
                attempt.id: of_view(view, view.status, attempt, self._own.timezone, now)
                for attempt in attempts
                if attempt.id in call.attempt_ids
            }
        )

    def confirm(self, attempt: AttemptView, *, accept: bool) -> Never:  # noqa: ARG002 - the port's signature
        """Refuse: Cervo offers nothing that could be confirmed."""
        raise Refused(Reason.CONFIG, "Cervo offers nothing to confirm")

    def read_confirmation(
        self,
        reply: Reply,  # noqa: ARG002 - the port's signature
        attempt: AttemptView,
        *,
        accept: bool,
        now: datetime,  # noqa: ARG002 - the same
    ) -> Observation:
        """Refuse: Cervo offers nothing that could be confirmed."""
        return self.confirm(attempt, accept=accept)

    def cancel(self, attempt: AttemptView, now: datetime, *, allow_paid: bool) -> Call:  # noqa: ARG002 - no clock in it
        """Describe GET /cancelorder (C-45), refused once the courier has the goods unless that may cost (C-48)."""
        if attempt.ref is None or not is_cervo_ref(attempt.ref):
            raise Refused(Reason.UNKNOWN, "without Cervo's id the order can only be cancelled at Cervo by hand (C-24)")
        if attempt.rank >= GOODS_WITH_COURIER and not allow_paid:
            raise Refused(Reason.UNKNOWN, "the courier has the goods")
        return self._about(Operation.CANCEL, CANCEL_PATH, attempt, attempt.ref, ("Cache-Control", "no-store"))

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> None:
        """Read the answer to a cancel, which proves nothing before a read has confirmed it (C-47)."""
        refuse_entry(reply)
        if reply.status == HTTPStatus.BAD_REQUEST:
            raise Refused(Reason.UNKNOWN, error_text(reply, attempt.order) or "")
        if reply.status != HTTPStatus.OK:
            raise Uncertain(f"the cancel was answered with HTTP {reply.status}")

    def authenticate(self, callback: Callback) -> None:
        """Accept a callback that has a token, for nothing else is there to check (C-50); the store knows the token."""
        if not callback.token:
            raise Forged("a callback of Cervo's without a token")

    def callback_key(self, callback: Callback) -> CallbackKey:
        """Give the token of the path: the body's order_id may be anybody's (C-51). Raises Unreadable (C-50)."""
        if raw_callback(callback) is None:
            raise Unreadable("the callback is no JSON, form or query of Cervo's")
        return CallbackKey(token=callback.token)

    def read_callback(
        self,
        callback: Callback,
        attempt: AttemptView,
        now: datetime,  # noqa: ARG002 - a callback has no time to compare with it
    ) -> tuple[Observation, ...]:
        """Read a callback where nothing better can be had, for want of Cervo's id (C-24); else it is a hint.

        A hint leaves behind what no read will tell: why an order was cancelled (C-41).
        """
        raw = raw_callback(callback)
        if raw is None:
            raise Unreadable("the callback is no JSON, form or query of Cervo's")
        return of_callback(raw, attempt) if attempt.ref is None else left_behind(raw, attempt)

    def probe(self) -> Call:
        """Describe GET /order for an order that cannot be: every documented call is about one order (C-04, C-31)."""
        return self._ask(Operation.PROBE, ORDER_PATH, NO_ORDER)

    def read_probe(self, reply: Reply) -> dict[str, str]:
        """Read nothing out of it: whatever else Cervo says of no order, it answers and lets us in (C-02, C-40)."""
        refuse_entry(reply)
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable(f"HTTP {reply.status}")
        return {}

    def _about(
        self, operation: Operation, path: str, attempt: AttemptView, ref: str, *headers: tuple[str, str]
    ) -> Call:
        return replace(self._ask(operation, path, ref, *headers), attempt_ids=(attempt.id,))

    def _ask(self, operation: Operation, path: str, ref: str, *headers: tuple[str, str]) -> Call:
        """Describe a GET about one order, its id where the account wants it: the document does not say (C-30, C-46)."""
        where = self._own.id_location
        return Call(
            operation,
            "GET",
            f"{path}/{ref}" if where == "path" else path,
            query=(("id", ref),) if where == "query" else (),
            headers=(*self._headers(), *headers, *((("id", ref),) if where == "header" else ())),
        )

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("Authorization", f"Bearer {self._own.token.get_secret_value()}"), ("Accept", "*/*"))  # C-03
