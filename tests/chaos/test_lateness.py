"""The time that an account is late is what no fault explains."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.chaos import lateness
from tests.chaos.whole_history import DELIVERY, WHOLE, attempt, broken, call, event, stored

LATE = (call("create", "99", 6),)


def fault(*accounts: str, began: int = 1, ended: int = 2, hides: bool = False) -> dict[str, Any]:
    """Return a fault that delays creates, or else statuses, between two minutes."""
    times = {"began": f"2026-11-21T08:{began:02}:00+00:00", "ended": f"2026-11-21T08:{ended:02}:00+00:00"}
    delayed = {"creates": [] if hides else accounts, "statuses": accounts if hides else []}
    return {"name": "a fault", **delayed, **times, "clock_ahead": 0.0}


def test_the_lateness_of_a_create_counts_from_the_time_at_which_it_was_due() -> None:
    assert lateness.of_creates(replace(WHOLE, ledger=LATE)) == {"borzo": [timedelta(minutes=5, seconds=30)]}


@pytest.mark.parametrize(
    ("faults", "seconds"),
    [
        ([fault("borzo")], 30),
        ([fault("borzo", began=4, ended=4)], 210),
        ([fault("borzo", began=0, ended=1)], 0),
        ([fault("borzo", began=2, ended=2), fault("borzo", began=1, ended=9)], 30),
        ([fault("cervo"), fault("borzo", hides=True)], 330),
    ],
    ids=["its own", "later", "all the time", "two at once", "of others"],
)
def test_a_fault_of_an_account_and_its_aftermath_explain_only_that_accounts_lateness(
    faults: list[dict[str, Any]], seconds: float
) -> None:
    history = replace(WHOLE, ledger=LATE, troubles=faults)
    assert lateness.of_creates(history) == {"borzo": [timedelta(seconds=seconds)]}


def test_an_order_that_fell_back_is_explained_by_the_faults_of_both_accounts() -> None:
    history = replace(
        WHOLE,
        deliveries=({**DELIVERY, "store_id": "34"},),
        ledger=LATE,
        troubles=(fault("cervo", began=0, ended=0),),
    )
    assert lateness.of_creates(history) == {"cervo": [timedelta(minutes=1)]}


def test_waits_that_an_unknown_outcome_prescribes_are_not_late() -> None:
    history = replace(WHOLE, ledger=LATE, outbox=(*WHOLE.outbox, stored(event(5, "submit_unknown"))))
    assert lateness.of_creates(history) == {}


def test_the_lateness_of_an_end_counts_from_the_time_at_which_the_carrier_showed_it() -> None:
    assert lateness.of_ends(WHOLE) == {"borzo": [timedelta(seconds=30)]}


@pytest.mark.parametrize(
    "changes",
    [
        {"ledger": (*WHOLE.ledger, call("cancel", "99", 9))},
        {"attempts": ({**attempt(), "ended_at": None},)},
        {"couriers": ({**WHOLE.couriers[0], "history": [{"word": "active/active", "at": DELIVERY["dispatch_at"]}]},)},
    ],
    ids=["we cancelled", "we know of no end", "the carrier knows of no end"],
)
def test_only_a_courier_who_ended_by_themself_can_be_reported_late(changes: dict[str, Any]) -> None:
    assert lateness.of_ends(replace(WHOLE, **changes)) == {}


def test_a_create_and_an_end_without_an_explanation_break_a_promise_each() -> None:
    late_end = {**attempt(), "ended_at": "2026-11-21T08:15:00+00:00"}
    assert broken(replace(WHOLE, ledger=LATE)) == ["R12"]
    assert broken(replace(WHOLE, attempts=(late_end,))) == ["R12"]


def test_on_a_slow_machine_the_same_work_may_take_longer() -> None:
    history = replace(WHOLE, ledger=LATE, troubles=(fault("borzo", began=3, ended=3),))
    assert (broken(history), broken(replace(history, slowness=8.0))) == (["R12"], [])
    ended = replace(WHOLE, attempts=({**attempt(), "ended_at": "2026-11-21T08:15:00+00:00"},))
    assert (broken(ended), broken(replace(ended, slowness=4.0))) == (["R12"], [])
