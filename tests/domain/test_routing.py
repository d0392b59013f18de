"""Which carrier is asked: the first that can take the order, and another one while that is unavailable."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from schemas.messages import Cancellation
from schemas.order import Order
from schemas.status import Reason
from schemas.stores import Store
from tests.domain.scenario import START, DeliveryScenario, a_store, an_order, observed, refused
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Gate, PassedOver, Step
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]
PAUSED = Unavailable("the account is paused", account=True)
MINUTE = timedelta(minutes=1)
NO_CASH = Refused(Reason.UNSERVICEABLE, "payment.prepaid: this carrier cannot collect money")
CLOSED = Refused(Reason.CARRIER_CLOSED)


def make_refuse(scenario: DeliveryScenario, *carriers: str, why: Refused = NO_CASH) -> None:
    """Make carriers unable to take any order."""
    for name in carriers:
        scenario.terms[name] = replace(scenario.terms[name], refuses=lambda *_: why)


def only_prepaid(scenario: DeliveryScenario, carrier: str) -> None:
    """Make a carrier unable to collect money."""
    terms = scenario.terms[carrier]
    scenario.terms[carrier] = replace(terms, refuses=lambda order, *_: None if order.payment.prepaid else NO_CASH)


def unpaid_order() -> Order:
    order = an_order(revision=2)
    return order.model_copy(update={"payment": order.payment.model_copy(update={"prepaid": False})})


def find_unavailable(scenario: DeliveryScenario, error: CarrierError = PAUSED) -> None:
    """Wait until the create is due and find the carrier unavailable."""
    scenario.wait_for(Step.BOOK)
    scenario.apply(lifecycle.postpone(scenario.delivery, error, scenario.terms, scenario.now))


# --- passing over ---


@pytest.mark.quirk("D-19")
def test_a_carrier_that_cannot_take_the_order_is_passed_over_without_an_attempt() -> None:
    scenario = DeliveryScenario("deliverit", "borzo", "cervo")
    make_refuse(scenario, "deliverit")
    scenario.place()
    assert (scenario.state, scenario.new_events()) == (
        ("queued", Step.BOOK, "borzo"),
        ["1 status_changed ->queued [message]"],
    )
    scenario.book()
    assert [each.carrier for each in scenario.delivery.attempts] == ["borzo"]


def test_an_order_that_no_carrier_can_take_is_rejected_at_once_with_the_reasons() -> None:
    scenario = DeliveryScenario("deliverit", "uber", "cervo")
    make_refuse(scenario, "deliverit")
    make_refuse(scenario, "cervo", why=CLOSED)
    scenario.place()
    why = "'deliverit: payment.prepaid: this carrier cannot collect money; cervo: carrier_closed'"
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        f"2 status_changed queued>rejected unserviceable {why} [message]",
        f"3 dispatch_failed queued>rejected unserviceable {why} [message]",
    ]
    assert (scenario.delivery.step, scenario.delivery.attention, scenario.delivery.attempts) == (None, None, ())


def test_a_list_without_any_account_asks_for_an_operator() -> None:
    scenario = DeliveryScenario("uber", "glovo")
    scenario.place()
    assert (scenario.state, scenario.delivery.attention) == (("queued", Step.ROUTE, None), "no_configured_carrier")


def test_a_new_account_that_cannot_take_the_order_clears_the_attention() -> None:
    scenario = DeliveryScenario("borzo")
    terms = scenario.terms.pop("borzo")
    scenario.place()
    assert scenario.delivery.attention == "no_configured_carrier"
    scenario.terms["borzo"] = replace(terms, refuses=lambda *_: NO_CASH)
    scenario.wait_for_next_step()
    scenario.apply(lifecycle.route(scenario.delivery, scenario.store, scenario.terms, scenario.now))
    assert (scenario.state[0], scenario.delivery.attention_reasons) == ("rejected", ())


def test_carriers_are_checked_in_order_for_the_dispatch_time_until_one_can_take_the_order() -> None:
    checked: list[tuple[str, datetime]] = []

    def recording(name: str, answer: Refused | None) -> Callable[[Order, Store, datetime], Refused | None]:
        def check(_order: Order, _store: Store, at: datetime) -> Refused | None:
            checked.append((name, at))
            return answer

        return check

    scenario = DeliveryScenario("deliverit", "borzo", "cervo", deliver_at=START + timedelta(hours=5))
    for name, answer in (("deliverit", CLOSED), ("borzo", None), ("cervo", None)):
        scenario.terms[name] = replace(scenario.terms[name], refuses=recording(name, answer))
    scenario.place()
    dispatch_at = START + timedelta(hours=4, minutes=30)
    assert checked == [("deliverit", dispatch_at), ("borzo", dispatch_at)]


def test_a_waiting_order_that_changes_goes_to_a_carrier_that_can_take_it_now() -> None:
    scenario = DeliveryScenario("deliverit", "borzo")
    only_prepaid(scenario, "deliverit")
    scenario.place()
    assert scenario.delivery.carrier == "deliverit"
    scenario.receive_order(unpaid_order())
    assert scenario.state == ("queued", Step.BOOK, "borzo")


def test_a_waiting_order_that_no_carrier_can_take_any_more_is_rejected_with_its_unsent_attempt() -> None:
    scenario = DeliveryScenario("deliverit")
    only_prepaid(scenario, "deliverit")
    scenario.place()
    scenario.book(Unavailable("no route to host"))
    scenario.receive_order(unpaid_order())
    assert (scenario.delivery.status, scenario.delivery.reason) == ("rejected", "unserviceable")
    assert [(each.state, each.reason) for each in scenario.delivery.attempts] == [("rejected", "unserviceable")]


def test_a_fallback_passes_over_a_carrier_that_cannot_take_the_order() -> None:
    scenario = DeliveryScenario("deliverit", "borzo", "cervo")
    make_refuse(scenario, "borzo")
    scenario.place()
    scenario.book(refused(Reason.CARRIER_CLOSED))
    assert scenario.state == ("queued", Step.BOOK, "cervo")


def test_a_fallback_without_an_able_carrier_ends_like_the_last_attempt() -> None:
    scenario = DeliveryScenario("deliverit", "borzo")
    make_refuse(scenario, "borzo")
    scenario.place()
    scenario.book(refused(Reason.CARRIER_CLOSED))
    assert scenario.new_events()[1:] == [
        "2 attempt_ended ->queued carrier_closed at deliverit#1 [response]",
        "3 status_changed queued>rejected carrier_closed at deliverit#1 [response]",
        "4 dispatch_failed queued>rejected carrier_closed at deliverit#1 [response]",
    ]


def test_an_order_cancelled_before_it_came_is_cancelled_even_if_no_carrier_could_take_it() -> None:
    scenario = DeliveryScenario("deliverit")
    make_refuse(scenario, "deliverit")
    scenario.place(Cancellation(order_id="2011", cancelled_by="customer"))
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 status_changed queued>cancelled by customer [message]",
    ]


def test_no_order_is_rejected_behind_a_closed_gate() -> None:
    scenario = DeliveryScenario("deliverit")
    make_refuse(scenario, "deliverit", why=CLOSED)
    scenario.delivery = replace(scenario.delivery, gate=Gate.ACCEPTED)
    scenario.place()
    assert (scenario.delivery.status, scenario.delivery.step, scenario.delivery.attention) == (
        "queued",
        Step.ROUTE,
        None,
    )


@pytest.mark.quirk("D-19")
def test_a_change_holds_the_carriers_that_routing_passed_over() -> None:
    scenario = DeliveryScenario("deliverit", "borzo", "cervo")
    make_refuse(scenario, "deliverit")
    make_refuse(scenario, "borzo", why=CLOSED)
    scenario.place()
    assert scenario.passed_over == [
        PassedOver("deliverit", Reason.UNSERVICEABLE, "payment.prepaid: this carrier cannot collect money"),
        PassedOver("borzo", Reason.CARRIER_CLOSED, "carrier_closed"),
    ]
    scenario.book()
    assert len(scenario.passed_over) == 2


def test_a_fallback_holds_the_carriers_that_it_passed_over() -> None:
    scenario = DeliveryScenario("deliverit", "borzo", "cervo")
    make_refuse(scenario, "borzo", why=CLOSED)
    scenario.place()
    scenario.book(refused(Reason.NO_COURIER))
    assert scenario.passed_over == [PassedOver("borzo", Reason.CARRIER_CLOSED, "carrier_closed")]


# --- failover ---


@pytest.mark.parametrize("error", [PAUSED, Unavailable("refused"), Throttled("too many", retry_after=3600)])
def test_another_carrier_is_asked_after_two_minutes_without_a_call(error: CarrierError) -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    while scenario.delivery.carrier == "borzo":
        find_unavailable(scenario, error)
    assert scenario.now == START + 2 * MINUTE
    assert scenario.new_events()[1:] == ["2 updated ->queued (fallback) [timer]"]
    assert (scenario.state, scenario.delivery.failures, scenario.delivery.carrier_since) == (
        ("queued", Step.BOOK, "cervo"),
        0,
        scenario.now,
    )
    scenario.book()
    assert scenario.state == ("created", Step.TRACK, "cervo")


@pytest.mark.parametrize(("to_pickup", "seconds"), [(60, 120), (12, 120), (6, 60), (3, 30), (0, 30), (-60, 30)])
def test_the_nearer_the_pickup_the_sooner_another_carrier_is_asked(to_pickup: int, seconds: int) -> None:
    order, store = an_order(ready_at=START + to_pickup * MINUTE), a_store("borzo", "cervo")
    accepted_at = START - timedelta(hours=2)
    found = schedule.failover_time(order, store, accepted_at, START)
    assert found == START + timedelta(seconds=seconds)


def test_the_two_minutes_begin_with_the_first_failed_call() -> None:
    scenario = DeliveryScenario("borzo", "cervo", ready_at=START + timedelta(hours=2))
    scenario.place()
    scenario.wait(1800)
    while scenario.delivery.carrier == "borzo":
        scenario.book(Unavailable("not sent: its process ended before"))
    assert scenario.now == START + 32 * MINUTE


def test_the_two_minutes_of_a_preorder_begin_at_its_dispatch() -> None:
    scenario = DeliveryScenario("borzo", "cervo", deliver_at=START + timedelta(hours=5))
    scenario.place()
    while scenario.delivery.carrier == "borzo":
        find_unavailable(scenario)
    assert scenario.now == START + timedelta(hours=4, minutes=32)


def wait_for_a_turn(scenario: DeliveryScenario, *, seconds: float) -> bool:
    """Wait, and find that the carrier still has no turn for the create; return whether another carrier is asked."""
    scenario.wait(seconds)
    change = lifecycle.leave_busy_carrier(scenario.delivery, scenario.terms, scenario.now)
    if change is not None:
        scenario.apply(change)
    return change is not None


@pytest.mark.fault("F-92")
def test_the_wait_for_a_turn_at_a_busy_carrier_counts_from_the_time_of_the_create() -> None:
    scenario = DeliveryScenario("borzo", "cervo", deliver_at=START + timedelta(hours=5))
    scenario.place()
    scenario.wait(4.5 * 3600)
    assert [wait_for_a_turn(scenario, seconds=seconds) for seconds in (0, 119, 1)] == [False, False, True]
    assert (scenario.state, scenario.delivery.carrier_since) == (("queued", Step.BOOK, "cervo"), scenario.now)
    assert [wait_for_a_turn(scenario, seconds=seconds) for seconds in (119, 1)] == [False, True]
    assert scenario.delivery.carrier == "borzo"


@pytest.mark.fault("F-92")
def test_the_wait_for_a_turn_adds_to_the_time_since_the_first_failed_call() -> None:
    scenario = DeliveryScenario("borzo", "cervo", ready_at=START + timedelta(hours=2))
    scenario.place()
    find_unavailable(scenario, Unavailable("refused"))
    left = (START + 2 * MINUTE - scenario.now).total_seconds()
    assert [wait_for_a_turn(scenario, seconds=seconds) for seconds in (left - 1, 1)] == [False, True]


def test_an_order_with_a_single_carrier_waits_for_its_turn_there() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    assert not wait_for_a_turn(scenario, seconds=3600)


def test_an_order_with_a_single_carrier_waits_for_it() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    find_unavailable(scenario)
    assert scenario.delivery.retry_at == START + schedule.ACCOUNT_RETRY
    find_unavailable(scenario)
    assert (scenario.delivery.carrier, [line for line in scenario.new_events() if "fallback" in line]) == ("borzo", [])


def test_unavailable_carriers_take_turns_of_two_minutes() -> None:
    scenario = DeliveryScenario("borzo", "cervo", "deliverit", ready_at=START + timedelta(hours=2))
    make_refuse(scenario, "deliverit")
    scenario.place()
    turns = [(scenario.delivery.carrier, scenario.now)]
    while len(turns) < 5:
        find_unavailable(scenario)
        if scenario.delivery.carrier != turns[-1][0]:
            turns.append((scenario.delivery.carrier, scenario.now))
    assert turns == [(name, START + 2 * MINUTE * turn) for turn, name in enumerate(["borzo", "cervo"] * 2 + ["borzo"])]


def test_a_changed_order_does_not_return_to_the_unavailable_carrier() -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    while scenario.delivery.carrier == "borzo":
        find_unavailable(scenario, PAUSED)
    scenario.change_order(notes="ring twice")
    assert scenario.state == ("queued", Step.BOOK, "cervo")


def test_a_carrier_that_refused_is_not_asked_again_when_the_next_is_unavailable() -> None:
    scenario = DeliveryScenario("deliverit", "borzo")
    scenario.place()
    scenario.book(refused(Reason.CARRIER_CLOSED))
    for _ in range(5):
        find_unavailable(scenario)
    assert scenario.delivery.carrier == "borzo"


def test_an_unsent_attempt_is_used_again_when_its_carrier_is_asked_again() -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    while scenario.delivery.carrier == "borzo":
        scenario.book(Unavailable("no route to host"))
    scenario.begin_booking()
    assert [(each.id, each.carrier, each.state) for each in scenario.delivery.attempts] == [
        (1, "borzo", "queued"),
        (scenario.attempt.id, "cervo", "submitting"),
    ]
    assert scenario.delivery.active == scenario.attempt
    scenario.answer_create(refused(Reason.CARRIER_CLOSED))
    assert scenario.state == ("queued", Step.BOOK, "borzo")
    scenario.book()
    assert [(each.id, each.number, each.state) for each in scenario.delivery.attempts if each.carrier == "borzo"] == [
        (1, 1, "created")
    ]
    assert len(scenario.delivery.attempts) == 2


def test_an_unsent_attempt_that_was_used_again_can_be_reopened() -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    while scenario.delivery.carrier == "borzo":
        scenario.book(Unavailable("no route to host"))
    scenario.book(refused(Reason.CARRIER_CLOSED))
    scenario.wait(1)
    scenario.book()
    scenario.observe(observed("delivered"), attempt=1)
    scenario.new_events()
    scenario.observe(observed("created", reopens=True), attempt=1)
    assert [each.split()[1:3] for each in scenario.new_events()] == [["reopened", "delivered>created"]]


def test_an_unknown_outcome_blocks_failover() -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    for _ in range(3):
        scenario.wait(600)
        scenario.apply(
            lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, PAUSED, scenario.terms, scenario.now)
        )
    assert (scenario.delivery.status, scenario.delivery.carrier) == ("submit_unknown", "borzo")


def test_a_created_order_stays_at_its_carrier_however_long_the_carrier_is_unavailable(created: Make) -> None:
    scenario = created("borzo", "cervo")
    for _ in range(5):
        scenario.wait(600)
        scenario.apply(
            lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, PAUSED, scenario.terms, scenario.now)
        )
    assert scenario.state == ("created", Step.TRACK, "borzo")
