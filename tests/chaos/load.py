"""The load of a run: orders at a steady rate, some repeated, some changed, some cancelled and some without a message.

Every order is on the platform before its message, if it has one, is on the bus. On the platform the shop and the
customer act by themselves.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.chaos.bus import PlatformBus
from tests.chaos.clock import FastClock
from tests.chaos.processes import TRANSFER_STORE
from worker.bus.port import OUTAGES
from worker.local.demo.orders import message, order
from worker.sandbox.ordering.order import format_time

SCRIPTS = {
    "17": ("happy", "happy", "offered", "deliverit=closed", "offered_late", "returned"),
    TRANSFER_STORE: ("happy", "happy", "returned"),
    "21": ("happy", "happy", "courier_withdraws", "returned", "cancelled", "delayed"),
    "34": ("happy", "happy", "courier_withdraws", "returned", "cancelled", "unknown_word"),
}
CUSTOMERS_OF = {TRANSFER_STORE: "17"}
"""The store whose customer orders, for a store that has none of its own."""
ENDS_EARLY = ("customer_cancels", "shop_rejects")
SHOP_SCRIPTS = {
    "placed": ("",) * 4 + ("accepted",) * 4 + ("ready",) * 2 + ENDS_EARLY,
    "accepted": ("accepted",) * 8 + ("ready",) * 2 + ENDS_EARLY,
    "ready": ("ready",) * 10 + ENDS_EARLY,
}
"""What the shop and the customer do on the platform, by the gate of a run: an order must pass its gate or end."""
PROBE = {"placed": "", "accepted": "accepted", "ready": "ready"}
CUSTOMER = "Quentin Quillfeather"
STREET = "Petrichor Crescent"
REPEATED, CHANGED, CHANGED_AGAIN, CANCELLED, UNANNOUNCED = 0.15, 0.3, 0.3, 0.12, 0.1
"""The shares of orders."""
REPEAT_WITHIN, CHANGE_WITHIN = 5.0, 15.0
"""Seconds within which a repeat or cancellation, or a change, follows: before, during and after the dispatch."""
READY_IN = 45
"""Minutes of the fast clock until every second order is ready: DeliverIt cancels only orders that are that far off."""


@dataclass
class Load:
    """Places orders on the platform and publishes messages as time passes; a message that the bus refuses waits."""

    bus: PlatformBus
    seed: Callable[[Mapping[str, Any]], None]
    dice: random.Random
    rate: float
    clock: FastClock
    gate: str
    placed: dict[str, dict[str, Any]] = field(default_factory=dict)
    unannounced: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    _waiting: list[tuple[float, str, str]] = field(default_factory=list)
    _next: float = 0.0

    def tick(self, now: float) -> None:
        """Place and publish what is due at this time of the run, in seconds."""
        while self._next <= now:
            self._order(self._next)
            self._next += self.dice.expovariate(self.rate)
        self.publish_due(now)

    def publish_due(self, now: float) -> None:
        """Publish the messages that are due."""
        for each in sorted(each for each in self._waiting if each[0] <= now):
            try:
                self.bus.publish(each[2])
            except OUTAGES:
                return
            self._waiting.remove(each)
            self.counts[each[1]] += 1

    def probe(self, now: float) -> list[str]:
        """Place one ordinary order at each store and return the orders' ids."""
        placed = [self._place(store, "happy", PROBE[self.gate]) for store in SCRIPTS]
        for order_id in placed:
            self._schedule(now, "order", "order.placed", order_id, self.placed[order_id])
        return placed

    def _order(self, at: float) -> None:
        store = self.dice.choice(sorted(SCRIPTS))
        order_id = self._place(store, self.dice.choice(SCRIPTS[store]), self.dice.choice(SHOP_SCRIPTS[self.gate]))
        data = self.placed[order_id]
        if self.dice.random() < UNANNOUNCED:
            self.unannounced.add(order_id)
            self.counts["order without a message"] += 1
            return
        self._schedule(at, "order", "order.placed", order_id, data)
        if self.dice.random() < REPEATED:
            self._schedule(self._soon(at), "order repeated", "order.placed", order_id, data)
        if self.dice.random() < CHANGED:
            self._change(at, order_id, 2)
            if self.dice.random() < CHANGED_AGAIN:
                self._change(at, order_id, 3)
        if self.dice.random() < CANCELLED:
            cancel = {"order_id": order_id, "reason": "changed my mind", "cancelled_by": "customer"}
            self._schedule(self._soon(at), "cancellation", "order.cancelled", f"{order_id}-cancel", cancel)

    def _change(self, at: float, order_id: str, revision: int) -> None:
        """Change the notes for the courier; the script of the sandbox in them stays."""
        before = self.placed[order_id]
        data = {**before, "revision": revision, "notes": f"{before['notes']} ring {revision} times"}
        at += self.dice.uniform(0, CHANGE_WITHIN)
        self._schedule(at, "update", "order.updated", f"{order_id}-{revision}", data)

    def _place(self, store: str, script: str, shop_script: str) -> str:
        order_id = f"chaos-{len(self.placed) + 1:05}"
        data = {**order(order_id, CUSTOMERS_OF.get(store, store), f"sandbox:{script}"), "store_id": store}
        data["customer"]["name"] = CUSTOMER
        data["dropoff"]["street"] = f"{STREET} 7"
        if len(self.placed) % 2:
            data["ready_at"] = (self.clock() + timedelta(minutes=READY_IN)).isoformat()
        self.placed[order_id] = data
        self.seed(on_platform(data, shop_script, format_time(self.clock())))
        return order_id

    def _soon(self, at: float) -> float:
        return at + self.dice.uniform(0, REPEAT_WITHIN)

    def _schedule(self, at: float, what: str, kind: str, identity: str, data: Mapping[str, Any]) -> None:
        # The entries have real times, which the fast clock takes for old ones.
        time = self.clock().isoformat()
        self._waiting.append((at, what, message(kind, identity, dict(data), time=time)))


def on_platform(data: Mapping[str, Any], shop_script: str, now: str) -> dict[str, Any]:
    """Return an order in the format of the platform's API: as soon as possible, and paid."""
    customer, to = data["customer"], data["dropoff"]
    return {
        "id": data["order_id"],
        "business_id": data["store_id"],
        "comment": f"{data['notes']} sandbox:ordering={shop_script}" if shop_script else data["notes"],
        "created_at": now,
        "updated_at": now,
        "delivery_datetime": now,
        "delivery_datetime_utc": now,
        "currency": data["payment"]["currency"],
        "summary": {"total": data["payment"]["amount"]},
        "customer": {
            "name": customer["name"],
            "cellphone": customer["phone"],
            "address": to["street"],
            "zipcode": to["postal_code"],
            "city": to["city"],
            "location": {"lat": to["latitude"], "lng": to["longitude"]},
        },
    }
