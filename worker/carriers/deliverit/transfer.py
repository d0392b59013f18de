"""Transferred orders: the replies to "Send customer Info", "Update customer info" and "Destroy customer info".

No driver comes until an operator books one in DeliverIt's own pages, and no call reads the order back (D-70). A
transferred order has two numbers: ours, which DeliverIt accepts only once, and DeliverIt's own, which appears only in
the links of the replies (D-72). Once a driver is booked, the day list has a row with our reference, and the order is
followed like a driver order.
"""

from dataclasses import dataclass, replace
from http import HTTPStatus

from schemas.order import Order
from schemas.status import CancelledBy, DeliveryStatus, Reason
from worker.carriers.deliverit import attempt_state as state
from worker.carriers.deliverit.errors import parse_answer, redact, refusal, uncertain, unreadable
from worker.carriers.deliverit.observations import CURRENCY, link_notes
from worker.carriers.deliverit.status import FOR_DELIVERY, NOT_SAVED, NUMBER_EXISTS, TRANSFER_REFUSALS, UPDATED
from worker.carriers.deliverit.wire import TRANSFER_LINK, RawAnswer, parse_link
from worker.carriers.port import AttemptView, Booking, Observation, Price, Raw
from worker.errors import CarrierError, Refused, Unavailable, Uncertain
from worker.http.call import Reply

NOT_SAVED_TEXT = "the order was not saved"


@dataclass(frozen=True, slots=True)
class TransferReader:
    """Reads the replies about one company's transferred orders.

    If the links are missing or have another host than `base_url`, the observation gets a note.
    """

    company: str | None
    base_url: str

    def read_create(self, booking: Booking, reply: Reply) -> Observation:
        """Read the reply to a transfer. Raises Refused, Unavailable or Uncertain.

        Raises Uncertain also when an order with our number exists already, because only an earlier transfer of the same
        order can have used the number (D-74).
        """
        answer = parse_answer(reply)
        message = _message(answer)
        if reply.status == HTTPStatus.BAD_REQUEST and NUMBER_EXISTS in message:
            raise Uncertain("an order with our order number exists already")
        if reply.status == HTTPStatus.BAD_REQUEST and message:
            raise _refusal(answer, booking.order)
        if reply.status != HTTPStatus.CREATED or answer is None or FOR_DELIVERY not in message:
            raise uncertain(reply)
        return self._observe(answer, "created")

    def read_repeated_create(self, reply: Reply) -> Observation:
        """Read the reply to a repeated transfer. Raises Unavailable or Unreadable.

        If the order exists already, the reply contains no links, so only an operator can cancel the order (D-74).
        """
        answer = parse_answer(reply)
        if reply.status == HTTPStatus.BAD_REQUEST and NUMBER_EXISTS in _message(answer):
            return self._observe(RawAnswer(), "exists")
        if reply.status == HTTPStatus.BAD_REQUEST and NOT_SAVED in _message(answer):
            raise Unavailable(NOT_SAVED_TEXT)
        if reply.status != HTTPStatus.CREATED or answer is None or FOR_DELIVERY not in _message(answer):
            raise unreadable(reply)
        return self._observe(answer, "created")

    def read_update(self, reply: Reply, attempt: AttemptView) -> Observation:
        """Read the reply to an update, in which `error` is true on success (D-76).

        Raises Refused, Unavailable or Uncertain.
        """
        answer = parse_answer(reply)
        message = _message(answer)
        if reply.status == HTTPStatus.BAD_REQUEST and message:
            raise _refusal(answer, attempt.order)
        if reply.status != HTTPStatus.OK or answer is None or not message.startswith(UPDATED):
            raise uncertain(reply)
        if FOR_DELIVERY not in message:
            raise Uncertain("updated, but marked as picked up by the customer")
        observation = replace(self._observe(answer, "updated"), status=DeliveryStatus(attempt.state))
        return observation if observation.ref else replace(observation, codec_state={})

    def read_cancel(self, reply: Reply, attempt: AttemptView) -> Observation | None:
        """Read the reply to a cancel. Only `canceled` true means success (D-78).

        If the day list never showed a driver, return the cancellation as an observation, because no read can confirm
        the cancel. Otherwise return None. Raises Refused, Unavailable or Uncertain.
        """
        answer = parse_answer(reply)
        if reply.status == HTTPStatus.BAD_REQUEST and _message(answer):
            raise _refusal(answer, attempt.order)
        if answer is None or answer.canceled is None:
            raise uncertain(reply)
        if not answer.canceled:
            raise Refused(Reason.DEADLINE_PASSED, redact(answer.message or "", attempt.order))
        if reply.status != HTTPStatus.OK:
            raise uncertain(reply)
        if state.has_row(attempt):
            return None
        raw = Raw("transfer", "canceled")
        return Observation(DeliveryStatus.CANCELLED, raw, cancelled_by=CancelledBy.MERCHANT)

    def _observe(self, answer: RawAnswer, code: str) -> Observation:
        links = ((answer.update_url, "update"), (answer.cancel_url, "cancel"))
        parsed = (parse_link(url, action, self.company, TRANSFER_LINK) for url, action in links)
        link = next((each for each in parsed if each), None)
        number = link.token if link else ""
        price = answer.price_with_vat
        return Observation(
            status=DeliveryStatus.AWAITING_CONFIRMATION,
            raw=Raw("transfer", code),
            detail="manual_dispatch",
            ref=number or None,
            codec_state={state.NUMBER: number},
            price=Price(price, CURRENCY, "included") if price is not None else None,
            notes=link_notes(link, self.base_url, "order_number_missing"),
        )


def _message(answer: RawAnswer | None) -> str:
    return (answer.message or "").lower() if answer else ""


def _refusal(answer: RawAnswer | None, order: Order) -> CarrierError:
    if NOT_SAVED in _message(answer):
        return Unavailable(NOT_SAVED_TEXT)
    return refusal(answer, TRANSFER_REFUSALS, order)
