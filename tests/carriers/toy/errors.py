"""What the toy carrier's HTTP answers mean for the caller."""

from http import HTTPStatus
from typing import Any

from schemas.status import Reason
from tests.carriers.toy.wire import parse_document
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply

PROBLEMS = {"address": Reason.UNSERVICEABLE, "closed": Reason.CARRIER_CLOSED, "too_late": Reason.DEADLINE_PASSED}


def document_of_read(reply: Reply) -> dict[str, Any]:
    """Return the document of an answer to a harmless call. Raises Unavailable or Unreadable."""
    document = parse_document(reply.body)
    if reply.status == HTTPStatus.OK and document is not None:
        return document
    raise _rejected(reply) or (
        Unavailable(f"HTTP {reply.status}")
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        else Unreadable(f"HTTP {reply.status}")
    )


def document_of_write(reply: Reply) -> dict[str, Any]:
    """Return the document of an answer to a create or a cancel. Raises Refused, Unavailable, otherwise Uncertain."""
    document = parse_document(reply.body)
    if reply.status == HTTPStatus.CREATED and document is not None:
        return document
    problem = document.get("problem") if document is not None else None
    if reply.status == HTTPStatus.CONFLICT and isinstance(problem, str):
        raise Refused(PROBLEMS.get(problem, Reason.UNKNOWN), problem if problem in PROBLEMS else "")
    raise _rejected(reply) or Uncertain(f"the call was answered with HTTP {reply.status}")


def _rejected(reply: Reply) -> CarrierError | None:
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unavailable("the key is not accepted", account=True)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled("too many requests", retry_after=reply.retry_after(None))
    return None
