"""What must be true of a run, looked for afterwards in what was recorded: pure functions of a history.

Each check yields one sentence for each violation. The promises have the numbers of the list that a run prints.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from schemas.status import FINAL, RANK, AttemptState, DeliveryStatus
from tests.chaos import platform_checker
from tests.chaos.history import History, Row
from tests.chaos.processes import attempt_id
from worker.domain.transitions import allows_back

WITH_A_PERSON = frozenset({"outcome_unknown", "reference_missing", "unknown_store", "no_configured_carrier"})
"""What an order may wait for a person with. Anything else goes on by itself until it ends."""
STICKY = frozenset({status.value for status in FINAL})
DETAILS = "deliverit_info"
"""Where orders wait for a driver to be booked by hand: the driver is another entry, of `deliverit`."""
CAME = frozenset({"create", "accept"})
OFFERED = frozenset({"create", "offer"})
GOODS = re.compile(r"^(3|driverLeft|arriveAtCustomer|done|active/parcel_picked_up|completed/.*)$")
"""The carriers' words for a courier who has the goods, or had them."""


def with_a_person(row: Row) -> bool:
    """Tell whether a delivery waits for a person, who may be asked for several things."""
    return not WITH_A_PERSON.isdisjoint((row["attention"] or "").split(", "))


def one_courier(history: History) -> Iterator[str]:
    """R1: at most one courier lives for an order at any time; one too many is announced and cancelled."""
    owner = _owners(history)
    ends = {(each["carrier"], each["id"]): each for each in history.couriers}
    lives: dict[str, list[tuple[datetime, datetime, bool, str]]] = defaultdict(list)
    for entry in history.ledger:
        delivery = owner.get(attempt_id(entry["reference"]))
        if entry["action"] not in CAME or entry["carrier"] == DETAILS or delivery is None:
            continue
        until, stood = _end(ends[entry["carrier"], entry["carrier_id"]], entry, history.ledger)
        name = f"{entry['carrier']} {entry['carrier_id']}"
        lives[delivery].append((datetime.fromisoformat(entry["at"]), until, stood, name))
    conflicts = {row["key"] for row in history.outbox if row["event"]["type"] == "delivery.conflict"}
    for delivery, couriers in lives.items():
        couriers.sort()
        names = " and ".join(name for *_, name in couriers)
        if sum(stood for _, _, stood, _ in couriers) > 1:
            yield f"{delivery}: more than one courier was never called off: {names}"
        together = any(later[0] < earlier[1] for at, earlier in enumerate(couriers) for later in couriers[at + 1 :])
        if together and delivery not in conflicts:
            yield f"{delivery}: two couriers lived at once and nobody was told: {names}"


NOBODY: Row = {"history": ()}
"""What a carrier shows of an offer that was denied."""


def goods_travel_once(history: History) -> Iterator[str]:
    """R11: nobody else is sent while a courier has the goods, unless one came too many, and that was told."""
    owner = _owners(history)
    courier = {(each["carrier"], each["id"]): each for each in history.couriers}
    conflicts = {row["key"] for row in history.outbox if row["event"]["type"] == "delivery.conflict"}
    left: dict[str, datetime] = {}
    for entry in history.ledger:
        delivery = owner.get(attempt_id(entry["reference"]))
        if entry["action"] not in OFFERED or delivery is None:
            continue
        if delivery in left and left[delivery] < datetime.fromisoformat(entry["at"]) and delivery not in conflicts:
            yield f"{delivery}: {entry['carrier']} {entry['carrier_id']} was sent for goods that were on the road"
        words = courier.get((entry["carrier"], entry["carrier_id"]), NOBODY)["history"]
        with_goods = (each["at"] for each in words if GOODS.search(each["word"]))
        if first := next(with_goods, None):
            left[delivery] = min(datetime.fromisoformat(first), left.get(delivery, datetime.max.replace(tzinfo=UTC)))


def _end(courier: Row, entry: Row, ledger: Sequence[Row]) -> tuple[datetime, bool]:
    """Tell until when a courier lived, and whether it was never called off."""
    off = [
        each["at"]
        for each in ledger
        if (each["carrier"], each["carrier_id"]) == (entry["carrier"], entry["carrier_id"])
        and each["action"] == "cancel"
    ]
    last = courier["history"][-1]
    if off:
        return datetime.fromisoformat(off[0]), False
    if not courier["live"]:
        return datetime.fromisoformat(last["at"]), False
    return datetime.max.replace(tzinfo=datetime.fromisoformat(last["at"]).tzinfo), True


def every_order_ends(history: History) -> Iterator[str]:
    """R2: what was placed was accepted, and ended or waits for a person; never silently nothing."""
    known = {row["order_id"]: row for row in history.deliveries}
    closed = platform_checker.closed_by_others(history)
    for order in history.placed:
        row = known.get(order)
        if row is None and order not in closed:
            yield f"order {order} was placed and never accepted"
        elif row is None:
            continue
        elif row["status"] not in STICKY and not with_a_person(row):
            yield f"order {order} stands at {row['status']}, and nobody was asked ({row['attention']})"


def everything_is_told(history: History) -> Iterator[str]:
    """R3, R4: every event of the database came to the bus, in order and without a gap; a repeat is the same event."""
    stored: dict[str, list[str]] = defaultdict(list)
    for row in history.outbox:
        stored[row["key"]].append(row["event"]["id"])
        if row["sequence"] != len(stored[row["key"]]):
            yield f"{row['key']}: the database has {row['sequence']} as its event number {len(stored[row['key']])}"
        if row["published_at"] is None:
            yield f"{row['key']}: {row['sequence']} was never published"
    lost = {row["event"]["id"] for row in history.outbox} - set(history.standing)
    if lost:
        yield f"{len(lost)} events do not stand on the bus at the end"
    seen: dict[str, list[str]] = defaultdict(list)
    yield from _came(history.bus, seen)
    for key in stored.keys() | seen.keys():
        if stored[key] != seen[key]:
            yield f"{key}: the database has {len(stored[key])} events and the bus was told {len(seen[key])}"


def _came(bus: Sequence[Row], seen: dict[str, list[str]]) -> Iterator[str]:
    """Follow the bus as a subscriber does; fill in what has an effect there."""
    for event in bus:
        ids, number = seen[event["partitionkey"]], int(event["sequence"])
        if number > len(ids) + 1:
            yield f"{event['partitionkey']}: {number} came when {len(ids)} was the last"
            ids.extend([""] * (number - 1 - len(ids)))
        if number > len(ids):
            ids.append(event["id"])
        elif ids[number - 1] not in {event["id"], ""}:
            yield f"{event['partitionkey']}: {number} came twice, as two different events"


def no_step_back(history: History) -> Iterator[str]:
    """R5: a status never goes back but along a legal edge, and the end is the end unless it is reopened."""
    last: dict[str, Row] = {}
    for row in history.outbox:
        data = row["event"]["data"]
        if "status" not in data:
            continue
        before = last.get(row["key"])
        if before is not None and not _follows(before, data, row["event"]["type"]):
            yield f"{row['key']}: {data['status']} after {before['status']} ({row['event']['type']})"
        last[row["key"]] = data


def _follows(before: Row, after: Row, kind: str) -> bool:
    old, new = DeliveryStatus(before["status"]), DeliveryStatus(after["status"])
    if old == new or kind == "delivery.reopened":
        return True
    if old in FINAL:
        return kind == "delivery.conflict"
    if after["attempt"] > before["attempt"] or new is DeliveryStatus.QUEUED or new in FINAL:
        return True
    forward = RANK.get(new, 0) >= RANK.get(old, 0)
    loose = {DeliveryStatus.COURIER_WITHDRAWN, DeliveryStatus.ON_HOLD, DeliveryStatus.SUBMIT_UNKNOWN}
    return forward or old in loose or new in loose or allows_back(AttemptState(old), AttemptState(new))


def nothing_leaks(history: History) -> Iterator[str]:
    """R8: no customer and no credential stands in a log."""
    for name, text in history.logs.items():
        for at, word in enumerate(history.private):
            if word in text:
                yield f"{name}: private word number {at} stands there: ...{_around(text, word)}..."


def _around(text: str, word: str) -> str:
    at = text.index(word)
    return text[max(0, at - 80) : at] + "#" * len(word)


def intent_before_effect(history: History) -> Iterator[str]:
    """R10: whatever a carrier made for us was written down before."""
    written = {row["id"]: row for row in history.attempts}
    for entry in history.ledger:
        if entry["action"] not in OFFERED:
            continue
        row = written.get(attempt_id(entry["reference"]))
        if row is None:
            yield f"{entry['carrier']} {entry['carrier_id']} was made without an attempt of ours"
        elif datetime.fromisoformat(row["submitted_at"]) > datetime.fromisoformat(entry["at"]):
            yield f"{entry['carrier']} {entry['carrier_id']} was made before its attempt was written down"


CHECKS: Mapping[str, Callable[[History], Iterator[str]]] = {
    "R1 at most one courier": one_courier,
    "R2 never silently none": every_order_ends,
    "R3 R4 every event once and in order": everything_is_told,
    "R5 no step back": no_step_back,
    "R8 nothing private in the logs": nothing_leaks,
    "R10 intent before effect": intent_before_effect,
    "R11 nobody is sent for goods on the road": goods_travel_once,
    **platform_checker.CHECKS,
}


def check(history: History) -> dict[str, list[str]]:
    """Do every check."""
    return {name: sorted(find(history)) for name, find in CHECKS.items()}


def _owners(history: History) -> dict[int | None, str]:
    return {row["id"]: row["delivery_id"] for row in history.attempts}
