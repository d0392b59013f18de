"""The toy carrier's API: each read of an order moves it to its next status."""

import json
from itertools import count

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

STATUSES = ("waiting", "accepted", "loaded", "delivered")


class ToyServer:
    """The orders of the toy carrier, and the app that serves them.

    `problem` is why it refuses orders. `silent` makes requests for a price fail, and `busy` every create.
    """

    def __init__(self, key: str = "toy-key") -> None:
        self.orders: dict[str, list[str]] = {}
        self.prices = self.creates = 0
        self.problem, self.silent, self.busy = "", False, False
        self._key, self._numbers = key, count(1)
        self.app = Starlette(
            routes=[
                Route("/me", self._me),
                Route("/orders", self._create, methods=["POST"]),
                Route("/orders/{id}", self._show),
                Route("/orders/{id}/cancel", self._cancel, methods=["POST"]),
                Route("/prices", self._quote, methods=["POST"]),
            ]
        )

    async def _me(self, request: Request) -> Response:
        return JSONResponse({}, 200 if request.headers.get("x-key") == self._key else 401)

    async def _create(self, request: Request) -> Response:
        self.creates += 1
        if self.busy:
            return JSONResponse({}, 429)
        if self.problem:
            return JSONResponse({"problem": self.problem}, 409)
        sent = json.loads(await request.body())
        order = f"toy-{next(self._numbers)}-{sent['reference']}"
        self.orders[order] = list(STATUSES)
        return JSONResponse({"id": order}, 201)

    async def _show(self, request: Request) -> Response:
        statuses = self.orders[request.path_params["id"]]
        return JSONResponse({"state": statuses.pop(0) if len(statuses) > 1 else statuses[0]})

    async def _cancel(self, request: Request) -> Response:
        self.orders[request.path_params["id"]] = ["called_off"]
        return JSONResponse({}, 201)

    async def _quote(self, _: Request) -> Response:
        self.prices += 1
        if self.silent:
            return JSONResponse({}, 500)
        return JSONResponse({"price": "5.00", **({"problem": self.problem} if self.problem else {})})
