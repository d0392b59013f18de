"""What an HTTP answer is worth before its words are read: whose fault it is and whether to come back.

A 401 about the account shuts it out; a 401 about one order does not, because DeliverIt says the same of an order that
is not ours (D-09).
"""

from datetime import datetime
from http import HTTPStatus

from schemas.order import Order
from worker.carriers.deliverit.status import MessageTable, reason_of
from worker.carriers.deliverit.wire import RawAnswer, decode
from worker.errors import Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply
from worker.http.redaction import redact_customer, redact_names

SHUT_OUT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
LONGEST_TEXT = 300


def check_account(reply: Reply, now: datetime | None) -> None:
    """Stop at an answer to create, list or login that shuts out the account. Raises Unavailable."""
    if reply.status in SHUT_OUT:
        raise Unavailable(f"the account was shut out with status {reply.status}", account=True)
    _check_rate(reply, now)


def check_resource(reply: Reply, now: datetime | None) -> None:
    """Stop at an answer about one order that says nothing about it (D-09). Raises Unreadable or Unavailable."""
    if reply.status in SHUT_OUT:
        raise Unreadable(f"status {reply.status} for one order: not ours, or not logged in")
    _check_rate(reply, now)


def check_read(reply: Reply, now: datetime | None) -> None:
    """Stop at an answer to a harmless question that only says to come back. Raises Unavailable."""
    check_account(reply, now)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(f"status {reply.status}", retry_after=reply.retry_after(now))


def check_done(reply: Reply, table: MessageTable, order: Order) -> None:
    """Return when an answer to deny or cancel says `error` false under 200 (D-41). Raises Refused or Uncertain."""
    answer = answer_of(reply)
    if reply.status in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST} and answer and answer.error:
        raise refusal_of(answer, table, order)
    if reply.status != HTTPStatus.OK or answer is None or answer.error is not False:
        raise unexplained(reply)


def answer_of(reply: Reply) -> RawAnswer | None:
    """Read the words of an answer about one order; None when there are none."""
    return RawAnswer.read(decode(reply.body))


def refusal_of(answer: RawAnswer | None, table: MessageTable, order: Order) -> Refused | Uncertain:
    """Turn the words of a refusal into the error to raise; without words nobody knows what happened.

    Its text repeats nothing of the customer's, but the telephone number of DeliverIt stays (D-42).
    """
    if answer is None or answer.message is None:
        return Uncertain("an answer without a readable message")
    return Refused(reason_of(table, answer.message), said_of(answer.message, order))


def said_of(message: str, order: Order) -> str:
    """Repeat what is said of an order, without its customer."""
    return redact_names(redact_customer(message[: 4 * LONGEST_TEXT], order), order)[:LONGEST_TEXT]


def _check_rate(reply: Reply, now: datetime | None) -> None:
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Throttled("too many requests", retry_after=reply.retry_after(now))


def unexplained(reply: Reply) -> Uncertain:
    """Say that a call which may have taken effect was answered outside the document."""
    return Uncertain(f"status {reply.status} with an undocumented body")


def unread(reply: Reply) -> Unreadable:
    """Say that a harmless question was answered outside the document."""
    return Unreadable(f"status {reply.status} with an undocumented body")
