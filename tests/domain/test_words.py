"""Words that nobody knew, and what becomes of them once an operator has said what they mean."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.events import RawWord
from schemas.status import Cause, DeliveryStatus, Evidence, Reason
from tests.domain.scenario import START, DeliveryScenario, news
from worker.domain import lifecycle
from worker.domain.delivery import Step, UnmappedStatus
from worker.errors import Refused

Make = Callable[..., DeliveryScenario]
DELIVERED = {"order:6": DeliveryStatus.DELIVERED}


def explain(life: DeliveryScenario, words: dict[str, DeliveryStatus], carrier: str = "cervo") -> bool:
    change = lifecycle.reapply_mappings(life.delivery, carrier, words, life.rules, life.now)
    life.take(change)
    return change is not None


@pytest.mark.quirk("C-32", "B-70")
def test_an_explained_word_is_the_status_that_it_means_on_weak_evidence() -> None:
    seen = (news(None, "6"), news(None, "7"), news("created", "1"), news(None).__class__(None, None))
    six = lifecycle.apply_mappings(seen, DELIVERED | {"order:1": DeliveryStatus.FAILED})
    assert six[1:] == seen[1:]
    assert (six[0].status, six[0].evidence, six[0].raw, six[0].notes) == (
        "delivered",
        Evidence.WEAK,
        seen[0].raw,
        ("mapped",),
    )


@pytest.mark.quirk("C-32")
def test_the_last_word_that_nobody_knew_is_kept_until_a_known_one_comes(created: Make) -> None:
    life = created("cervo")
    life.see(news(None, "6", stamp=START))
    assert life.attempt.unmapped_status == UnmappedStatus(entity="order", code="6", carrier_time=START)
    life.poll("courier_assigned")
    assert life.attempt.unmapped_status is None


@pytest.mark.quirk("C-32")
def test_a_word_that_is_explained_later_is_read_again_and_may_end_the_delivery(created: Make) -> None:
    life = created("cervo")
    life.poll("picked_up")
    life.see(news(None, "6"))
    life.lines()
    assert explain(life, DELIVERED)
    assert life.lines() == ["5 status_changed picked_up>delivered at cervo#1 [operator]"]
    assert (life.delivery.evidence, life.delivery.raw) == (Evidence.WEAK, RawWord(entity="order", code="6"))
    assert (life.attempt.unmapped_status, life.state) == (None, ("delivered", None, "cervo"))


def test_an_explanation_of_another_word_or_of_anothers_changes_nothing(created: Make) -> None:
    life = created("cervo")
    life.see(news(None, "6"))
    assert not explain(life, {"order:7": DeliveryStatus.DELIVERED})
    assert not explain(life, DELIVERED, "borzo")


def test_an_explained_word_obeys_the_transitions(created: Make) -> None:
    life = created("cervo")
    life.poll("picked_up")
    life.see(news(None, "6"))
    life.lines()
    explain(life, {"order:6": DeliveryStatus.COURIER_ASSIGNED})
    assert life.lines() == ["5 regression_seen created>picked_up at cervo#1 [operator]"]
    assert life.delivery.status == "picked_up"


def test_a_courier_too_many_is_read_again_too(created: Make) -> None:
    life = created("borzo")
    life.take(lifecycle.record_duplicates(life.delivery, life.attempt.id, ["R-2"], life.rules, life.now, Cause.POLL))
    surplus = life.delivery.attempts[1]
    life.see(news(None, "gone"), attempt=surplus.id)
    explain(life, {"order:gone": DeliveryStatus.CANCELLED}, "borzo")
    assert [each.state for each in life.delivery.attempts] == ["created", "cancelled"]


def test_what_has_ended_and_is_read_once_more_may_be_revived_by_what_it_means(created: Make) -> None:
    life = created("cervo")
    life.poll("cancelled")
    life.wait(600)
    word = news(None, "9", stamp=life.now)
    life.see(word, attempt=1)
    assert not life.delivery.final or life.delivery.attempts[0].unmapped_status is not None
    life.see(*lifecycle.apply_mappings([word], {"order:9": DeliveryStatus.PICKED_UP}), attempt=1)
    assert life.state == ("picked_up", Step.TRACK, "cervo")


def test_a_word_that_ends_with_somebody_elses_cancel_lets_the_next_carrier_be_asked(created: Make) -> None:
    life = created("cervo", "borzo")
    life.see(news(None, "8"))
    explain(life, {"order:8": DeliveryStatus.CANCELLED})
    assert life.state == ("queued", Step.BOOK, "borzo")


def test_a_word_of_several_lines_is_one_word_and_is_told_once(created: Make) -> None:
    life = created("cervo")
    for _ in range(3):
        life.wait(timedelta(minutes=1).total_seconds())
        life.see(news(None, "gone\naway\x00"))
    assert life.attempt.reported_anomalies == "order:gone away\ufffd"
    assert [each.split()[1] for each in life.lines()] == ["status_unrecognized"]
    assert explain(life, {"order:gone away\ufffd": DeliveryStatus.FAILED})


def test_a_person_cannot_call_delivered_what_was_on_its_way_back(created: Make) -> None:  # I12
    life = created("borzo")
    life.poll("picked_up", "returning")
    life.see(news(None, "completed"))
    life.lines()
    explain(life, {"order:completed": DeliveryStatus.DELIVERED}, "borzo")
    assert (life.delivery.status, life.lines()) == ("returning", [])
    explain(life, {"order:completed": DeliveryStatus.RETURNED}, "borzo")
    assert life.delivery.status == "returned"


def test_a_word_of_before_its_end_revives_nobody() -> None:
    life = DeliveryScenario("deliverit", "borzo")
    life.place()
    life.offered(40)
    life.see(news(None, "odd"), cause=Cause.CALLBACK)
    life.confirm(Refused(Reason.OFFER_LAPSED))
    for _ in range(2):
        life.look_up()
    assert not explain(life, {"order:odd": DeliveryStatus.COURIER_ASSIGNED}, "deliverit")
    assert life.state == ("queued", Step.BOOK, "borzo")
