"""Whole lifecycles: a message on the bus, a courier at the right carrier, and the published events."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.app.trace import build_tracer

from tests.services.simulation import Simulation
from worker.database import inbox, shops
from worker.local.demo.orders import SAMPLES, placed

HAPPY = {
    ("34", "cervo"): ["queued", "created", "courier_assigned", "picked_up", "delivered"],
    ("21", "borzo"): [
        "queued",
        "created",
        "courier_assigned",
        "pickup_enroute",
        "pickup_arrived",
        "picked_up",
        "dropoff_enroute",
        "dropoff_arrived",
        "delivered",
    ],
    ("17", "deliverit"): ["queued", "created", "pickup_arrived", "picked_up", "dropoff_arrived", "delivered"],
}


def statuses(published: list[str]) -> list[str]:
    """Return the statuses among published events."""
    return [each for each in published if not each.startswith("delivery.")]


@pytest.mark.parametrize(("store_id", "carrier"), HAPPY)
def test_an_order_is_followed_from_its_message_to_its_delivery(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    simulation.place(store_id=store_id)
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert statuses(simulation.published()) == HAPPY[store_id, carrier]
    assert [each for each, _ in simulation.ledger()] == [carrier]


@pytest.mark.fault("F-01")
@pytest.mark.parametrize(("store_id", "carrier"), HAPPY)
def test_an_order_whose_first_wake_up_tasks_are_lost_is_delivered(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    simulation.place(store_id=store_id)
    simulation.lose_wake_ups = True
    simulation.work()
    simulation.lose_wake_ups = False
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert [each for each, _ in simulation.ledger()] == [carrier]


@pytest.mark.quirk("X-08", "X-15")
def test_events_are_numbered_without_a_gap_and_contain_no_customer_data(simulation: Simulation) -> None:
    simulation.place(store_id="21")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    events = simulation.events()
    assert [event["sequence"] for event in events] == [f"{number + 1:010}" for number in range(len(events))]
    assert {event["partitionkey"] for event in events} == {simulation.delivery().id}
    assert len({event["id"] for event in events}) == len(events)
    text = json.dumps(events, ensure_ascii=False)
    assert [secret for secret in ("Pereira", "5511912345678", "Paulista", "sandbox-borzo") if secret in text] == []


def test_an_order_falls_back_to_the_next_carrier_of_the_store_while_the_first_is_closed(simulation: Simulation) -> None:
    simulation.place("deliverit=closed", store_id="17")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert simulation.published()[:4] == ["queued", "delivery.attempt_ended", "delivery.updated", "created"]
    ended = simulation.events()[1]["data"]
    assert (ended["carrier"], ended["reason"], ended["attempt"]) == ("deliverit", "carrier_closed", 1)
    assert [carrier for carrier, _ in simulation.ledger()] == ["borzo"]


@pytest.mark.quirk("D-30")
def test_an_offered_time_within_the_limit_is_published_and_accepted(simulation: Simulation) -> None:
    simulation.place("offered", store_id="17")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert simulation.published()[:3] == ["queued", "awaiting_confirmation", "created"]
    assert [carrier for carrier, _ in simulation.ledger("accept")] == ["deliverit"]


@pytest.mark.quirk("D-30", "D-31")
def test_an_offered_time_beyond_the_limit_is_denied_and_the_next_carrier_gets_the_order(simulation: Simulation) -> None:
    simulation.place("deliverit=offered_late", store_id="17")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert simulation.published()[:6] == [
        "queued",
        "awaiting_confirmation",
        "delivery.attention_required",
        "delivery.attempt_ended",
        "queued (fallback)",
        "created",
    ]
    assert simulation.events()[3]["data"]["reason"] == "time_denied"
    assert [carrier for carrier, _ in simulation.ledger("deny")] == ["deliverit"]
    assert [carrier for carrier, _ in simulation.ledger("create")] == ["borzo"]


@pytest.mark.quirk("C-34")
@pytest.mark.parametrize(
    ("store_id", "path"),
    [
        ("34", ["courier_assigned", "courier_withdrawn", "courier_assigned", "picked_up", "delivered"]),
        ("21", ["courier_assigned", "created (reassigned)", "courier_assigned", "pickup_enroute"]),
    ],
)
def test_the_withdrawal_of_a_courier_is_published_and_the_next_courier_is_followed(
    simulation: Simulation, store_id: str, path: list[str]
) -> None:
    simulation.place("courier_withdraws", store_id=store_id)
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert statuses(simulation.published())[2 : 2 + len(path)] == path


@pytest.mark.quirk("C-34")
def test_an_order_without_a_new_courier_is_cancelled_after_the_grace_period_and_its_failure_is_published(
    simulation: Simulation,
) -> None:
    simulation.place("withdrawn_for_good")
    simulation.until(lambda it: it.delivery().final, step=30)
    assert simulation.published()[-3:] == ["delivery.attempt_ended", "cancelled", "delivery.dispatch_failed"]
    assert simulation.events()[-1]["data"]["cancelled_by"] == "courier"
    assert [carrier for carrier, _ in simulation.ledger("cancel")] == ["cervo"]


@pytest.mark.quirk("B-69")
def test_a_parcel_that_the_customer_does_not_take_is_returned(simulation: Simulation) -> None:
    simulation.place("returned", store_id="21")
    simulation.until(lambda it: it.delivery().final, step=30)
    assert [word.partition(" ")[0] for word in statuses(simulation.published())[-2:]] == ["returning", "returned"]


def test_an_order_that_its_carrier_cancels_ends_when_no_other_carrier_is_left(simulation: Simulation) -> None:
    simulation.place("cancelled", store_id="21")
    simulation.until(lambda it: it.delivery().final, step=30)
    assert simulation.published()[-3:] == ["delivery.attempt_ended", "cancelled", "delivery.dispatch_failed"]


@pytest.mark.quirk("C-32")
def test_an_unknown_carrier_status_is_published_once_and_changes_nothing(simulation: Simulation) -> None:
    simulation.place("unknown_word")
    simulation.until(lambda it: "delivery.status_unrecognized" in it.published())
    for _ in range(20):
        simulation.pass_time(60)
    assert simulation.status() == "picked_up"
    assert simulation.published().count("delivery.status_unrecognized") == 1
    assert simulation.events()[-1]["data"]["raw"] == {"entity": "order", "code": "6", "text": None}


@pytest.mark.parametrize(("store_id", "carrier"), [("34", "cervo"), ("21", "borzo"), ("17", "deliverit")])
def test_an_order_that_its_customer_cancels_in_time_gets_no_courier(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    simulation.place(store_id=store_id, ready_at="2026-11-21T18:00:00+00:00")
    simulation.until(lambda it: it.status() == "created")
    simulation.cancel(store_id=store_id)
    simulation.until(lambda it: it.delivery().final, step=30)
    assert simulation.published()[-1] == "cancelled"
    assert simulation.events()[-1]["data"]["cancelled_by"] == "customer"
    assert [each for each, _ in simulation.ledger("cancel")] == [carrier]


def test_a_cancellation_before_its_order_keeps_every_courier_away(simulation: Simulation) -> None:
    simulation.cancel()
    simulation.place()
    simulation.pass_time()
    assert simulation.published() == ["queued", "cancelled"]
    assert simulation.ledger() == []


@pytest.mark.fault("F-46")
@pytest.mark.quirk("O-02")
def test_the_same_order_again_changes_nothing_and_sends_no_second_courier(simulation: Simulation) -> None:
    simulation.place()
    simulation.place()
    again = simulation.placed()
    again["id"] = "another message"
    simulation.put(json.dumps(again))
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert len(simulation.ledger()) == 1
    assert statuses(simulation.published()) == HAPPY["34", "cervo"]


@pytest.mark.fault("F-46")
@pytest.mark.quirk("O-02")
def test_the_same_order_with_other_content_requests_attention_and_sends_no_second_courier(
    simulation: Simulation,
) -> None:
    simulation.place()
    other = simulation.placed()
    other["id"], other["data"]["notes"] = "another message", "ring twice"
    simulation.put(json.dumps(other))
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert len(simulation.ledger()) == 1
    assert simulation.published().count("delivery.attention_required") == 1


def test_a_later_order_waits_for_its_lead_time(simulation: Simulation) -> None:
    simulation.place(deliver_at="2026-11-21T19:00:00+00:00")
    for _ in range(80):
        simulation.pass_time(60)
    assert simulation.ledger() == []
    simulation.until(lambda it: bool(it.ledger()))
    assert simulation.now.isoformat()[:16] == "2026-11-21T18:30"


def test_an_order_of_an_unknown_store_waits_until_the_store_is_loaded(simulation: Simulation) -> None:
    shop = simulation.container.file_shops["34"]
    simulation.container.__dict__["file_shops"] = {}
    simulation.place()
    simulation.pass_time(120)
    assert (simulation.published(), simulation.ledger()) == (["queued", "delivery.attention_required"], [])
    simulation.container.database.write(shops.save_shops, {"34": shop}, simulation.now)
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert len(simulation.ledger()) == 1


@pytest.mark.quirk("O-02")
def test_a_malformed_message_becomes_a_dead_letter_and_the_next_message_is_read_at_once(simulation: Simulation) -> None:
    simulation.add("{not json")
    simulation.place()
    simulation.work()
    letters = simulation.container.database.read(inbox.dead_letters, 10)
    assert [bytes(letter["raw"]) for letter in letters] == [b"{not json"]
    assert simulation.status() == "created"
    quarantined = simulation.events(letters[0]["id"])
    assert [event["type"] for event in quarantined] == ["order.quarantined"]
    assert quarantined[0]["data"]["reason"] == letters[0]["reason"]


def test_an_order_over_celery_is_handled_like_one_on_the_stream(simulation: Simulation) -> None:
    sample = next(each for each in SAMPLES if each.store_id == "34")
    simulation.app.tasks["orders.receive"](json.loads(placed(sample)) | {"time": simulation.now.isoformat()})
    simulation.read()
    simulation.work()
    assert simulation.status(sample.order_id) == "created"


def unreachable(_document: bytes) -> str:
    raise redis.ConnectionError


def run_in_worker(simulation: Simulation, event: Any) -> Any:
    """Run `orders.receive` as a worker does; return how it ended and the result or exception."""
    task = simulation.app.tasks["orders.receive"]
    found = build_tracer(task.name, task, app=simulation.app)("id", [event], {}, {})
    return found.info and (found.info.state, found.info.retval)


@pytest.mark.fault("F-14")
def test_a_message_over_celery_waits_in_the_broker_while_the_bus_is_away(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = json.loads(placed(SAMPLES[0])) | {"time": simulation.now.isoformat()}
    with monkeypatch.context() as outage:
        outage.setattr(simulation.container.bus, "add_order", unreachable)
        state, retry = run_in_worker(simulation, event)
    assert (state, retry.when) == ("RETRY", 5)
    with simulation.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        waiting = channel.basic_get("orders", no_ack=True)
    assert (json.loads(waiting.body)[0], waiting.headers["argsrepr"]) == ([event], "<redacted>")
    assert waiting.headers["eta"] is not None


@pytest.mark.fault("F-14")
def test_a_message_over_celery_goes_back_to_the_broker_when_bus_and_broker_are_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Simulation(tmp_path, BROKER_URL="redis://127.0.0.1:1/0")) as simulation:
        monkeypatch.setattr(simulation.container.bus, "add_order", unreachable)
        state, rejected = run_in_worker(simulation, {})
    assert (state, rejected.requeue) == ("REJECTED", True)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"specversion": "1.0", "id": "m-1", "type": "order.placed", "data": {"order_id": 7.5}}, "data: order_id"),
        ({"specversion": "1.0", "id": "m-2", "type": "order.eaten", "data": {}}, "type"),
        ([], "message: not a JSON object"),
    ],
)
def test_a_malformed_message_over_celery_becomes_a_dead_letter_with_its_whole_content(
    simulation: Simulation, document: Any, reason: str
) -> None:
    simulation.app.tasks["orders.receive"](document)
    simulation.read()
    (letter,) = simulation.container.database.read(inbox.dead_letters, 10)
    assert json.loads(letter["raw"]) == document
    assert reason in letter["reason"]


@pytest.mark.quirk("O-13")
@pytest.mark.parametrize(("status", "by"), [(2, "merchant"), (5, "merchant"), (16, "customer")])
def test_an_update_with_a_cancelled_status_cancels_the_delivery(simulation: Simulation, status: int, by: str) -> None:
    simulation.place(store_id="21", ready_at="2026-11-21T18:00:00+00:00")
    simulation.work()
    update = simulation.placed()
    update.update(id="update", type="order.updated")
    update["data"].update(status=status, revision=2)
    simulation.put(json.dumps(update))
    simulation.until(lambda it: it.delivery().final, step=30)
    assert simulation.published()[-1] == "cancelled"
    assert simulation.events()[-1]["data"]["cancelled_by"] == by


@pytest.mark.quirk("O-07")
def test_an_order_that_the_customer_collects_is_skipped(simulation: Simulation) -> None:
    simulation.place(delivery_type="pickup")
    simulation.work()
    assert [event["type"] for event in simulation.events()] == ["order.skipped"]
    assert simulation.ledger() == []
