"""Cervo Delivery API V2: a bare id for a new order, error bodies that are not JSON, a cancel by GET."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from worker.sandbox import lives
from worker.sandbox.callbacks import Letter
from worker.sandbox.lives import Moment
from worker.sandbox.world import Json, Operation, Order, World, dumps

FIELDS = [
    "address",
    "lng",
    "lat",
    "id",
    "order_id",
    "date",
    "customer",
    "mobile",
    "price",
    "payment",
    "ispaid",
    "callback",
    "status",
    "notes",
    "storelat",
    "storelng",
]
FILLED = ["customer", "address", "mobile", "id", "order_id", "lat", "lng", "storelat", "storelng"]

CANCELLABLE = frozenset({"1", "2", "5"})
ASSIGNED = frozenset({"2", "3", "4", "6"})

DRIVER = ("Sandbox Driver", "599000111")
REASON = "Canceled by the sandbox"


@dataclass(slots=True, kw_only=True)
class CervoOrder(Order):
    """An order as it was sent."""

    sent: Mapping[str, Any]


class Cervo:
    """The three operations of cervo.txt and the callback parameters."""

    name = "cervo"
    dead = frozenset({"0"})

    def __init__(self, world: World) -> None:
        self._world = world
        self._zone = ZoneInfo(world.config.cervo_timezone)
        self._seen: set[str] = set()
        self.orders: dict[str, CervoOrder] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations; the id may stand in the query, the path or a header (C-30)."""
        return (
            Operation("create", "POST", "/apis/v2/order", self.create),
            Operation("get", "GET", "/apis/v2/order", self.get),
            Operation("get", "GET", "/apis/v2/order/{id}", self.get),
            Operation("cancel", "GET", "/apis/v2/cancelorder", self.cancel),
            Operation("cancel", "GET", "/apis/v2/cancelorder/{id}", self.cancel),
        )

    def denied(self, request: Request) -> Response | None:
        """Refuse another bearer token with an empty 401 (C-02)."""
        expected = f"Bearer {self._world.config.cervo_token}"
        given = request.headers.get("authorization", "")
        return None if secrets.compare_digest(given.encode(), expected.encode()) else Response(status_code=401)

    async def create(self, request: Request) -> Response:
        """Register a new order (cervo.txt, "Register new order")."""
        try:
            sent = await request.json()
        except ValueError:
            sent = None
        faults = self._faults(sent) if isinstance(sent, dict) else ["Body is required"]
        return _complaint(faults) if faults else PlainTextResponse(self._register(sent).id)

    async def get(self, request: Request) -> Response:
        """Return the details of an order (cervo.txt, "Get order data")."""
        order = self._find(request)
        return Response(status_code=400) if order is None else Json(self._details(order))

    async def cancel(self, request: Request) -> Response:
        """Cancel an order that is not yet on hand (cervo.txt, "Cancel order")."""
        order, now = self._find(request), self._world.now()
        if order is None or order.life.word(now) not in CANCELLABLE:
            return Response(status_code=400)
        order.life.turn(now, "0")
        self._world.ledger.note(now, self.name, "cancel", order.reference, order.id)
        self._world.changed(order)
        return Response(status_code=200)

    def _faults(self, sent: Mapping[str, Any]) -> list[str]:
        absent = [field for field in FIELDS if field not in sent]
        blank = [field for field in FILLED if field in sent and sent[field] in ("", None)]
        if absent or blank:
            return [f"{_label(field)} is required" for field in dict.fromkeys((*blank, *absent))]
        if lives.script_in("cervo", sent["notes"]) in lives.REFUSING:
            return ["Customer is required"]
        if self._world.config.cervo_refuses_repeats and str(sent["id"]) in self._seen:
            return ["Id is duplicated"]
        return []

    def _register(self, sent: Mapping[str, Any]) -> CervoOrder:
        world, now = self._world, self._world.now()
        script = lives.script_in("cervo", sent["notes"])
        order = CervoOrder(
            id=str(world.number()),
            reference=str(sent["id"]),
            script=script,
            created=now,
            life=lives.begin(lives.CERVO, script, now, world.config.step),
            sent=sent,
        )
        self.orders[order.id] = order
        self._seen.add(order.reference)
        world.ledger.note(now, self.name, "create", order.reference, order.id, order_id=sent["order_id"])
        if sent["callback"]:
            world.follow(order, lambda index, moment: self._letters(order, index, moment))
        return order

    def _find(self, request: Request) -> CervoOrder | None:
        places: dict[str, Mapping[str, Any]] = {
            "query": request.query_params,
            "path": request.path_params,
            "header": request.headers,
        }
        given = (places[place].get("id") for place in self._world.config.cervo_id_location)
        return self.orders.get(next((ref for ref in given if ref), ""))

    def _details(self, order: CervoOrder) -> dict[str, Any]:
        history = order.life.history(self._world.now())
        name, mobile = _driver(history[-1].word)
        return {
            "DriverName": name,
            "DriverMobile": mobile,
            "Status": _status(history[-1].word),
            "OrderStatus": [{"Status": _status(moment.word), "Date": self._date(moment)} for moment in history[1:]],
            "tracking": _tracking(order, history[-1].word),
        }

    def _date(self, moment: Moment) -> str:
        return moment.at.astimezone(self._zone).strftime("%Y-%m-%d %H:%M")

    def _letters(self, order: CervoOrder, index: int, moment: Moment) -> list[Letter]:
        if index == 0:  # the reply itself told of the new order
            return []
        name, mobile = _driver(moment.word)
        news = {
            "order_id": order.sent["order_id"],
            "driver_name": name,
            "driver_mobile": mobile,
            "order_status": _status(moment.word),
            "cancel": REASON if moment.word in ("0", "5") else "",
            "tracking": _tracking(order, moment.word),
        }
        return [Letter(str(order.sent["callback"]), dumps(news).encode(), {"Content-Type": "application/json"})]


def _status(word: str) -> int | str:
    return int(word) if word.isdecimal() else word


def _driver(word: str) -> tuple[str, str]:
    return DRIVER if word in ASSIGNED else ("", "")


def _tracking(order: CervoOrder, word: str) -> str:
    return f"https://tracking.cervo.example/{order.id}" if word in ASSIGNED else ""


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _complaint(faults: list[str]) -> Response:
    """Write the error body of cervo.txt, which looks like JSON and is none (C-22)."""
    return PlainTextResponse('{ "' + " , ".join(faults) + '" }', status_code=400)
