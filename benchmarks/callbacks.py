"""The latency of a callback: from the answer 200 of the web process to the event on the bus.

The orders are at Borzo, which the sandbox simulates. First, each order gets a callback with a courier, which is applied
at once. Then a read shows every order. Then each order gets a callback that takes the courier away. Such a step back is
only applied after another read confirms it, so this figure contains a call to the carrier, which replies after 50 ms.
"""

import hashlib
import hmac
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from benchmarks.programs import CARRIERS, OrderSync, running
from benchmarks.report import Options, Report, percentile
from benchmarks.services import services, wait_until
from worker.local.supervisor import free_port

ORDERS = 200
WARM_UP = 20
PAUSE = (0.15, 0.25)
"""The shortest and the longest pause between two callbacks, in seconds. In between, the one before is done."""
GOALS = {"p50": 25.0, "p99": 50.0}
"""The highest latencies of a callback that needs no read, in milliseconds."""


@dataclass(frozen=True)
class Borzo:
    """The carrier: it changes the statuses of its orders in the sandbox, and sends callbacks about them."""

    sandbox: httpx.Client
    web: httpx.Client
    refs: Mapping[str, str]
    """Borzo's order ids, by our order ids."""
    references: Mapping[str, str]
    """Our references, by Borzo's order ids."""

    def set_status(self, order_id: str, status: str) -> None:
        """Set the statuses of an order and of its delivery."""
        path = f"/sandbox/orders/borzo/{self.refs[order_id]}/step"
        self.sandbox.post(path, json={"state": status}).raise_for_status()

    def call_back(self, order_id: str, kind: str, status: str | None) -> float:
        """Send a signed callback with a status of the order or of its delivery; return the time of its answer."""
        ref = self.refs[order_id]
        about = {"order_id": int(ref), "client_order_id": self.references[ref], "status": status}
        event = {"event_datetime": datetime.now(UTC).isoformat(), "event_type": f"{kind}_changed", kind: about}
        body = json.dumps(event).encode()
        signature = hmac.digest(CARRIERS["borzo"]["CALLBACK_SECRET"].encode(), body, hashlib.sha256).hex()
        reply = self.web.post("/callbacks/borzo", content=body, headers={"X-DV-Signature": signature})
        reply.raise_for_status()
        return time.time()


def run(report: Report, options: Options) -> bool:
    """Measure callbacks that need no read, and then callbacks that do."""
    orders = WARM_UP + (options.orders or ORDERS * (5 if options.long else 1))
    web = f"127.0.0.1:{free_port()}"
    with services(sandbox=True) as found, httpx.Client(base_url=f"http://{web}", trust_env=False) as client:
        program = OrderSync(found, workers=1, carriers=["borzo"], web=web)
        with running(found, program):
            wait_until(lambda: _is_up(client), "the web process starts")
            program.place(range(orders))
            borzo = _borzo(program, client)
            without_read = _measure(program, borzo, ("active/courier_assigned", "delivery", "courier_assigned"))
            _show_by_a_read(program, borzo)
            with_read = _measure(program, borzo, ("reactivated/planned", "order", "reactivated"))
    for measure, goal in GOALS.items():
        share = int(measure[1:]) / 100
        report.add("callbacks", "without a read", measure, "ms", [percentile(without_read, share)], goal=goal)
        report.add("callbacks", "with a read", measure, "ms", [percentile(with_read, share)])
    return True


def _borzo(program: OrderSync, web: httpx.Client) -> Borzo:
    """Return the carrier of the program's orders."""
    sandbox = program.services.http
    orders = sandbox.get("/sandbox/orders").raise_for_status().json()["orders"]
    refs = {event["subject"]: event["data"]["carrier_ref"] for _, event in program.events()}
    return Borzo(sandbox, web, refs, {order["id"]: order["reference"] for order in orders})


def _is_up(client: httpx.Client) -> bool:
    try:
        client.get("/")
    except httpx.TransportError:
        return False
    return True


def _measure(program: OrderSync, borzo: Borzo, news: tuple[str, str, str]) -> list[float]:
    """Call back about each order after a pause; return the milliseconds from each answer to the order's event.

    `news` are the statuses in the sandbox, what the callback is about, and the status in the callback.
    """
    statuses, kind, status = news
    pauses, answered, before = random.Random(status), {}, len(program.events())
    for order_id in borzo.refs:
        borzo.set_status(order_id, statuses)
        time.sleep(pauses.uniform(*PAUSE))
        answered[order_id] = borzo.call_back(order_id, kind, status)
    published = _await_changes(program, before, len(answered))
    return [1000 * (published[order_id] - at) for order_id, at in answered.items()][WARM_UP:]


def _show_by_a_read(program: OrderSync, borzo: Borzo) -> None:
    """Let a read show every order, because a callback without a status prompts a read."""
    before = len(program.events())
    for order_id in borzo.refs:
        borzo.set_status(order_id, "active/courier_departed")
        borzo.call_back(order_id, "order", None)
    _await_changes(program, before, len(borzo.refs))


def _await_changes(program: OrderSync, since: int, orders: int) -> dict[str, float]:
    """Wait until so many orders have changed their status since event number `since`; return when each did."""

    def changes() -> dict[str, float]:
        news = program.events()[since:]
        return {event["subject"]: at for at, event in news if event["type"] == "delivery.status_changed"}

    wait_until(lambda: len(changes()) >= orders, "every callback leads to an event", seconds=60, every=0.2)
    return changes()
