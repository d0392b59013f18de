"""What a platform does to us: orders at a steady rate, some said twice, some changed, some taken back."""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import redis

from tests.chaos.clock import FastClock
from worker.demo.orders import message, order

SCRIPTS = {
    "17": ("happy", "happy", "offered", "deliverit=closed", "offered_late", "returned"),
    "21": ("happy", "happy", "courier_withdraws", "returned", "cancelled", "delayed"),
    "34": ("happy", "happy", "courier_withdraws", "returned", "cancelled"),
}
CUSTOMER = "Quentin Quillfeather"
STREET = "Petrichor Crescent"
TWICE, CHANGED, TAKEN_BACK = 0.15, 0.05, 0.12
SOON = 5.0
"""Seconds within which a change or a cancellation follows its order."""
LATER = 45
"""Minutes of the fast clock after which the food of every other order is ready: DeliverIt cancels no sooner one."""


@dataclass
class Load:
    """Puts messages on the bus as time passes. What the bus refuses is said again, as platforms do."""

    server: redis.Redis
    dice: random.Random
    rate: float
    clock: FastClock
    placed: dict[str, str] = field(default_factory=dict)
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

    def again(self, missing: set[str], now: float) -> None:
        """Say the orders again that nobody accepted: their messages were on a bus that was emptied."""
        self._waiting += [(now, "order said again", self.placed[order_id]) for order_id in missing]

    def probe(self, now: float) -> list[str]:
        """Place one ordinary order at each store."""
        return [self._place(now, store, "happy") for store in SCRIPTS]

    def _order(self, at: float) -> None:
        store = self.dice.choice(sorted(SCRIPTS))
        order_id = self._place(at, store, self.dice.choice(SCRIPTS[store]))
        if self.dice.random() < TWICE:
            self._say_later(at, "order said twice", self.placed[order_id])
        if self.dice.random() < CHANGED:
            data = {**json.loads(self.placed[order_id])["data"], "revision": 2, "notes": "ring twice"}
            self._say_later(at, "update", message("order.updated", f"{order_id}-update", data))
        if self.dice.random() < TAKEN_BACK:
            data = {"order_id": order_id, "reason": "changed my mind", "cancelled_by": "customer"}
            self._say_later(at, "cancellation", message("order.cancelled", f"{order_id}-cancel", data))

    def _place(self, at: float, store: str, script: str) -> str:
        order_id = f"chaos-{len(self.placed) + 1:05}"
        data = order(order_id, store, f"sandbox:{script}")
        data["customer"]["name"] = CUSTOMER
        data["dropoff"]["street"] = f"{STREET} 7"
        if len(self.placed) % 2:
            data["ready_at"] = (self.clock() + timedelta(minutes=LATER)).isoformat()
        self.placed[order_id] = message("order.placed", order_id, data)
        self._waiting.append((at, "order", self.placed[order_id]))
        return order_id

    def _say_later(self, at: float, what: str, document: str) -> None:
        self._waiting.append((at + self.dice.uniform(0, SOON), what, document))
