"""The promises about the platform and about changed orders, checked like those of `checker.py`."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from tests.chaos.history import History, Row

FORBIDDEN = frozenset({0, 1, 2, 4, 5, 7, 13, 14, 15, 16, 17, 18, 20, 21, 24})
"""The statuses of the platform that belong to the shop, the customer and others."""
CLOSED = frozenset({"1", "2", "5", "11", "12", "15", "16", "17"})
ENDS = {"delivered": "11", "returned": "12"}
"""The last platform status for each end of ours. Any other end is not written, unless the courier had the goods."""
WITH_ITEMS = "with_items"
WRITE_DELAY = timedelta(seconds=90)
"""The longest time from a read of the platform to the write that it led to: a lease, and the delay of the call."""


def _closings(order: Row, writes: Sequence[Row]) -> list[tuple[datetime, str]]:
    """Return the times at which others closed an order, with the status that they set."""
    ours = Counter(str(write["detail"]["status"]) for write in writes)
    closings = []
    for change in order["history"]:
        if ours[change["word"]]:
            ours[change["word"]] -= 1
        elif change["word"] in CLOSED:
            closings.append((datetime.fromisoformat(change["at"]), change["word"]))
    return closings


def _writes(history: History) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for entry in history.platform_ledger:
        if entry["action"] == "update":
            found[entry["carrier_id"]].append(entry)
    return found


def closed_by_others(history: History) -> dict[str, str]:
    """Return the orders that the shop or the customer closed on the platform, with their last status there."""
    writes = _writes(history)
    return {each["id"]: each["status"] for each in history.platform_orders if _closings(each, writes[each["id"]])}


def nothing_forbidden(history: History) -> Iterator[str]:
    """R-W1: only our own statuses are written, and none to an order that others have closed."""
    orders = {each["id"]: each for each in history.platform_orders}
    for order_id, writes in _writes(history).items():
        for write in writes:
            if write["detail"].keys() != {"app", "status"} or write["detail"]["status"] in FORBIDDEN:
                yield f"order {order_id}: {write['detail']} was written"
        for closed, status in _closings(orders[order_id], writes):
            # Only the first write after it: if that one was already under way, later reads show it and not the closing.
            later = ((datetime.fromisoformat(write["at"]), write) for write in writes)
            at, write = next(((at, write) for at, write in later if at > closed), (closed, {}))
            if at - closed > WRITE_DELAY:
                yield f"order {order_id}: {write['detail']['status']} was written over {status}"


def the_end_is_shown(history: History) -> Iterator[str]:
    """R-W2: the platform shows the end of every order that others have not closed; a conflict explains any other."""
    statuses = {each["id"]: each["status"] for each in history.platform_orders}
    closed = closed_by_others(history)
    conflicts = _with_event(history, "delivery.conflict")
    for row in history.deliveries:
        order_id, theirs = row["order_id"], statuses.get(row["order_id"])
        wanted = "12" if row["detail"] == WITH_ITEMS else ENDS.get(row["status"])
        if theirs is None or theirs == wanted or row["status"] not in {*ENDS, "cancelled", "rejected", "failed"}:
            continue
        if order_id in closed:
            if wanted is not None and _disagrees(wanted, theirs) and row["id"] not in conflicts:
                yield f"order {order_id} ended {row['status']}, the platform shows {theirs}, without a conflict event"
        elif (wanted is not None and row["id"] not in conflicts) or (wanted is None and theirs in ENDS.values()):
            yield f"order {order_id} ended {row['status']}, and the platform shows {theirs}"


def _disagrees(ours: str, theirs: str) -> bool:
    return theirs not in ({"1", "11", "15"} if ours == "11" else {"2", "5", "12", "16", "17"})


def _with_event(history: History, kind: str, reason: str | None = None) -> set[str]:
    """Return the deliveries with an event of this type, and of this reason where one is given."""
    events = (row for row in history.outbox if row["event"]["type"] == kind)
    return {row["key"] for row in events if reason in {None, row["event"]["data"].get("reason_text")}}


def changes_arrive(history: History) -> Iterator[str]:
    """R-A1: no change adds or removes a point, and the carrier has the last notes unless an operator was asked.

    A change that came after the end can reach nobody.
    """
    points: dict[str, Sequence[int]] = {}
    for entry in history.ledger:
        if entry["carrier"] != "borzo" or entry["action"] not in {"create", "edit"}:
            continue
        before = points.setdefault(entry["carrier_id"], entry["detail"]["points"])
        if entry["detail"]["points"] != before:
            yield f"borzo {entry['carrier_id']}: a change replaced its points"
    orders = {row["id"]: row for row in history.deliveries}
    asked = _with_event(history, "delivery.attention_required", "order_changed_after_dispatch")
    for attempt in history.attempts:
        order = orders[attempt["delivery_id"]]
        if attempt["carrier"] != "borzo" or attempt["state"] not in ENDS or order["id"] in asked:
            continue
        notes, changed_at = history.notes[attempt["ref"]], order["changed_at"]
        if changed_at and datetime.fromisoformat(changed_at) > datetime.fromisoformat(attempt["ended_at"]):
            continue
        if notes != order["notes"]:
            yield f"order {order['order_id']}: Borzo has {notes!r} and the order {order['notes']!r}, without attention"


def nothing_is_missed(history: History) -> Iterator[str]:
    """R-B1: every order without a message has one delivery, unless others closed it; no order has two."""
    counts = Counter(row["order_id"] for row in history.deliveries)
    closed = closed_by_others(history)
    for order_id in history.unannounced:
        if not counts[order_id] and order_id not in closed:
            yield f"order {order_id} was on the platform, and the back-fill did not find it"
    yield from (f"order {order_id} has {count} deliveries" for order_id, count in counts.items() if count > 1)


CHECKS: Mapping[str, Callable[[History], Iterator[str]]] = {
    "R-W1 nothing forbidden on the platform": nothing_forbidden,
    "R-W2 the end is shown on the platform": the_end_is_shown,
    "R-A1 changes arrive": changes_arrive,
    "R-B1 nothing is missed": nothing_is_missed,
}
