"""The promises that a run must keep, checked afterwards against its record: pure functions of a history.

Each check yields one sentence for each violation. The numbers of the promises are those that a run prints.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from schemas.status import FINAL, RANK, AttemptState, DeliveryStatus
from tests.chaos import platform_checker
from tests.chaos.history import History, Row
from tests.chaos.lateness import no_account_is_late
from tests.chaos.news import statuses_in_order
from tests.chaos.sandbox import attempt_id
from worker.domain.transitions import allows_reassignment

FOR_AN_OPERATOR = frozenset({"outcome_unknown", "reference_missing", "unknown_store", "no_configured_carrier"})
"""The attention reasons with which an order may stay open. With any other reason it must end by itself."""
ENDED = frozenset({status.value for status in FINAL})
TRANSFERRED = "deliverit_info"
"""The API with orders that wait for a booking by hand. The driver is a second entry, of `deliverit`."""
BOOKED = frozenset({"create", "accept"})
REQUESTED = frozenset({"create", "offer"})
GOODS = re.compile(r"^(3|driverLeft|arriveAtCustomer|done|active/parcel_picked_up|completed/.*)$")
"""The carriers' statuses of a courier who has, or had, the goods."""
IMPRECISION = timedelta(seconds=1)
"""How far ahead of the carriers a process may see the fast clock: it reads the clock over its database connection."""
NO_COURIER: Row = {"history": ()}
"""The state of an offer that was denied: the carrier lists no courier."""


def awaits_operator(row: Row) -> bool:
    """Return whether a delivery waits for an operator; it may have several attention reasons."""
    return not FOR_AN_OPERATOR.isdisjoint((row["attention_reasons"] or "").split(", "))


def one_courier(history: History) -> Iterator[str]:
    """R1: an order has at most one live courier at any time; a surplus courier is announced and cancelled.

    A courier of no attempt is one too many, because nobody follows or cancels them.
    """
    delivery_of = _delivery_of_attempt(history)
    ends = {(each["carrier"], each["id"]): each for each in history.couriers}
    couriers_of: dict[str, list[tuple[datetime, datetime, bool, str]]] = defaultdict(list)
    for entry in history.ledger:
        delivery, name = delivery_of.get(attempt_id(entry)), f"{entry['carrier']} {entry['carrier_id']}"
        if entry["action"] not in BOOKED or entry["carrier"] == TRANSFERRED:
            continue
        if delivery is None:
            yield f"{name} belongs to no attempt"
            continue
        until, remained = _end(ends[entry["carrier"], entry["carrier_id"]], entry, history.ledger)
        couriers_of[delivery].append((datetime.fromisoformat(entry["at"]), until, remained, name))
    conflicts = _with_conflict(history)
    for delivery, couriers in couriers_of.items():
        couriers.sort()
        names = " and ".join(name for *_, name in couriers)
        if sum(remained for _, _, remained, _ in couriers) > 1:
            yield f"{delivery}: more than one courier was never cancelled: {names}"
        overlap = any(later[0] < earlier[1] for at, earlier in enumerate(couriers) for later in couriers[at + 1 :])
        if overlap and delivery not in conflicts:
            yield f"{delivery}: two couriers were live at once without a conflict event: {names}"


def _end(courier: Row, entry: Row, ledger: Sequence[Row]) -> tuple[datetime, bool]:
    """Return when a courier ended, and whether the carrier neither cancelled nor ended its order."""
    cancelled = [
        each["at"]
        for each in ledger
        if (each["carrier"], each["carrier_id"]) == (entry["carrier"], entry["carrier_id"])
        and each["action"] == "cancel"
    ]
    last = courier["history"][-1]
    if cancelled:
        return datetime.fromisoformat(cancelled[0]), False
    if not courier["live"]:
        return datetime.fromisoformat(last["at"]), False
    return datetime.max.replace(tzinfo=datetime.fromisoformat(last["at"]).tzinfo), True


def goods_travel_once(history: History) -> Iterator[str]:
    """R11: no other courier is requested while one has the goods, unless a conflict was published."""
    delivery_of = _delivery_of_attempt(history)
    courier = {(each["carrier"], each["id"]): each for each in history.couriers}
    conflicts = _with_conflict(history)
    picked_up: dict[str, datetime] = {}
    for entry in history.ledger:
        delivery = delivery_of.get(attempt_id(entry))
        if entry["action"] not in REQUESTED or delivery is None:
            continue
        at = datetime.fromisoformat(entry["at"])
        if delivery in picked_up and picked_up[delivery] < at and delivery not in conflicts:
            yield f"{delivery}: {entry['carrier']} {entry['carrier_id']} was requested after the goods had left"
        statuses = courier.get((entry["carrier"], entry["carrier_id"]), NO_COURIER)["history"]
        with_goods = (each["at"] for each in statuses if GOODS.search(each["word"]))
        if first := next(with_goods, None):
            earliest = picked_up.get(delivery, datetime.max.replace(tzinfo=UTC))
            picked_up[delivery] = min(datetime.fromisoformat(first), earliest)


def every_order_ends(history: History) -> Iterator[str]:
    """R2: every placed order was accepted, and has ended or waits for an operator."""
    known = {row["order_id"]: row for row in history.deliveries}
    closed = platform_checker.closed_by_others(history)
    for order in history.placed:
        row = known.get(order)
        if row is None and order not in closed:
            yield f"order {order} was placed and never accepted"
        elif row is None:
            continue
        elif row["status"] not in ENDED and not awaits_operator(row):
            yield f"order {order} stays at {row['status']} without an operator's attention ({row['attention_reasons']})"


def everything_is_published(history: History) -> Iterator[str]:
    """R3, R4: every event of the database reached the bus, in order and without a gap; a repeat is the same event."""
    stored: dict[str, list[str]] = defaultdict(list)
    for row in history.outbox:
        stored[row["key"]].append(row["event"]["id"])
        if row["sequence"] != len(stored[row["key"]]):
            yield f"{row['key']}: the database has {row['sequence']} as its event number {len(stored[row['key']])}"
        if row["stream_id"] is None:
            yield f"{row['key']}: {row['sequence']} was never published"
    lost = {row["event"]["id"] for row in history.outbox} - set(history.on_bus)
    if lost:
        yield f"{len(lost)} events are missing from the bus at the end"
    received: dict[str, list[str]] = defaultdict(list)
    yield from _receive(history.bus, received)
    for key in stored.keys() | received.keys():
        if stored[key] != received[key]:
            yield f"{key}: the database has {len(stored[key])} events, the subscriber received {len(received[key])}"


def _receive(bus: Sequence[Row], received: dict[str, list[str]]) -> Iterator[str]:
    """Read the bus as a subscriber does; add the ids of new events to `received` and yield gaps and mismatches."""
    for event in bus:
        ids, number = received[event["partitionkey"]], int(event["sequence"])
        if number > len(ids) + 1:
            yield f"{event['partitionkey']}: {number} came when {len(ids)} was the last"
            ids.extend([""] * (number - 1 - len(ids)))
        if number > len(ids):
            ids.append(event["id"])
        elif ids[number - 1] not in {event["id"], ""}:
            yield f"{event['partitionkey']}: {number} came twice, as two different events"


def no_step_back(history: History) -> Iterator[str]:
    """R5: a status goes back only along a legal edge, and a final status stays unless the delivery is reopened."""
    last: dict[str, Row] = {}
    for row in history.outbox:
        data = row["event"]["data"]
        if "status" not in data:
            continue
        before = last.get(row["key"])
        if before is not None and not _may_follow(before, data, row["event"]["type"]):
            yield f"{row['key']}: {data['status']} after {before['status']} ({row['event']['type']})"
        last[row["key"]] = data


def _may_follow(before: Row, after: Row, kind: str) -> bool:
    old, new = DeliveryStatus(before["status"]), DeliveryStatus(after["status"])
    if old == new or kind == "delivery.reopened":
        return True
    if old in FINAL:
        return False
    if after["attempt"] > before["attempt"] or new is DeliveryStatus.QUEUED or new in FINAL:
        return True
    forward = RANK.get(new, 0) >= RANK.get(old, 0)
    unordered = {DeliveryStatus.COURIER_WITHDRAWN, DeliveryStatus.ON_HOLD, DeliveryStatus.SUBMIT_UNKNOWN}
    return forward or old in unordered or new in unordered or allows_reassignment(AttemptState(old), AttemptState(new))


def nothing_leaks(history: History) -> Iterator[str]:
    """R8: no personal data and no credential appears in a log."""
    for name, text in history.logs.items():
        for number, private in enumerate(history.private):
            if private in text:
                yield f"{name}: contains private text number {number}: ...{_before(text, private)}..."


def _before(text: str, private: str) -> str:
    """Return the text before the first occurrence, which is masked."""
    at = text.index(private)
    return text[max(0, at - 80) : at] + "#" * len(private)


def intent_before_effect(history: History) -> Iterator[str]:
    """R10: every order at a carrier was committed as an intent before."""
    intents = {row["id"]: row for row in history.attempts}
    ahead = IMPRECISION + timedelta(seconds=max((each["clock_ahead"] for each in history.troubles), default=0.0))
    for entry in history.ledger:
        if entry["action"] not in REQUESTED:
            continue
        row = intents.get(attempt_id(entry))
        if row is None:
            yield f"{entry['carrier']} {entry['carrier_id']} was created without an attempt"
        elif datetime.fromisoformat(row["submitted_at"]) - ahead > datetime.fromisoformat(entry["at"]):
            yield f"{entry['carrier']} {entry['carrier_id']} was created before its attempt was committed"


CHECKS: Mapping[str, Callable[[History], Iterator[str]]] = {
    "R1 at most one courier": one_courier,
    "R2 every order ends or waits for an operator": every_order_ends,
    "R3 R4 every event once and in order": everything_is_published,
    "R5 no step back": no_step_back,
    "R8 nothing private in the logs": nothing_leaks,
    "R10 intent before effect": intent_before_effect,
    "R11 no second courier for goods on the road": goods_travel_once,
    "R12 nothing late without a reason": no_account_is_late,
    "R13 statuses in the carrier's order": statuses_in_order,
    **platform_checker.CHECKS,
}


def check(history: History) -> dict[str, list[str]]:
    """Return the violations of each promise, by its name."""
    return {name: sorted(find(history)) for name, find in CHECKS.items()}


def _delivery_of_attempt(history: History) -> dict[int | None, str]:
    return {row["id"]: row["delivery_id"] for row in history.attempts}


def _with_conflict(history: History) -> set[str]:
    """Return the deliveries for which a conflict was published."""
    return {row["key"] for row in history.outbox if row["event"]["type"] == "delivery.conflict"}
