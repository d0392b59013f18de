"""What a platform does to us: orders at a steady rate, some said twice, some changed, some taken back, some never said.

Every order stands on the platform before its message, if it has one, is on the bus; there the shop and the customer go
on by themselves.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import redis

from tests.chaos.clock import FastClock
from tests.chaos.processes import DESK_STORE
from worker.local.demo.orders import message, order
from worker.sandbox.ordering.order import format_time

SCRIPTS = {
    "17": ("happy", "happy", "offered", "deliverit=closed", "offered_late", "returned"),
    DESK_STORE: ("happy", "happy", "returned"),
    "21": ("happy", "happy", "courier_withdraws", "returned", "cancelled", "delayed"),
    "34": ("happy", "happy", "courier_withdraws", "returned", "cancelled", "unknown_word"),
}
CUSTOMERS_OF = {DESK_STORE: "17"}
"""Whose customers those of a store are that has none of its own."""
OFF = ("customer_cancels", "shop_rejects")
KITCHEN = {
    "placed": ("",) * 4 + ("accepted",) * 4 + ("ready",) * 2 + OFF,
    "accepted": ("accepted",) * 8 + ("ready",) * 2 + OFF,
    "ready": ("ready",) * 10 + OFF,
}
"""What happens on the platform, by the gate of a run: what no shop accepts would wait there for ever."""
PROBE = {"placed": "", "accepted": "accepted", "ready": "ready"}
CUSTOMER = "Quentin Quillfeather"
STREET = "Petrichor Crescent"
TWICE, CHANGED, CHANGED_AGAIN, TAKEN_BACK, UNSAID = 0.15, 0.3, 0.3, 0.12, 0.1
SOON, CHANGES_WITHIN = 5.0, 15.0
"""Seconds within which a cancellation, or a change, follows its order: before, while and after it is dispatched."""
LATER = 45
"""Minutes of the fast clock after which the food of every other order is ready: DeliverIt cancels no sooner one."""


@dataclass
class Load:
    """Puts orders on the platform and messages on the bus as time passes. What the bus refuses is said again."""

    server: redis.Redis
    seed: Callable[[Mapping[str, Any]], None]
    dice: random.Random
    rate: float
    clock: FastClock
    gate: str
    placed: dict[str, dict[str, Any]] = field(default_factory=dict)
    unsaid: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    _waiting: list[tuple[float, str, str]] = field(default_factory=list)
    _next: float = 0.0

    def tick(self, now: float) -> None:
        """Say what is due at this time of the run, in seconds."""
        while self._next <= now:
            self._order(self._next)
            self._next += self.dice.expovariate(self.rate)
        self.say(now)

    def say(self, now: float) -> None:
        """Put what is due on the bus."""
        for each in sorted(each for each in self._waiting if each[0] <= now):
            try:
                self.server.xadd("orders", {"event": each[2]})
            except redis.RedisError:
                return
            self._waiting.remove(each)
            self.counts[each[1]] += 1

    @property
    def said(self) -> bool:
        """Whether everything is on the bus."""
        return not self._waiting

    def probe(self, now: float) -> list[str]:
        """Place one ordinary order at each store."""
        placed = [self._place(store, "happy", PROBE[self.gate]) for store in SCRIPTS]
        for order_id in placed:
            self._say(now, "order", "order.placed", order_id, self.placed[order_id])
        return placed

    def _order(self, at: float) -> None:
        store = self.dice.choice(sorted(SCRIPTS))
        order_id = self._place(store, self.dice.choice(SCRIPTS[store]), self.dice.choice(KITCHEN[self.gate]))
        data = self.placed[order_id]
        if self.dice.random() < UNSAID:
            self.unsaid.add(order_id)
            self.counts["order never said"] += 1
            return
        self._say(at, "order", "order.placed", order_id, data)
        if self.dice.random() < TWICE:
            self._say(self._soon(at), "order said twice", "order.placed", order_id, data)
        if self.dice.random() < CHANGED:
            self._change(at, order_id, 2)
            if self.dice.random() < CHANGED_AGAIN:
                self._change(at, order_id, 3)
        if self.dice.random() < TAKEN_BACK:
            taken_back = {"order_id": order_id, "reason": "changed my mind", "cancelled_by": "customer"}
            self._say(self._soon(at), "cancellation", "order.cancelled", f"{order_id}-cancel", taken_back)

    def _change(self, at: float, order_id: str, revision: int) -> None:
        """Change what the courier is told; what the sandbox plays stays."""
        before = self.placed[order_id]
        data = {**before, "revision": revision, "notes": f"{before['notes']} ring {revision} times"}
        self._say(at + self.dice.uniform(0, CHANGES_WITHIN), "update", "order.updated", f"{order_id}-{revision}", data)

    def _place(self, store: str, script: str, kitchen: str) -> str:
        order_id = f"chaos-{len(self.placed) + 1:05}"
        data = {**order(order_id, CUSTOMERS_OF.get(store, store), f"sandbox:{script}"), "store_id": store}
        data["customer"]["name"] = CUSTOMER
        data["dropoff"]["street"] = f"{STREET} 7"
        if len(self.placed) % 2:
            data["ready_at"] = (self.clock() + timedelta(minutes=LATER)).isoformat()
        self.placed[order_id] = data
        self.seed(on_platform(data, kitchen, format_time(self.clock())))
        return order_id

    def _soon(self, at: float) -> float:
        return at + self.dice.uniform(0, SOON)

    def _say(self, at: float, what: str, kind: str, identity: str, data: Mapping[str, Any]) -> None:
        self._waiting.append((at, what, message(kind, identity, dict(data))))


def on_platform(data: Mapping[str, Any], kitchen: str, now: str) -> dict[str, Any]:
    """Write an order as the platform's API has it: as soon as possible, and paid."""
    customer, to = data["customer"], data["dropoff"]
    return {
        "id": data["order_id"],
        "business_id": data["store_id"],
        "comment": f"{data['notes']} sandbox:ordering={kitchen}" if kitchen else data["notes"],
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
