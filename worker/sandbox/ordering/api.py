"""The Ordering platform's orders: listed, read, created, updated and deleted (ordering.txt).

Replies are `{"error": ..., "result": ...}` as in the platform's public API, because the document shows none.
"""

import json
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox.api import PLAIN_ERRORS, Json, Operation, read_fields
from worker.sandbox.ordering.order import (
    AUTOMATIC_STATUSES,
    FILTERABLE,
    FINAL_STATUSES,
    REQUIRED,
    UPDATABLE,
    PlatformOrder,
    complete_order,
    find_script,
    format_time,
    start,
)
from worker.sandbox.world import World

STATUSES = range(26)
PREORDER = 13
PAGE_SIZE, MAX_PAGE_SIZE = 10, 100


class Ordering:
    """The orders model of ordering.txt; `mode=dashboard` shows the orders of all customers."""

    name = "ordering"
    inactive_statuses: frozenset[str] = frozenset()
    error_replies = PLAIN_ERRORS

    def __init__(self, world: World) -> None:
        self._world = world
        self.orders: dict[str, PlatformOrder] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations of the API."""
        return (
            Operation("get", "GET", "/orders/{id}", self.get),
            Operation("update", "PUT", "/orders/{id}", self.update),
            Operation("list", "GET", "/orders", self.list_orders),
            Operation("create", "POST", "/orders", self.create),
            Operation("delete", "DELETE", "/orders/{id}", self.delete),
        )

    def authorize(self, request: Request) -> Response | None:
        """Return a 401 for a wrong API key."""
        given, expected = request.headers.get("x-api-key", ""), self._world.config.ordering_api_key
        return None if secrets.compare_digest(given.encode(), expected.encode()) else _error("Unauthorized", 401)

    async def get(self, request: Request) -> Response:
        """Return one order."""
        order = self.orders.get(request.path_params["id"])
        return _error("Order not found", 404) if order is None else self._reply(order)

    async def list_orders(self, request: Request) -> Response:
        """Return a page of orders, by default newest first. Without `mode=dashboard`, the page is empty (O-10)."""
        query = request.query_params
        wanted = _parse_where(query.get("where"))
        page, size = _parse_number(query.get("page"), 1), _parse_number(query.get("page_size"), PAGE_SIZE)
        if wanted is None or not page or not size:
            return _error("Invalid parameters", 400)
        size = min(size, MAX_PAGE_SIZE)
        newest_first = query.get("orderBy", "-id") == "-id"
        visible = self.orders.values() if query.get("mode") == "dashboard" else ()
        models = [order.refresh(self._world.now()) for order in visible][:: -1 if newest_first else 1]
        found = [model for model in models if all(model.get(name) in values for name, values in wanted.items())]
        shown = found[(page - 1) * size : page * size]
        pages = {"current_page": page, "page_size": size, "total": len(found), "total_pages": -(-len(found) // size)}
        return Json({"error": False, "result": shown, "pagination": pages})

    async def create(self, request: Request) -> Response:
        """Create an order. Every attribute that is "required to create" must be sent."""
        sent = await read_fields(request)
        missing = [f"The {name} field is required." for name in REQUIRED if sent.get(name) in ("", None)]
        return Json({"error": True, "result": missing}, 400) if missing else _result(self.seed(sent).model)

    async def update(self, request: Request) -> Response:
        """Change attributes of an order; status 13 "can not be set manually" (O-19)."""
        order, sent = self.orders.get(request.path_params["id"]), await read_fields(request)
        if order is None:
            return _error("Order not found", 404)
        changes = {name: value for name, value in sent.items() if name in UPDATABLE}
        if "status" in changes:
            changes["status"] = _parse_status(changes["status"])
            if changes["status"] is None:
                return _error("The selected status is invalid.", 400)
        self._change(order, changes, request.headers.get("x-app-x"))
        return self._reply(order)

    async def delete(self, request: Request) -> Response:
        """Delete an order."""
        order = self.orders.pop(request.path_params["id"], None)
        if order is None:
            return _error("Order not found", 404)
        self._record("delete", order)
        return _result("OK")

    def seed(self, sent: dict[str, Any]) -> PlatformOrder:
        """Create an order with defaults for every attribute that was not sent."""
        now, script = self._world.now(), find_script(sent)
        model = complete_order(sent, self._world.new_number(), now)
        scenario = start(script, model["status"], now, self._world.config.step)
        model["status"] = int(scenario.status(now))
        ref = str(model["id"])
        order = PlatformOrder(id=ref, reference=ref, script=script, created=now, scenario=scenario, model=model)
        self.orders[order.id] = order
        self._record("create", order, status=model["status"])
        return order

    def _reply(self, order: PlatformOrder) -> Response:
        return _result(order.refresh(self._world.now()))

    def _change(self, order: PlatformOrder, changes: dict[str, Any], app: str | None) -> None:
        now = self._world.now()
        order.model |= {**changes, "updated_at": format_time(now)}
        if "status" in changes:
            self._set_status(order, str(changes["status"]))
        self._record("update", order, app=app, **changes)

    def _set_status(self, order: PlatformOrder, status: str) -> None:
        """Set a status. After a final status the script stops; after any other status the script continues."""
        now = self._world.now()
        if status in FINAL_STATUSES:
            order.scenario.hold(now, status)
        else:
            automatic = AUTOMATIC_STATUSES.get(status, ()) if self._world.config.ordering_automatic else ()
            order.scenario.insert(now, status, automatic)

    def _record(self, action: str, order: PlatformOrder, **detail: object) -> None:
        now = self._world.now()
        self._world.ledger.record(now, self.name, action, order.reference, order.id, **detail)


def _parse_where(where: str | None) -> dict[str, list[Any]] | None:
    """Parse `where=[{"attribute": ..., "value": ...}]` and return the wanted values by attribute.

    None when the text is malformed, or when it has an attribute that is not in `FILTERABLE`.
    """
    try:
        conditions = json.loads(where or "[]")
        wanted = {each["attribute"]: each["value"] for each in conditions}
    except (ValueError, KeyError, TypeError):
        return None
    if not wanted.keys() <= FILTERABLE:
        return None
    return {name: value if isinstance(value, list) else [value] for name, value in wanted.items()}


def _parse_number(text: str | None, default: int) -> int:
    """Return the number in a text; `default` when there is no text, and 0 when the text is not a number."""
    return default if text is None else int(text) if text.isdecimal() else 0


def _parse_status(value: Any) -> int | None:
    given = int(value) if str(value).isdecimal() else -1
    return given if given in STATUSES and given != PREORDER else None


def _result(result: Any) -> Response:
    return Json({"error": False, "result": result})


def _error(message: str, status: int) -> Response:
    return Json({"error": True, "result": [message]}, status)
