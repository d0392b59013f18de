"""The operator's door under /sandbox: what really happened, what stands, what goes wrong, what comes next."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker.sandbox import lives
from worker.sandbox.deliverit_info import BOOKED_PICKUP
from worker.sandbox.faults import PLAY, Fault
from worker.sandbox.world import Api, Json, Order

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.sandbox.app import Sandbox

INDEX = """\
Order Sync sandbox: Cervo V2, Borzo 1.6, DeliverIt and Ordering on one origin.

  GET    /sandbox/ledger                          what really happened (?since=SEQ &carrier= &reference=)
  GET    /sandbox/orders                          what stands (?carrier= &reference=)
  POST   /sandbox/orders/CARRIER/ID/step          next word, or {{"state": WORD}}; ID or our reference
  POST   /sandbox/orders/deliverit_info/ID/book   a driver for handed-over details: {{"pickup_in": SECONDS}}
  GET    /sandbox/faults                          the faults that are set
  POST   /sandbox/faults                          set one: {{"kind": KIND, "api", "operation", "times", "match", ...}}
  DELETE /sandbox/faults                          remove all
  POST   /sandbox/ordering/orders                 put orders on the platform: one object or a list
  POST   /sandbox/reset                           forget everything

Write sandbox:SCRIPT, or sandbox:CARRIER=SCRIPT for one carrier alone, into an order's free text; at Borzo
sandbox:refused=CODE refuses with any code of its document, and warns with it beside a price.
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
    """Which word to force; none means the script's next."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: str | int | None = None


class Driver(BaseModel):
    """When a driver who is booked by hand comes, in seconds from now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pickup_in: float = Field(default=BOOKED_PICKUP.total_seconds(), ge=0, le=86_400)


class Control:
    """The endpoints under /sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
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
        """Explain the sandbox in plain text."""
        sandbox, config = self._sandbox, self._sandbox.config
        text = INDEX.format(
            scripts=", ".join(lives.NAMES),
            faults=", ".join(PLAY),
            step=config.step,
            cervo=config.cervo_token,
            borzo=config.borzo_token,
            username=config.deliverit_username,
            password=config.deliverit_password,
            company=config.deliverit_company,
            ordering=config.ordering_api_key,
            orders=sum(len(api.orders) for api in sandbox.apis.values()),
            entries=len(sandbox.world.ledger.entries),
        )
        return PlainTextResponse(text)

    async def ledger(self, request: Request) -> Response:
        """Return the ledger, oldest first."""
        query = request.query_params
        since = query.get("since", "0")
        if not since.isdecimal():
            return _error(422, "since is the number of the last entry already seen")
        entries = [entry.view() for entry in self._sandbox.world.ledger.since(int(since))]
        return Json({"ledger": _filtered(entries, query)})

    async def orders(self, request: Request) -> Response:
        """Return every order with its history; `live` unless offered, denied, lapsed or cancelled."""
        views = [self._view(api, order) for api in self._sandbox.apis.values() for order in api.orders.values()]
        return Json({"orders": _filtered(views, request.query_params)})

    async def step(self, request: Request) -> Response:
        """Force an order to a word and hold it there, or begin the script's next word."""
        api, order = self._find(request.path_params["carrier"], request.path_params["id"])
        if api is None or order is None:
            return _error(404, "there is no such order")
        try:
            state = Step.model_validate_json(await request.body() or b"{}").state
        except ValidationError as wrong:
            return _error(422, str(wrong))
        now = self._sandbox.world.now()
        order.life.advance(now) if state is None else order.life.turn(now, str(state))
        self._sandbox.world.changed(order)
        return Json(self._view(api, order))

    async def book(self, request: Request) -> Response:
        """Book a driver for details that were handed over, as the merchant does in DeliverIt's pages."""
        sandbox, ref = self._sandbox, request.path_params["id"]
        named = (each for each in sandbox.details.orders.values() if ref in {each.id, each.reference})
        details = next((each for each in named if each.is_shown(sandbox.world.now())), None)
        if details is None:
            return _error(404, "DeliverIt's pages show no such order")
        try:
            wanted = Driver.model_validate_json(await request.body() or b"{}")
        except ValidationError as wrong:
            return _error(422, str(wrong))
        trip = sandbox.details.book(details, timedelta(seconds=wanted.pickup_in))
        return Json(self._view(sandbox.apis["deliverit"], trip), 201)

    async def faults(self, _: Request) -> Response:
        """Return the faults that are set."""
        return Json({"faults": self._sandbox.faults.view()})

    async def add_fault(self, request: Request) -> Response:
        """Set a fault."""
        try:
            self._sandbox.faults.add(Fault.model_validate_json(await request.body()))
        except ValidationError as wrong:
            return _error(422, str(wrong))
        return Json({"faults": self._sandbox.faults.view()}, 201)

    async def clear_faults(self, _: Request) -> Response:
        """Remove every fault."""
        self._sandbox.faults.clear()
        return Response(status_code=204)

    async def seed(self, request: Request) -> Response:
        """Put one order or several on the platform."""
        try:
            given = await request.json()
        except ValueError:
            given = None
        orders = given if isinstance(given, list) else [given]
        if not all(isinstance(order, dict) for order in orders):
            return _error(422, "the body is an order or a list of orders")
        return Json({"orders": [self._sandbox.ordering.seed(order).model for order in orders]}, 201)

    async def reset(self, _: Request) -> Response:
        """Forget everything."""
        self._sandbox.reset()
        return Response(status_code=204)

    def _find(self, carrier: str, ref: str) -> tuple[Api | None, Order | None]:
        api = self._sandbox.apis.get(carrier)
        if api is None:
            return None, None
        named = (order for order in api.orders.values() if order.reference == ref)
        return api, api.orders.get(ref) or next(named, None)

    def _view(self, api: Api, order: Order) -> dict[str, Any]:
        history = order.life.history(self._sandbox.world.now())
        return {
            "carrier": api.name,
            "id": order.id,
            "reference": order.reference,
            "script": order.script,
            "status": history[-1].word,
            "live": history[-1].word not in api.dead,
            "created_at": order.created.isoformat(),
            "history": [{"word": moment.word, "at": moment.at.isoformat()} for moment in history],
        }


def _filtered(views: list[dict[str, Any]], query: Any) -> list[dict[str, Any]]:
    wanted = {name: query[name] for name in ("carrier", "reference") if name in query}
    return [view for view in views if all(view[name] == value for name, value in wanted.items())]


def _error(status: int, message: str) -> Response:
    return Json({"error": message}, status)
