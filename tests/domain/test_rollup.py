"""The roll-up of an attempt's end to its delivery, in the order of docs/statuses.md."""

from collections.abc import Callable

import pytest

from schemas.status import CancelledBy, Reason
from tests.domain.scenario import DeliveryScenario, observed, refused
from worker.domain.delivery import Step

Make = Callable[..., DeliveryScenario]
BEFORE_PICKUP = ["created", "courier_assigned", "pickup_enroute", "pickup_arrived"]
WITH_GOODS = ["picked_up", "dropoff_enroute", "dropoff_arrived", "delivery_failed", "reattempting", "returning"]
BY_OTHERS = [CancelledBy.CARRIER, CancelledBy.COURIER, CancelledBy.UNKNOWN]


@pytest.mark.parametrize("by", BY_OTHERS)
@pytest.mark.parametrize("reached", BEFORE_PICKUP)
def test_a_cancel_by_others_before_the_pickup_falls_back(created: Make, reached: str, by: CancelledBy) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll(reached)
    scenario.new_events()
    scenario.observe(observed("cancelled", cancelled_by=by))
    assert [each.split(" ", 1)[1] for each in scenario.new_events()] == [
        f"attempt_ended {'queued' if reached == 'created' else 'created'}>{reached} by {by} at borzo#1 [poll]",
        f"status_changed {reached}>queued (fallback) [poll]",
    ]
    assert scenario.state == ("queued", Step.BOOK, "cervo")
    assert scenario.delivery.next_run_at == scenario.now


def test_a_failure_before_the_pickup_falls_back(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.observe(observed("failed", reason=Reason.DELETED))
    assert scenario.new_events() == [
        "3 attempt_ended queued>created deleted at borzo#1 [poll]",
        "4 status_changed created>queued (fallback) [poll]",
    ]


def test_a_fallback_clears_the_last_courier(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.observe(observed("courier_assigned", tracking_url="https://x.org"))
    scenario.poll("cancelled")
    published = scenario.events[-1].data
    assert (published.courier, published.tracking_url, published.carrier, published.carrier_ref) == (
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(("end", "by"), [("cancelled", CancelledBy.UNKNOWN), ("failed", None)])
def test_an_end_before_the_pickup_without_another_carrier_ends_the_delivery(
    created: Make, end: str, by: CancelledBy | None
) -> None:
    scenario = created("borzo")
    scenario.observe(observed(end, cancelled_by=by))
    said = f"{f'by {by} ' if by else ''}at borzo#1 [poll]"
    assert scenario.new_events() == [
        f"3 attempt_ended queued>created {said}",
        f"4 status_changed created>{end} {said}",
        f"5 dispatch_failed created>{end} {said}",
    ]
    assert scenario.state == (end, None, "borzo")


def test_each_carrier_is_asked_once_and_the_last_refusal_rejects_the_delivery() -> None:
    scenario = DeliveryScenario("deliverit", "borzo", "cervo")
    scenario.place()
    scenario.book(refused(Reason.CARRIER_CLOSED))
    scenario.book()
    scenario.poll("cancelled")
    scenario.book(refused(Reason.UNSERVICEABLE))
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 attempt_ended ->queued carrier_closed at deliverit#1 [response]",
        "3 updated ->queued (fallback) [response]",
        "4 status_changed queued>created at borzo#2 [response]",
        "5 attempt_ended queued>created at borzo#2 [poll]",
        "6 status_changed created>queued (fallback) [poll]",
        "7 attempt_ended created>queued (fallback) unserviceable at cervo#3 [response]",
        "8 status_changed queued>rejected unserviceable at cervo#3 [response]",
        "9 dispatch_failed queued>rejected unserviceable at cervo#3 [response]",
    ]
    assert [each.state for each in scenario.delivery.attempts] == ["rejected", "cancelled", "rejected"]


@pytest.mark.parametrize("end", ["cancelled", "failed"])
@pytest.mark.parametrize("reached", WITH_GOODS)
def test_an_end_with_the_goods_never_falls_back(created: Make, reached: str, end: str) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll(reached)
    scenario.new_events()
    scenario.poll(end)
    assert scenario.new_events() == [
        f"4 attempt_ended created>{reached} at borzo#1 [poll]",
        f"5 status_changed {reached}>{end} (with_items) at borzo#1 [poll]",
        f"6 attention_required {reached}>{end} (with_items) 'goods_with_courier' at borzo#1 [poll]",
    ]
    assert scenario.state == (end, None, "borzo")


def test_an_end_on_hold_with_the_goods_is_marked(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll("picked_up", "on_hold", "cancelled")
    assert (scenario.delivery.status, scenario.delivery.detail) == ("cancelled", "with_items")


@pytest.mark.parametrize("by", [CancelledBy.MERCHANT, CancelledBy.CUSTOMER])
def test_a_cancel_by_merchant_or_customer_ends_the_delivery_without_a_request(created: Make, by: CancelledBy) -> None:
    scenario = created("borzo", "cervo")
    scenario.observe(observed("cancelled", cancelled_by=by))
    assert scenario.new_events() == [
        f"3 attempt_ended queued>created by {by} at borzo#1 [poll]",
        f"4 status_changed created>cancelled by {by} at borzo#1 [poll]",
    ]


def test_a_cancel_by_the_merchant_with_the_goods_is_marked(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll("picked_up")
    scenario.observe(observed("cancelled", cancelled_by=CancelledBy.MERCHANT))
    assert (scenario.delivery.status, scenario.delivery.detail) == ("cancelled", "with_items")


@pytest.mark.parametrize("by", ["merchant", "customer"])
def test_a_requested_cancel_never_falls_back(created: Make, by: str) -> None:
    scenario = created("borzo", "cervo")
    scenario.request_cancel(cancelled_by=by)
    scenario.cancel()
    scenario.observe(observed("cancelled", cancelled_by=CancelledBy.MERCHANT))
    assert scenario.new_events() == [
        "3 attempt_ended queued>created by merchant at borzo#1 [poll]",
        f"4 status_changed created>cancelled by {by} at borzo#1 [poll]",
    ]
    assert scenario.state == ("cancelled", None, "borzo")


@pytest.mark.parametrize("end", ["delivered", "returned"])
@pytest.mark.parametrize("reached", BEFORE_PICKUP + WITH_GOODS)
def test_delivered_or_returned_ends_the_delivery(created: Make, reached: str, end: str) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll(reached)
    scenario.new_events()
    scenario.poll(end)
    assert [each.split()[1:3] for each in scenario.new_events()] == [["status_changed", f"{reached}>{end}"]]
    assert scenario.state == (end, None, "borzo")


# --- goods that no read has shown before the end ----------------------------------------------------------------------


@pytest.mark.parametrize("reached", ["created", "courier_assigned", "pickup_arrived"])
def test_an_end_that_first_shows_the_goods_never_falls_back(created: Make, reached: str) -> None:
    scenario = created("deliverit", "borzo")
    if reached != "created":
        scenario.poll(reached)
    scenario.new_events()
    scenario.observe(observed("cancelled", detail="with_items", cancelled_by=CancelledBy.UNKNOWN))
    assert scenario.delivery.attention == "goods_with_courier"
    assert (scenario.delivery.status, scenario.delivery.detail, scenario.delivery.carrier) == (
        "cancelled",
        "with_items",
        "deliverit",
    )


def test_a_requested_cancel_that_came_too_late_for_the_goods_asks_for_an_operator(created: Make) -> None:
    scenario = created("deliverit", "borzo")
    scenario.request_cancel()
    scenario.cancel()
    scenario.observe(observed("cancelled", detail="with_items", cancelled_by=CancelledBy.UNKNOWN))
    assert (scenario.delivery.status, scenario.delivery.detail) == ("cancelled", "with_items")
    assert scenario.delivery.attention == "goods_with_courier"
