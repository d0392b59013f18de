"""The meaning of Cervo's HTTP statuses and error texts, with one check for each kind of call.

A check returns for HTTP 200, and raises a CarrierError otherwise. Only `check_probe` accepts other statuses, too.
"""

import re
from datetime import datetime
from http import HTTPStatus

from schemas.order import Order
from schemas.status import Reason
from worker.carriers.cervo.wire import MAX_TEXT, body_text, clean_line
from worker.carriers.port import Booking
from worker.errors import Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply
from worker.http.redaction import redact_contacts, redact_customer

REJECTED_TOKEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

IS_REQUIRED = re.compile(r"\bis required\b", re.IGNORECASE)
REQUIRED_OR_INVALID = re.compile(r"\b(required|invalid)\b", re.IGNORECASE)
MENTIONS_EXISTING_ORDER = re.compile(r"duplicat|already|exist|unique", re.IGNORECASE)
IS_REPEATED = re.compile(r"duplicat|\b(already|exists|unique)\b", re.IGNORECASE)


def check_create(reply: Reply, booking: Booking, now: datetime) -> None:
    """Check the status of the answer to a create.

    Raises Unavailable when Cervo rejects the token (C-02) or limits the rate (C-04). Raises Refused for a recognised
    validation error (C-22), or when the id of a resubmitted create exists already. Raises Uncertain for any other
    status except 200, because the order may exist (C-23).
    """
    _check_access(reply, now)
    if reply.status != HTTPStatus.OK:
        refused = _repetition(reply, booking) or _validation_error(reply, booking.order)
        raise refused or Uncertain(f"the create was answered with HTTP {reply.status}")


def check_read(reply: Reply, now: datetime) -> None:
    """Check the status of the answer to a read. An error never proves that the order is gone (C-40).

    Raises Unavailable or Unreadable.
    """
    _check_access(reply, now)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(f"the read was answered with HTTP {reply.status}", retry_after=reply.retry_after(now))
    if reply.status != HTTPStatus.OK:
        raise Unreadable(f"the read was answered with HTTP {reply.status}")


def check_cancel(reply: Reply, order: Order) -> None:
    """Check the status of the answer to a cancel (C-47). Raises Unavailable, Refused for a 400, or Uncertain."""
    _check_access(reply)
    if reply.status == HTTPStatus.BAD_REQUEST:
        raise Refused(Reason.UNKNOWN, _error_text(reply, order))
    if reply.status != HTTPStatus.OK:
        raise Uncertain(f"the cancel was answered with HTTP {reply.status}")


def check_probe(reply: Reply) -> None:
    """Check the status of the answer to a probe.

    Raises Unavailable if Cervo rejects the token, limits the rate or answers with a server error. Any other answer
    proves that the token works (C-02, C-40).
    """
    _check_access(reply)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(f"HTTP {reply.status}")


def _check_access(reply: Reply, now: datetime | None = None) -> None:
    """Raise Unavailable when Cervo rejects the token (C-02), and Throttled when it limits the rate (C-04)."""
    if reply.status in REJECTED_TOKEN:
        raise Unavailable(f"HTTP {reply.status}: the token is not accepted", account=True)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Throttled("HTTP 429: too many requests", retry_after=reply.retry_after(now))


def _validation_error(reply: Reply, order: Order) -> Refused | None:
    """Return Refused if the error's text says that a field is required or invalid (C-22), else None."""
    if reply.status < HTTPStatus.BAD_REQUEST or reply.status == HTTPStatus.REQUEST_TIMEOUT:
        return None
    text = body_text(reply.body)
    validation = REQUIRED_OR_INVALID if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR else IS_REQUIRED
    # A duplicate is no refusal, because the order exists; a page of HTML does not come from Cervo itself.
    if _is_html(text) or MENTIONS_EXISTING_ORDER.search(text) or not validation.search(text):
        return None
    return Refused(Reason.VALIDATION, _error_text(reply, order))


def _repetition(reply: Reply, booking: Booking) -> Refused | None:
    """Return Refused if the error's text says that the id of a resubmitted create exists already, else None."""
    text = body_text(reply.body)
    if not booking.resubmitted or reply.status < HTTPStatus.BAD_REQUEST or _is_html(text):
        return None
    return Refused(Reason.DUPLICATE, _error_text(reply, booking.order)) if IS_REPEATED.search(text) else None


def _error_text(reply: Reply, order: Order) -> str:
    """Return an error's text without the customer's data. For a page of HTML, return an empty string."""
    text = body_text(reply.body)
    if _is_html(text):
        return ""
    return clean_line(redact_contacts(redact_customer(text[: 4 * MAX_TEXT], order))) or ""


def _is_html(text: str) -> bool:
    return text.startswith("<")
