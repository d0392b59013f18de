"""What a subscriber sees of a rehearsal: it reads every event of the stream `deliveries`."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.events import EventType
from schemas.status import FINAL, AttentionReason, DeliveryStatus
from worker.bus.streams import Bus

BLOCK_MS = 1
NOTHING = "0-0"
KEPT_EVENTS = 2_000
"""How many events the stream keeps, after they were read."""


@dataclass(slots=True)
class Order:
    """What the events say about one delivery."""

    order_id: str
    store_id: str
    placed_at: datetime
    sequence: int = 0
    status: str = DeliveryStatus.QUEUED
    accepted: bool = False
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """An operator is needed for a delivery."""

    at: datetime
    delivery_id: str
    reason: str


@dataclass
class Observer:
    """Reads the events, and counts what no table of the product has."""

    bus: Bus
    orders: dict[str, Order] = field(default_factory=dict)
    """By delivery id."""
    events: int = 0
    gaps: list[str] = field(default_factory=list)
    """The events whose sequence does not follow the one before."""
    questions: list[Question] = field(default_factory=list)
    waits: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Seconds from an order to the answer of the first carrier that accepted it, by account."""
    settled: Counter[str] = field(default_factory=Counter)
    """The unknown outcomes that ended, by what ended them."""
    fallbacks: Counter[str] = field(default_factory=Counter)
    """The orders for which the next carrier was asked, by the account before and the reason."""
    conflicts: int = 0
    _after: str = NOTHING

    def read(self) -> list[Question]:
        """Read the new events; return the new questions to operators."""
        known, last = len(self.questions), self.bus.last_id()
        if self._after != last:
            for identity, document in self.bus.follow(self._after, block_ms=BLOCK_MS):
                self._add(json.loads(document))
                self._after = identity
                if identity == last:
                    break
            self.bus.trim(KEPT_EVENTS)
        return self.questions[known:]

    def _add(self, event: Mapping[str, Any]) -> None:
        self.events += 1
        if not event["type"].startswith("delivery."):
            return
        data, at = event["data"], datetime.fromisoformat(event["data"]["observed_at"])
        order = self.orders.setdefault(data["delivery_id"], Order(data["order_id"], data["store_id"], at))
        if data["sequence"] != order.sequence + 1:
            self.gaps.append(f"{data['delivery_id']}: {data['sequence']} after {order.sequence}")
        order.sequence = data["sequence"]
        match event["type"]:
            case EventType.STATUS_CHANGED:
                self._follow(order, data, at)
            case EventType.ATTENTION_REQUIRED:
                self._ask(data, at)
            case EventType.ATTEMPT_ENDED:
                self.fallbacks[f"{data['carrier']} {data['reason'] or data['status']}"] += not order.accepted
            case EventType.CONFLICT:
                self.conflicts += 1

    def _follow(self, order: Order, data: Mapping[str, Any], at: datetime) -> None:
        status, before = data["status"], order.status
        order.status = status
        if status == DeliveryStatus.SUBMIT_UNKNOWN:
            order.unknown = True
        elif before == DeliveryStatus.SUBMIT_UNKNOWN:
            self.settled[f"{_exists(status)} by {data['cause']}"] += 1
        if data["carrier"] and not order.accepted and _exists(status) == "the order exists":
            order.accepted = True
            self.waits[data["carrier"]][round((at - order.placed_at).total_seconds())] += 1

    def _ask(self, data: Mapping[str, Any], at: datetime) -> None:
        for reason in (data["reason_text"] or "").split(", "):
            if reason in set(AttentionReason):
                self.questions.append(Question(at, data["delivery_id"], reason))

    @property
    def ends(self) -> Counter[str]:
        """The orders by their last status."""
        return Counter(order.status for order in self.orders.values())

    @property
    def open(self) -> int:
        """The orders that have not ended."""
        return sum(order.status not in FINAL for order in self.orders.values())


def _exists(status: str) -> str:
    absent = {DeliveryStatus.QUEUED, DeliveryStatus.REJECTED, DeliveryStatus.CANCELLED, DeliveryStatus.SUBMIT_UNKNOWN}
    return "no order" if status in {*absent, DeliveryStatus.AWAITING_CONFIRMATION} else "the order exists"
