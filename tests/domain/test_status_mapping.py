"""Unknown words, and what an operator's mapping of them changes."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.events import RawWord
from schemas.status import Cause, DeliveryStatus, Evidence, Reason
from tests.domain.scenario import START, DeliveryScenario, observed
from worker.domain import lifecycle
from worker.domain.delivery import Step, UnmappedStatus
from worker.errors import Refused

Make = Callable[..., DeliveryScenario]
DELIVERED = {"order:6": DeliveryStatus.DELIVERED}


def apply_mapping(scenario: DeliveryScenario, words: dict[str, DeliveryStatus], carrier: str = "cervo") -> bool:
    change = lifecycle.reapply_mappings(scenario.delivery, carrier, words, scenario.terms, scenario.now)
    scenario.apply(change)
    return change is not None


@pytest.mark.quirk("C-32", "B-70")
def test_a_mapped_word_has_its_status_on_weak_evidence() -> None:
    seen = (observed(None, "6"), observed(None, "7"), observed("created", "1"), observed(None).__class__(None, None))
    six = lifecycle.apply_mappings(seen, DELIVERED | {"order:1": DeliveryStatus.FAILED})
    assert six[1:] == seen[1:]
    assert (six[0].status, six[0].evidence, six[0].raw, six[0].notes) == (
        "delivered",
        Evidence.WEAK,
        seen[0].raw,
        ("mapped",),
    )


@pytest.mark.quirk("C-32")
def test_the_last_unknown_word_is_kept_until_a_known_one_comes(created: Make) -> None:
    scenario = created("cervo")
    scenario.observe(observed(None, "6", carrier_time=START))
    assert scenario.attempt.unmapped_status == UnmappedStatus(entity="order", code="6", carrier_time=START)
    scenario.poll("courier_assigned")
    assert scenario.attempt.unmapped_status is None


@pytest.mark.quirk("C-32")
def test_a_word_that_is_mapped_later_is_applied_again_and_may_end_the_delivery(created: Make) -> None:
    scenario = created("cervo")
    scenario.poll("picked_up")
    scenario.observe(observed(None, "6"))
    scenario.new_events()
    assert apply_mapping(scenario, DELIVERED)
    assert scenario.new_events() == ["5 status_changed picked_up>delivered at cervo#1 [operator]"]
    assert (scenario.delivery.evidence, scenario.delivery.raw) == (Evidence.WEAK, RawWord(entity="order", code="6"))
    assert (scenario.attempt.unmapped_status, scenario.state) == (None, ("delivered", None, "cervo"))


def test_a_mapping_of_another_word_or_account_changes_nothing(created: Make) -> None:
    scenario = created("cervo")
    scenario.observe(observed(None, "6"))
    assert not apply_mapping(scenario, {"order:7": DeliveryStatus.DELIVERED})
    assert not apply_mapping(scenario, DELIVERED, "borzo")


def test_a_mapped_word_obeys_the_transitions(created: Make) -> None:
    scenario = created("cervo")
    scenario.poll("picked_up")
    scenario.observe(observed(None, "6"))
    scenario.new_events()
    apply_mapping(scenario, {"order:6": DeliveryStatus.COURIER_ASSIGNED})
    assert scenario.new_events() == ["5 regression_seen created>picked_up at cervo#1 [operator]"]
    assert scenario.delivery.status == "picked_up"


def test_a_mapping_applies_to_a_surplus_courier_too(created: Make) -> None:
    scenario = created("borzo")
    scenario.apply(
        lifecycle.record_duplicates(
            scenario.delivery, scenario.attempt.id, ["R-2"], scenario.terms, scenario.now, Cause.POLL
        )
    )
    surplus = scenario.delivery.attempts[1]
    scenario.observe(observed(None, "gone"), attempt=surplus.id)
    apply_mapping(scenario, {"order:gone": DeliveryStatus.CANCELLED}, "borzo")
    assert [each.state for each in scenario.delivery.attempts] == ["created", "cancelled"]


def test_a_mapped_word_may_reopen_an_ended_attempt(created: Make) -> None:
    scenario = created("cervo")
    scenario.poll("cancelled")
    scenario.wait(600)
    word = observed(None, "9", carrier_time=scenario.now)
    scenario.observe(word, attempt=1)
    assert not scenario.delivery.final or scenario.delivery.attempts[0].unmapped_status is not None
    scenario.observe(*lifecycle.apply_mappings([word], {"order:9": DeliveryStatus.PICKED_UP}), attempt=1)
    assert scenario.state == ("picked_up", Step.TRACK, "cervo")


def test_a_word_mapped_to_cancelled_falls_back(created: Make) -> None:
    scenario = created("cervo", "borzo")
    scenario.observe(observed(None, "8"))
    apply_mapping(scenario, {"order:8": DeliveryStatus.CANCELLED})
    assert scenario.state == ("queued", Step.BOOK, "borzo")


def test_a_word_of_several_lines_is_published_once_as_one_line(created: Make) -> None:
    scenario = created("cervo")
    for _ in range(3):
        scenario.wait(timedelta(minutes=1).total_seconds())
        scenario.observe(observed(None, "gone\naway\x00"))
    assert scenario.attempt.reported_anomalies == ("order:gone away\ufffd",)
    assert [each.split()[1] for each in scenario.new_events()] == ["status_unrecognized"]
    assert apply_mapping(scenario, {"order:gone away\ufffd": DeliveryStatus.FAILED})


def test_a_mapping_cannot_make_a_returning_order_delivered(created: Make) -> None:  # I12
    scenario = created("borzo")
    scenario.poll("picked_up", "returning")
    scenario.observe(observed(None, "completed"))
    scenario.new_events()
    apply_mapping(scenario, {"order:completed": DeliveryStatus.DELIVERED}, "borzo")
    assert (scenario.delivery.status, scenario.new_events()) == ("returning", [])
    apply_mapping(scenario, {"order:completed": DeliveryStatus.RETURNED}, "borzo")
    assert scenario.delivery.status == "returned"


def test_a_word_from_before_the_end_reopens_nothing() -> None:
    scenario = DeliveryScenario("deliverit", "borzo")
    scenario.place()
    scenario.book_with_offer(40)
    scenario.observe(observed(None, "odd"), cause=Cause.CALLBACK)
    scenario.confirm(Refused(Reason.OFFER_LAPSED))
    for _ in range(2):
        scenario.miss_lookup()
    assert not apply_mapping(scenario, {"order:odd": DeliveryStatus.COURIER_ASSIGNED}, "deliverit")
    assert scenario.state == ("queued", Step.BOOK, "borzo")


def test_a_limited_number_of_unknown_words_is_published(created: Make) -> None:
    scenario = created("cervo")
    for number in range(100):
        scenario.observe(observed(None, code=str(number)))
    assert len(scenario.new_events()) == 20
