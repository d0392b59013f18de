"""The Ordering platform's orders: listed, read, created, updated and deleted as its document says.

Replies are `{"error": ..., "result": ...}`, as in the platform's public API; the document itself shows none.
"""

import json
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox.ordering_order import (
    AUTOMATIC,
    CLOSED,
    NEEDED,
    UPDATABLE,
    WHEREABLE,
    PlatformOrder,
    begin,
    complete_order,
    script_of,
    written,
)
from worker.sandbox.world import Json, Operation, World, read_form

STATUSES = range(26)
PREORDER = 13
PAGE, LONGEST_PAGE = 10, 100


class Ordering:
    """The orders model of ordering.txt, with `mode=dashboard` for whoever may see all orders."""

    name = "ordering"
    dead: frozenset[str] = frozenset()

    def __init__(self, world: World) -> None:
        self._world = world
        self.orders: dict[str, PlatformOrder] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations."""
        return (
            Operation("get", "GET", "/orders/{id}", self.get),
            Operation("update", "PUT", "/orders/{id}", self.update),
            Operation("list", "GET", "/orders", self.list_orders),
            Operation("create", "POST", "/orders", self.create),
            Operation("delete", "DELETE", "/orders/{id}", self.delete),
        )

    def denied(self, request: Request) -> Response | None:
        """Refuse another API key."""
        given, expected = request.headers.get("x-api-key", ""), self._world.config.ordering_api_key
        return None if secrets.compare_digest(given.encode(), expected.encode()) else _fault("Unauthorized", 401)

    async def get(self, request: Request) -> Response:
        """Return one order."""
        order = self.orders.get(request.path_params["id"])
        return _fault("Order not found", 404) if order is None else self._shown(order)

    async def list_orders(self, request: Request) -> Response:
        """Return a page of orders, newest first; without `mode=dashboard` nobody's, which is no error (O-10)."""
        wanted = _wanted(request.query_params.get("where"))
        page = _whole(request.query_params.get("page"), 1)
        size = min(_whole(request.query_params.get("page_size"), PAGE), LONGEST_PAGE)
        newest = request.query_params.get("orderBy", "-id") == "-id"
        if wanted is None or not page or not size:
            return _fault("Invalid parameters", 400)
        visible = self.orders.values() if request.query_params.get("mode") == "dashboard" else ()
        models = [order.show(self._world.now()) for order in visible][:: -1 if newest else 1]
        found = [model for model in models if all(model.get(name) in values for name, values in wanted.items())]
        shown = found[(page - 1) * size : page * size]
        pages = {"current_page": page, "page_size": size, "total": len(found), "total_pages": -(-len(found) // size)}
        return Json({"error": False, "result": shown, "pagination": pages})

    async def create(self, request: Request) -> Response:
        """Create an order with what is "required to create"."""
        sent = await read_form(request)
        missing = [f"The {name} field is required." for name in NEEDED if sent.get(name) in ("", None)]
        return Json({"error": True, "result": missing}, 400) if missing else _result(self.seed(sent).model)

    async def update(self, request: Request) -> Response:
        """Change attributes of an order; 13 "can not be set manually" (O-19)."""
        order, sent = self.orders.get(request.path_params["id"]), await read_form(request)
        if order is None:
            return _fault("Order not found", 404)
        changes = {name: value for name, value in sent.items() if name in UPDATABLE}
        if "status" in changes:
            changes["status"] = _status(changes["status"])
            if changes["status"] is None:
                return _fault("The selected status is invalid.", 400)
        self._change(order, changes, request.headers.get("x-app-x"))
        return self._shown(order)

    async def delete(self, request: Request) -> Response:
        """Delete an order."""
        order = self.orders.pop(request.path_params["id"], None)
        if order is None:
            return _fault("Order not found", 404)
        self._note("delete", order)
        return _result("OK")

    def seed(self, sent: dict[str, Any]) -> PlatformOrder:
        """Put an order on the platform; what is not given is filled in."""
        now, script = self._world.now(), script_of(sent)
        model = complete_order(sent, self._world.number(), now)
        life = begin(script, model["status"], now, self._world.config.step)
        model["status"] = int(life.word(now))
        identity = str(model["id"])
        order = PlatformOrder(id=identity, reference=identity, script=script, created=now, life=life, model=model)
        self.orders[order.id] = order
        self._note("create", order, status=model["status"])
        return order

    def _shown(self, order: PlatformOrder) -> Response:
        return _result(order.show(self._world.now()))

    def _change(self, order: PlatformOrder, changes: dict[str, Any], app: str | None) -> None:
        now = self._world.now()
        order.model |= {**changes, "updated_at": written(now)}
        if "status" in changes:
            self._turn(order, str(changes["status"]))
        self._note("update", order, app=app, **changes)

    def _turn(self, order: PlatformOrder, word: str) -> None:
        """Hold what was written until the shop, the customer or the platform itself goes on."""
        now = self._world.now()
        if word in CLOSED:
            order.life.turn(now, word)
        else:
            order.life.interject(now, word, AUTOMATIC.get(word, ()) if self._world.config.ordering_automatic else ())

    def _note(self, action: str, order: PlatformOrder, **detail: object) -> None:
        now = self._world.now()
        self._world.ledger.note(now, self.name, action, order.reference, order.id, **detail)


def _wanted(where: str | None) -> dict[str, list[Any]] | None:
    """Read `where=[{"attribute": ..., "value": ...}]`; None when it cannot be read."""
    try:
        conditions = json.loads(where or "[]")
        wanted = {each["attribute"]: each["value"] for each in conditions}
    except (ValueError, KeyError, TypeError):
        return None
    if not wanted.keys() <= WHEREABLE:
        return None
    return {name: value if isinstance(value, list) else [value] for name, value in wanted.items()}


def _whole(written: str | None, default: int) -> int:
    return default if written is None else int(written) if written.isdecimal() else 0


def _status(value: Any) -> int | None:
    given = int(value) if str(value).isdecimal() else -1
    return given if given in STATUSES and given != PREORDER else None


def _result(result: Any) -> Response:
    return Json({"error": False, "result": result})


def _fault(message: str, status: int) -> Response:
    return Json({"error": True, "result": [message]}, status)
