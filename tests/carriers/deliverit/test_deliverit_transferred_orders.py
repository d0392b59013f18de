"""Transferred orders after their create: the driver who is booked by hand, updates and cancels."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.status import CancelledBy, DeliveryStatus, Reason
from tests.carriers.deliverit.replies import (
    DRIVER_ROW,
    NOT_SAVED,
    NUMBER,
    NUMBER_EXISTS,
    PATH,
    TOO_LATE,
    TRANSFER_CANCELED,
    TRANSFER_NOT_ALLOWED,
    TRANSFERRED,
    UNKNOWN_NUMBER,
    UPDATED,
    bad_request,
    error_of,
    fields,
    make_list,
    make_reply,
    unpaid,
)
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Booking, Observation, Price, Raw, Reading
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable
from worker.http.call import Call, Operation, Reply


@pytest.fixture
def account(account: DeliverItAccount) -> DeliverItAccount:
    return account.model_copy(update={"mode": "transfer"})


# --- once a driver is booked ---


@pytest.mark.quirk("D-70")
def test_a_driver_who_is_booked_by_hand_is_matched_by_our_reference(
    codec: DeliverIt, transferred: AttemptView, tracking: Call, now: datetime
) -> None:
    (seen,) = codec.read(tracking, make_list(DRIVER_ROW), [transferred], now).observations[transferred.id]
    assert (seen.status, seen.ref, seen.codec_state["cancel_token"], seen.notes) == (
        DeliveryStatus.CREATED, NUMBER, "F64u3fbxNdaoTyAcOisM", (),
    )  # fmt: skip


@pytest.mark.quirk("D-70")
def test_a_list_without_a_driver_says_nothing_about_a_transferred_order(
    codec: DeliverIt, transferred: AttemptView, tracking: Call, now: datetime
) -> None:
    strange = {**DRIVER_ROW, "remarks": ""}
    assert codec.read(tracking, make_list(strange), [transferred], now) == Reading()


@pytest.mark.quirk("D-52", "D-70")
def test_a_driver_is_matched_by_the_cancel_link_after_the_first_read(
    codec: DeliverIt, with_driver: AttemptView, tracking: Call
) -> None:
    later = with_driver.pickup_at + timedelta(minutes=10)
    left = {**DRIVER_ROW, "remarks": "edited", "driverArrive": "20:14", "driverLeft": "20:20"}
    (seen,) = codec.read(tracking, make_list(left), [with_driver], later).observations[with_driver.id]
    assert (seen.status, seen.ref) == (DeliveryStatus.PICKED_UP, NUMBER)


@pytest.mark.quirk("D-70")
def test_a_driver_who_is_booked_in_place_of_a_cancelled_one_is_followed(
    codec: DeliverIt, with_driver: AttemptView, tracking: Call, now: datetime
) -> None:
    link = "https://butik.deliverit.dk/api/v1/orderdriver/cancel/14/RYGKaXMCSN94WfqPEivy"
    alone = codec.read(tracking, make_list({**DRIVER_ROW, "cancel": 1}), [with_driver], now)
    replaced = codec.read(
        tracking, make_list({**DRIVER_ROW, "cancel": 1}, {**DRIVER_ROW, "canceUrl": link}), [with_driver], now
    )
    assert [each.status for each in alone.observations[with_driver.id]] == [DeliveryStatus.CANCELLED]
    assert [(each.status, each.codec_state["cancel_token"]) for each in replaced.observations[with_driver.id]] == [
        (DeliveryStatus.CREATED, "RYGKaXMCSN94WfqPEivy")
    ]
    assert (alone.duplicates, replaced.duplicates) == ({}, {})


@pytest.mark.quirk("D-52", "D-70")
def test_a_cancelled_driver_without_our_reference_is_cancelled_and_has_not_vanished(
    codec: DeliverIt, with_driver: AttemptView, tracking: Call, now: datetime
) -> None:
    edited = make_list({**DRIVER_ROW, "remarks": "edited", "cancel": 1})
    (seen,) = codec.read(tracking, edited, [with_driver], now).observations[with_driver.id]
    assert (seen.status, seen.ref, seen.notes) == (DeliveryStatus.CANCELLED, NUMBER, ())


@pytest.mark.quirk("D-60", "D-70")
def test_a_second_driver_who_is_booked_by_hand_is_a_duplicate(
    codec: DeliverIt, with_driver: AttemptView, tracking: Call, now: datetime
) -> None:
    link = "https://butik.deliverit.dk/api/v1/orderdriver/cancel/14/RYGKaXMCSN94WfqPEivy"
    reading = codec.read(tracking, make_list({**DRIVER_ROW, "canceUrl": link}, DRIVER_ROW), [with_driver], now)
    assert ([each.ref for each in reading.observations[with_driver.id]], reading.duplicates) == (
        [NUMBER],
        {with_driver.id: ("RYGKaXMCSN94WfqPEivy",)},
    )


@pytest.mark.quirk("D-74")
def test_a_transferred_order_without_a_number_is_cancelled_by_its_drivers_link(
    codec: DeliverIt, transferred: AttemptView, tracking: Call, now: datetime
) -> None:
    without_number = replace(transferred, ref=None, codec_state={"order_number": ""})
    assert [call.context for call in codec.track([without_number], now)] == ["2026-11-21"]
    (seen,) = codec.read(tracking, make_list(DRIVER_ROW), [without_number], now).observations[without_number.id]
    booked = replace(without_number, ref=seen.ref, codec_state={**without_number.codec_state, **seen.codec_state})
    assert codec.cancel(booked, now, allow_paid=False).path == "/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM"


@pytest.mark.quirk("D-53")
def test_the_day_that_listed_a_driver_is_read_from_then_on(codec: DeliverIt, with_driver: AttemptView) -> None:
    filed = replace(with_driver, codec_state={**with_driver.codec_state, "listed_on": "2026-11-25"})
    assert "2026-11-25" in [call.context for call in codec.track([filed], filed.pickup_at)]


# --- update ---


@pytest.mark.quirk("D-77")
def test_an_update_replaces_the_whole_order(
    codec: DeliverIt, booking: Booking, transferred: AttemptView, now: datetime
) -> None:
    assert codec.before_amend(transferred, now) is None
    call = codec.amend(transferred, None, now)
    assert call is not None
    assert (call.operation, call.method, call.path) == (Operation.AMEND, "POST", f"{PATH}/{NUMBER}/update")
    assert fields(call) == fields(codec.book(booking, now))


@pytest.mark.quirk("D-72", "D-76")
def test_a_successful_update_has_error_true(codec: DeliverIt, transferred: AttemptView, now: datetime) -> None:
    assert codec.read_amended(transferred, make_reply(200, UPDATED), now) == Observation(
        status=DeliveryStatus.AWAITING_CONFIRMATION,
        raw=Raw("transfer", "updated"),
        detail="manual_dispatch",
        ref="NP15eLVptYSvRU0",
        codec_state={"order_number": "NP15eLVptYSvRU0"},
        price=Price(Decimal(50), "DKK", "included"),
    )


def test_an_update_without_links_keeps_the_earlier_number(
    codec: DeliverIt, transferred: AttemptView, now: datetime
) -> None:
    seen = codec.read_amended(transferred, make_reply(200, {"message": "Update ok,This order is for delivery"}), now)
    assert seen is not None
    assert (seen.ref, seen.codec_state) == (None, {})


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (bad_request(UNKNOWN_NUMBER), Refused),
        (bad_request("Variable ordernumber cannot be empty"), Refused),
        (bad_request(NOT_SAVED), Unavailable),
        (make_reply(200, {**UPDATED, "message": "Update ok,The customer will pick up this order"}), Uncertain),
        (make_reply(200, {"error": True, "message": "No"}), Uncertain),
        (make_reply(401, TRANSFER_NOT_ALLOWED), Unreadable),
    ],
)
@pytest.mark.quirk("D-76", "D-80")
def test_any_other_reply_to_an_update_is_no_success(
    codec: DeliverIt, transferred: AttemptView, now: datetime, reply: Reply, raised: type[CarrierError]
) -> None:
    assert type(error_of(lambda: codec.read_amended(transferred, reply, now))) is raised


@pytest.mark.quirk("D-71", "D-77")
def test_an_order_that_is_unpaid_or_has_a_driver_or_no_number_cannot_be_amended(
    codec: DeliverIt, attempt: AttemptView, transferred: AttemptView, with_driver: AttemptView, now: datetime
) -> None:
    without_number = replace(transferred, ref=None, codec_state={"order_number": ""})
    for each in (attempt, unpaid(transferred), with_driver, without_number):
        assert isinstance(error_of(lambda each=each: codec.amend(each, None, now)), Refused)  # type: ignore[misc]


# --- cancel ---


@pytest.mark.quirk("D-72", "D-78")
def test_a_transferred_order_without_a_driver_can_be_cancelled_at_any_time(
    codec: DeliverIt, transferred: AttemptView
) -> None:
    call = codec.cancel(transferred, transferred.pickup_at, allow_paid=False)
    assert (call.operation, call.method, call.path, call.body) == (
        Operation.CANCEL, "POST", f"{PATH}/{NUMBER}/cancel", b"",
    )  # fmt: skip


@pytest.mark.quirk("D-40")
def test_a_transferred_order_with_a_driver_has_the_usual_cut_offs(codec: DeliverIt, with_driver: AttemptView) -> None:
    at = datetime(2026, 11, 21, 19, 15, tzinfo=UTC)
    assert codec.cancel(with_driver, at - timedelta(minutes=22), allow_paid=False).path == f"{PATH}/{NUMBER}/cancel"
    assert codec.cancel(with_driver, at - timedelta(minutes=17), allow_paid=True).path == f"{PATH}/{NUMBER}/cancel"
    for minutes, paid in ((20, False), (15, True)):
        soon = at - timedelta(minutes=minutes)
        error = error_of(lambda soon=soon, paid=paid: codec.cancel(with_driver, soon, allow_paid=paid))  # type: ignore[misc]
        assert isinstance(error, Refused)
        assert error.reason is Reason.DEADLINE_PASSED


@pytest.mark.quirk("D-74")
def test_a_transferred_order_without_a_number_can_be_cancelled_only_once_an_operator_states_it(
    codec: DeliverIt, transferred: AttemptView, now: datetime
) -> None:
    without_number = replace(transferred, ref=None, codec_state={"order_number": ""})
    assert isinstance(error_of(lambda: codec.cancel(without_number, now, allow_paid=False)), Refused)
    stated = replace(without_number, ref="hlqONswckVx44Q0")
    assert codec.cancel(stated, now, allow_paid=False).path == f"{PATH}/hlqONswckVx44Q0/cancel"


@pytest.mark.quirk("D-78")
def test_canceled_true_ends_a_transferred_order_only_while_no_driver_was_listed(
    codec: DeliverIt, transferred: AttemptView, with_driver: AttemptView
) -> None:
    assert codec.read_cancel(make_reply(200, TRANSFER_CANCELED), transferred) == Observation(
        DeliveryStatus.CANCELLED, Raw("transfer", "canceled"), cancelled_by=CancelledBy.MERCHANT
    )
    assert codec.read_cancel(make_reply(200, TRANSFER_CANCELED), with_driver) is None


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        pytest.param(make_reply(202, TOO_LATE), Refused, id="202-D-78"),
        pytest.param(make_reply(200, TOO_LATE), Refused, id="200-canceled-false-D-78"),
        pytest.param(make_reply(200, {**TRANSFER_CANCELED, "canceled": "true"}), Uncertain, id="a-text-D-78"),
        pytest.param(make_reply(200, {**TRANSFER_CANCELED, "canceled": 1}), Uncertain, id="a-number-D-78"),
        pytest.param(make_reply(202, TRANSFER_CANCELED), Uncertain, id="202-canceled-true"),
        pytest.param(make_reply(200, {"error": False, "message": "Cancellation ok,"}), Uncertain, id="silent-D-78"),
        pytest.param(bad_request(UNKNOWN_NUMBER), Refused, id="unknown-number"),
        pytest.param(bad_request(NOT_SAVED), Unavailable, id="not-saved"),
        pytest.param(make_reply(401, TRANSFER_NOT_ALLOWED), Unreadable, id="401-D-80"),
        pytest.param(make_reply(500, ""), Uncertain, id="500"),
    ],
)
@pytest.mark.quirk("D-78", "D-80")
def test_any_other_reply_to_the_cancel_of_a_transfer_is_no_success(
    codec: DeliverIt, transferred: AttemptView, reply: Reply, raised: type[CarrierError]
) -> None:
    error = error_of(lambda: codec.read_cancel(reply, transferred))
    assert type(error) is raised
    if reply.status == 202 and isinstance(error, Refused):
        assert (error.reason, error.text) == (Reason.DEADLINE_PASSED, TOO_LATE["message"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(status=st.sampled_from([200, 201, 202, 400, 401, 404, 500]), body=st.binary(max_size=80) | st.builds(
    lambda **document: json.dumps(document).encode(),
    error=st.booleans() | st.none(),
    message=st.sampled_from([TRANSFERRED["message"], UPDATED["message"], NUMBER_EXISTS, NOT_SAVED, ""]) | st.integers(),
    canceled=st.booleans() | st.text(max_size=3),
    update_url=st.text(max_size=20) | st.none(),
    price_with_vat=st.integers() | st.floats() | st.text(max_size=4),
))  # fmt: skip
def test_every_reply_about_a_transfer_is_read_or_raises_a_carrier_error(
    codec: DeliverIt,
    booking: Booking,
    transferred: AttemptView,
    unknown: AttemptView,
    now: datetime,
    status: int,
    body: bytes,
) -> None:
    reply = Reply(status, body)
    (repeated,) = codec.find([unknown], now)
    for act in (
        lambda: codec.read_booking(booking, reply, now),
        lambda: codec.read(repeated, reply, [unknown], now),
        lambda: codec.read_amended(transferred, reply, now),
        lambda: codec.read_cancel(reply, transferred),
    ):
        try:
            act()
        except CarrierError:
            continue
