"""What the toy carrier's HTTP answers mean before anybody looks for a status in them."""

import json
from http import HTTPStatus
from typing import Any

from schemas.status import Reason
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply

PROBLEMS = {"address": Reason.UNSERVICEABLE, "closed": Reason.CARRIER_CLOSED, "too_late": Reason.DEADLINE_PASSED}


def after_asking(reply: Reply) -> dict[str, Any]:
    """Read the answer to a harmless question. Raises Unavailable or Unreadable."""
    document = _document(reply)
    if reply.status == HTTPStatus.OK and document is not None:
        return document
    raise _shut_out(reply) or (
        Unavailable(f"HTTP {reply.status}")
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        else Unreadable(f"HTTP {reply.status}")
    )


def after_changing(reply: Reply) -> dict[str, Any]:
    """Read the answer to a create or a cancel. Raises Refused, Unavailable, else Uncertain."""
    document = _document(reply)
    if reply.status == HTTPStatus.CREATED and document is not None:
        return document
    problem = document.get("problem") if document is not None else None
    if reply.status == HTTPStatus.CONFLICT and isinstance(problem, str):
        raise Refused(PROBLEMS.get(problem, Reason.UNKNOWN), problem if problem in PROBLEMS else "")
    raise _shut_out(reply) or Uncertain(f"the call was answered with HTTP {reply.status}")


def _shut_out(reply: Reply) -> CarrierError | None:
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unavailable("the key is not accepted", account=True)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled("too many requests", retry_after=reply.retry_after(None))
    return None


def _document(reply: Reply) -> dict[str, Any] | None:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
