"""What Cervo's HTTP answers mean before anybody looks for a status in them (C-02, C-22, C-40, C-47)."""

import re
from datetime import datetime
from http import HTTPStatus

from schemas.order import Order
from schemas.status import Reason
from worker.carriers.cervo.wire import MAX_TEXT, one_line
from worker.errors import Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply
from worker.http.redaction import redact_contacts, redact_customer

CERVO_REF = re.compile(r"[1-9][0-9]{0,18}")
"""Cervo's own id (C-21); never our own `id` (C-31)."""

NOT_LET_IN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

IS_REQUIRED = re.compile(r"\bis required\b", re.IGNORECASE)
COMPLAINT = re.compile(r"\b(required|invalid)\b", re.IGNORECASE)
SAYS_IT_EXISTS = re.compile(r"duplicat|already|exist", re.IGNORECASE)


def is_cervo_ref(text: str | None) -> bool:
    """Tell whether a text is an id of Cervo's (C-21)."""
    return text is not None and CERVO_REF.fullmatch(text) is not None


def read_ref(reply: Reply, order: Order, now: datetime) -> str:
    """Read Cervo's id out of the answer to a create (C-21).

    Raises Unavailable, Refused for a recognised complaint (C-22), and Uncertain for everything else (C-23).
    """
    refuse_entry(reply, now)
    if reply.status != HTTPStatus.OK:
        raise complaint(reply, order) or Uncertain(f"the create was answered with HTTP {reply.status}")
    ref = _text(reply).strip("\"'").strip()
    if not is_cervo_ref(ref):
        raise Uncertain("the create was answered with HTTP 200, but not with an id")
    return ref


def complaint(reply: Reply, order: Order) -> Refused | None:
    """Recognise a complaint about our data in an error's text, which is no JSON (C-22)."""
    if reply.status < HTTPStatus.BAD_REQUEST or reply.status == HTTPStatus.REQUEST_TIMEOUT:
        return None
    text = _text(reply)
    known = COMPLAINT if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR else IS_REQUIRED
    # A word on duplicates would mean that the order stands; a page of HTML is somebody else's answer.
    if text.startswith("<") or SAYS_IT_EXISTS.search(text) or not known.search(text):
        return None
    return Refused(Reason.VALIDATION, error_text(reply, order) or "")


def error_text(reply: Reply, order: Order) -> str | None:
    """Give an error's own text without anything of the customer's in it; None for a page of HTML."""
    text = _text(reply)
    return (
        None
        if text.startswith("<")
        else one_line(redact_contacts(redact_customer(text[: 4 * MAX_TEXT], order)), MAX_TEXT)
    )


def refuse_entry(reply: Reply, now: datetime | None = None) -> None:
    """Raise Unavailable when Cervo did not let us in (C-02) or asks us to come later (C-04)."""
    if reply.status in NOT_LET_IN:
        raise Unavailable(f"HTTP {reply.status}: the token is not accepted", account=True)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Throttled("HTTP 429: too many requests", retry_after=reply.retry_after(now))


def refuse_unread(reply: Reply, now: datetime) -> None:
    """Raise unless a read was answered with 200; an error never says that an order is gone (C-40)."""
    refuse_entry(reply, now)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(f"the read was answered with HTTP {reply.status}", retry_after=reply.retry_after(now))
    if reply.status != HTTPStatus.OK:
        raise Unreadable(f"the read was answered with HTTP {reply.status}")


def _text(reply: Reply) -> str:
    return reply.body.decode("utf-8-sig", "replace").strip()
