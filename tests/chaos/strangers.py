"""Callbacks of strangers: well formed, and about orders that are not ours.

Anybody can send them to Cervo's unsigned address. At Borzo's, some are forged, and others come from Borzo itself: they
are about the orders of another system with the same account.
"""

import asyncio
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import httpx

from tests.chaos.processes import SECRETS
from tests.chaos.proxy import Network

PER_SECOND = 100
OF_BORZO = 20
"""One callback in so many comes from Borzo itself: about as many as Borzo sends for our own orders."""
TIMEOUT = 5
FIRST_ORDER = 900_000_000
"""The number of a stranger's first order; the sandbox's numbers are larger."""


@dataclass(frozen=True)
class StrangeCallback:
    """A callback: the path of its address, its body and its signature."""

    path: str
    body: bytes
    signature: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers, with the signature if there is one."""
        signed = {"X-DV-Signature": self.signature} if self.signature else {}
        return {"Content-Type": "application/json; charset=utf-8", **signed}


def of_cervo(number: int, dice: random.Random) -> StrangeCallback:
    """Return an unsigned callback whose address has an unknown secret (cervo.txt, "Callback parameters")."""
    content = {
        "order_id": str(number),
        "driver_name": "Somebody Else",
        "driver_mobile": "599000222",
        "order_status": dice.choice([2, 3, 4]),
        "cancel": "",
        "tracking": "",
    }
    return StrangeCallback(f"/callbacks/cervo/{dice.randbytes(16).hex()}", json.dumps(content).encode())


def of_borzo(number: int, at: datetime, secret: str) -> StrangeCallback:
    """Return a callback that is signed with a secret (borzo.txt, "Notification about order changes")."""
    points = [{"point_id": number + place, "client_order_id": f"other-{number}"} for place in range(2)]
    order = {"order_id": number, "status": "active", "created_datetime": at.isoformat(), "points": points}
    event = {"event_datetime": at.isoformat(), "event_type": "order_changed", "order": order}
    body = json.dumps(event).encode()
    return StrangeCallback("/callbacks/borzo", body, hmac.new(secret.encode(), body, hashlib.sha256).hexdigest())


class Strangers:
    """Sends callbacks of all three kinds while they flood."""

    def __init__(self, network: Network, webs: Sequence[str], seed: int, clock: Callable[[], datetime]) -> None:
        self._network = network
        self._webs, self._dice, self._clock = webs, random.Random(seed), clock
        self._sending: set[asyncio.Task[None]] = set()
        self.flooding, self.sent = False, 0

    def begin(self) -> None:
        """Begin a flood."""
        self.flooding = True
        self._network.start(self.flood())

    def end(self) -> None:
        """End the flood."""
        self.flooding = False

    async def flood(self) -> None:
        """Send callbacks until the flood is over."""
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            while self.flooding:
                task = asyncio.create_task(self._send(client, self._next()))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
                await asyncio.sleep(1 / PER_SECOND)
            await asyncio.gather(*self._sending)

    def _next(self) -> StrangeCallback:
        self.sent += 1
        number = FIRST_ORDER + self.sent
        if self.sent % 2:
            return of_cervo(number, self._dice)
        return of_borzo(number, self._clock(), "a guessed secret" if self.sent % OF_BORZO else SECRETS[2])

    async def _send(self, client: httpx.AsyncClient, callback: StrangeCallback) -> None:
        with suppress(httpx.TransportError):
            await client.post(
                f"{self._dice.choice(self._webs)}{callback.path}", content=callback.body, headers=callback.headers
            )
