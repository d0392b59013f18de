"""The control endpoints under /sandbox: the ledger, the orders and their steps, faults, new platform orders, reset."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker.sandbox import scenarios
from worker.sandbox.api import Api, Json, Order
from worker.sandbox.deliverit.order_info import BOOKED_PICKUP, OrderInfo
from worker.sandbox.faults import BEHAVIOURS, Fault, Faults
from worker.sandbox.ordering.api import Ordering
from worker.sandbox.world import World

INDEX = """\
Order Sync sandbox: Cervo V2, Borzo 1.6, DeliverIt and Ordering on one origin.

  GET    /sandbox/ledger                          what really happened (?since=SEQ &carrier= &reference=)
  GET    /sandbox/orders                          orders with their history (?carrier= &reference=)
  POST   /sandbox/orders/CARRIER/ID/step          next status, or {{"state": STATUS}}; ID or our reference
  POST   /sandbox/orders/deliverit_info/ID/book   book a driver for customer details: {{"pickup_in": SECONDS}}
  GET    /sandbox/faults                          the active faults
  POST   /sandbox/faults                          add one: {{"kind": KIND, "api", "operation", "times", "match", ...}}
  DELETE /sandbox/faults                          remove all
  POST   /sandbox/ordering/orders                 create platform orders: one object or a list
  POST   /sandbox/reset                           remove all orders, faults and ledger entries

Write sandbox:SCRIPT, or sandbox:CARRIER=SCRIPT for one carrier only, into an order's free text. At Borzo,
sandbox:refused=CODE makes a create fail with any documented code, and a price come with it as a warning.
Scripts: {scripts}
Faults:  {faults}
Step:    {step} s

Cervo      Authorization: Bearer {cervo}
Borzo      X-DV-Auth-Token: {borzo}
DeliverIt  {username} / {password}, company {company}
Ordering   x-api-key: {ordering}

Orders: {orders}   Ledger: {entries} entries
"""


class Step(BaseModel):
    """The status to set; null means the next status of the script."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: str | int | None = None


class ManualBooking(BaseModel):
    """A driver booked by hand; `pickup_in` is the time until the pickup in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pickup_in: float = Field(default=BOOKED_PICKUP.total_seconds(), ge=0, le=86_400)


class Control:
    """The control endpoints of one sandbox."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        apis: Mapping[str, Api],
        order_info: OrderInfo,
        ordering: Ordering,
        reset: Callable[[], None],
    ) -> None:
        self._world, self._faults, self._apis = world, faults, apis
        self._order_info, self._ordering, self._reset = order_info, ordering, reset
        self.routes = [
            Route("/sandbox", self.index, methods=["GET"]),
            Route("/sandbox/ledger", self.ledger, methods=["GET"]),
            Route("/sandbox/orders", self.orders, methods=["GET"]),
            Route("/sandbox/orders/{carrier}/{id}/step", self.step, methods=["POST"]),
            Route("/sandbox/orders/deliverit_info/{id}/book", self.book, methods=["POST"]),
            Route("/sandbox/faults", self.faults, methods=["GET"]),
            Route("/sandbox/faults", self.add_fault, methods=["POST"]),
            Route("/sandbox/faults", self.clear_faults, methods=["DELETE"]),
            Route("/sandbox/ordering/orders", self.seed, methods=["POST"]),
            Route("/sandbox/reset", self.reset, methods=["POST"]),
        ]

    async def index(self, _: Request) -> Response:
        """Return a plain-text guide to the sandbox."""
        config = self._world.config
        text = INDEX.format(
            scripts=", ".join(scenarios.SCRIPT_NAMES),
            faults=", ".join(BEHAVIOURS),
            step=config.step,
            cervo=config.cervo_token,
            borzo=config.borzo_token,
            username=config.deliverit_username,
            password=config.deliverit_password,
            company=config.deliverit_company,
            ordering=config.ordering_api_key,
            orders=sum(len(api.orders) for api in self._apis.values()),
            entries=len(self._world.ledger.entries),
        )
        return PlainTextResponse(text)

    async def ledger(self, request: Request) -> Response:
        """Return the ledger entries that the query selects, oldest first."""
        query = request.query_params
        since = query.get("since", "0")
        if not since.isdecimal():
            return _error(422, "since must be the number of a ledger entry")
        entries = [entry.to_json() for entry in self._world.ledger.since(int(since))]
        return Json({"ledger": _filter(entries, query)})

    async def orders(self, request: Request) -> Response:
        """Return the orders that the query selects, with their histories; `live` means that a courier is booked."""
        orders = [self._describe(api, order) for api in self._apis.values() for order in api.orders.values()]
        return Json({"orders": _filter(orders, request.query_params)})

    async def step(self, request: Request) -> Response:
        """Set the status of an order and stop its script, or begin the next status of the script."""
        api, order = self._find(request.path_params["carrier"], request.path_params["id"])
        if api is None or order is None:
            return _error(404, "order not found")
        try:
            state = Step.model_validate_json(await request.body() or b"{}").state
        except ValidationError as invalid:
            return _error(422, str(invalid))
        now = self._world.now()
        order.scenario.advance(now) if state is None else order.scenario.hold(now, str(state))
        self._world.notify(order)
        return Json(self._describe(api, order))

    async def book(self, request: Request) -> Response:
        """Book a driver for customer details, as the merchant does on DeliverIt's website."""
        ref, now = request.path_params["id"], self._world.now()
        found = (each for each in self._order_info.orders.values() if ref in {each.id, each.reference})
        details = next((each for each in found if each.can_be_booked(now)), None)
        if details is None:
            return _error(404, "DeliverIt's website shows no such order")
        try:
            booking = ManualBooking.model_validate_json(await request.body() or b"{}")
        except ValidationError as invalid:
            return _error(422, str(invalid))
        trip = self._order_info.book(details, timedelta(seconds=booking.pickup_in))
        return Json(self._describe(self._apis["deliverit"], trip), 201)

    async def faults(self, _: Request) -> Response:
        """Return the active faults."""
        return Json({"faults": self._faults.to_json()})

    async def add_fault(self, request: Request) -> Response:
        """Add a fault."""
        try:
            self._faults.add(Fault.model_validate_json(await request.body()))
        except ValidationError as invalid:
            return _error(422, str(invalid))
        return Json({"faults": self._faults.to_json()}, 201)

    async def clear_faults(self, _: Request) -> Response:
        """Remove every fault."""
        self._faults.clear()
        return Response(status_code=204)

    async def seed(self, request: Request) -> Response:
        """Create one or several orders on the platform."""
        try:
            given = await request.json()
        except ValueError:
            given = None
        orders = given if isinstance(given, list) else [given]
        if not all(isinstance(order, dict) for order in orders):
            return _error(422, "the body must be an order or a list of orders")
        return Json({"orders": [self._ordering.seed(order).model for order in orders]}, 201)

    async def reset(self, _: Request) -> Response:
        """Remove every order, fault and ledger entry."""
        self._reset()
        return Response(status_code=204)

    def _find(self, carrier: str, ref: str) -> tuple[Api | None, Order | None]:
        api = self._apis.get(carrier)
        if api is None:
            return None, None
        by_reference = (order for order in api.orders.values() if order.reference == ref)
        return api, api.orders.get(ref) or next(by_reference, None)

    def _describe(self, api: Api, order: Order) -> dict[str, Any]:
        history = order.scenario.history(self._world.now())
        status = history[-1].status
        return {
            "carrier": api.name,
            "id": order.id,
            "reference": order.reference,
            "script": order.script,
            "status": status,
            "live": status not in api.inactive_statuses,
            "created_at": order.created.isoformat(),
            "history": [{"word": change.status, "at": change.at.isoformat()} for change in history],
        }


def _filter(items: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    wanted = {name: query[name] for name in ("carrier", "reference") if name in query}
    return [item for item in items if all(item[name] == value for name, value in wanted.items())]


def _error(status: int, message: str) -> Response:
    return Json({"error": message}, status)
