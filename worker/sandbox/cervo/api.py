"""Cervo Delivery API V2: a bare id for a new order, error bodies that are not JSON, a cancel by GET."""

import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from worker.sandbox import scenarios
from worker.sandbox.api import PLAIN_ERRORS, Json, Operation
from worker.sandbox.cervo.order import CANCELLABLE, CervoOrder, build_callback, describe, missing_fields
from worker.sandbox.world import World


class Cervo:
    """The three operations of cervo.txt."""

    name = "cervo"
    inactive_statuses = frozenset({"0"})
    error_replies = PLAIN_ERRORS

    def __init__(self, world: World) -> None:
        self._world = world
        self._zone = world.wall_clock(self.name, world.config.cervo_timezone)
        self._used_ids: set[str] = set()
        self.orders: dict[str, CervoOrder] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations; the id may be in the query, the path or a header (C-30)."""
        return (
            Operation("create", "POST", "/apis/v2/order", self.create),
            Operation("get", "GET", "/apis/v2/order", self.get),
            Operation("get", "GET", "/apis/v2/order/{id}", self.get),
            Operation("cancel", "GET", "/apis/v2/cancelorder", self.cancel),
            Operation("cancel", "GET", "/apis/v2/cancelorder/{id}", self.cancel),
        )

    def authorize(self, request: Request) -> Response | None:
        """Return an empty 401 for a wrong bearer token (C-02)."""
        expected = f"Bearer {self._world.config.cervo_token}"
        given = request.headers.get("authorization", "")
        return None if secrets.compare_digest(given.encode(), expected.encode()) else Response(status_code=401)

    async def create(self, request: Request) -> Response:
        """Create an order (cervo.txt, "Register new order")."""
        try:
            sent = await request.json()
        except ValueError:
            sent = None
        errors = self._validate(sent) if isinstance(sent, dict) else ["Body is required"]
        return _error(errors) if errors else PlainTextResponse(self._register(sent).id)

    async def get(self, request: Request) -> Response:
        """Return the details of an order (cervo.txt, "Get order data")."""
        order = self._find(request)
        if order is None:
            return Response(status_code=400)
        return Json(describe(order, self._world.now(), self._zone))

    async def cancel(self, request: Request) -> Response:
        """Cancel an order that is not yet picked up (cervo.txt, "Cancel order")."""
        order, now = self._find(request), self._world.now()
        if order is None or order.scenario.status(now) not in CANCELLABLE:
            return Response(status_code=400)
        order.scenario.hold(now, "0")
        self._world.ledger.record(now, self.name, "cancel", order.reference, order.id)
        self._world.notify(order)
        return Response(status_code=200)

    def _validate(self, sent: Mapping[str, Any]) -> list[str]:
        missing = missing_fields(sent)
        if missing:
            return [f"{_label(field)} is required" for field in missing]
        if scenarios.find_script(self.name, sent["notes"]) in scenarios.REFUSED:
            return ["Customer is required"]
        if self._world.config.cervo_refuses_repeats and str(sent["id"]) in self._used_ids:
            return ["Id is duplicated"]
        return []

    def _register(self, sent: Mapping[str, Any]) -> CervoOrder:
        world, now = self._world, self._world.now()
        script = scenarios.find_script(self.name, sent["notes"])
        order = CervoOrder(
            id=str(world.new_number()),
            reference=str(sent["id"]),
            script=script,
            created=now,
            scenario=scenarios.start(scenarios.CERVO, script, now, world.step()),
            sent=sent,
        )
        self.orders[order.id] = order
        self._used_ids.add(order.reference)
        world.ledger.record(now, self.name, "create", order.reference, order.id, order_id=sent["order_id"])
        if sent["callback"]:
            # The reply itself reports the first status, so the callbacks begin with the second.
            world.subscribe(order, lambda index, change: [build_callback(order, change)] if index else [])
        return order

    def _find(self, request: Request) -> CervoOrder | None:
        locations: dict[str, Mapping[str, Any]] = {
            "query": request.query_params,
            "path": request.path_params,
            "header": request.headers,
        }
        given = (locations[location].get("id") for location in self._world.config.cervo_id_location)
        return self.orders.get(next((ref for ref in given if ref), ""))


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()


def _error(messages: list[str]) -> Response:
    """Return the error body of cervo.txt, which looks like JSON but is not (C-22)."""
    return PlainTextResponse('{ "' + " , ".join(messages) + '" }', status_code=400)
