"""Orders that are handed over for a driver to be booked by hand ("Send customer Info" to "Destroy customer info").

Nobody drives until a person books a driver in DeliverIt's own pages (D-70), and nothing reads an order back. Two
numbers name it: ours, which DeliverIt takes once and for ever, and its own, which only the links in its answers show
(D-72). Once a driver is booked, the day list has a row with our tag, and the order is followed like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import urlsplit

from schemas.order import Order
from schemas.status import CancelledBy, DeliveryStatus, Reason
from worker.carriers.deliverit.links import DETAILS, Link, is_token, read_link
from worker.carriers.deliverit.progress import CURRENCY
from worker.carriers.deliverit.replies import answer_of, refusal_of, said_of, unexplained, unread
from worker.carriers.deliverit.rows import known_tokens
from worker.carriers.deliverit.status import FOR_DELIVERY, NOT_SAVED, NUMBER_TAKEN, TRANSFER_REFUSALS, UPDATED
from worker.carriers.deliverit.wire import RawAnswer
from worker.carriers.port import AttemptView, Booking, Observation, Price, Raw
from worker.errors import CarrierError, Refused, Unavailable, Uncertain
from worker.http.call import Reply

NOT_SAVED_TEXT = "the order was not saved"
NUMBER = "number"
"""Marks a transferred order in its memory: DeliverIt's own number of it, empty where no answer told it."""


@dataclass(frozen=True, slots=True)
class TransferReader:
    """Reads answers about transferred orders for one company; `origin` is whose host the links should name."""

    company: str | None
    origin: str

    def created(self, booking: Booking, reply: Reply) -> Observation:
        """Read the answer to a transfer. Raises Refused, Unavailable or Uncertain.

        That our number is taken is doubt, not a no: it is a random one, so the order itself must have taken it (D-74).
        """
        answer = answer_of(reply)
        message = _message(answer)
        if reply.status == HTTPStatus.BAD_REQUEST and NUMBER_TAKEN in message:
            raise Uncertain("our order number is taken already")
        if reply.status == HTTPStatus.BAD_REQUEST and message:
            raise _refusal(answer, booking.order)
        if reply.status != HTTPStatus.CREATED or answer is None or FOR_DELIVERY not in message:
            raise unexplained(reply)
        return self._standing(answer, "created")

    def found(self, reply: Reply) -> Observation:
        """Read the answer to the same transfer sent again, whichever of the two was taken. Raises as a read does.

        Taken before, it stands there under links that nobody has seen: a person must cancel it, if need be (D-74).
        """
        answer = answer_of(reply)
        if reply.status == HTTPStatus.BAD_REQUEST and NUMBER_TAKEN in _message(answer):
            return self._standing(RawAnswer(), "exists")
        if reply.status == HTTPStatus.BAD_REQUEST and NOT_SAVED in _message(answer):
            raise Unavailable(NOT_SAVED_TEXT)
        if reply.status != HTTPStatus.CREATED or answer is None or FOR_DELIVERY not in _message(answer):
            raise unread(reply)
        return self._standing(answer, "created")

    def updated(self, reply: Reply, attempt: AttemptView) -> Observation:
        """Read the answer to an update, which says `error` true when all is well (D-76). Raises as a create does."""
        answer = answer_of(reply)
        message = _message(answer)
        if reply.status == HTTPStatus.BAD_REQUEST and message:
            raise _refusal(answer, attempt.order)
        if reply.status != HTTPStatus.OK or answer is None or not message.startswith(UPDATED):
            raise unexplained(reply)
        if FOR_DELIVERY not in message:
            raise Uncertain("updated, but the customer is said to pick it up")
        known = replace(self._standing(answer, "updated"), status=DeliveryStatus(attempt.state))
        return known if known.ref else replace(known, codec_state={})

    def cancelled(self, reply: Reply, attempt: AttemptView) -> Observation | None:
        """Read the answer to a cancel: only `canceled` true counts (D-78). Raises Refused, Unavailable or Uncertain.

        Where no driver was seen no read will ever show it, so this word is the last there is; None otherwise.
        """
        answer = answer_of(reply)
        if reply.status == HTTPStatus.BAD_REQUEST and _message(answer):
            raise _refusal(answer, attempt.order)
        if answer is None or answer.canceled is None:
            raise unexplained(reply)
        if not answer.canceled:
            raise Refused(Reason.DEADLINE_PASSED, said_of(answer.message or "", attempt.order))
        if reply.status != HTTPStatus.OK:
            raise unexplained(reply)
        if is_booked(attempt):
            return None
        said = Raw("transfer", "canceled")
        return Observation(DeliveryStatus.CANCELLED, said, cancelled_by=CancelledBy.MERCHANT)

    def _standing(self, answer: RawAnswer, word: str) -> Observation:
        links = ((answer.update_url, "update"), (answer.cancel_url, "cancel"))
        found = (read_link(url, verb, self.company, DETAILS) for url, verb in links)
        link = next((each for each in found if each), None)
        number = link.token if link else ""
        price = answer.price_with_vat
        return Observation(
            status=DeliveryStatus.AWAITING_CONFIRMATION,
            raw=Raw("transfer", word),
            detail="manual_dispatch",
            ref=number or None,
            codec_state={NUMBER: number},
            price=Price(price, CURRENCY, "included") if price is not None else None,
            notes=self._link_notes(link),
        )

    def _link_notes(self, link: Link | None) -> tuple[str, ...]:
        if link is None:
            return ("order_number_missing",)
        return ("link_host_differs",) if link.host != urlsplit(self.origin).hostname else ()  # D-01


def is_transferred(attempt: AttemptView) -> bool:
    """Tell whether an order was handed over rather than a driver booked, whatever the account does by now."""
    return NUMBER in attempt.codec_state


def is_booked(attempt: AttemptView) -> bool:
    """Tell whether a row of the day list ever showed a driver for it."""
    return "day" in attempt.codec_state


def number_of(attempt: AttemptView) -> str | None:
    """Tell DeliverIt's number of a transferred order, from its links or from a person; None where neither told it."""
    if not is_transferred(attempt):
        return None
    rows = known_tokens(replace(attempt, ref=None))
    given = attempt.ref if is_token(attempt.ref) and attempt.ref not in rows else None
    return attempt.codec_state[NUMBER] or given


def driver_of(attempt: AttemptView) -> AttemptView:
    """Show a transferred order as the driver order it may have become, which is named by its own cancel link."""
    return replace(attempt, ref=attempt.codec_state.get("cancel")) if is_transferred(attempt) else attempt


def renamed(attempt: AttemptView, seen: Sequence[Observation]) -> tuple[Observation, ...]:
    """Keep the name of a transferred order whose driver was seen, unless it had none."""
    if not is_transferred(attempt):
        return tuple(seen)
    return tuple(replace(news, ref=attempt.ref or news.ref) for news in seen)


def _message(answer: RawAnswer | None) -> str:
    return (answer.message or "").lower() if answer else ""


def _refusal(answer: RawAnswer | None, order: Order) -> CarrierError:
    if NOT_SAVED in _message(answer):
        return Unavailable(NOT_SAVED_TEXT)
    return refusal_of(answer, TRANSFER_REFUSALS, order)
