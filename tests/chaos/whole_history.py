"""The record of a run with one order that breaks no promise, and the parts from which a test builds another."""

from typing import Any

from tests.chaos.checker import check
from tests.chaos.history import History
from worker.carriers.port import reference_of

KEY = "a8098c1a-f86e-5da1-bd1a-00112444be1e"
POINTS = [7, 8]


def event(number: int, status: str, kind: str = "delivery.status_changed", **more: Any) -> dict[str, Any]:
    data = {"status": status, "attempt": 1, "order_id": "2011", **more}
    return {"id": f"event-{number}", "type": kind, "partitionkey": KEY, "sequence": f"{number:010}", "data": data}


def stored(event: dict[str, Any]) -> dict[str, Any]:
    return {"key": KEY, "sequence": int(event["sequence"]), "stream_id": "1795248540000-0", "event": event}


def call(action: str, carrier_id: str, minute: int, attempt: int = 1) -> dict[str, Any]:
    at = f"2026-11-21T08:{minute:02}:00+00:00"
    fields = {"carrier": "borzo", "action": action, "reference": reference_of(attempt), "carrier_id": carrier_id}
    return {"at": at, **fields, "detail": {"points": POINTS} if action in {"create", "edit"} else {}}


def courier(
    carrier_id: str, status: str = "completed/finished", minute: int = 9, *, live: bool = True
) -> dict[str, Any]:
    history = [{"word": status, "at": f"2026-11-21T08:{minute:02}:00+00:00"}]
    return {"carrier": "borzo", "id": carrier_id, "live": live, "history": history}


def attempt(identity: int = 1, minute: int = 0) -> dict[str, Any]:
    at = f"2026-11-21T08:{minute:02}:00+00:00"
    ended = {"state": "delivered" if identity == 1 else "cancelled", "ended_at": "2026-11-21T08:09:30+00:00"}
    fields = {"carrier": "borzo", "ref": "99" if identity == 1 else "100"}
    return {"id": identity, "delivery_id": KEY, **fields, "submitted_at": at, **ended}


def written(status: int, minute: int, order: str = "2011", **more: Any) -> dict[str, Any]:
    """Return one of our writes to the platform."""
    at = f"2026-11-21T08:{minute:02}:01+00:00"
    detail = {"app": "order-sync", "status": status, **more}
    return {"at": at, "carrier": "ordering", "action": "update", "carrier_id": order, "detail": detail}


def on_platform(*statuses: tuple[str, int], order: str = "2011") -> dict[str, Any]:
    """Return an order of the platform with its statuses and the minutes at which each began."""
    history = [{"word": status, "at": f"2026-11-21T08:{minute:02}:00+00:00"} for status, minute in statuses]
    return {"carrier": "ordering", "id": order, "status": statuses[-1][0], "history": history}


DELIVERY = {
    "id": KEY,
    "order_id": "2011",
    "store_id": "21",
    "dispatch_at": "2026-11-21T08:00:30+00:00",
    "status": "delivered",
    "detail": None,
    "attention_reasons": None,
    "notes": "ring twice",
    "changed_at": "2026-11-21T08:03:00+00:00",
}
EVENTS = (event(1, "queued"), event(2, "created"), event(3, "picked_up"), event(4, "delivered"))
WHOLE = History(
    ledger=(call("create", "99", 1),),
    couriers=(courier("99"),),
    placed=("2011",),
    deliveries=(DELIVERY,),
    attempts=(attempt(),),
    outbox=tuple(map(stored, EVENTS)),
    bus=EVENTS,
    on_bus=tuple(f"event-{number}" for number in range(1, 6)),
    platform_ledger=(written(25, 2), written(9, 5), written(11, 9)),
    platform_orders=(on_platform(("0", 0), ("25", 2), ("4", 4), ("9", 5), ("11", 9)),),
    notes={"99": "ring twice"},
    logs={"worker.log": "delivery.outcomes_recorded"},
    private=("Mette Holm", "secret-token"),
)


def broken(history: History) -> list[str]:
    """Return the promises that a history breaks."""
    return [name.partition(" ")[0] for name, violations in check(history).items() if violations]
