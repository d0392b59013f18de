"""A client of a sandbox whose clock only moves when a test advances it; the client receives the callbacks too."""

import asyncio
import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from worker.sandbox import Sandbox, SandboxConfig

START = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
FIRST = int(START.timestamp() * 10_000)
CALLBACK_URL = "https://shop.example/callbacks"

_BASIC = base64.b64encode(b"sandbox@deliverit.example:sandbox-deliverit-password").decode()
CREDENTIALS = {
    "Authorization": "Bearer sandbox-cervo-token",
    "X-DV-Auth-Token": "sandbox-borzo-token",
    "x-api-key": "sandbox-ordering-key",
}


class SandboxClient:
    """Sends requests with valid credentials to a new sandbox and collects its callbacks."""

    def __init__(self, **settings: Any) -> None:
        self.now = START
        self.sleeps: list[float] = []
        self.callbacks: list[httpx.Request] = []
        self.callback_statuses: list[int] = []
        """The replies to the next callbacks; every further one is answered with 200."""
        config = SandboxConfig(step=5, clock=lambda: self.now, sleep=self._sleep, **settings)
        self.sandbox = Sandbox(config, httpx.MockTransport(self._receive))
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(self.sandbox.app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=CREDENTIALS)

    @property
    def headers(self) -> httpx.Headers:
        """Return the headers that every request has."""
        return self._client.headers

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.get(path, **options))

    def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.post(path, json=json, **options))

    def put(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.put(path, json=json, **options))

    def delete(self, path: str) -> httpx.Response:
        return self._runner.run(self._client.delete(path))

    def post_form(self, path: str, form: Any = None, **options: Any) -> httpx.Response:
        """POST a form to DeliverIt."""
        headers = {"Authorization": f"Basic {_BASIC}"}
        return self._runner.run(self._client.post(f"/api/v1{path}", data=form, headers=headers, **options))

    def day_list(self, start: str = "2026-11-21", end: str = "2026-11-21") -> httpx.Response:
        """Return DeliverIt's list of orders."""
        headers = {"Authorization": f"Basic {_BASIC}"}
        return self.get(f"/api/v1/order/14/{start}/{end}", headers=headers)

    def add_fault(self, kind: str, **fields: Any) -> None:
        assert self.post("/sandbox/faults", {"kind": kind, **fields}).status_code == 201

    def ledger(self) -> list[tuple[str, str, str]]:
        """Return the carrier, the action and the reference of every entry."""
        entries = self.get("/sandbox/ledger").json()["ledger"]
        return [(entry["carrier"], entry["action"], entry["reference"]) for entry in entries]

    def advance(self, seconds: float) -> None:
        """Advance the clock and run the events that are due."""
        self.now += timedelta(seconds=seconds)
        self._runner.run(self.sandbox.scheduler.run_due())

    def observe(self, read: Callable[[], Any], steps: int) -> list[Any]:
        """Return the results of `read` now and after each of `steps` steps."""
        seen = [read()]
        for _ in range(steps):
            self.advance(5)
            seen.append(read())
        return seen

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self.sandbox.callbacks.close())
        self._runner.close()

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    async def _receive(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.callbacks.append(request)
        return httpx.Response(self.callback_statuses.pop(0) if self.callback_statuses else 200)


def cervo_order(**changes: Any) -> dict[str, Any]:
    return {
        "address": "address Of the customer",
        "lng": 34.266593,
        "lat": 31.279708,
        "id": 2011,
        "order_id": "2011",
        "date": "2023-04-28 14:40",
        "customer": "Testing customer",
        "mobile": "+966599000111",
        "price": 1.2,
        "payment": "CASH",
        "ispaid": "PAID",
        "callback": "",
        "status": 1,
        "notes": "",
        "storelat": 31.277202,
        "storelng": 34.268996,
        **changes,
    }


def borzo_order(note: str | None = None, **changes: Any) -> dict[str, Any]:
    pickup = {"address": "R. Guamiranga, 1140", "contact_person": {"phone": "5511900000001"}}
    drop = {
        "address": "Av. Paulista, 1439",
        "contact_person": {"phone": "5511900000001"},
        "client_order_id": "A-1",
        "note": note,
    }
    return {"matter": "Documents", "points": [pickup, drop], **changes}


def deliverit_order(**changes: Any) -> dict[str, Any]:
    return {
        "firstname": "Anna",
        "lastname": "Jensen",
        "street": "Vestergade 1",
        "zip": "5000",
        "city": "Odense C",
        "time": "2026-11-21 18:30",
        "telephone": "12345678",
        "remarks": "#AB12 ring the bell",
        "latitude": "55.3957969",
        "longitude": "10.3912053",
        **changes,
    }
