"""The errors that follow from the HTTP status, the `error` flag and the message of a reply.

A 401 to a create, a list or a login rejects the account. A 401 about one order does not, because DeliverIt gives the
same reply for an order that is not ours (D-09).
"""

from datetime import datetime
from http import HTTPStatus

from schemas.order import Order
from worker.carriers.deliverit.status import MessageTable, reason_for
from worker.carriers.deliverit.wire import RawAnswer, decode_json
from worker.errors import Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply
from worker.http.redaction import redact_customer, redact_names

UNAUTHORIZED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
MAX_TEXT = 300


def check_account(reply: Reply, now: datetime | None) -> None:
    """Raise Unavailable when the reply rejects the account or limits its rate."""
    if reply.status in UNAUTHORIZED:
        raise Unavailable(f"the account was rejected with status {reply.status}", account=True)
    _check_rate(reply, now)


def check_order_access(reply: Reply, now: datetime | None) -> None:
    """Raise Unreadable when the reply denies access to the order (D-09), and Unavailable when it limits the rate."""
    if reply.status in UNAUTHORIZED:
        raise Unreadable(f"status {reply.status} for one order: not ours, or not logged in")
    _check_rate(reply, now)


def check_read(reply: Reply, now: datetime | None) -> None:
    """Raise Unavailable when the reply rejects the account, limits its rate or is a server error."""
    check_account(reply, now)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(f"status {reply.status}", retry_after=reply.retry_after(now))


def check_success(reply: Reply, refusals: MessageTable, order: Order) -> None:
    """Check that a deny or a cancel succeeded: status 200 and `error` false (D-41). Raises Refused or Uncertain."""
    answer = parse_answer(reply)
    if reply.status in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST} and answer and answer.error:
        raise refusal(answer, refusals, order)
    if reply.status != HTTPStatus.OK or answer is None or answer.error is not False:
        raise uncertain(reply)


def parse_answer(reply: Reply) -> RawAnswer | None:
    """Return the content of a reply that is not a day list; None when the body is not a JSON object."""
    return RawAnswer.parse(decode_json(reply.body))


def refusal(answer: RawAnswer | None, refusals: MessageTable, order: Order) -> Refused | Uncertain:
    """Return Refused with the reason that the message means, or Uncertain if the reply has no message.

    The text of Refused holds no data of the customer, but keeps DeliverIt's own telephone number (D-42).
    """
    if answer is None or answer.message is None:
        return Uncertain("the reply has no readable message")
    return Refused(reason_for(refusals, answer.message), redact(answer.message, order))


def redact(message: str, order: Order) -> str:
    """Return a message without the customer's data, at most 300 characters long."""
    return redact_names(redact_customer(message[: 4 * MAX_TEXT], order), order)[:MAX_TEXT]


def uncertain(reply: Reply) -> Uncertain:
    """Return the error for an undocumented reply to a call that may have taken effect."""
    return Uncertain(f"status {reply.status} with an undocumented body")


def unreadable(reply: Reply) -> Unreadable:
    """Return the error for an undocumented reply to a harmless call: a login, a day list or a repeated transfer."""
    return Unreadable(f"status {reply.status} with an undocumented body")


def _check_rate(reply: Reply, now: datetime | None) -> None:
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Throttled("too many requests", retry_after=reply.retry_after(now))
