"""Borzo Business API 1.6: every error is HTTP 400, unknown parameters are refused, callbacks are signed."""

import base64
import secrets
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox import borzo_order as wire
from worker.sandbox import borzo_parameters as parameters
from worker.sandbox import lives
from worker.sandbox.borzo_edit import edited_points
from worker.sandbox.borzo_letters import Letters
from worker.sandbox.borzo_order import BorzoOrder
from worker.sandbox.borzo_protocol import (
    Limits,
    Refusal,
    answering,
    body_of,
    constant,
    query_of,
    refusal,
    whole_of,
)
from worker.sandbox.borzo_refusals import refusal_for, texts_of
from worker.sandbox.borzo_rules import Rule
from worker.sandbox.world import Operation, World

ROOT = "/api/business/1.6"
CHANGEABLE = frozenset({"new", "available", "active", "delayed"})
STATUSES = ["new", "available", "active", "completed", "reactivated", "draft", "canceled", "delayed"]
PAGE, LONGEST_PAGE = 10, 50
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
    dead = frozenset({"canceled/planned", "canceled/canceled"})

    def __init__(self, world: World) -> None:
        self._world = world
        self._zone = ZoneInfo(world.config.borzo_timezone)
        self._limits = Limits(world.config.borzo_limits)
        self._letters = Letters(world.config, self._zone)
        self.orders: dict[str, BorzoOrder] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the methods, and last the answer to every other method, verb and version."""
        return (
            Operation("orders", "GET", f"{ROOT}/orders", answering(self.list_orders)),
            Operation("create", "POST", f"{ROOT}/create-order", answering(self.create)),
            Operation("edit", "POST", f"{ROOT}/edit-order", answering(self.edit)),
            Operation("cancel", "POST", f"{ROOT}/cancel-order", answering(self.cancel)),
            Operation("calculate", "POST", f"{ROOT}/calculate-order", answering(self.calculate)),
            Operation("courier", "GET", f"{ROOT}/courier", answering(self.courier)),
            Operation("labels", "GET", f"{ROOT}/labels", answering(self.labels)),
            Operation("client", "GET", f"{ROOT}/client", answering(constant(client=CLIENT))),
            Operation("bank_cards", "GET", f"{ROOT}/bank-cards", answering(constant(bank_cards=[BANK_CARD]))),
            Operation("ping", "GET", ROOT, answering(constant())),
            Operation("unknown", "GET", "/api/business/{rest:path}", answering(self.unknown)),
            Operation("unknown", "POST", "/api/business/{rest:path}", answering(self.unknown)),
        )

    def denied(self, request: Request) -> Response | None:
        """Refuse a missing or wrong token, and more requests than the limits allow (B-06)."""
        given = request.headers.get("x-dv-auth-token")
        if given is None:
            return refusal("required_auth_token")
        if not secrets.compare_digest(given.encode(), self._world.config.borzo_token.encode()):
            return refusal("invalid_auth_token")
        return None if self._limits.admit(self._world.now()) else refusal("requests_limit_exceeded")

    async def create(self, request: Request) -> Any:
        """Place an order (borzo.txt, "Placing an order")."""
        sent = await self._read(request, parameters.CREATE)
        script = lives.script_in("borzo", *texts_of(sent))
        if refused := refusal_for(sent, script):
            raise refused
        return {"order": self._write(self._place(sent, script))}

    async def edit(self, request: Request) -> Any:
        """Change an order; points that are not mentioned are deleted (borzo.txt, "Order editing"; B-95 to B-98)."""
        sent = await self._read(request, parameters.EDIT)
        order, now = self._order(sent.pop("order_id")), self._world.now()
        if self._status(order) not in CHANGEABLE:
            raise Refusal(code="order_cannot_be_edited")
        if refused := refusal_for(sent):
            raise refused
        if "points" in sent:
            order.points = self._edited(order, sent.pop("points"))
        order.sent = wire.complete_sent({**order.sent, **sent})
        self._world.ledger.note(now, self.name, "edit", order.reference, order.id, points=_points_of(order))
        if order.watch is not None:
            self._world.post.soon(self._letters.edited(order, now), now)
        return {"order": self._write(order)}

    async def cancel(self, request: Request) -> Any:
        """Cancel an order whose courier has visited no address (borzo.txt, "Canceling an order"; B-99)."""
        order, now = self._order((await self._read(request, parameters.ONE_ORDER))["order_id"]), self._world.now()
        history = order.life.history(now)
        status, delivery = wire.words_at(history)
        if status not in CHANGEABLE or wire.has_visited(history):
            raise Refusal(code="order_cannot_be_canceled")
        order.life.turn(now, f"canceled/{delivery if delivery == 'planned' else 'canceled'}")
        self._world.ledger.note(now, self.name, "cancel", order.reference, order.id)
        self._world.changed(order)
        return {"order": self._write(order)}

    async def calculate(self, request: Request) -> Any:
        """Price an order, also a faulty or empty one (borzo.txt, "Order price calculation"; B-20, B-21)."""
        sent, now = await body_of(request), self._world.now()
        faults = parameters.CREATE(sent)
        healthy = parameters.sound(sent, faults)
        faults = faults or parameters.conflicts(sent, now)
        points = [wire.complete_point(point, at, now, self._zone) for at, point in enumerate(healthy.get("points", []))]
        created = wire.stamp(now, self._zone)
        price = wire.write_price(self._world.number(), wire.complete_sent(healthy), points, created)
        refused = refusal_for(healthy, lives.script_in("borzo", *texts_of(healthy)))
        codes = [*(["invalid_parameters"] if faults else []), *([refused.code] if refused else [])]
        tree = parameters.merged(faults, refused.parameters if refused else None)
        return {"order": price, "warnings": list(dict.fromkeys(codes)), "parameter_warnings": tree}

    async def list_orders(self, request: Request) -> Any:
        """Return a page of orders, newest first and without their type (borzo.txt, "List of orders"; B-50, B-51)."""
        query = query_of(request, {"order_id", "status", "count", "offset"})
        count = whole_of(query, "count", PAGE, highest=LONGEST_PAGE)
        offset = whole_of(query, "offset", 0)
        found = self._chosen(query)
        page = [self._write(order) for order in found[offset : offset + count]]
        listed = [{name: value for name, value in order.items() if name != "type"} for order in page]
        return {"orders": listed, "orders_count": len(found)}

    async def courier(self, request: Request) -> Any:
        """Return who drives an order, or null (borzo.txt, "Courier info and courier location")."""
        query = query_of(request, {"order_id"})
        if "order_id" not in query:
            raise Refusal(code="invalid_parameters", parameters={"order_id": ["required"]})
        order = self._order(query["order_id"][0])
        return {"courier": wire.courier_at(order, self._world.now())}

    async def labels(self, request: Request) -> Any:
        """Return one label for each point (borzo.txt, "List of labels"; B-54)."""
        query = query_of(request, {"type", "order_id"})
        kind = query.get("type", ["pdf"])[0]
        if kind not in LABELS:
            raise Refusal(code="invalid_parameters", parameters={"type": ["invalid_enum_value"]})
        orders = [self._order(ref) for ref in query.get("order_id", [])]
        labels = [
            {"type": kind, "order_id": order.number, "point_id": point["point_id"], "delivery_id": None, **LABELS[kind]}
            for order in orders
            for point in order.points
        ]
        return {"labels": labels}

    async def unknown(self, request: Request) -> Any:
        """Answer what is no method of 1.6 (borzo.txt, "Request error codes")."""
        version, _, method = request.path_params["rest"].partition("/")
        if version != "1.6":
            raise Refusal(code="invalid_api_version")
        known = {operation.path.removeprefix(f"{ROOT}/"): operation.method for operation in self.operations[:-3]}
        raise Refusal(code=f"required_method_{known[method].lower()}" if method in known else "invalid_api_method")

    def _place(self, sent: dict[str, Any], script: str) -> BorzoOrder:
        world, now, number = self._world, self._world.now(), self._world.number()
        points = [wire.complete_point(point, index, now, self._zone) for index, point in enumerate(sent["points"])]
        if sent.get("is_return_required"):
            points.append({**points[0], "client_order_id": None, "is_return_point": True})
        order = BorzoOrder(
            id=str(number),
            reference=next((str(point["client_order_id"]) for point in points if point["client_order_id"]), ""),
            script=script,
            created=now,
            life=lives.begin(lives.BORZO, script, now, world.config.step),
            number=number,
            sent=wire.complete_sent(sent),
            points=[self._numbered(point) for point in points],
        )
        order.deliveries.update({point["point_id"]: world.number() for point in order.points})
        self.orders[order.id] = order
        world.ledger.note(now, self.name, "create", order.reference, order.id, points=_points_of(order))
        if world.config.borzo_callback_url:
            world.follow(order, lambda index, moment: self._letters.news(order, index, moment))
        return order

    def _edited(self, order: BorzoOrder, sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
        history = order.life.history(self._world.now())
        faults, points = edited_points(order.points, sent, order.created, self._zone, left=wire.has_visited(history))
        if faults:
            raise Refusal(code="invalid_parameters", parameters={"points": faults})
        numbered = [self._numbered(point) for point in points]
        order.deliveries.update(
            {point["point_id"]: self._world.number() for point in numbered if point["point_id"] not in order.deliveries}
        )
        return numbered

    def _numbered(self, point: dict[str, Any]) -> dict[str, Any]:
        packages = [{"order_package_id": self._world.number(), **package} for package in point["packages"]]
        return {**point, "point_id": point["point_id"] or self._world.number(), "packages": packages}

    def _chosen(self, query: dict[str, list[str]]) -> list[BorzoOrder]:
        """Return the orders a list asks for, newest first; ids that are not ours are left out."""
        status = query.get("status", [""])[0]
        if status and status not in STATUSES:
            raise Refusal(code="invalid_parameters", parameters={"status": ["invalid_order_status"]})
        if "order_id" in query:
            named = [self.orders[ref] for ref in sorted(set(query["order_id"]), reverse=True) if ref in self.orders]
        else:
            named = list(reversed(self.orders.values()))
        return [order for order in named if self._status(order) == status] if status else named

    async def _read(self, request: Request, rule: Rule) -> dict[str, Any]:
        sent = await body_of(request)
        faults = rule(sent) or parameters.conflicts(sent, self._world.now())
        if faults:
            raise Refusal(code="invalid_parameters", parameters=faults)
        return sent

    def _order(self, ref: Any) -> BorzoOrder:
        try:
            return self.orders[str(ref)]
        except KeyError:
            raise Refusal(code="invalid_parameters", parameters={"order_id": ["invalid_order"]}) from None

    def _status(self, order: BorzoOrder) -> str:
        return order.life.word(self._world.now()).partition("/")[0]

    def _write(self, order: BorzoOrder) -> dict[str, Any]:
        return wire.write_order(order, self._world.now(), self._zone)


def _points_of(order: BorzoOrder) -> list[int]:
    return [point["point_id"] for point in order.points]
