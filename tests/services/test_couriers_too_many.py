"""Whatever a carrier does late or twice, in the end one courier comes, and nobody is told less than the truth."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from schemas.status import CancelledBy, Cause, DeliveryStatus
from tests.services.simulation import Simulation
from worker.carriers.port import Observation, Raw
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Step
from worker.http.call import Call, Operation

FINDABLE = [("21", "borzo"), ("17", "deliverit")]
EARLY = {"ready_at": "2026-11-21T18:30:00+00:00"}
"""A pickup so late that every carrier still lets an order be cancelled."""


@pytest.fixture
def street(street: Simulation) -> Simulation:
    """A street whose couriers take ten minutes for each step, as real ones do."""
    street.sandbox.world.config = replace(street.sandbox.world.config, step=600)
    return street


def spoil(street: Simulation, kind: str, api: str, operation: str = "create", **more: object) -> None:
    street.ask("POST", "/sandbox/faults", {"kind": kind, "api": api, "operation": operation, **more})


def conflicts(street: Simulation) -> list[str]:
    events = street.events()
    return [each["data"]["reason_text"] for each in events if each["type"] == "delivery.conflict"]


def living(street: Simulation) -> list[tuple[str, str]]:
    """Name what the sandbox has created and not cancelled since."""
    return sorted(set(street.ledger()) - set(street.ledger("cancel")))


@pytest.mark.quirk("X-03")
@pytest.mark.parametrize(("store_id", "carrier"), FINDABLE)
def test_a_create_that_comes_true_after_it_was_written_off_is_cancelled_and_one_courier_is_left(
    street: Simulation, store_id: str, carrier: str
) -> None:
    spoil(street, "late", carrier, delay=400)
    street.place(store_id=store_id, **EARLY)
    street.until(lambda it: bool(it.ledger("cancel")))
    street.until(lambda it: not any(each.surplus and each.live for each in it.delivery().attempts))
    first, second = street.delivery().attempts
    assert (conflicts(street), first.surplus, first.state) == (["orphan_found"], True, "cancelled")
    assert living(street) == [(carrier, second.ref)]
    street.until(lambda it: it.status() == "delivered", step=300)
    assert len(street.ledger()) == 2


class Twice:
    """A gateway whose first create reaches the carrier twice."""

    def __init__(self, street: Simulation) -> None:
        self._street, self._real = street, street.container.gateway

    def send(self, carrier: str, calls: Mapping[Any, Call], **how: Any) -> Iterator[Any]:
        groups = list(self._real.send(carrier, calls, **how))
        if any(call.operation is Operation.CREATE for call in calls.values()):
            list(self._real.send(carrier, calls, **how))
            self._street.container.gateway = self._real
        yield from groups

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize("store_id", ["21", "17"])
def test_of_two_orders_with_our_tag_one_is_cancelled(street: Simulation, store_id: str) -> None:
    street.container.gateway = Twice(street)  # type: ignore[assignment]
    street.place(store_id=store_id, **EARLY)
    street.until(lambda it: bool(it.ledger("cancel")))
    street.until(lambda it: not any(each.surplus and each.live for each in it.delivery().attempts))
    assert (conflicts(street), len(street.ledger()), len(living(street))) == (["duplicate"], 2, 1)
    street.until(lambda it: it.status() == "delivered", step=300)
    assert (street.delivery().attention, len(street.ledger()), len(living(street))) == (None, 2, 1)


@pytest.mark.parametrize(("step", "told"), [(60, "delivery.conflict"), (600, "delivery.reopened")])
def test_a_courier_who_was_cancelled_and_comes_all_the_same_is_noticed(
    street: Simulation, step: float, told: str
) -> None:
    street.sandbox.world.config = replace(street.sandbox.world.config, step=step)
    street.place(store_id="17", **EARLY)
    street.until(lambda it: it.status() == "created")
    street.decide(lambda it: believed_cancelled(street, it))
    assert street.status() == "cancelled"
    for _ in range(26):
        street.pass_time(300)
    assert (street.status(), told in street.told()) == ("delivered", True)


def believed_cancelled(street: Simulation, delivery: Delivery) -> Change:
    """Take a cancel that the carrier shows for a moment, and takes back."""
    (attempt,) = delivery.attempts
    seen = Observation(DeliveryStatus.CANCELLED, Raw("row", "cancelled"), cancelled_by=CancelledBy.CUSTOMER)
    return lifecycle.apply_observations(delivery, attempt.id, [seen], street.container.terms, street.now, Cause.POLL)


@pytest.mark.quirk("C-47", "B-99")
@pytest.mark.parametrize(("store_id", "carrier"), [("34", "cervo"), *FINDABLE])
@pytest.mark.parametrize("kind", ["error_before", "error_after"])
def test_a_cancel_whose_answer_is_lost_is_repeated_only_after_a_read_that_shows_the_order_standing(
    street: Simulation, store_id: str, carrier: str, kind: str
) -> None:
    street.place(store_id=store_id, **EARLY)
    street.until(lambda it: it.status() == "created")
    spoil(street, kind, carrier, "cancel")
    street.cancel(store_id=store_id)
    street.until(lambda it: it.delivery().final, step=5)
    asks = street.delivery().attempts[0].cancel_requests
    assert (street.status(), asks) == ("cancelled", 2 if kind == "error_before" else 1)
    assert [made for made, _ in street.ledger("cancel")] == [carrier]


@pytest.mark.quirk("C-47")
@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_a_process_that_dies_before_its_cancel_is_sent_loses_no_cancel(street: Simulation, store_id: str) -> None:
    street.place(store_id=store_id, **EARLY)
    street.until(lambda it: it.status() == "created")
    street.lose_hints = True
    street.cancel(store_id=store_id)
    street.work()
    street.lose_hints = False
    street.decide(lambda it: lifecycle.begin_call(it, Step.CANCEL, street.container.terms, street.now))
    street.until(lambda it: it.delivery().final, step=5)
    assert (street.status(), street.ledger("cancel") != []) == ("cancelled", True)
    assert street.delivery().attempts[0].cancel_requests == 2


def test_what_is_over_is_read_again_and_then_left_alone(street: Simulation) -> None:
    street.place()
    street.until(lambda it: it.status() == "delivered", step=300)
    told = street.told()
    for _ in range(13):
        street.pass_time(600)
    (attempt,) = street.delivery().attempts
    assert (attempt.follow_up_reads, street.delivery().next_run_at, street.told()) == (2, None, told)


def test_an_order_whose_carrier_cannot_be_reached_asks_for_a_person_before_its_pickup_and_is_given_up_after_it(
    street: Simulation,
) -> None:
    spoil(street, "unauthorized", "cervo", times=None)
    street.place()
    street.until(lambda it: it.delivery().attention is not None, step=60)
    street.until(lambda it: it.delivery().final, step=600)
    asked = [event["time"] for event in street.events() if event["type"] == "delivery.attention_required"]
    assert [moment[11:16] for moment in asked] == ["17:10"]
    assert street.told()[-2:] == ["rejected", "delivery.dispatch_failed"]
    assert (street.events()[-1]["data"]["reason"], street.ledger()) == ("deadline_passed", [])
