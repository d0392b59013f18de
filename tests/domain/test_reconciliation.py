"""Creates with an unknown outcome: quarantine, proof of absence, and an operator's finding."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.status import AttentionReason, Cause, Reason
from tests.domain.scenario import DeliveryScenario, observed, refused
from worker.carriers.port import Booked
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Step
from worker.errors import Unavailable, Uncertain, Unreadable


def unknown_outcome(*carriers: str) -> DeliveryScenario:
    """Return a scenario whose create timed out at its deadline."""
    scenario = DeliveryScenario(*carriers)
    scenario.place()
    scenario.begin_booking()
    scenario.wait(45)
    scenario.answer_create(Uncertain("timed out"))
    scenario.new_events()
    return scenario


@pytest.mark.quirk("X-03")
def test_a_create_whose_process_was_lost_has_an_unknown_outcome_after_its_lease() -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    scenario.begin_booking()
    assert scenario.wait_for(Step.RECONCILE) == timedelta(seconds=75)
    scenario.apply(lifecycle.mark_outcome_unknown(scenario.delivery, scenario.terms, scenario.now))
    assert scenario.new_events()[1:] == ["2 status_changed queued>submit_unknown at borzo#1 [timer]"]
    assert scenario.state == ("submit_unknown", Step.RECONCILE, "borzo")
    assert scenario.delivery.next_run_at == scenario.attempt.submitted_at + timedelta(seconds=45 + 60)


def test_only_a_create_in_flight_can_be_lost() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    assert lifecycle.mark_outcome_unknown(scenario.delivery, scenario.terms, scenario.now) is None
    scenario.book()
    assert lifecycle.mark_outcome_unknown(scenario.delivery, scenario.terms, scenario.now) is None


def test_the_late_answer_of_a_lost_create_settles_the_outcome() -> None:
    scenario = unknown_outcome("borzo")
    scenario.answer_create(Booked(observed("created", ref="R-1")))
    assert scenario.new_events() == ["3 status_changed submit_unknown>created at borzo#1 [response]"]
    assert scenario.state == ("created", Step.TRACK, "borzo")


def left_to_an_operator() -> DeliveryScenario:
    scenario = unknown_outcome("cervo", "borzo")
    scenario.miss_callback()
    assert (scenario.attempt.awaiting_operator, scenario.delivery.attention) == (True, "outcome_unknown")
    scenario.new_events()
    return scenario


def test_a_late_refusal_settles_the_outcome_and_the_next_carrier_is_asked() -> None:
    scenario = left_to_an_operator()
    scenario.answer_create(refused(Reason.CARRIER_CLOSED))
    assert scenario.new_events() == [
        "4 attempt_ended queued>submit_unknown carrier_closed at cervo#1 [response]",
        "5 status_changed submit_unknown>queued (fallback) [response]",
    ]
    assert (scenario.state, scenario.delivery.attention) == (("queued", Step.BOOK, "borzo"), None)


def test_a_create_that_turns_out_to_be_unsent_is_sent_again() -> None:
    scenario = left_to_an_operator()
    scenario.answer_create(Unavailable("not sent"))
    assert scenario.new_events() == ["4 status_changed submit_unknown>queued (resubmit) at cervo#1 [response]"]
    assert (scenario.state, scenario.delivery.attention, scenario.attempt.awaiting_operator) == (
        ("queued", Step.BOOK, "cervo"),
        None,
        False,
    )
    scenario.book()
    assert (scenario.state[0], scenario.attempt.number) == ("created", 1)


def test_a_create_that_turns_out_to_be_unsent_needs_no_cancel() -> None:
    scenario = left_to_an_operator()
    scenario.request_cancel()
    scenario.answer_create(Unavailable("not sent"))
    assert scenario.state == ("cancelled", None, "cervo")


def test_a_late_uncertain_answer_leaves_the_outcome_unknown() -> None:
    scenario = left_to_an_operator()
    before = scenario.delivery
    scenario.answer_create(Uncertain("no answer"))
    assert (scenario.delivery, scenario.new_events()) == (before, [])


@pytest.mark.fault("F-28")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize("carrier", ["borzo", "deliverit"])
def test_look_ups_wait_for_the_quarantine(carrier: str) -> None:
    scenario = unknown_outcome(carrier)
    sent = scenario.attempt.submitted_at
    times: list[float] = []
    for _ in range(3):
        scenario.miss_lookup()
        times.append((scenario.now - sent).total_seconds() - 45)
    assert times == [60, 90, 120]


@pytest.mark.fault("F-36")
@pytest.mark.quirk("D-60", "B-60")
def test_an_order_that_a_look_up_finds_is_followed() -> None:
    scenario = unknown_outcome("borzo", "cervo")
    scenario.miss_lookup()
    scenario.observe(observed("courier_assigned", ref="R-1"), cause=Cause.RECONCILE)
    assert scenario.new_events() == ["3 status_changed submit_unknown>courier_assigned at borzo#1 [reconcile]"]
    assert (scenario.state, scenario.attempt.ref) == (("courier_assigned", Step.TRACK, "borzo"), "R-1")


@pytest.mark.fault("F-37")
@pytest.mark.quirk("D-60", "B-60")
def test_two_look_ups_that_find_nothing_prove_nothing() -> None:
    scenario = unknown_outcome("borzo", "cervo")
    scenario.miss_lookup()
    scenario.miss_lookup()
    assert scenario.new_events() == []
    assert scenario.state == ("submit_unknown", Step.RECONCILE, "borzo")


@pytest.mark.fault("F-37")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize("error", [Unavailable("down"), Unreadable("HTML"), Uncertain("timed out")])
def test_a_failed_look_up_proves_nothing(error: Unavailable | Unreadable | Uncertain) -> None:
    scenario = unknown_outcome("borzo")
    for _ in range(9):
        scenario.wait_for(Step.RECONCILE)
        before = scenario.now
        scenario.apply(
            lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, error, scenario.terms, scenario.now)
        )
        assert scenario.delivery.next_run_at is not None
        assert scenario.delivery.next_run_at > before
    assert (scenario.attempt.lookups, scenario.state) == (0, ("submit_unknown", Step.RECONCILE, "borzo"))


@pytest.mark.quirk("D-60", "B-60")
def test_three_look_ups_that_find_nothing_allow_one_more_create_and_then_ask_for_an_operator() -> None:
    scenario = unknown_outcome("borzo", "cervo")
    for _ in range(3):
        scenario.miss_lookup()
    assert scenario.new_events() == ["3 status_changed submit_unknown>queued (resubmit) [reconcile]"]
    assert scenario.state == ("queued", Step.BOOK, "borzo")
    scenario.book(Uncertain("timed out"))
    assert [(each.number, each.carrier, each.state) for each in scenario.delivery.attempts] == [
        (1, "borzo", "rejected"),
        (2, "borzo", "submit_unknown"),
    ]
    for _ in range(3):
        scenario.miss_lookup()
    assert scenario.new_events() == [
        "4 status_changed queued>submit_unknown at borzo#2 [response]",
        "5 attention_required queued>submit_unknown 'outcome_unknown' at borzo#2 [reconcile]",
    ]
    assert (scenario.attempt.awaiting_operator, scenario.state) == (True, ("submit_unknown", Step.RECONCILE, "borzo"))


def test_an_outcome_left_to_an_operator_is_still_looked_up_and_published_once() -> None:
    scenario = unknown_outcome("borzo")
    scenario.change_capabilities("borzo", max_creates=1)
    waits = [scenario.miss_lookup() for _ in range(6)][3:]
    assert waits == [timedelta(minutes=10)] * 3
    assert [each for each in scenario.new_events() if "attention" in each] == [
        "3 attention_required queued>submit_unknown 'outcome_unknown' at borzo#1 [reconcile]"
    ]
    scenario.observe(observed("created", ref="R-1"), cause=Cause.RECONCILE)
    assert (scenario.state, scenario.delivery.attention) == (("created", Step.TRACK, "borzo"), None)


def test_a_create_refused_after_a_resubmit_falls_back() -> None:
    scenario = unknown_outcome("borzo", "cervo")
    for _ in range(3):
        scenario.miss_lookup()
    scenario.book(refused(Reason.NO_COURIER))
    assert scenario.state == ("queued", Step.BOOK, "cervo")


def test_an_update_before_the_resubmit_keeps_the_carrier() -> None:
    scenario = unknown_outcome("borzo")
    scenario.resolve(None)
    order = scenario.order.model_copy(update={"revision": 2, "notes": "no onions"})
    assert scenario.receive_order(order)
    assert scenario.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("C-23")
def test_an_unknown_outcome_without_look_up_waits_for_a_callback_and_then_asks_for_an_operator() -> None:
    scenario = unknown_outcome("cervo", "borzo")
    assert scenario.miss_callback() == timedelta(seconds=180)
    assert scenario.new_events() == ["3 attention_required queued>submit_unknown 'outcome_unknown' at cervo#1 [timer]"]
    assert (scenario.attempt.awaiting_operator, scenario.state) == (True, ("submit_unknown", Step.RECONCILE, "cervo"))
    assert [scenario.miss_callback() for _ in range(3)] == [timedelta(minutes=10)] * 3
    assert scenario.new_events() == []


@pytest.mark.quirk("C-23")
def test_a_callback_settles_an_unknown_outcome_where_there_is_no_look_up() -> None:
    scenario = unknown_outcome("cervo")
    scenario.observe(observed("created"), cause=Cause.CALLBACK)
    assert scenario.new_events() == ["3 status_changed submit_unknown>created at cervo#1 [callback]"]
    assert scenario.state == ("created", Step.TRACK, "cervo")


def resubmitting(*carriers: str) -> DeliveryScenario:
    """Return a scenario whose create timed out at an account that sends it again under the same id."""
    scenario = DeliveryScenario(*carriers)
    scenario.change_capabilities("cervo", resubmits=True)
    scenario.place()
    scenario.book(Uncertain("timed out"))
    scenario.new_events()
    return scenario


@pytest.mark.fault("F-72")
@pytest.mark.quirk("C-23")
def test_an_unknown_outcome_is_resubmitted_once_under_the_same_id_where_the_account_allows_it() -> None:
    scenario = resubmitting("cervo", "borzo")
    first = scenario.attempt
    assert scenario.wait_for(Step.BOOK) == timedelta(seconds=45 + 180)
    scenario.book(Uncertain("timed out"))
    assert (scenario.attempt.id, scenario.attempt.pickup_at) == (first.id, first.pickup_at)
    scenario.miss_callback()
    assert scenario.new_events() == ["3 attention_required queued>submit_unknown 'outcome_unknown' at cervo#1 [timer]"]
    assert (len(scenario.delivery.attempts), scenario.state) == (1, ("submit_unknown", Step.RECONCILE, "cervo"))


@pytest.mark.fault("F-72")
@pytest.mark.quirk("C-23")
def test_a_resubmitted_create_that_is_accepted_is_followed() -> None:
    scenario = resubmitting("cervo", "borzo")
    scenario.book()
    assert scenario.new_events() == ["3 status_changed submit_unknown>created at cervo#1 [response]"]


@pytest.mark.fault("F-72")
@pytest.mark.quirk("C-23", "C-24")
def test_a_carrier_that_knows_the_id_of_a_resubmitted_create_has_the_first_order() -> None:
    scenario = resubmitting("cervo", "borzo")
    scenario.book(refused(Reason.DUPLICATE, "Id is duplicated"))
    assert scenario.new_events() == [
        "3 status_changed submit_unknown>created at cervo#1 [response]",
        "4 attention_required submit_unknown>created 'reference_missing' at cervo#1 [response]",
    ]
    assert scenario.state == ("created", Step.TRACK, "cervo")


@pytest.mark.fault("F-72")
@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.DUPLICATE}))
def test_any_other_refusal_of_a_resubmitted_create_proves_nothing_about_the_first(reason: Reason) -> None:
    scenario = resubmitting("cervo", "borzo")
    scenario.book(refused(reason))
    assert (scenario.state, scenario.delivery.attention) == (
        ("submit_unknown", Step.RECONCILE, "cervo"),
        "outcome_unknown",
    )


@pytest.mark.fault("F-72")
@pytest.mark.parametrize("error", [Unavailable("down"), Unavailable("wrong token", account=True)])
def test_a_resubmitted_create_that_was_not_sent_is_tried_again_and_no_other_carrier_is_asked(
    error: Unavailable,
) -> None:
    scenario = resubmitting("cervo", "borzo")
    for _ in range(20):
        scenario.book(error)
        assert scenario.state == ("submit_unknown", Step.BOOK, "cervo")
    scenario.fire_alarms()
    assert scenario.delivery.attention == "outcome_unknown"
    scenario.book()
    assert (scenario.state, len(scenario.delivery.attempts)) == (("created", Step.TRACK, "cervo"), 1)


@pytest.mark.fault("F-72")
def test_a_changed_or_cancelled_order_is_not_resubmitted() -> None:
    changed, cancelled = resubmitting("cervo"), resubmitting("cervo")
    changed.change_order(notes="no onions")
    cancelled.request_cancel()
    for scenario in (changed, cancelled):
        scenario.miss_callback()
        assert "outcome_unknown" in scenario.delivery.attention_reasons


@pytest.mark.fault("F-72", "F-73")
def test_a_second_order_of_a_resubmitted_create_is_a_surplus_courier() -> None:
    scenario = resubmitting("cervo")
    scenario.book(Booked(observed("created", ref="R-2")))
    scenario.new_events()
    late = Booked(observed("created", ref="R-1"))
    scenario.apply(lifecycle.apply_late_booking(scenario.delivery, 1, late, scenario.terms, scenario.now))
    assert scenario.new_events() == ["4 conflict submit_unknown>created 'duplicate' at cervo#2 [response]"]
    assert [(each.ref, each.surplus) for each in scenario.delivery.attempts] == [("R-2", False), ("R-1", True)]
    assert scenario.next_step == (Step.CANCEL, 2)
    scenario.apply(lifecycle.apply_late_booking(scenario.delivery, 1, late, scenario.terms, scenario.now))
    assert scenario.new_events() == []


@pytest.mark.fault("F-73")
def test_an_answer_with_another_order_than_a_callback_showed_is_a_surplus_courier() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    scenario.observe(observed("created", ref="R-1"), cause=Cause.CALLBACK)
    scenario.answer_create(Booked(observed("created", ref="R-2")))
    assert [(each.ref, each.surplus) for each in scenario.delivery.attempts] == [("R-1", False), ("R-2", True)]


@pytest.mark.fault("F-73")
def test_an_answer_with_another_reference_than_an_operator_typed_is_followed_and_an_operator_is_asked() -> None:
    scenario = left_to_an_operator()
    scenario.resolve("99998")
    scenario.new_events()
    scenario.answer_create(Booked(observed("created", ref="99999")))
    assert scenario.new_events() == [
        "5 conflict submit_unknown>created 'duplicate' at cervo#1 [response]",
        "6 attention_required submit_unknown>created 'surplus_courier' at cervo#1 [response]",
    ]
    assert [(each.ref, each.surplus) for each in scenario.delivery.attempts] == [("99999", False)]


@pytest.mark.fault("F-73")
@pytest.mark.parametrize(("carriers", "surplus"), [(["borzo"], False), (["borzo", "cervo"], True)])
def test_an_order_that_appears_for_a_create_that_counts_as_unsent_is_followed_or_cancelled(
    carriers: list[str], *, surplus: bool
) -> None:
    scenario = DeliveryScenario(*carriers)
    scenario.place()
    scenario.book(Unavailable("HTTP 429"))
    if surplus:
        while scenario.delivery.carrier == "borzo":
            scenario.book(Unavailable("HTTP 429"))
        scenario.book(Booked(observed("created", ref="9001")))
    scenario.observe(observed("created", ref="R-1"), cause=Cause.CALLBACK, attempt=1)
    first = scenario.delivery.attempts[0]
    assert (first.state, first.ref, first.surplus, first.live) == ("created", "R-1", surplus, True)
    assert any("conflict" in each and "'orphan_found'" in each for each in scenario.new_events())


@pytest.mark.quirk("C-23")
def test_an_operator_who_finds_the_order_settles_the_outcome() -> None:
    scenario = unknown_outcome("cervo")
    scenario.miss_callback()
    scenario.new_events()
    scenario.resolve("25")
    assert scenario.new_events() == ["4 status_changed submit_unknown>created at cervo#1 [operator]"]
    assert (scenario.state, scenario.attempt.ref) == (("created", Step.TRACK, "cervo"), "25")
    assert (scenario.attempt.awaiting_operator, scenario.delivery.attention) == (False, None)


@pytest.mark.quirk("C-23")
def test_an_operator_who_finds_no_order_has_it_created_again_at_the_same_carrier() -> None:
    scenario = unknown_outcome("cervo", "borzo")
    scenario.miss_callback()
    scenario.new_events()
    scenario.resolve(None)
    assert scenario.new_events() == ["4 status_changed submit_unknown>queued (resubmit) [operator]"]
    assert scenario.state == ("queued", Step.BOOK, "cervo")
    scenario.book()
    assert scenario.new_events() == ["5 status_changed queued>created at cervo#2 [response]"]


def test_only_an_unknown_outcome_can_be_resolved() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book()
    assert lifecycle.resolve_unknown_outcome(scenario.delivery, "25", scenario.terms, scenario.now) is None


@pytest.mark.fault("F-28")
@pytest.mark.quirk("X-03")
def test_a_never_created_attempt_that_appears_before_the_next_create_is_followed_instead() -> None:
    scenario = unknown_outcome("borzo")
    for _ in range(3):
        scenario.miss_lookup()
    scenario.new_events()
    scenario.observe(observed("created", ref="R-1"), cause=Cause.CALLBACK)
    assert scenario.new_events() == [
        "4 status_changed queued>created at borzo#1 [callback]",
        "5 conflict queued>created 'orphan_found' at borzo#1 [callback]",
    ]
    assert scenario.state == ("created", Step.TRACK, "borzo")
    assert lifecycle.begin_booking(scenario.delivery, 9, "token", scenario.terms, scenario.now) is None


@pytest.mark.quirk("X-03")
def test_a_never_created_attempt_that_appears_beside_the_next_one_is_surplus_and_published_once() -> None:
    scenario = unknown_outcome("borzo")
    for _ in range(3):
        scenario.miss_lookup()
    scenario.book()
    scenario.new_events()
    for status in ("created", "courier_assigned"):
        scenario.observe(observed(status, ref="R-0"), cause=Cause.CALLBACK, attempt=1)
    assert scenario.new_events() == ["5 conflict queued>created 'orphan_found' at borzo#1 [callback]"]
    assert [(each.surplus, each.state) for each in scenario.delivery.attempts] == [
        (True, "courier_assigned"),
        (False, "created"),
    ]
    assert scenario.next_step == (Step.CANCEL, 1)


def test_the_late_answer_of_a_never_created_attempt_is_an_orphan_too() -> None:
    scenario = unknown_outcome("borzo")
    for _ in range(3):
        scenario.miss_lookup()
    scenario.new_events()
    scenario.answer_create(Booked(observed("created", ref="R-1")))
    assert scenario.new_events()[-1] == "5 conflict queued>created 'orphan_found' at borzo#1 [response]"
    assert scenario.state == ("created", Step.TRACK, "borzo")


def test_a_wrong_reference_can_be_corrected_until_the_carrier_shows_more() -> None:
    scenario = left_to_an_operator()
    scenario.resolve("99998")
    scenario.apply(
        lifecycle.record_read_failure(
            scenario.delivery, 1, Unreadable("there is no such order"), scenario.terms, scenario.now
        )
    )
    scenario.resolve("99999")
    assert (scenario.attempt.ref, scenario.state) == ("99999", ("created", Step.TRACK, "cervo"))
    scenario.poll("courier_assigned")
    assert lifecycle.resolve_unknown_outcome(scenario.delivery, "99998", scenario.terms, scenario.now) is None


def test_an_order_declared_absent_that_exists_is_followed_or_cancelled() -> None:
    scenario = left_to_an_operator()
    scenario.resolve(None)
    scenario.resolve("99999")
    assert (scenario.state, scenario.attempt.ref) == (("created", Step.TRACK, "cervo"), "99999")
    to_cancel = left_to_an_operator()
    to_cancel.request_cancel()
    to_cancel.resolve(None)
    assert (to_cancel.delivery.status, to_cancel.delivery.final) == ("cancelled", True)
    to_cancel.resolve("99999")
    (first,) = to_cancel.delivery.attempts
    assert (to_cancel.delivery.status, first.surplus, first.ref) == ("cancelled", True, "99999")
    assert to_cancel.next_step == (Step.CANCEL, 1)


def test_resolving_an_outcome_keeps_the_attention_for_a_surplus_courier() -> None:
    scenario = left_to_an_operator()
    asked = (AttentionReason.SURPLUS_COURIER, AttentionReason.OUTCOME_UNKNOWN)
    scenario.delivery = replace(scenario.delivery, attention_reasons=asked)
    scenario.resolve("99999")
    assert scenario.delivery.attention == "surplus_courier"


def called_a_duplicate(*carriers: str) -> DeliveryScenario:
    """Return a scenario whose first create the carrier calls a duplicate."""
    scenario = DeliveryScenario(*carriers)
    scenario.place()
    scenario.new_events()
    scenario.book(refused(Reason.DUPLICATE, "order_is_duplicate"))
    return scenario


@pytest.mark.fault("F-36")
@pytest.mark.quirk("B-31")
def test_a_create_that_is_called_a_duplicate_asks_for_an_operator_and_no_second_courier() -> None:
    scenario = called_a_duplicate("borzo", "cervo")
    assert scenario.new_events() == [
        "2 status_changed queued>submit_unknown at borzo#1 [response]",
        "3 attention_required queued>submit_unknown 'duplicate_at_carrier' at borzo#1 [response]",
    ]
    for _ in range(6):
        scenario.miss_lookup()
    assert (scenario.state, scenario.new_events()) == (("submit_unknown", Step.RECONCILE, "borzo"), [])


@pytest.mark.quirk("B-31")
def test_a_duplicate_that_an_operator_finds_is_followed() -> None:
    scenario = called_a_duplicate("borzo", "cervo")
    scenario.resolve("1250032")
    assert (scenario.state, scenario.attempt.ref) == (("created", Step.TRACK, "borzo"), "1250032")
    assert scenario.delivery.attention is None


@pytest.mark.quirk("B-31")
def test_a_duplicate_that_an_operator_declares_absent_goes_to_the_next_carrier() -> None:
    scenario = called_a_duplicate("borzo", "cervo")
    scenario.new_events()
    scenario.resolve(None)
    assert scenario.new_events() == [
        "4 attempt_ended queued>submit_unknown duplicate 'order_is_duplicate' at borzo#1 [operator]",
        "5 status_changed submit_unknown>queued (fallback) [operator]",
    ]
    assert (scenario.state, scenario.delivery.attention) == (("queued", Step.BOOK, "cervo"), None)


@pytest.mark.quirk("B-31")
def test_a_duplicate_that_no_look_up_finds_is_not_cancelled() -> None:
    scenario = called_a_duplicate("borzo", "cervo")
    scenario.request_cancel()
    for _ in range(5):
        scenario.miss_lookup()
    assert (scenario.state[0], scenario.delivery.attention) == ("submit_unknown", "duplicate_at_carrier")
    scenario.resolve(None)
    assert (scenario.state[0], scenario.delivery.attention) == ("cancelled", None)


@pytest.mark.quirk("C-24")
def test_an_order_that_only_a_callback_proved_asks_for_its_reference_and_accepts_it() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.begin_booking()
    scenario.wait(200)
    scenario.apply(lifecycle.mark_outcome_unknown(scenario.delivery, scenario.terms, scenario.now))
    scenario.observe(observed("created"), cause=Cause.CALLBACK)
    scenario.wait_for(Step.TRACK)
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    assert [line.split()[1] for line in scenario.new_events()] == [
        "status_changed",
        "status_changed",
        "status_changed",
        "attention_required",
    ]
    scenario.apply(lifecycle.resolve_unknown_outcome(scenario.delivery, "99999", scenario.terms, scenario.now))
    assert (scenario.attempt.ref, scenario.delivery.attention, scenario.delivery.status) == ("99999", None, "created")
    assert lifecycle.resolve_unknown_outcome(scenario.delivery, None, scenario.terms, scenario.now) is None


@pytest.mark.quirk("C-24")
def test_a_wrong_reference_of_an_order_that_only_a_callback_proved_can_be_corrected() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book(Booked(observed("created")))
    scenario.observe(observed("courier_assigned"), cause=Cause.CALLBACK)
    scenario.resolve("99998")
    scenario.apply(
        lifecycle.record_read_failure(
            scenario.delivery, 1, Unreadable("there is no such order"), scenario.terms, scenario.now
        )
    )
    scenario.resolve("99999")
    assert (scenario.attempt.ref, scenario.delivery.status) == ("99999", "courier_assigned")
    scenario.poll("pickup_enroute")
    assert lifecycle.resolve_unknown_outcome(scenario.delivery, "99998", scenario.terms, scenario.now) is None


@pytest.mark.fault("F-67")
@pytest.mark.quirk("C-23", "C-49")
def test_an_operators_finding_leaves_a_change_that_the_carrier_lacks_to_an_operator() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    scenario.change_order(notes="ring twice")
    scenario.miss_callback()
    assert scenario.delivery.attention_reasons == ("order_changed_after_dispatch", "outcome_unknown")
    scenario.resolve("R-1")
    assert (scenario.delivery.status, scenario.delivery.attention) == ("created", "order_changed_after_dispatch")


def without_reference(*carriers: str) -> DeliveryScenario:
    """Return a scenario whose carrier created the order without a reference, and whose first read shows nothing."""
    scenario = DeliveryScenario(*carriers)
    scenario.place()
    scenario.book(Booked(observed("created")))
    scenario.wait_for(Step.TRACK)
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    return scenario


@pytest.mark.quirk("C-24")
def test_the_attention_for_a_missing_reference_ends_with_the_order() -> None:
    scenario = without_reference("cervo", "borzo")
    assert scenario.delivery.attention_reasons == ("reference_missing",)
    scenario.observe(observed("cancelled"), cause=Cause.CALLBACK)
    assert (scenario.state, scenario.delivery.attention) == (("queued", Step.BOOK, "borzo"), None)


@pytest.mark.quirk("C-24")
def test_the_attention_for_a_missing_reference_ends_with_an_order_whose_goods_are_with_the_courier() -> None:
    scenario = without_reference("cervo")
    scenario.observe(observed("picked_up"), cause=Cause.CALLBACK)
    assert scenario.delivery.attention_reasons == ("reference_missing",)
    scenario.observe(observed("cancelled"), cause=Cause.CALLBACK)
    assert (scenario.delivery.status, scenario.delivery.attention) == ("cancelled", "goods_with_courier")


@pytest.mark.fault("F-07")
@pytest.mark.quirk("D-60", "B-60")
def test_overlapping_look_ups_count_once() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    scenario.wait_for(Step.RECONCILE)
    before = scenario.attempt
    for _ in range(3):
        scenario.apply(lifecycle.record_not_found(scenario.delivery, before, scenario.terms, scenario.now))
    assert (scenario.attempt.lookups, scenario.delivery.status) == (1, "submit_unknown")


@pytest.mark.quirk("D-60", "B-60")
def test_late_look_ups_keep_their_distance() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    scenario.wait(24 * 3600)
    assert [scenario.miss_lookup() for _ in range(3)] == [timedelta(), schedule.LOOKUPS_APART, schedule.LOOKUPS_APART]
