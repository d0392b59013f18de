"""Borzo Business API 1.6: every error is HTTP 400, unknown parameters are refused, callbacks are signed."""

import base64
import secrets
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox import scenarios
from worker.sandbox.api import Operation
from worker.sandbox.borzo import parameters
from worker.sandbox.borzo.callbacks import BorzoCallbacks
from worker.sandbox.borzo.courier import describe_courier
from worker.sandbox.borzo.errors import ERROR_REPLIES, RequestError, free_texts, requested_error
from worker.sandbox.borzo.order import (
    BorzoOrder,
    Point,
    complete_parameters,
    complete_point,
    edit_points,
    format_time,
    has_visited,
    statuses_of,
)
from worker.sandbox.borzo.protocol import RequestLimits, constant, handler, read_body, read_integer, read_query
from worker.sandbox.borzo.replies import write_order, write_price
from worker.sandbox.borzo.validation import Rule, merge_errors, without_errors
from worker.sandbox.world import World

ROOT = "/api/business/1.6"
CHANGEABLE = frozenset({"new", "available", "active", "delayed"})
STATUSES = ["new", "available", "active", "completed", "reactivated", "draft", "canceled", "delayed"]
PAGE_SIZE, MAX_PAGE_SIZE = 10, 50
CLIENT = {
    "name": "Sandbox",
    "phone": "5511900000001",
    "email": "sandbox@borzo.example",
    "legal_type": "individual_person",
    "allowed_payment_methods": list(parameters.PAYMENT_METHODS),
}
BANK_CARD = {
    "bank_card_id": parameters.BANK_CARD,
    "bank_card_number_mask": "411111XXXXXX1111",
    "expiration_date": "2029-01-31",
    "card_type": "visa",
}
LABELS = {
    "zpl": {"content": "^XA\n\n^FO50,50^FDSandbox^FS\n\n^XZ"},
    "pdf": {"content_base64": base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()},
}


class Borzo:
    """Every method of borzo.txt."""

    name = "borzo"
    inactive_statuses = frozenset({"canceled/planned", "canceled/canceled"})
    error_replies = ERROR_REPLIES

    def __init__(self, world: World) -> None:
        self._world = world
        self._zone = world.wall_clock(self.name, world.config.borzo_timezone)
        self._limits = RequestLimits(world.config.borzo_limits)
        self._callbacks = BorzoCallbacks(world.config, self._zone)
        self.orders: dict[str, BorzoOrder] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the methods. The last ones, `unknown`, match every other method, HTTP verb and API version."""
        return (
            Operation("orders", "GET", f"{ROOT}/orders", handler(self.list_orders)),
            Operation("create", "POST", f"{ROOT}/create-order", handler(self.create)),
            Operation("edit", "POST", f"{ROOT}/edit-order", handler(self.edit)),
            Operation("cancel", "POST", f"{ROOT}/cancel-order", handler(self.cancel)),
            Operation("calculate", "POST", f"{ROOT}/calculate-order", handler(self.calculate)),
            Operation("courier", "GET", f"{ROOT}/courier", handler(self.courier)),
            Operation("labels", "GET", f"{ROOT}/labels", handler(self.labels)),
            Operation("client", "GET", f"{ROOT}/client", handler(constant(client=CLIENT))),
            Operation("bank_cards", "GET", f"{ROOT}/bank-cards", handler(constant(bank_cards=[BANK_CARD]))),
            Operation("ping", "GET", ROOT, handler(constant())),
            Operation("unknown", "GET", "/api/business/{rest:path}", handler(self.unknown)),
            Operation("unknown", "POST", "/api/business/{rest:path}", handler(self.unknown)),
        )

    def authorize(self, request: Request) -> Response | None:
        """Return an error for a missing or wrong token, and for a request beyond the limits (B-06)."""
        given = request.headers.get("x-dv-auth-token")
        if given is None:
            return RequestError("required_auth_token").reply()
        if not secrets.compare_digest(given.encode(), self._world.config.borzo_token.encode()):
            return RequestError("invalid_auth_token").reply()
        return None if self._limits.admit(self._world.now()) else RequestError("requests_limit_exceeded").reply()

    async def create(self, request: Request) -> Any:
        """Create an order (borzo.txt, "Placing an order")."""
        sent = await self._read(request, parameters.CREATE)
        script = scenarios.find_script(self.name, *free_texts(sent))
        if error := requested_error(sent, script):
            raise error
        return {"order": self._write(self._place(sent, script))}

    async def edit(self, request: Request) -> Any:
        """Change an order (borzo.txt, "Order editing"; B-95 to B-98).

        If the edit lists points, all other points are deleted.
        """
        sent = await self._read(request, parameters.EDIT)
        order, now = self._find(sent.pop("order_id")), self._world.now()
        if self._status(order) not in CHANGEABLE:
            raise RequestError(code="order_cannot_be_edited")
        if error := requested_error(sent):
            raise error
        if "points" in sent:
            order.points = self._edit_points(order, sent.pop("points"))
        order.sent = complete_parameters({**order.sent, **sent})
        self._record(now, "edit", order, points=_point_ids(order))
        if order.notifier is not None:
            self._world.callbacks.enqueue(self._callbacks.for_edit(order, now), now)
        return {"order": self._write(order)}

    async def cancel(self, request: Request) -> Any:
        """Cancel an order whose courier has visited no address (borzo.txt, "Canceling an order"; B-99)."""
        sent = await self._read(request, parameters.ORDER_ID)
        order, now = self._find(sent["order_id"]), self._world.now()
        history = order.scenario.history(now)
        status, delivery = statuses_of(history[-1])
        if status not in CHANGEABLE or has_visited(history):
            raise RequestError(code="order_cannot_be_canceled")
        order.scenario.hold(now, f"canceled/{delivery if delivery == 'planned' else 'canceled'}")
        self._record(now, "cancel", order)
        self._world.notify(order)
        return {"order": self._write(order)}

    async def calculate(self, request: Request) -> Any:
        """Return the price of an order, even of an invalid one (borzo.txt, "Order price calculation"; B-20, B-21)."""
        sent, now = await read_body(request), self._world.now()
        errors = parameters.CREATE(sent)
        valid = without_errors(sent, errors)
        errors = errors or parameters.conflicts(sent, now)
        points = [complete_point(point, at, now, self._zone) for at, point in enumerate(valid.get("points", []))]
        created = format_time(now, self._zone)
        price = write_price(self._world.new_number(), complete_parameters(valid), points, created)
        requested = requested_error(valid, scenarios.find_script(self.name, *free_texts(valid)))
        codes = [*(["invalid_parameters"] if errors else []), *([requested.code] if requested else [])]
        tree = merge_errors(errors, requested.parameters if requested else None)
        return {"order": price, "warnings": list(dict.fromkeys(codes)), "parameter_warnings": tree}

    async def list_orders(self, request: Request) -> Any:
        """Return a page of orders, newest first (borzo.txt, "List of orders"; B-50). No order has a `type` (B-51)."""
        query = read_query(request, {"order_id", "status", "count", "offset"})
        count = read_integer(query, "count", PAGE_SIZE, highest=MAX_PAGE_SIZE)
        offset = read_integer(query, "offset", 0)
        found = self._filter(query)
        page = [self._write(order) for order in found[offset : offset + count]]
        listed = [{name: value for name, value in order.items() if name != "type"} for order in page]
        return {"orders": listed, "orders_count": len(found)}

    async def courier(self, request: Request) -> Any:
        """Return the courier of an order, or null without one (borzo.txt, "Courier info and courier location")."""
        query = read_query(request, {"order_id"})
        if "order_id" not in query:
            raise RequestError(code="invalid_parameters", parameters={"order_id": ["required"]})
        order = self._find(query["order_id"][0])
        return {"courier": describe_courier(order, self._world.now())}

    async def labels(self, request: Request) -> Any:
        """Return one label for each point (borzo.txt, "List of labels"; B-54)."""
        query = read_query(request, {"type", "order_id"})
        kind = query.get("type", ["pdf"])[0]
        if kind not in LABELS:
            raise RequestError(code="invalid_parameters", parameters={"type": ["invalid_enum_value"]})
        orders = [self._find(ref) for ref in query.get("order_id", [])]
        labels = [
            {"type": kind, "order_id": order.number, "point_id": point["point_id"], "delivery_id": None, **LABELS[kind]}
            for order in orders
            for point in order.points
        ]
        return {"labels": labels}

    async def unknown(self, request: Request) -> Any:
        """Raise the error for a request that is not a method of version 1.6 (borzo.txt, "Request error codes")."""
        version, _, method = request.path_params["rest"].partition("/")
        if version != "1.6":
            raise RequestError(code="invalid_api_version")
        verbs = {operation.path.removeprefix(f"{ROOT}/"): operation.method for operation in self.operations[:-3]}
        raise RequestError(f"required_method_{verbs[method].lower()}" if method in verbs else "invalid_api_method")

    def _place(self, sent: dict[str, Any], script: str) -> BorzoOrder:
        world, now, number = self._world, self._world.now(), self._world.new_number()
        points = [complete_point(point, index, now, self._zone) for index, point in enumerate(sent["points"])]
        if sent.get("is_return_required"):
            points.append({**points[0], "client_order_id": None, "is_return_point": True})
        order = BorzoOrder(
            id=str(number),
            reference=next((str(point["client_order_id"]) for point in points if point["client_order_id"]), ""),
            script=script,
            created=now,
            scenario=scenarios.start(scenarios.BORZO, script, now, world.step()),
            number=number,
            sent=complete_parameters(sent),
            points=[self._with_ids(point) for point in points],
        )
        order.deliveries.update({point["point_id"]: world.new_number() for point in order.points})
        self.orders[order.id] = order
        self._record(now, "create", order, points=_point_ids(order))
        if world.config.borzo_callback_url:
            world.subscribe(order, lambda index, change: self._callbacks.for_status(order, index, change))
        return order

    def _edit_points(self, order: BorzoOrder, sent: list[Point]) -> list[Point]:
        visited = has_visited(order.scenario.history(self._world.now()))
        errors, points = edit_points(order.points, sent, order.created, self._zone, pickup_visited=visited)
        if errors:
            raise RequestError(code="invalid_parameters", parameters={"points": errors})
        edited = [self._with_ids(point) for point in points]
        added = [point["point_id"] for point in edited if point["point_id"] not in order.deliveries]
        order.deliveries.update({point_id: self._world.new_number() for point_id in added})
        return edited

    def _with_ids(self, point: Point) -> Point:
        packages = [{"order_package_id": self._world.new_number(), **package} for package in point["packages"]]
        return {**point, "point_id": point["point_id"] or self._world.new_number(), "packages": packages}

    def _filter(self, query: dict[str, list[str]]) -> list[BorzoOrder]:
        """Return the orders that a list request selects, newest first; unknown ids are ignored."""
        status = query.get("status", [""])[0]
        if status and status not in STATUSES:
            raise RequestError(code="invalid_parameters", parameters={"status": ["invalid_order_status"]})
        if "order_id" in query:
            found = [self.orders[ref] for ref in sorted(set(query["order_id"]), reverse=True) if ref in self.orders]
        else:
            found = list(reversed(self.orders.values()))
        return [order for order in found if self._status(order) == status] if status else found

    async def _read(self, request: Request, rule: Rule) -> dict[str, Any]:
        sent = await read_body(request)
        errors = rule(sent) or parameters.conflicts(sent, self._world.now())
        if errors:
            raise RequestError(code="invalid_parameters", parameters=errors)
        return sent

    def _find(self, ref: Any) -> BorzoOrder:
        try:
            return self.orders[str(ref)]
        except KeyError:
            raise RequestError(code="invalid_parameters", parameters={"order_id": ["invalid_order"]}) from None

    def _status(self, order: BorzoOrder) -> str:
        return order.scenario.status(self._world.now()).partition("/")[0]

    def _write(self, order: BorzoOrder) -> dict[str, Any]:
        return write_order(order, self._world.now(), self._zone)

    def _record(self, now: datetime, action: str, order: BorzoOrder, **detail: object) -> None:
        self._world.ledger.record(now, self.name, action, order.reference, order.id, **detail)


def _point_ids(order: BorzoOrder) -> list[int]:
    return [point["point_id"] for point in order.points]
