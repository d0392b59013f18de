"""Orders that are handed over for a driver to be booked by hand, with the document's own answers."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.status import CancelledBy, DeliveryStatus, Reason
from worker.carriers.abilities import Amends
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Booked, Booking, Observation, Price, Raw, Reading
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Call, Operation, Reply

TAG = "132TMY8NEP0"
NUMBER = "q2cJv7WQt0516eh"
PATH = "/api/v1/orderinfo/14"
CREATED: dict[str, Any] = {
    "error": False,
    "message": "ok,This order is for delivery",
    "distance_in_km": 10.35,
    "price_with_vat": 125,
    "update_url": "https://butik.deliverit.dk/api/v1/orderinfo/14/q2cJv7WQt0516eh/update",
    "cancel_url": "https://butik.deliverit.dk/api/v1/orderinfo/14/q2cJv7WQt0516eh/cancel",
}
FETCHED: dict[str, Any] = {**CREATED, "message": "ok,The customer will pick up this order"}
UPDATED: dict[str, Any] = {
    "error": True,
    "message": "Update ok,This order is for delivery",
    "distance_in_km": 1.93,
    "price_with_vat": 50,
    "update_url": "https://butik.deliverit.dk/api/v1/orderinfo/14/NP15eLVptYSvRU0/update",
    "cancel_url": "https://butik.deliverit.dk/api/v1/orderinfo/14/NP15eLVptYSvRU0/cancel",
}
EMPTY = "Variable 'variable-name' cannot be empty"
MESSY = "Address is too messy. Cannot find latitude and longitude."
TAKEN = "Order with that number exist. Please use unique number"
STRANGE = "Some strange error has occured. Please try again. If the error remains, please contact DeliverIt"
WRONG = "Order with that number does not exist. Please use correct number"
NOT_HERE = {"error": True, "message": "You should not be here"}
CANCELED = {"error": False, "canceled": True, "message": "Cancellation ok,"}
TOO_LATE = {
    "error": False,
    "canceled": False,
    "message": "You cannot cancel an order, where the driver is booked, and there are less than 15 minutes til pickup.",
}
STANDING = Observation(
    status=DeliveryStatus.AWAITING_CONFIRMATION,
    raw=Raw("transfer", "created"),
    detail="manual_dispatch",
    ref=NUMBER,
    codec_state={"number": NUMBER},
    price=Price(Decimal(125), "DKK", "included"),
)
UNNAMED = replace(STANDING, ref=None, codec_state={"number": ""}, notes=("order_number_missing",))
ROW = {
    "created_at": {"date": "2026-11-21 19:00:05.000000", "timezone_type": 3, "timezone": "Europe/Berlin"},
    "name": "Anna Marie Holm", "telephone": "+4520304050", "address": "Hovedgaden 1", "city": "Odense C",
    "zip": "5000", "remarks": f"#{TAG} pickup 2026-11-21 20:15", "deliveryPrice": "60", "pickupTime": "20:15",
    "driverArrive": "N/A", "driverLeft": "N/A", "arriveAtCustomer": "N/A", "done": "N/A", "distance": "1914",
    "canceUrl": "https://butik.deliverit.dk/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM", "cancel": 0,
    "canceled_at": None,
}  # fmt: skip


def said(status: int, body: dict[str, Any] | str) -> Reply:
    return Reply(status, (json.dumps(body) if isinstance(body, dict) else body).encode())


def refused(message: str) -> Reply:
    return said(400, {"error": True, "message": message})


def listed(*rows: dict[str, Any]) -> Reply:
    return said(200, {"error": False, "orders": list(rows), "message": "Here are the orders you are looking for"})


def fields(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode(), keep_blank_values=True))


def error_of(act: Callable[[], object]) -> CarrierError:
    with pytest.raises(CarrierError) as caught:
        act()
    return caught.value


def unpaid(subject: Any) -> Any:
    payment = subject.order.payment.model_copy(update={"prepaid": False})
    return replace(subject, order=subject.order.model_copy(update={"payment": payment}))


@pytest.fixture
def account() -> DeliverItAccount:
    return DeliverItAccount(
        name="deliverit", kind="deliverit", username="a", password="b", company="14", mode="transfer"
    )


@pytest.fixture
def waiting(attempt: AttemptView) -> AttemptView:
    return replace(attempt, state="awaiting_confirmation", ref=NUMBER, codec_state={"number": NUMBER}, rank=3)


@pytest.fixture
def lost(attempt: AttemptView) -> AttemptView:
    return replace(attempt, state="submit_unknown", ref=None, codec_state={}, rank=2)


@pytest.fixture
def driven(codec: DeliverIt, waiting: AttemptView, tracking: Call, now: datetime) -> AttemptView:
    """The same order once a driver was booked for it and seen in the list."""
    (seen,) = codec.read(tracking, listed(ROW), [waiting], now).observations[waiting.id]
    return replace(
        waiting, state="created", ref=seen.ref, codec_state={**waiting.codec_state, **seen.codec_state}, rank=10
    )


# --- handing over --------------------------------------------------------------------------------------------------


@pytest.mark.quirk("D-13", "D-16", "D-71", "D-73", "D-79")
@pytest.mark.parametrize("encoding", ["form", "json"])
def test_an_order_is_handed_over_whole_and_paid(
    account: DeliverItAccount, booking: Booking, now: datetime, encoding: str
) -> None:
    call = DeliverIt(account.model_copy(update={"encoding": encoding}), {}).book(booking, now)
    assert (call.operation, call.method, call.path) == (Operation.CREATE, "POST", f"{PATH}/create")
    assert call.attempt_ids == (booking.attempt_id,)
    assert (fields(call) if encoding == "form" else json.loads(call.body)) == {
        "ordernumber": TAG,
        "name": "Anna Marie Holm", "telephone": "20304050",
        "street": "Hovedgaden 1", "city": "Odense C", "zip": "5000",
        "remarks": f"#{TAG} pickup 2026-11-21 20:15 / 2011 / 2. tv / Ring the bell",
        "paid": "1", "delivery": "1",
        "longitude": "10.3912053", "latitude": "55.3957969",
    }  # fmt: skip


@pytest.mark.quirk("D-19", "D-71")
@pytest.mark.parametrize("mode", ["book", "transfer"])
def test_an_unpaid_order_is_refused_in_either_mode_before_any_call(
    account: DeliverItAccount, booking: Booking, now: datetime, mode: str
) -> None:
    codec = DeliverIt(account.model_copy(update={"mode": mode}), {})
    error = error_of(lambda: codec.book(unpaid(booking), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (
        Reason.UNSERVICEABLE, "payment.prepaid: this carrier cannot collect money",
    )  # fmt: skip


def test_a_transfer_without_a_city_is_refused_before_any_call(
    codec: DeliverIt, booking: Booking, now: datetime
) -> None:
    dropoff = booking.order.dropoff.model_copy(update={"city": ""})
    nowhere = replace(booking, order=booking.order.model_copy(update={"dropoff": dropoff}))
    assert str(error_of(lambda: codec.book(nowhere, now))) == "dropoff.city"


def test_only_what_is_handed_over_can_be_changed(account: DeliverItAccount, codec: DeliverIt) -> None:
    book = DeliverIt(account.model_copy(update={"mode": "book"}), {})
    assert [each.capabilities.amends for each in (codec, book)] == [True, False]
    assert isinstance(codec, Amends)


@pytest.mark.quirk("D-24", "D-70", "D-72")
def test_an_order_that_was_handed_over_waits_for_somebody_to_book_its_driver(
    codec: DeliverIt, booking: Booking, now: datetime
) -> None:
    assert codec.read_booking(booking, said(201, CREATED), now) == Booked(STANDING)


@pytest.mark.quirk("D-02", "D-72")
@pytest.mark.parametrize(
    "links",
    [
        {"update_url": None, "cancel_url": None},
        {"update_url": f"https://butik.deliverit.dk/api/v1/orderinfo/15/{NUMBER}/update", "cancel_url": ""},
        {"update_url": f"https://butik.deliverit.dk{PATH}/../etc/update", "cancel_url": "http://["},
    ],
)
def test_an_order_whose_links_cannot_be_read_stands_without_a_number(
    codec: DeliverIt, booking: Booking, now: datetime, links: dict[str, Any]
) -> None:
    assert codec.read_booking(booking, said(201, {**CREATED, **links}), now) == Booked(UNNAMED)


@pytest.mark.quirk("D-01", "D-02")
def test_a_link_of_an_order_on_another_host_is_told_and_never_followed(
    codec: DeliverIt, booking: Booking, waiting: AttemptView, now: datetime
) -> None:
    elsewhere = {"update_url": f"http://dev.butik.deliverit.dk{PATH}/{NUMBER}/update", "cancel_url": None}
    booked = codec.read_booking(booking, said(201, {**CREATED, **elsewhere}), now)
    assert booked == Booked(replace(STANDING, notes=("link_host_differs",)))
    assert codec.cancel(waiting, now, allow_paid=False).path == f"{PATH}/{NUMBER}/cancel"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(EMPTY, Reason.VALIDATION, id="D-08"),
        pytest.param(MESSY, Reason.ADDRESS_PROBLEM, id="D-73"),
        pytest.param("Something else", Reason.UNKNOWN, id="other"),
    ],
)
@pytest.mark.quirk("D-08", "D-73")
def test_a_documented_400_refuses_a_transfer(
    codec: DeliverIt, booking: Booking, now: datetime, message: str, reason: Reason
) -> None:
    error = error_of(lambda: codec.read_booking(booking, refused(message), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (reason, message)


@pytest.mark.quirk("D-75")
def test_an_order_that_was_not_saved_may_be_sent_again(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    error = error_of(lambda: codec.read_booking(booking, refused(STRANGE), now))
    assert (type(error), getattr(error, "account", None)) == (Unavailable, False)


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        pytest.param(400, {"error": True, "message": TAKEN}, Uncertain, id="taken-D-74"),
        pytest.param(201, FETCHED, Uncertain, id="picked-up-D-79"),
        pytest.param(201, {"error": False}, Uncertain, id="silent-D-79"),
        pytest.param(200, CREATED, Uncertain, id="200"),
        pytest.param(400, "<html>", Uncertain, id="400-without-words"),
        pytest.param(500, CREATED, Uncertain, id="500"),
        pytest.param(401, NOT_HERE, Unavailable, id="401-D-80"),
        pytest.param(429, NOT_HERE, Throttled, id="429"),
    ],
)
@pytest.mark.quirk("D-74", "D-79", "D-80")
def test_any_other_answer_to_a_transfer_is_doubt_or_the_accounts_trouble(
    codec: DeliverIt, booking: Booking, now: datetime, status: int, body: Any, raised: type[CarrierError]
) -> None:
    assert type(error_of(lambda: codec.read_booking(booking, said(status, body), now))) is raised


# --- in doubt ------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("D-60", "D-74")
def test_a_transfer_in_doubt_is_sent_again_under_the_same_number(
    codec: DeliverIt, booking: Booking, lost: AttemptView, now: datetime
) -> None:
    first, (again,) = codec.book(booking, now), codec.find([lost], now)
    assert again == replace(first, operation=Operation.FIND)


@pytest.mark.quirk("D-74")
def test_a_transfer_that_was_written_off_is_looked_for_and_never_sent_again(
    codec: DeliverIt, lost: AttemptView, now: datetime
) -> None:
    calls = codec.find([replace(lost, state="rejected")], now)
    assert [(call.method, call.path) for call in calls] == [("GET", "/api/v1/order/14/2026-11-21/2026-11-21")]


def test_a_transfer_that_cannot_be_said_again_keeps_no_other_from_it(
    codec: DeliverIt, lost: AttemptView, now: datetime
) -> None:
    calls = codec.find([unpaid(lost), replace(lost, id=2)], now)
    assert [call.attempt_ids for call in calls] == [(2,)]


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        pytest.param(said(201, CREATED), STANDING, id="made-now"),
        pytest.param(
            refused(TAKEN), replace(UNNAMED, raw=Raw("transfer", "exists"), price=None), id="made-before-D-74"
        ),
    ],
)
@pytest.mark.quirk("D-74")
def test_a_transfer_sent_again_stands_either_way(
    codec: DeliverIt, lost: AttemptView, now: datetime, reply: Reply, seen: Observation
) -> None:
    (again,) = codec.find([lost], now)
    assert codec.read(again, reply, [lost], now) == Reading(observations={lost.id: (seen,)})


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (refused(STRANGE), Unavailable),
        (said(500, ""), Unavailable),
        (said(401, NOT_HERE), Unavailable),
        (refused(MESSY), Unreadable),
        (refused(EMPTY), Unreadable),
        (said(201, FETCHED), Unreadable),
        (said(200, "<html>"), Unreadable),
    ],
)
@pytest.mark.quirk("D-74", "D-75")
def test_no_other_answer_says_that_a_transfer_is_not_there(
    codec: DeliverIt, lost: AttemptView, now: datetime, reply: Reply, raised: type[CarrierError]
) -> None:
    (again,) = codec.find([lost], now)
    assert type(error_of(lambda: codec.read(again, reply, [lost], now))) is raised


# --- once a driver is booked ---------------------------------------------------------------------------------------


@pytest.mark.quirk("D-70")
def test_a_driver_who_is_booked_by_hand_is_followed_by_our_tag(
    codec: DeliverIt, waiting: AttemptView, tracking: Call, now: datetime
) -> None:
    (seen,) = codec.read(tracking, listed(ROW), [waiting], now).observations[waiting.id]
    assert (seen.status, seen.ref, seen.codec_state["cancel"], seen.notes) == (
        DeliveryStatus.CREATED, NUMBER, "F64u3fbxNdaoTyAcOisM", (),
    )  # fmt: skip


@pytest.mark.quirk("D-70")
def test_a_list_without_a_driver_says_nothing_of_a_transfer(
    codec: DeliverIt, waiting: AttemptView, tracking: Call, now: datetime
) -> None:
    strange = {**ROW, "remarks": ""}
    assert codec.read(tracking, listed(strange), [waiting], now) == Reading()


@pytest.mark.quirk("D-52", "D-70")
def test_a_driver_is_known_by_his_link_once_he_was_seen(codec: DeliverIt, driven: AttemptView, tracking: Call) -> None:
    later = driven.pickup_at + timedelta(minutes=10)
    left = {**ROW, "remarks": "edited", "driverArrive": "20:14", "driverLeft": "20:20"}
    (seen,) = codec.read(tracking, listed(left), [driven], later).observations[driven.id]
    assert (seen.status, seen.ref) == (DeliveryStatus.PICKED_UP, NUMBER)


@pytest.mark.quirk("D-70")
def test_a_driver_who_is_booked_in_place_of_a_cancelled_one_is_followed(
    codec: DeliverIt, driven: AttemptView, tracking: Call, now: datetime
) -> None:
    link = "https://butik.deliverit.dk/api/v1/orderdriver/cancel/14/RYGKaXMCSN94WfqPEivy"
    alone = codec.read(tracking, listed({**ROW, "cancel": 1}), [driven], now)
    replaced = codec.read(tracking, listed({**ROW, "cancel": 1}, {**ROW, "canceUrl": link}), [driven], now)
    assert [each.status for each in alone.observations[driven.id]] == [DeliveryStatus.CANCELLED]
    assert [(each.status, each.codec_state["cancel"]) for each in replaced.observations[driven.id]] == [
        (DeliveryStatus.CREATED, "RYGKaXMCSN94WfqPEivy")
    ]
    assert (alone.duplicates, replaced.duplicates) == ({}, {})


@pytest.mark.quirk("D-60", "D-70")
def test_a_second_driver_who_is_booked_by_hand_is_one_too_many(
    codec: DeliverIt, driven: AttemptView, tracking: Call, now: datetime
) -> None:
    link = "https://butik.deliverit.dk/api/v1/orderdriver/cancel/14/RYGKaXMCSN94WfqPEivy"
    reading = codec.read(tracking, listed({**ROW, "canceUrl": link}, ROW), [driven], now)
    assert ([each.ref for each in reading.observations[driven.id]], reading.duplicates) == (
        [NUMBER],
        {driven.id: ("RYGKaXMCSN94WfqPEivy",)},
    )


@pytest.mark.quirk("D-74")
def test_an_order_without_a_number_is_named_by_its_drivers_link(
    codec: DeliverIt, waiting: AttemptView, tracking: Call, now: datetime
) -> None:
    unnamed = replace(waiting, ref=None, codec_state={"number": ""})
    assert [call.context for call in codec.track([unnamed], now)] == ["2026-11-21"]
    (seen,) = codec.read(tracking, listed(ROW), [unnamed], now).observations[unnamed.id]
    booked = replace(unnamed, ref=seen.ref, codec_state={**unnamed.codec_state, **seen.codec_state})
    assert codec.cancel(booked, now, allow_paid=False).path == "/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM"


@pytest.mark.quirk("D-53")
def test_the_day_on_which_a_driver_was_seen_is_asked_for_ever_after(codec: DeliverIt, driven: AttemptView) -> None:
    filed = replace(driven, codec_state={**driven.codec_state, "day": "2026-11-25"})
    assert "2026-11-25" in [call.context for call in codec.track([filed], filed.pickup_at)]


# --- changing it ---------------------------------------------------------------------------------------------------


@pytest.mark.quirk("D-77")
def test_an_update_replaces_the_whole_order(
    codec: DeliverIt, booking: Booking, waiting: AttemptView, now: datetime
) -> None:
    assert codec.before_amend(waiting, now) is None
    call = codec.amend(waiting, None, now)
    assert call is not None
    assert (call.operation, call.method, call.path) == (Operation.AMEND, "POST", f"{PATH}/{NUMBER}/update")
    assert fields(call) == fields(codec.book(booking, now))


@pytest.mark.quirk("D-72", "D-76")
def test_an_update_that_went_well_says_error_true(codec: DeliverIt, waiting: AttemptView, now: datetime) -> None:
    assert codec.read_amended(waiting, said(200, UPDATED), now) == Observation(
        status=DeliveryStatus.AWAITING_CONFIRMATION,
        raw=Raw("transfer", "updated"),
        detail="manual_dispatch",
        ref="NP15eLVptYSvRU0",
        codec_state={"number": "NP15eLVptYSvRU0"},
        price=Price(Decimal(50), "DKK", "included"),
    )


def test_an_update_without_links_keeps_the_old_number(codec: DeliverIt, waiting: AttemptView, now: datetime) -> None:
    seen = codec.read_amended(waiting, said(200, {"message": "Update ok,This order is for delivery"}), now)
    assert seen is not None
    assert (seen.ref, seen.codec_state) == (None, {})


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (refused(WRONG), Refused),
        (refused("Variable ordernumber cannot be empty"), Refused),
        (refused(STRANGE), Unavailable),
        (said(200, {**UPDATED, "message": "Update ok,The customer will pick up this order"}), Uncertain),
        (said(200, {"error": True, "message": "No"}), Uncertain),
        (said(401, NOT_HERE), Unreadable),
    ],
)
@pytest.mark.quirk("D-76", "D-80")
def test_any_other_answer_is_no_update(
    codec: DeliverIt, waiting: AttemptView, now: datetime, reply: Reply, raised: type[CarrierError]
) -> None:
    assert type(error_of(lambda: codec.read_amended(waiting, reply, now))) is raised


@pytest.mark.quirk("D-71", "D-77")
def test_a_driver_order_an_unpaid_one_and_one_without_a_number_cannot_be_changed(
    codec: DeliverIt, attempt: AttemptView, waiting: AttemptView, driven: AttemptView, now: datetime
) -> None:
    unnamed = replace(waiting, ref=None, codec_state={"number": ""})
    for each in (attempt, unpaid(waiting), driven, unnamed):
        assert isinstance(error_of(lambda each=each: codec.amend(each, None, now)), Refused)  # type: ignore[misc]


# --- taking it back ------------------------------------------------------------------------------------------------


@pytest.mark.quirk("D-72", "D-78")
def test_an_order_without_a_driver_is_taken_back_at_any_time(codec: DeliverIt, waiting: AttemptView) -> None:
    call = codec.cancel(waiting, waiting.pickup_at, allow_paid=False)
    assert (call.operation, call.method, call.path, call.body) == (
        Operation.CANCEL, "POST", f"{PATH}/{NUMBER}/cancel", b"",
    )  # fmt: skip


@pytest.mark.quirk("D-40")
def test_a_driver_who_is_booked_has_the_cut_offs_of_any_other(codec: DeliverIt, driven: AttemptView) -> None:
    at = datetime(2026, 11, 21, 19, 15, tzinfo=UTC)
    assert codec.cancel(driven, at - timedelta(minutes=22), allow_paid=False).path == f"{PATH}/{NUMBER}/cancel"
    assert codec.cancel(driven, at - timedelta(minutes=17), allow_paid=True).path == f"{PATH}/{NUMBER}/cancel"
    for minutes, paid in ((20, False), (15, True)):
        soon = at - timedelta(minutes=minutes)
        error = error_of(lambda soon=soon, paid=paid: codec.cancel(driven, soon, allow_paid=paid))  # type: ignore[misc]
        assert isinstance(error, Refused)
        assert error.reason is Reason.DEADLINE_PASSED


@pytest.mark.quirk("D-74")
def test_an_order_whose_number_nobody_told_cannot_be_taken_back_until_a_person_tells_it(
    codec: DeliverIt, waiting: AttemptView, now: datetime
) -> None:
    unnamed = replace(waiting, ref=None, codec_state={"number": ""})
    assert isinstance(error_of(lambda: codec.cancel(unnamed, now, allow_paid=False)), Refused)
    told = replace(unnamed, ref="hlqONswckVx44Q0")
    assert codec.cancel(told, now, allow_paid=False).path == f"{PATH}/hlqONswckVx44Q0/cancel"


@pytest.mark.quirk("D-78")
def test_canceled_true_is_the_last_word_only_where_no_driver_was_seen(
    codec: DeliverIt, waiting: AttemptView, driven: AttemptView
) -> None:
    assert codec.read_cancel(said(200, CANCELED), waiting) == Observation(
        DeliveryStatus.CANCELLED, Raw("transfer", "canceled"), cancelled_by=CancelledBy.MERCHANT
    )
    assert codec.read_cancel(said(200, CANCELED), driven) is None


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        pytest.param(said(202, TOO_LATE), Refused, id="202-D-78"),
        pytest.param(said(200, TOO_LATE), Refused, id="200-canceled-false-D-78"),
        pytest.param(said(200, {**CANCELED, "canceled": "true"}), Uncertain, id="a-text-D-78"),
        pytest.param(said(200, {**CANCELED, "canceled": 1}), Uncertain, id="a-number-D-78"),
        pytest.param(said(202, CANCELED), Uncertain, id="202-canceled-true"),
        pytest.param(said(200, {"error": False, "message": "Cancellation ok,"}), Uncertain, id="silent-D-78"),
        pytest.param(refused(WRONG), Refused, id="unknown-number"),
        pytest.param(refused(STRANGE), Unavailable, id="not-saved"),
        pytest.param(said(401, NOT_HERE), Unreadable, id="401-D-80"),
        pytest.param(said(500, ""), Uncertain, id="500"),
    ],
)
@pytest.mark.quirk("D-78", "D-80")
def test_nothing_else_takes_an_order_back(
    codec: DeliverIt, waiting: AttemptView, reply: Reply, raised: type[CarrierError]
) -> None:
    error = error_of(lambda: codec.read_cancel(reply, waiting))
    assert type(error) is raised
    if reply.status == 202 and isinstance(error, Refused):
        assert (error.reason, error.text) == (Reason.DEADLINE_PASSED, TOO_LATE["message"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(status=st.sampled_from([200, 201, 202, 400, 401, 404, 500]), body=st.binary(max_size=80) | st.builds(
    lambda **said: json.dumps(said).encode(),
    error=st.booleans() | st.none(),
    message=st.sampled_from([CREATED["message"], UPDATED["message"], TAKEN, STRANGE, ""]) | st.integers(),
    canceled=st.booleans() | st.text(max_size=3),
    update_url=st.text(max_size=20) | st.none(),
    price_with_vat=st.integers() | st.floats() | st.text(max_size=4),
))  # fmt: skip
def test_no_answer_about_a_transfer_raises_anything_but_a_carrier_error(
    codec: DeliverIt, booking: Booking, waiting: AttemptView, lost: AttemptView, now: datetime, status: int, body: bytes
) -> None:
    reply = Reply(status, body)
    (again,) = codec.find([lost], now)
    for act in (
        lambda: codec.read_booking(booking, reply, now),
        lambda: codec.read(again, reply, [lost], now),
        lambda: codec.read_amended(waiting, reply, now),
        lambda: codec.read_cancel(reply, waiting),
    ):
        try:
            act()
        except CarrierError:
            continue
