"""How Borzo is spoken to: JSON or a query in, `is_successful` out, and HTTP 400 for every error (B-03)."""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox.world import Handler, Json

Answer = Callable[[Request], Awaitable[dict[str, Any]]]
Query = dict[str, list[str]]


class Refusal(Exception):
    """A request that is answered with an error code and, for `invalid_parameters`, its tree."""

    def __init__(self, code: str, parameters: Any = None) -> None:
        super().__init__(code)
        self.code, self.parameters = code, parameters


def refusal(code: str, parameters: Any = None) -> Response:
    """Write an error (borzo.txt, "Responses")."""
    return Json({"is_successful": False, "errors": [code], "parameter_errors": parameters}, 400)


def answering(answer: Answer) -> Handler:
    """Return the handler that writes what `answer` returns, or the refusal it raises."""

    async def handler(request: Request) -> Response:
        try:
            return Json({"is_successful": True, **await answer(request)})
        except Refusal as refused:
            return refusal(refused.code, refused.parameters)

    return handler


def constant(**content: Any) -> Answer:
    """Return an answer that is always the same."""

    async def answer(_: Request) -> dict[str, Any]:
        return content

    return answer


async def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object of a POST, whatever its Content-Type says, as the document's samples need."""
    try:
        sent = json.loads(await request.body())
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise Refusal(code="invalid_post_json")
    return sent


def query_of(request: Request, known: set[str]) -> Query:
    """Return the query's values by name; `name[]` is a list of `name` (B-15)."""
    query: Query = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name.removesuffix("[]"), []).append(value)
    unknown = {name: ["unknown"] for name in query if name not in known}
    if unknown:
        raise Refusal(code="invalid_parameters", parameters=unknown)
    return query


def whole_of(query: Query, name: str, default: int, highest: int | None = None) -> int:
    """Return one whole number of a query."""
    value = query.get(name, [str(default)])[0]
    if not value.isdecimal():
        raise Refusal(code="invalid_parameters", parameters={name: ["invalid_integer"]})
    if highest is not None and int(value) > highest:
        raise Refusal(code="invalid_parameters", parameters={name: ["max_value"]})
    return int(value)


class Limits:
    """Sliding windows of admitted requests: so many in so many seconds (B-06)."""

    def __init__(self, limits: Iterable[tuple[int, float]]) -> None:
        self._windows = [(most, timedelta(seconds=span), deque[datetime]()) for most, span in limits]

    def admit(self, now: datetime) -> bool:
        """Count a request and return True, or return False when a window is full."""
        for _, span, times in self._windows:
            while times and times[0] <= now - span:
                times.popleft()
        if any(len(times) >= most for most, _, times in self._windows):
            return False
        for _, _, times in self._windows:
            times.append(now)
        return True
