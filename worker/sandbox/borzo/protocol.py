"""Borzo's protocol: requests with a JSON body or a query, replies with `is_successful`, and request limits."""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox.api import Handler, Json
from worker.sandbox.borzo.errors import RequestError

Method = Callable[[Request], Awaitable[dict[str, Any]]]
"""A function that returns the content of a successful reply, or raises RequestError."""
Query = dict[str, list[str]]


def handler(method: Method) -> Handler:
    """Return the handler that answers with the content that `method` returns, or with the error that it raises."""

    async def handle(request: Request) -> Response:
        try:
            return Json({"is_successful": True, **await method(request)})
        except RequestError as error:
            return error.reply()

    return handle


def constant(**content: Any) -> Method:
    """Return a method that always returns the same content."""

    async def method(_: Request) -> dict[str, Any]:
        return content

    return method


async def read_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a POST. The Content-Type is ignored, because the document's samples set none."""
    try:
        sent = json.loads(await request.body())
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise RequestError(code="invalid_post_json")
    return sent


def read_query(request: Request, known: set[str]) -> Query:
    """Return the values of each query parameter; `name[]` and `name` are the same parameter (B-15)."""
    query: Query = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name.removesuffix("[]"), []).append(value)
    unknown = {name: ["unknown"] for name in query if name not in known}
    if unknown:
        raise RequestError(code="invalid_parameters", parameters=unknown)
    return query


def read_integer(query: Query, name: str, default: int, highest: int | None = None) -> int:
    """Return an integer parameter of a query."""
    value = query.get(name, [str(default)])[0]
    if not value.isdecimal():
        raise RequestError(code="invalid_parameters", parameters={name: ["invalid_integer"]})
    if highest is not None and int(value) > highest:
        raise RequestError(code="invalid_parameters", parameters={name: ["max_value"]})
    return int(value)


class RequestLimits:
    """Request limits (B-06). Each limit is a number of requests, and the seconds of its sliding window."""

    def __init__(self, limits: Iterable[tuple[int, float]]) -> None:
        self._windows = [(most, timedelta(seconds=span), deque[datetime]()) for most, span in limits]

    def admit(self, now: datetime) -> bool:
        """Count a request and return True. If a window is full, count nothing and return False."""
        for _, span, times in self._windows:
            while times and times[0] <= now - span:
                times.popleft()
        if any(len(times) >= most for most, _, times in self._windows):
            return False
        for _, _, times in self._windows:
            times.append(now)
        return True
