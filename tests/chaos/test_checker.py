"""The checker must be able to fail: every promise is broken once here, in a history that is otherwise whole."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import History, check, with_a_person
from worker.carriers.port import tag_of

KEY = "a8098c1a-f86e-5da1-bd1a-00112444be1e"


def event(number: int, status: str, kind: str = "delivery.status_changed", **more: Any) -> dict[str, Any]:
    data = {"status": status, "attempt": 1, "order_id": "2011", **more}
    return {"id": f"event-{number}", "type": kind, "partitionkey": KEY, "sequence": str(number), "data": data}


def stored(told: dict[str, Any]) -> dict[str, Any]:
    return {"key": KEY, "sequence": int(told["sequence"]), "published_at": "2026-11-21T08:09:00+00:00", "event": told}


def made(action: str, carrier_id: str, minute: int, attempt: int = 1) -> dict[str, Any]:
    at = f"2026-11-21T08:{minute:02}:00+00:00"
    return {"at": at, "carrier": "borzo", "action": action, "reference": tag_of(attempt), "carrier_id": carrier_id}


def courier(carrier_id: str, word: str = "completed", minute: int = 9, *, live: bool = True) -> dict[str, Any]:
    history = [{"word": word, "at": f"2026-11-21T08:{minute:02}:00+00:00"}]
    return {"carrier": "borzo", "id": carrier_id, "live": live, "history": history}


def attempt(identity: int = 1, minute: int = 0) -> dict[str, Any]:
    at = f"2026-11-21T08:{minute:02}:00+00:00"
    return {"id": identity, "delivery_id": KEY, "number": identity, "submitted_at": at}


TOLD = (event(1, "queued"), event(2, "created"), event(3, "picked_up"), event(4, "delivered"))
WHOLE = History(
    ledger=(made("create", "99", 1),),
    couriers=(courier("99"),),
    placed=("2011",),
    deliveries=({"id": KEY, "order_id": "2011", "status": "delivered", "attention": None},),
    attempts=(attempt(),),
    outbox=tuple(map(stored, TOLD)),
    bus=TOLD,
    standing=tuple(f"event-{number}" for number in range(1, 6)),
    logs={"worker.log": "delivery.settled"},
    private=("Mette Holm", "secret-token"),
)
SECOND: dict[str, Any] = {"attempts": (attempt(), attempt(2)), "couriers": (courier("99"), courier("100"))}
SECOND_CANCELLED: dict[str, Any] = {**SECOND, "couriers": (courier("99"), courier("100", "canceled", 3, live=False))}
CONFLICT = event(5, "delivered", "delivery.conflict")
BROKEN: dict[str, dict[str, Any]] = {
    "two couriers come": {**SECOND, "ledger": (made("create", "99", 1), made("create", "100", 2, 2))},
    "two couriers live at once and nobody is told": {
        **SECOND_CANCELLED,
        "ledger": (made("create", "99", 1), made("create", "100", 2, 2), made("cancel", "100", 3, 2)),
    },
    "an order is lost": {"placed": ("2011", "2012")},
    "an order stands still": {
        "deliveries": ({"id": KEY, "order_id": "2011", "status": "created", "attention": "goods_with_courier"},)
    },
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
}
PROMISE = {
    "two couriers come": "R1",
    "two couriers live at once and nobody is told": "R1",
    "an order is lost": "R2",
    "an order stands still": "R2",
    "a status goes back": "R5",
    "the end is not the end": "R5",
    "a customer stands in a log": "R8",
    "a credential stands in a log": "R8",
    "a courier comes without an intent": "R10",
    "an intent is written down after its effect": "R10",
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


def test_an_event_that_comes_again_after_the_bus_was_emptied_is_no_violation() -> None:
    assert broken(replace(WHOLE, bus=(*TOLD, *TOLD[1:]))) == []


def test_an_order_that_asks_for_several_things_waits_for_a_person() -> None:
    row = {"id": KEY, "order_id": "2011", "status": "submit_unknown", "attention": "went_backwards, outcome_unknown"}
    assert with_a_person(row)
    assert not with_a_person({**row, "attention": "went_backwards"})
    assert not with_a_person({**row, "attention": None})
