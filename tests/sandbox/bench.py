"""A sandbox on a clock that stands still until a test moves it, with a client and an inbox for its callbacks."""

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


class Bench:
    """What a test holds in its hands."""

    def __init__(self, **settings: Any) -> None:
        self.now = START
        self.slept: list[float] = []
        self.inbox: list[httpx.Request] = []
        self.answers: list[int] = []
        config = SandboxConfig(step=5, clock=lambda: self.now, sleep=self._sleep, **settings)
        self.sandbox = Sandbox(config, httpx.MockTransport(self._receive))
        self._loop = asyncio.Runner()
        transport = httpx.ASGITransport(self.sandbox.app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=CREDENTIALS)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._loop.run(self._client.get(path, **options))

    def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self._loop.run(self._client.post(path, json=json, **options))

    def put(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self._loop.run(self._client.put(path, json=json, **options))

    def delete(self, path: str) -> httpx.Response:
        return self._loop.run(self._client.delete(path))

    def deliverit(self, path: str, form: Any = None, **options: Any) -> httpx.Response:
        """POST a form, as DeliverIt is spoken to."""
        headers = {"Authorization": f"Basic {_BASIC}"}
        return self._loop.run(self._client.post(f"/api/v1{path}", data=form, headers=headers, **options))

    def day(self, start: str = "2026-11-21", end: str = "2026-11-21") -> httpx.Response:
        """GET DeliverIt's list."""
        headers = {"Authorization": f"Basic {_BASIC}"}
        return self.get(f"/api/v1/order/14/{start}/{end}", headers=headers)

    def fault(self, kind: str, **fields: Any) -> None:
        assert self.post("/sandbox/faults", {"kind": kind, **fields}).status_code == 201

    def ledger(self) -> list[tuple[str, str, str]]:
        """Return carrier, action and reference of every entry."""
        entries = self.get("/sandbox/ledger").json()["ledger"]
        return [(entry["carrier"], entry["action"], entry["reference"]) for entry in entries]

    def later(self, seconds: float) -> None:
        """Move the clock and do what has become due."""
        self.now += timedelta(seconds=seconds)
        self._loop.run(self.sandbox.agenda.pump())

    def life(self, read: Callable[[], Any], steps: int) -> list[Any]:
        """Return what `read` sees now and after each of `steps` steps."""
        seen = [read()]
        for _ in range(steps):
            self.later(5)
            seen.append(read())
        return seen

    def close(self) -> None:
        self._loop.run(self._client.aclose())
        self._loop.run(self.sandbox.post.close())
        self._loop.close()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def _receive(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.inbox.append(request)
        return httpx.Response(self.answers.pop(0) if self.answers else 200)


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
