"""What must be true of a run about the platform and about changed orders: more checks like those of `checker.py`."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from tests.chaos.history import History, Row

FORBIDDEN = frozenset({0, 1, 2, 4, 5, 7, 13, 14, 15, 16, 17, 18, 20, 21, 24})
CLOSED = frozenset({"1", "2", "5", "11", "12", "15", "16", "17"})
ENDS = {"delivered": "11", "returned": "12"}
"""What the platform shows in the end. Of what nobody brought it is told nothing, unless the goods were on the road."""
WITH_ITEMS = "with_items"
UNDER_WAY = timedelta(seconds=90)
"""How long after a look at the platform a write may still arrive there: no later than its lease, and what is late."""


def _closings(order: Row, writes: Sequence[Row]) -> list[tuple[datetime, str]]:
    """List when others closed an order, and with what."""
    ours = Counter(str(write["detail"]["status"]) for write in writes)
    closings = []
    for moment in order["history"]:
        if ours[moment["word"]]:
            ours[moment["word"]] -= 1
        elif moment["word"] in CLOSED:
            closings.append((datetime.fromisoformat(moment["at"]), moment["word"]))
    return closings


def _writes(history: History) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for entry in history.platform:
        if entry["action"] == "update":
            found[entry["carrier_id"]].append(entry)
    return found


def closed_by_others(history: History) -> dict[str, str]:
    """Name the orders that the shop or the customer closed on the platform, and how they stand there."""
    writes = _writes(history)
    return {each["id"]: each["status"] for each in history.seeded if _closings(each, writes[each["id"]])}


def nothing_forbidden(history: History) -> Iterator[str]:
    """R-W1: nothing but our own codes is ever written, and none over an order that others have closed."""
    orders = {each["id"]: each for each in history.seeded}
    for order_id, writes in _writes(history).items():
        for write in writes:
            if write["detail"].keys() != {"app", "status"} or write["detail"]["status"] in FORBIDDEN:
                yield f"order {order_id}: {write['detail']} was written"
            at = datetime.fromisoformat(write["at"])
            for closed, word in _closings(orders[order_id], writes):
                if at - closed > UNDER_WAY:
                    yield f"order {order_id}: {write['detail']['status']} was written over {word}"


def the_end_is_shown(history: History) -> Iterator[str]:
    """R-W2: the platform shows the end of every order that others have not closed; whatever else stands was told."""
    shown = {each["id"]: each["status"] for each in history.seeded}
    closed = closed_by_others(history)
    told = _told(history, "delivery.conflict")
    for row in history.deliveries:
        order_id, stands = row["order_id"], shown.get(row["order_id"])
        wanted = "12" if row["detail"] == WITH_ITEMS else ENDS.get(row["status"])
        if stands is None or stands == wanted or row["status"] not in {*ENDS, "cancelled", "rejected", "failed"}:
            continue
        if order_id in closed:
            if wanted is not None and _disagrees(wanted, stands) and row["id"] not in told:
                yield f"order {order_id} ended {row['status']}, the platform says {stands}, and nobody was told"
        elif (wanted is not None and row["id"] not in told) or (wanted is None and stands in ENDS.values()):
            yield f"order {order_id} ended {row['status']}, and the platform says {stands}"


def _disagrees(ours: str, theirs: str) -> bool:
    return theirs not in ({"1", "11", "15"} if ours == "11" else {"2", "5", "12", "16", "17"})


def _told(history: History, kind: str, reason: str | None = None) -> set[str]:
    events = (row for row in history.outbox if row["event"]["type"] == kind)
    return {row["key"] for row in events if reason in {None, row["event"]["data"].get("reason_text")}}


def changes_arrive(history: History) -> Iterator[str]:
    """R-A1: no change adds or removes a point, and who brought it knew the last word, or a person was asked."""
    points: dict[str, Sequence[int]] = {}
    for entry in history.ledger:
        if entry["carrier"] != "borzo" or entry["action"] not in {"create", "edit"}:
            continue
        before = points.setdefault(entry["carrier_id"], entry["detail"]["points"])
        if entry["detail"]["points"] != before:
            yield f"borzo {entry['carrier_id']}: a change made other points of it"
    orders = {row["id"]: row for row in history.deliveries}
    asked = _told(history, "delivery.attention_required", "order_changed_after_dispatch")
    for attempt in history.attempts:
        order = orders[attempt["delivery_id"]]
        if attempt["carrier"] != "borzo" or attempt["state"] not in ENDS or order["id"] in asked:
            continue
        known = history.notes[attempt["ref"]]
        if known != order["notes"]:
            yield f"order {order['order_id']}: Borzo says {known!r}, the order {order['notes']!r}, and nobody was asked"


def nothing_is_missed(history: History) -> Iterator[str]:
    """R-B1: every order whose message never came has one delivery, unless others closed it; and none has two."""
    counts = Counter(row["order_id"] for row in history.deliveries)
    closed = closed_by_others(history)
    for order_id in history.unsaid:
        if not counts[order_id] and order_id not in closed:
            yield f"order {order_id} stood on the platform, and nobody found it"
    yield from (f"order {order_id} has {count} deliveries" for order_id, count in counts.items() if count > 1)


CHECKS: Mapping[str, Callable[[History], Iterator[str]]] = {
    "R-W1 nothing forbidden on the platform": nothing_forbidden,
    "R-W2 the end is shown on the platform": the_end_is_shown,
    "R-A1 changes arrive": changes_arrive,
    "R-B1 nothing is missed": nothing_is_missed,
}
