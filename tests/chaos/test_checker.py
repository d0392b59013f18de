"""The checker must be able to fail: every promise is broken once here, in a history that is otherwise whole."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import check, with_a_person
from tests.chaos.history import History
from worker.carriers.port import reference_of

KEY = "a8098c1a-f86e-5da1-bd1a-00112444be1e"
POINTS = [7, 8]


def event(number: int, status: str, kind: str = "delivery.status_changed", **more: Any) -> dict[str, Any]:
    data = {"status": status, "attempt": 1, "order_id": "2011", **more}
    return {"id": f"event-{number}", "type": kind, "partitionkey": KEY, "sequence": str(number), "data": data}


def stored(told: dict[str, Any]) -> dict[str, Any]:
    return {"key": KEY, "sequence": int(told["sequence"]), "published_at": "2026-11-21T08:09:00+00:00", "event": told}


def made(action: str, carrier_id: str, minute: int, attempt: int = 1) -> dict[str, Any]:
    at = f"2026-11-21T08:{minute:02}:00+00:00"
    what = {"carrier": "borzo", "action": action, "reference": reference_of(attempt), "carrier_id": carrier_id}
    return {"at": at, **what, "detail": {"points": POINTS} if action in {"create", "edit"} else {}}


def courier(carrier_id: str, word: str = "completed", minute: int = 9, *, live: bool = True) -> dict[str, Any]:
    history = [{"word": word, "at": f"2026-11-21T08:{minute:02}:00+00:00"}]
    return {"carrier": "borzo", "id": carrier_id, "live": live, "history": history}


def attempt(identity: int = 1, minute: int = 0) -> dict[str, Any]:
    at = f"2026-11-21T08:{minute:02}:00+00:00"
    stands = {"carrier": "borzo", "state": "delivered" if identity == 1 else "cancelled", "ref": "99"}
    return {"id": identity, "delivery_id": KEY, "number": identity, "submitted_at": at, **stands}


def written(code: int, minute: int, order: str = "2011", **more: Any) -> dict[str, Any]:
    """One of our writes on the platform."""
    at = f"2026-11-21T08:{minute:02}:01+00:00"
    told = {"app": "order-sync", "status": code, **more}
    return {"at": at, "carrier": "ordering", "action": "update", "carrier_id": order, "detail": told}


def on_platform(*words: tuple[str, int], order: str = "2011") -> dict[str, Any]:
    """An order of the platform: its words, and the minutes at which they began."""
    history = [{"word": word, "at": f"2026-11-21T08:{minute:02}:00+00:00"} for word, minute in words]
    return {"carrier": "ordering", "id": order, "status": words[-1][0], "history": history}


DELIVERY = {
    "id": KEY,
    "order_id": "2011",
    "status": "delivered",
    "detail": None,
    "attention": None,
    "notes": "ring twice",
}
TOLD = (event(1, "queued"), event(2, "created"), event(3, "picked_up"), event(4, "delivered"))
WHOLE = History(
    ledger=(made("create", "99", 1),),
    couriers=(courier("99"),),
    placed=("2011",),
    deliveries=(DELIVERY,),
    attempts=(attempt(),),
    outbox=tuple(map(stored, TOLD)),
    bus=TOLD,
    standing=tuple(f"event-{number}" for number in range(1, 6)),
    platform=(written(25, 2), written(9, 5), written(11, 9)),
    seeded=(on_platform(("0", 0), ("25", 2), ("4", 4), ("9", 5), ("11", 9)),),
    notes={"99": "ring twice"},
    logs={"worker.log": "delivery.settled"},
    private=("Mette Holm", "secret-token"),
)
SECOND: dict[str, Any] = {"attempts": (attempt(), attempt(2)), "couriers": (courier("99"), courier("100"))}
SECOND_CANCELLED: dict[str, Any] = {**SECOND, "couriers": (courier("99"), courier("100", "canceled", 3, live=False))}
GONE_WITH_GOODS = [
    {"word": "active/parcel_picked_up", "at": "2026-11-21T08:03:00+00:00"},
    {"word": "canceled/canceled", "at": "2026-11-21T08:05:00+00:00"},
]
CONFLICT = event(5, "delivered", "delivery.conflict")
BROKEN: dict[str, dict[str, Any]] = {
    "two couriers come": {**SECOND, "ledger": (made("create", "99", 1), made("create", "100", 2, 2))},
    "two couriers live at once and nobody is told": {
        **SECOND_CANCELLED,
        "ledger": (made("create", "99", 1), made("create", "100", 2, 2), made("cancel", "100", 3, 2)),
    },
    "a second courier is sent for goods on the road": {
        "attempts": (attempt(), attempt(2)),
        "couriers": (
            {**courier("99", "canceled/canceled", 5, live=False), "history": GONE_WITH_GOODS},
            courier("100"),
        ),
        "ledger": (made("create", "99", 1), made("create", "100", 6, 2)),
    },
    "an order is lost": {"placed": ("2011", "2012")},
    "an order stands still": {"deliveries": ({**DELIVERY, "status": "created", "attention": "goods_with_courier"},)},
    "an event is lost": {"bus": TOLD[:3]},
    "the bus lost its end for good": {"standing": ("event-1", "event-2")},
    "an event is left out": {"bus": (TOLD[0], *TOLD[2:])},
    "events change places": {"bus": (TOLD[0], TOLD[2], TOLD[1], TOLD[3])},
    "an event comes again as another": {"bus": (*TOLD, {**TOLD[3], "id": "event-5"})},
    "an event is not published": {"outbox": (*map(stored, TOLD[:3]), {**stored(TOLD[3]), "published_at": None})},
    "the database leaves a number out": {"outbox": (stored(TOLD[0]), *map(stored, TOLD[2:]))},
    "the bus tells what the database does not know": {"outbox": tuple(map(stored, TOLD[:3]))},
    "a status goes back": {
        "outbox": tuple(map(stored, back := (*TOLD[:3], event(4, "created"), event(5, "delivered")))),
        "bus": back,
    },
    "the end is not the end": {"outbox": tuple(map(stored, after := (*TOLD, event(5, "created")))), "bus": after},
    "a customer stands in a log": {"logs": {"worker.log": "settled for Mette Holm"}},
    "a credential stands in a log": {"logs": {"web.log": "GET /callbacks/cervo/secret-token"}},
    "a courier comes without an intent": {"attempts": ()},
    "an intent is written down after its effect": {"attempts": (attempt(minute=2),)},
    "what is the shop's is written": {"platform": (*WHOLE.platform[:2], written(4, 4), WHOLE.platform[2])},
    "more than the status is written": {"platform": (*WHOLE.platform[:2], written(11, 9, driver_id=5))},
    "an order that its customer cancelled is written": {
        "deliveries": ({**DELIVERY, "status": "cancelled"},),
        "platform": (written(25, 2), written(9, 8)),
        "seeded": (on_platform(("0", 0), ("25", 2), ("16", 5), ("9", 8)),),
    },
    "the end is not shown": {
        "platform": WHOLE.platform[:2],
        "seeded": (on_platform(("0", 0), ("25", 2), ("9", 5)),),
    },
    "goods on the road are not shown": {
        "deliveries": ({**DELIVERY, "status": "failed", "detail": "with_items"},),
        "platform": WHOLE.platform[:2],
        "seeded": (on_platform(("0", 0), ("25", 2), ("9", 5)),),
    },
    "what nobody brought is shown as delivered": {"deliveries": ({**DELIVERY, "status": "cancelled"},)},
    "another end is not told": {
        "platform": WHOLE.platform[:2],
        "seeded": (on_platform(("0", 0), ("25", 2), ("9", 5), ("16", 6)),),
    },
    "a change adds a point": {
        "ledger": (made("create", "99", 1), {**made("edit", "99", 2), "detail": {"points": [7, 8, 9]}})
    },
    "a change puts another point in the place of one": {
        "ledger": (made("create", "99", 1), {**made("edit", "99", 2), "detail": {"points": [7, 9]}})
    },
    "a change does not arrive": {"notes": {"99": ""}},
    "nobody finds an order": {
        "unsaid": ("2012",),
        "seeded": (*WHOLE.seeded, on_platform(("0", 0), ("7", 2), order="2012")),
    },
    "an order has two deliveries": {"deliveries": (DELIVERY, {**DELIVERY, "id": "another"})},
}
PROMISE = {
    "two couriers come": "R1",
    "two couriers live at once and nobody is told": "R1",
    "a second courier is sent for goods on the road": "R11",
    "an order is lost": "R2",
    "an order stands still": "R2",
    "a status goes back": "R5",
    "the end is not the end": "R5",
    "a customer stands in a log": "R8",
    "a credential stands in a log": "R8",
    "a courier comes without an intent": "R10",
    "an intent is written down after its effect": "R10",
    "what is the shop's is written": "R-W1",
    "more than the status is written": "R-W1",
    "an order that its customer cancelled is written": "R-W1",
    "the end is not shown": "R-W2",
    "goods on the road are not shown": "R-W2",
    "what nobody brought is shown as delivered": "R-W2",
    "another end is not told": "R-W2",
    "a change adds a point": "R-A1",
    "a change puts another point in the place of one": "R-A1",
    "a change does not arrive": "R-A1",
    "nobody finds an order": "R-B1",
    "an order has two deliveries": "R-B1",
}


def broken(history: History) -> list[str]:
    return [name.partition(" ")[0] for name, violations in check(history).items() if violations]


def test_a_whole_history_breaks_no_promise() -> None:
    assert broken(WHOLE) == []


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_the_promise_that_is_broken_is_found_and_no_other(what: str) -> None:
    assert broken(replace(WHOLE, **BROKEN[what])) == [PROMISE.get(what, "R3")]


def test_a_surplus_courier_that_was_announced_and_cancelled_is_no_violation() -> None:
    told = (*TOLD, CONFLICT)
    history = replace(
        WHOLE,
        **SECOND_CANCELLED,
        ledger=(made("create", "99", 1), made("create", "100", 2, 2), made("cancel", "100", 3, 2)),
        outbox=tuple(map(stored, told)),
        bus=told,
    )
    assert broken(history) == []


def test_a_courier_after_one_whom_the_carrier_took_away_is_no_violation() -> None:
    history = replace(
        WHOLE,
        attempts=(attempt(), attempt(2)),
        couriers=(courier("99", "canceled", 2, live=False), courier("100")),
        ledger=(made("create", "99", 1), made("create", "100", 3, 2)),
    )
    assert broken(history) == []


def test_a_driver_who_was_booked_by_hand_and_called_off_with_the_details_is_one_courier() -> None:
    details = {**courier("7", "cancelled", 3, live=False), "carrier": "deliverit_info"}
    trip = {**courier("8", "cancelled", 3, live=False), "carrier": "deliverit"}
    handed_over, called_off = made("create", "7", 1), made("cancel", "7", 3)
    history = replace(
        WHOLE,
        ledger=(
            {**handed_over, "carrier": "deliverit_info"},
            {**made("create", "8", 2), "carrier": "deliverit"},
            {**called_off, "carrier": "deliverit_info"},
        ),
        couriers=(details, trip),
    )
    assert broken(history) == []


def test_an_event_that_comes_again_after_the_bus_was_emptied_is_no_violation() -> None:
    assert broken(replace(WHOLE, bus=(*TOLD, *TOLD[1:]))) == []


def test_an_order_that_its_customer_cancelled_before_anybody_knew_it_needs_no_delivery() -> None:
    cancelled = on_platform(("0", 0), ("7", 1), ("16", 2), order="2012")
    history = replace(WHOLE, placed=("2011", "2012"), unsaid=("2012",), seeded=(*WHOLE.seeded, cancelled))
    assert broken(history) == []


def test_a_write_that_crosses_with_a_customers_cancel_is_no_violation() -> None:
    history = replace(
        WHOLE,
        deliveries=({**DELIVERY, "status": "cancelled"},),
        platform=(written(25, 2), written(9, 5)),
        seeded=(on_platform(("0", 0), ("25", 2), ("16", 5), ("9", 5)),),
    )
    assert broken(history) == []


@pytest.mark.parametrize("stands", ["16", "25"])
def test_something_else_than_our_end_that_was_told_is_no_violation(stands: str) -> None:
    told = (*TOLD, CONFLICT)
    history = replace(
        WHOLE,
        platform=WHOLE.platform[:2],
        seeded=(on_platform(("0", 0), ("25", 2), ("9", 5), (stands, 6)),),
        outbox=tuple(map(stored, told)),
        bus=told,
    )
    assert broken(history) == []


def test_a_change_that_did_not_arrive_and_was_left_to_a_person_is_no_violation() -> None:
    asked = event(5, "delivered", "delivery.attention_required", reason_text="order_changed_after_dispatch")
    told = (*TOLD, asked)
    assert broken(replace(WHOLE, notes={"99": ""}, outbox=tuple(map(stored, told)), bus=told)) == []


def test_an_order_that_asks_for_several_things_waits_for_a_person() -> None:
    row = {"id": KEY, "order_id": "2011", "status": "submit_unknown", "attention": "went_backwards, outcome_unknown"}
    assert with_a_person(row)
    assert not with_a_person({**row, "attention": "went_backwards"})
    assert not with_a_person({**row, "attention": None})
