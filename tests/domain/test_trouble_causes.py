"""What needs an operator is grouped by its cause and ordered by its harm."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from schemas.status import AttentionReason, DeliveryStatus, Evidence
from tests.domain.scenario import START, TERMS, DeliveryScenario, a_store, observed
from worker.carriers.port import reference_of
from worker.domain import trouble
from worker.domain.attention import CAUSES, attention_troubles, group_of
from worker.domain.delivery import Delivery, Step
from worker.domain.trouble import (
    Action,
    CarrierQuestion,
    Freshness,
    Severity,
    Trouble,
    TroubledOrder,
    freshness_of,
    unmapped_status_troubles,
)
from worker.errors import Uncertain

PICKUP = START + timedelta(minutes=15)


def troubles(*asking: Delivery, blocked: tuple[tuple[Step, str], ...] = ()) -> list[Trouble]:
    counts = Counter(group_of(each) for each in asking)
    return trouble.by_harm(attention_troubles(asking, counts, blocked, TERMS, START))


def asking(order_id: str, *reasons: AttentionReason, carrier: str = "borzo", store_id: str = "17") -> Delivery:
    """Return a delivery without an attempt that needs an operator."""
    scenario = DeliveryScenario(carrier, order_id=order_id, store_id=store_id)
    scenario.place()
    return replace(scenario.delivery, id=f"d-{order_id}", attention_reasons=reasons)


def doubtful(order_id: str = "2011") -> DeliveryScenario:
    """Return a scenario at Cervo whose create has an unknown outcome that an operator must settle."""
    scenario = DeliveryScenario("cervo", order_id=order_id)
    scenario.place()
    scenario.book(Uncertain("no answer within the deadline"))
    scenario.miss_callback()
    return scenario


def test_every_attention_reason_has_a_cause() -> None:
    assert CAUSES.keys() == set(AttentionReason)


@pytest.mark.parametrize("reason", AttentionReason)
def test_every_attention_reason_makes_one_trouble(reason: AttentionReason) -> None:
    (found,) = troubles(asking("2011", reason))
    assert (found.kind, found.count, [each.order_id for each in found.orders]) == (reason, 1, ["2011"])
    assert "{" not in found.title + found.explanation
    assert found.actions


def test_an_unknown_store_is_one_trouble_with_all_its_orders() -> None:
    unknown = AttentionReason.UNKNOWN_STORE
    first, second, third = (
        asking(each, unknown, store_id=store) for each, store in (("1", "77"), ("2", "77"), ("3", "8"))
    )
    assert [(each.key, each.count) for each in troubles(first, second, third)] == [
        ("unknown_store:77", 2),
        ("unknown_store:8", 1),
    ]


def test_the_count_of_a_trouble_includes_orders_that_were_not_loaded() -> None:
    known = asking("1", AttentionReason.UNKNOWN_STORE)
    (found,) = attention_troubles([known], {group_of(known): 3000}, (), TERMS, START)
    assert (found.count, len(found.orders)) == (3000, 1)


def test_many_orders_with_a_trouble_each_are_counted_in_one_more_trouble() -> None:
    known = asking("1", AttentionReason.WENT_BACKWARDS)
    listed, more = attention_troubles([known], {group_of(known): 5000}, (), TERMS, START)
    assert (listed.key, listed.count) == ("went_backwards:d-1", 1)
    assert more == Trouble(
        key="went_backwards:*",
        kind="went_backwards",
        severity=Severity.WAITING,
        title="4999 more orders need an operator (went_backwards)",
        explanation="`order-sync deliveries --attention went_backwards` lists them.",
        count=4999,
    )


def test_an_unknown_outcome_is_a_trouble_of_each_order_with_what_to_ask_the_carrier() -> None:
    scenario = doubtful()
    (found,) = troubles(scenario.delivery)
    attempt, delivery = scenario.attempt, scenario.delivery
    freshness = Freshness(START, None, Evidence.OBSERVED, delivery.step, delivery.next_run_at)
    assert found == Trouble(
        key="outcome_unknown:d-2011",
        kind="outcome_unknown",
        severity=Severity.UNKNOWN_OUTCOME,
        title="Is a courier coming? cervo gave no clear answer about order 2011",
        explanation="The order was sent to the carrier at 18:00:00, and nothing shows whether it arrived "
        "(no answer within the deadline). No other carrier is asked until you know.",
        count=1,
        orders=(
            TroubledOrder("d-2011", "2011", "platform", "17", "submit_unknown", PICKUP, "Europe/Copenhagen", freshness),
        ),
        account="cervo",
        store_id="17",
        deadline=PICKUP,
        since=START,
        questions=(
            CarrierQuestion(
                account="cervo",
                question=f"Do you have our order 2011 with the reference {reference_of(attempt.id)}, sent at 18:00:00?",
                order_id="2011",
                reference=None,
                our_id=attempt.id,
                our_tag=reference_of(attempt.id),
                sent_at=START,
                pickup_at=PICKUP,
                timezone="Europe/Copenhagen",
                amount=Decimal("125.00"),
                currency="DKK",
            ),
        ),
        actions=(Action.RESOLVE_EXISTS, Action.RESOLVE_ABSENT, Action.CANCEL),
    )


def test_a_status_is_as_old_as_the_last_report_about_it_even_after_the_end() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book()
    found = [freshness_of(scenario.delivery)]
    scenario.wait(60)
    scenario.poll("delivered")
    ended = scenario.delivery
    found.append(freshness_of(ended))
    assert [(each.since, each.last_report_at) for each in found] == [(START, START), (ended.changed_at, scenario.now)]
    assert ended.active is None
    waiting = replace(ended, status=DeliveryStatus.QUEUED)
    assert freshness_of(waiting).last_report_at is None


def test_nothing_about_a_trouble_names_the_customer() -> None:
    scenario = doubtful()
    text = str([troubles(replace(scenario.delivery, attention_reasons=(each,))) for each in AttentionReason])
    customer, dropoff = scenario.order.customer, scenario.order.dropoff
    assert [each for each in (customer.name, customer.phone, dropoff.street) if each in text] == []


def test_a_symptom_makes_no_trouble_beside_its_cause() -> None:
    late, unknown = AttentionReason.NOT_DISPATCHED_IN_TIME, AttentionReason.UNKNOWN_STORE
    assert [each.kind for each in troubles(asking("1", late, unknown))] == [unknown]
    assert [each.kind for each in troubles(asking("1", late, AttentionReason.STILL_OPEN_AFTER_A_DAY))] == [late]


def test_a_symptom_of_a_blocked_step_makes_no_trouble() -> None:
    late = asking("1", AttentionReason.NOT_DISPATCHED_IN_TIME)
    assert [each.kind for each in troubles(late)] == ["not_dispatched_in_time"]
    assert [each.kind for each in troubles(late, blocked=((Step.TRACK, "borzo"), (Step.BOOK, "cervo")))] == [
        "not_dispatched_in_time"
    ]
    assert troubles(late, blocked=((Step.BOOK, "borzo"),)) == []


def test_orders_that_wait_are_late_near_their_pickup() -> None:
    waiting = asking("1", AttentionReason.UNKNOWN_STORE)
    counts = {group_of(waiting): 1}
    severities = [
        found.severity
        for minutes in (9, 10)
        for found in attention_troubles([waiting], counts, (), TERMS, START + timedelta(minutes=minutes))
    ]
    assert severities == [Severity.WAITING, Severity.LATE]


def test_a_doubt_about_a_courier_with_goods_does_more_harm() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book()
    (before,) = troubles(replace(scenario.delivery, attention_reasons=(AttentionReason.WENT_BACKWARDS,)))
    scenario.poll("picked_up")
    (after,) = troubles(replace(scenario.delivery, attention_reasons=(AttentionReason.WENT_BACKWARDS,)))
    assert [(each.severity, each.deadline) for each in (before, after)] == [
        (Severity.WAITING, PICKUP),
        (Severity.GOODS_ON_THE_ROAD, None),
    ]


def test_troubles_are_ordered_by_harm_and_then_by_deadline() -> None:
    late, unknown, goods = AttentionReason.NOT_DISPATCHED_IN_TIME, AttentionReason.UNKNOWN_STORE, "goods_with_courier"
    sooner = DeliveryScenario("borzo", order_id="4", store_id="8", ready_at=START + timedelta(minutes=10))
    sooner.place()
    found = troubles(
        asking("1", unknown),
        asking("2", late),
        asking("3", AttentionReason.GOODS_WITH_COURIER),
        replace(sooner.delivery, id="d-4", attention_reasons=(unknown,)),
        doubtful("5").delivery,
    )
    assert [each.key for each in found] == [
        f"{goods}:d-3",
        "outcome_unknown:d-2011",
        f"{late}:borzo",
        f"{unknown}:8",
        f"{unknown}:17",
    ]


def test_an_offer_is_to_be_decided_before_it_ends() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.place()
    scenario.book_with_offer(60)
    (found,) = troubles(scenario.delivery)
    assert (found.kind, found.deadline, found.actions) == (
        "offer_waits",
        START + timedelta(minutes=3),
        (Action.ACCEPT, Action.DENY),
    )
    assert found.explanation.startswith("The pickup was requested for 18:15:00, and the carrier offers 19:15:00.")


def test_only_what_is_possible_is_offered() -> None:
    late = asking("1", AttentionReason.NOT_DISPATCHED_IN_TIME)
    ended = replace(late, status=DeliveryStatus.DELIVERED)
    assert [each.actions for each in (*troubles(late), *troubles(ended))] == [(Action.RETRY, Action.CANCEL), ()]


def test_an_unmapped_status_is_one_trouble_for_each_account_and_status() -> None:
    scenarios = [DeliveryScenario("borzo") for _ in range(3)]
    for scenario, status in zip(scenarios, ("new", "new", "newer"), strict=True):
        scenario.place()
        scenario.book()
        scenario.observe(observed(None, status))
    found = unmapped_status_troubles([each.delivery for each in scenarios], TERMS, START)
    assert [(each.key, each.count, each.subject, each.actions) for each in found] == [
        ("unmapped_status:borzo:order:new", 2, "order:new", (Action.MAP_STATUS, Action.REFRESH)),
        ("unmapped_status:borzo:order:newer", 1, "order:newer", (Action.MAP_STATUS, Action.REFRESH)),
    ]
    scenarios[0].poll("courier_assigned")
    assert unmapped_status_troubles([scenarios[0].delivery], TERMS, START) == []


def test_times_are_those_of_the_store() -> None:
    store = a_store("cervo").model_copy(update={"timezone": "America/Sao_Paulo"})
    (found,) = troubles(replace(doubtful().delivery, store=store))
    assert (found.questions[0].timezone, "14:00:00" in found.explanation) == ("America/Sao_Paulo", True)
