"""The checker finds every violation: each promise is broken once here, in a history that is otherwise whole."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import awaits_operator
from tests.chaos.sandbox import attempt_id
from tests.chaos.whole_history import (
    DELIVERY,
    EVENTS,
    WHOLE,
    attempt,
    broken,
    call,
    courier,
    event,
    on_platform,
    stored,
    written,
)

SECOND: dict[str, Any] = {"attempts": (attempt(), attempt(2)), "couriers": (courier("99"), courier("100"))}
SECOND_CANCELLED: dict[str, Any] = {**SECOND, "couriers": (courier("99"), courier("100", "canceled", 3, live=False))}
LOST_WITH_GOODS = [
    {"word": "active/parcel_picked_up", "at": "2026-11-21T08:03:00+00:00"},
    {"word": "canceled/canceled", "at": "2026-11-21T08:05:00+00:00"},
]
AT = "2026-11-21T08:05:00+00:00"
CONFLICT = event(5, "delivered", "delivery.conflict")
BROKEN: dict[str, dict[str, Any]] = {
    "two couriers are booked": {**SECOND, "ledger": (call("create", "99", 1), call("create", "100", 2, 2))},
    "two couriers are live at once without a conflict": {
        **SECOND_CANCELLED,
        "ledger": (call("create", "99", 1), call("create", "100", 2, 2), call("cancel", "100", 3, 2)),
    },
    "a second courier is requested for goods on the road": {
        "attempts": ({**attempt(), "ended_at": "2026-11-21T08:05:30+00:00"}, attempt(2)),
        "couriers": (
            {**courier("99", "canceled/canceled", 5, live=False), "history": LOST_WITH_GOODS},
            courier("100"),
        ),
        "ledger": (call("create", "99", 1), call("create", "100", 6, 2)),
    },
    "an order is lost": {"placed": ("2011", "2012")},
    "an order stays open without an operator": {
        "deliveries": ({**DELIVERY, "status": "created", "attention_reasons": "goods_with_courier"},)
    },
    "an event is lost": {"bus": EVENTS[:3]},
    "the bus lost its end for good": {"on_bus": ("event-1", "event-2")},
    "an event is skipped": {"bus": (EVENTS[0], *EVENTS[2:])},
    "events are out of order": {"bus": (EVENTS[0], EVENTS[2], EVENTS[1], EVENTS[3])},
    "an event is repeated as another one": {"bus": (*EVENTS, {**EVENTS[3], "id": "event-5"})},
    "an event is not published": {"outbox": (*map(stored, EVENTS[:3]), {**stored(EVENTS[3]), "stream_id": None})},
    "the database skips a number": {"outbox": (stored(EVENTS[0]), *map(stored, EVENTS[2:]))},
    "the bus has an event that the database has not": {"outbox": tuple(map(stored, EVENTS[:3]))},
    "a status goes back": {
        "outbox": tuple(map(stored, back := (*EVENTS[:3], event(4, "created"), event(5, "delivered")))),
        "bus": back,
    },
    "a final status changes": {"outbox": tuple(map(stored, after := (*EVENTS, event(5, "created")))), "bus": after},
    "a customer appears in a log": {"logs": {"worker.log": "settled for Mette Holm"}},
    "a credential appears in a log": {"logs": {"web.log": "GET /callbacks/cervo/secret-token"}},
    "a courier is booked without an intent": {"attempts": ()},
    "an intent is committed after its effect": {"attempts": (attempt(minute=2),)},
    "a status of the shop is written": {
        "platform_ledger": (*WHOLE.platform_ledger[:2], written(4, 4), WHOLE.platform_ledger[2])
    },
    "more than the status is written": {"platform_ledger": (*WHOLE.platform_ledger[:2], written(11, 9, driver_id=5))},
    "a status is written over a customer's cancel": {
        "deliveries": ({**DELIVERY, "status": "cancelled"},),
        "platform_ledger": (written(25, 2), written(9, 8)),
        "platform_orders": (on_platform(("0", 0), ("25", 2), ("16", 5), ("9", 8)),),
    },
    "the platform does not show the end": {
        "platform_ledger": WHOLE.platform_ledger[:2],
        "platform_orders": (on_platform(("0", 0), ("25", 2), ("9", 5)),),
    },
    "the platform does not show goods on the road": {
        "deliveries": ({**DELIVERY, "status": "failed", "detail": "with_items"},),
        "platform_ledger": WHOLE.platform_ledger[:2],
        "platform_orders": (on_platform(("0", 0), ("25", 2), ("9", 5)),),
    },
    "the platform shows a cancelled order as delivered": {"deliveries": ({**DELIVERY, "status": "cancelled"},)},
    "another end on the platform has no conflict": {
        "platform_ledger": WHOLE.platform_ledger[:2],
        "platform_orders": (on_platform(("0", 0), ("25", 2), ("9", 5), ("16", 6)),),
    },
    "a change adds a point": {
        "ledger": (call("create", "99", 1), {**call("edit", "99", 2), "detail": {"points": [7, 8, 9]}})
    },
    "a change replaces a point": {
        "ledger": (call("create", "99", 1), {**call("edit", "99", 2), "detail": {"points": [7, 9]}})
    },
    "a change does not arrive": {"notes": {"99": ""}},
    "the back-fill misses an order": {
        "unannounced": ("2012",),
        "platform_orders": (*WHOLE.platform_orders, on_platform(("0", 0), ("7", 2), order="2012")),
    },
    "an order has two deliveries": {"deliveries": (DELIVERY, {**DELIVERY, "id": "another"})},
}
PROMISE = {
    "two couriers are booked": "R1",
    "two couriers are live at once without a conflict": "R1",
    "a second courier is requested for goods on the road": "R11",
    "an order is lost": "R2",
    "an order stays open without an operator": "R2",
    "a status goes back": "R5",
    "a final status changes": "R5",
    "a customer appears in a log": "R8",
    "a credential appears in a log": "R8",
    "a courier is booked without an intent": "R1 R10",
    "an intent is committed after its effect": "R10",
    "a status of the shop is written": "R-W1",
    "more than the status is written": "R-W1",
    "a status is written over a customer's cancel": "R-W1",
    "the platform does not show the end": "R-W2",
    "the platform does not show goods on the road": "R-W2",
    "the platform shows a cancelled order as delivered": "R-W2",
    "another end on the platform has no conflict": "R-W2",
    "a change adds a point": "R-A1",
    "a change replaces a point": "R-A1",
    "a change does not arrive": "R-A1",
    "the back-fill misses an order": "R-B1",
    "an order has two deliveries": "R-B1",
}


def test_a_whole_history_breaks_no_promise() -> None:
    assert broken(WHOLE) == []


@pytest.mark.parametrize("violation", sorted(BROKEN))
def test_the_promises_that_are_broken_are_found_and_no_others(violation: str) -> None:
    assert broken(replace(WHOLE, **BROKEN[violation])) == PROMISE.get(violation, "R3").split()


def test_a_surplus_courier_that_was_announced_and_cancelled_is_no_violation() -> None:
    events = (*EVENTS, CONFLICT)
    history = replace(
        WHOLE,
        **SECOND_CANCELLED,
        ledger=(call("create", "99", 1), call("create", "100", 2, 2), call("cancel", "100", 3, 2)),
        outbox=tuple(map(stored, events)),
        bus=events,
    )
    assert broken(history) == []


def test_an_intent_that_a_stepped_clock_dates_after_its_effect_is_no_violation() -> None:
    fault = {"name": "a step", "creates": [], "statuses": [], "began": AT, "ended": AT, "clock_ahead": 120.0}
    assert broken(replace(WHOLE, attempts=(attempt(minute=3),), troubles=(fault,))) == []
    assert broken(replace(WHOLE, attempts=(attempt(minute=4),), troubles=(fault,))) == ["R10"]


def test_an_intent_that_an_imprecise_clock_dates_just_after_its_effect_is_no_violation() -> None:
    at = "2026-11-21T08:01:00.500+00:00"
    assert broken(replace(WHOLE, attempts=({**attempt(), "submitted_at": at},))) == []


def test_a_change_that_came_after_the_end_is_no_violation() -> None:
    late = {**DELIVERY, "notes": "ring thrice", "changed_at": "2026-11-21T08:09:31+00:00"}
    assert broken(replace(WHOLE, deliveries=(late,))) == []


def test_a_courier_after_one_that_the_carrier_cancelled_is_no_violation() -> None:
    history = replace(
        WHOLE,
        attempts=(attempt(), attempt(2)),
        couriers=(courier("99", "canceled", 2, live=False), courier("100")),
        ledger=(call("create", "99", 1), call("create", "100", 3, 2)),
    )
    assert broken(history) == []


def test_a_transferred_order_and_its_driver_who_was_booked_by_hand_are_one_courier() -> None:
    details = {**courier("7", "cancelled", 3, live=False), "carrier": "deliverit_info"}
    booked = {**courier("8", "cancelled", 3, live=False), "carrier": "deliverit"}
    transferred, cancelled = call("create", "7", 1), call("cancel", "7", 3)
    history = replace(
        WHOLE,
        ledger=(
            {**transferred, "carrier": "deliverit_info"},
            {**call("create", "8", 2), "carrier": "deliverit"},
            {**cancelled, "carrier": "deliverit_info"},
        ),
        couriers=(details, booked),
    )
    assert broken(history) == []


def test_an_event_that_is_repeated_after_the_bus_was_emptied_is_no_violation() -> None:
    assert broken(replace(WHOLE, bus=(*EVENTS, *EVENTS[1:]))) == []


def test_an_order_that_its_customer_cancelled_before_it_was_found_needs_no_delivery() -> None:
    cancelled = on_platform(("0", 0), ("7", 1), ("16", 2), order="2012")
    history = replace(
        WHOLE, placed=("2011", "2012"), unannounced=("2012",), platform_orders=(*WHOLE.platform_orders, cancelled)
    )
    assert broken(history) == []


def test_a_write_at_the_same_time_as_a_customers_cancel_is_no_violation() -> None:
    history = replace(
        WHOLE,
        deliveries=({**DELIVERY, "status": "cancelled"},),
        platform_ledger=(written(25, 2), written(9, 5)),
        platform_orders=(on_platform(("0", 0), ("25", 2), ("16", 5), ("9", 5)),),
    )
    assert broken(history) == []


def test_a_later_write_over_our_own_that_replaced_a_cancel_at_the_same_time_is_no_violation() -> None:
    statuses = (("0", 0), ("25", 2), ("16", 5), ("9", 5), ("11", 9))
    assert broken(replace(WHOLE, platform_orders=(on_platform(*statuses),))) == []


@pytest.mark.parametrize("status", ["16", "25"])
def test_another_end_on_the_platform_with_a_conflict_is_no_violation(status: str) -> None:
    events = (*EVENTS, CONFLICT)
    history = replace(
        WHOLE,
        platform_ledger=WHOLE.platform_ledger[:2],
        platform_orders=(on_platform(("0", 0), ("25", 2), ("9", 5), (status, 6)),),
        outbox=tuple(map(stored, events)),
        bus=events,
    )
    assert broken(history) == []


def test_a_change_that_did_not_arrive_but_was_left_to_an_operator_is_no_violation() -> None:
    asked = event(5, "delivered", "delivery.attention_required", reason_text="order_changed_after_dispatch")
    events = (*EVENTS, asked)
    assert broken(replace(WHOLE, notes={"99": ""}, outbox=tuple(map(stored, events)), bus=events)) == []


def test_an_order_with_several_attention_reasons_waits_for_an_operator() -> None:
    row = {**DELIVERY, "status": "submit_unknown", "attention_reasons": "went_backwards, outcome_unknown"}
    assert awaits_operator(row)
    assert not awaits_operator({**row, "attention_reasons": "went_backwards"})
    assert not awaits_operator({**row, "attention_reasons": None})


def test_a_reference_of_digits_alone_is_read_as_its_carrier_writes_it() -> None:
    digits = "37482674451"
    carriers = ("cervo", "borzo", "deliverit", "deliverit_info")
    assert [attempt_id({"carrier": each, "reference": digits}) for each in carriers] == [
        37482674451,
        3628665605853345,
        3628665605853345,
        3628665605853345,
    ]
