"""Transfers of orders for which a driver is booked by hand: the fields, the replies and the unknown outcome."""

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.status import DeliveryStatus, Reason
from tests.carriers.deliverit.replies import (
    EMPTY_VARIABLE,
    MESSY_ADDRESS,
    NOT_SAVED,
    NUMBER,
    NUMBER_EXISTS,
    PATH,
    REFERENCE,
    SELF_PICKUP,
    TRANSFER_NOT_ALLOWED,
    TRANSFERRED,
    bad_request,
    error_of,
    fields,
    make_reply,
    unpaid,
)
from worker.carriers.abilities import Amends
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Booked, Booking, Observation, Price, Raw, Reading
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Operation, Reply

OBSERVED = Observation(
    status=DeliveryStatus.AWAITING_CONFIRMATION,
    raw=Raw("transfer", "created"),
    detail="manual_dispatch",
    ref=NUMBER,
    codec_state={"order_number": NUMBER},
    price=Price(Decimal(125), "DKK", "included"),
)
OBSERVED_WITHOUT_NUMBER = replace(OBSERVED, ref=None, codec_state={"order_number": ""}, notes=("order_number_missing",))


@pytest.fixture
def account(account: DeliverItAccount) -> DeliverItAccount:
    return account.model_copy(update={"mode": "transfer"})


# --- create ---


@pytest.mark.quirk("D-13", "D-16", "D-71", "D-73", "D-79")
@pytest.mark.parametrize("encoding", ["form", "json"])
def test_a_transfer_has_every_documented_field_and_is_paid(
    account: DeliverItAccount, booking: Booking, now: datetime, encoding: str
) -> None:
    call = DeliverIt(account.model_copy(update={"encoding": encoding}), {}).book(booking, now)
    assert (call.operation, call.method, call.path) == (Operation.CREATE, "POST", f"{PATH}/create")
    assert call.attempt_ids == (booking.attempt_id,)
    assert (fields(call) if encoding == "form" else json.loads(call.body)) == {
        "ordernumber": REFERENCE,
        "name": "Anna Marie Holm", "telephone": "20304050",
        "street": "Hovedgaden 1", "city": "Odense C", "zip": "5000",
        "remarks": f"#{REFERENCE} pickup 2026-11-21 20:15 / 2011 / 2. tv / Ring the bell",
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


def test_only_transferred_orders_can_be_amended(account: DeliverItAccount, codec: DeliverIt) -> None:
    book = DeliverIt(account.model_copy(update={"mode": "book"}), {})
    assert [each.capabilities.amends for each in (codec, book)] == [True, False]
    assert isinstance(codec, Amends)


@pytest.mark.quirk("D-24", "D-70", "D-72")
def test_a_transferred_order_waits_for_a_driver_to_be_booked_by_hand(
    codec: DeliverIt, booking: Booking, now: datetime
) -> None:
    assert codec.read_booking(booking, make_reply(201, TRANSFERRED), now) == Booked(OBSERVED)


@pytest.mark.quirk("D-02", "D-72")
@pytest.mark.parametrize(
    "links",
    [
        {"update_url": None, "cancel_url": None},
        {"update_url": f"https://butik.deliverit.dk/api/v1/orderinfo/15/{NUMBER}/update", "cancel_url": ""},
        {"update_url": f"https://butik.deliverit.dk{PATH}/../etc/update", "cancel_url": "http://["},
    ],
)
def test_a_transferred_order_whose_links_cannot_be_read_has_no_number(
    codec: DeliverIt, booking: Booking, now: datetime, links: dict[str, Any]
) -> None:
    assert codec.read_booking(booking, make_reply(201, {**TRANSFERRED, **links}), now) == Booked(
        OBSERVED_WITHOUT_NUMBER
    )


@pytest.mark.quirk("D-01", "D-02")
def test_a_transfer_link_on_another_host_is_noted_and_only_its_number_is_used(
    codec: DeliverIt, booking: Booking, transferred: AttemptView, now: datetime
) -> None:
    elsewhere = {"update_url": f"http://dev.butik.deliverit.dk{PATH}/{NUMBER}/update", "cancel_url": None}
    booked = codec.read_booking(booking, make_reply(201, {**TRANSFERRED, **elsewhere}), now)
    assert booked == Booked(replace(OBSERVED, notes=("link_host_differs",)))
    assert codec.cancel(transferred, now, allow_paid=False).path == f"{PATH}/{NUMBER}/cancel"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(EMPTY_VARIABLE, Reason.VALIDATION, id="D-08"),
        pytest.param(MESSY_ADDRESS, Reason.ADDRESS_PROBLEM, id="D-73"),
        pytest.param("Something else", Reason.UNKNOWN, id="other"),
    ],
)
@pytest.mark.quirk("D-08", "D-73")
def test_a_documented_400_refuses_a_transfer(
    codec: DeliverIt, booking: Booking, now: datetime, message: str, reason: Reason
) -> None:
    error = error_of(lambda: codec.read_booking(booking, bad_request(message), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (reason, message)


@pytest.mark.quirk("D-75")
def test_a_transfer_that_was_not_saved_may_be_repeated(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    error = error_of(lambda: codec.read_booking(booking, bad_request(NOT_SAVED), now))
    assert (type(error), getattr(error, "account", None)) == (Unavailable, False)


@pytest.mark.parametrize(
    ("status", "body", "raised"),
    [
        pytest.param(400, {"error": True, "message": NUMBER_EXISTS}, Uncertain, id="taken-D-74"),
        pytest.param(201, SELF_PICKUP, Uncertain, id="picked-up-D-79"),
        pytest.param(201, {"error": False}, Uncertain, id="silent-D-79"),
        pytest.param(200, TRANSFERRED, Uncertain, id="200"),
        pytest.param(400, "<html>", Uncertain, id="400-without-words"),
        pytest.param(500, TRANSFERRED, Uncertain, id="500"),
        pytest.param(401, TRANSFER_NOT_ALLOWED, Unavailable, id="401-D-80"),
        pytest.param(429, TRANSFER_NOT_ALLOWED, Throttled, id="429"),
    ],
)
@pytest.mark.quirk("D-74", "D-79", "D-80")
def test_any_other_reply_to_a_transfer_has_an_unknown_outcome_or_is_about_the_account(
    codec: DeliverIt, booking: Booking, now: datetime, status: int, body: Any, raised: type[CarrierError]
) -> None:
    assert type(error_of(lambda: codec.read_booking(booking, make_reply(status, body), now))) is raised


# --- unknown outcome ---


@pytest.mark.quirk("D-60", "D-74")
def test_a_transfer_with_an_unknown_outcome_is_repeated_under_the_same_number(
    codec: DeliverIt, booking: Booking, unknown: AttemptView, now: datetime
) -> None:
    first, (repeated,) = codec.book(booking, now), codec.find([unknown], now)
    assert repeated == replace(first, operation=Operation.FIND)


@pytest.mark.quirk("D-74")
def test_a_transfer_that_was_declared_absent_is_looked_up_and_never_repeated(
    codec: DeliverIt, unknown: AttemptView, now: datetime
) -> None:
    calls = codec.find([replace(unknown, state="rejected")], now)
    assert [(call.method, call.path) for call in calls] == [("GET", "/api/v1/order/14/2026-11-21/2026-11-21")]


def test_a_transfer_that_cannot_be_repeated_blocks_no_other(
    codec: DeliverIt, unknown: AttemptView, now: datetime
) -> None:
    calls = codec.find([unpaid(unknown), replace(unknown, id=2)], now)
    assert [call.attempt_ids for call in calls] == [(2,)]


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        pytest.param(make_reply(201, TRANSFERRED), OBSERVED, id="made-now"),
        pytest.param(
            bad_request(NUMBER_EXISTS),
            replace(OBSERVED_WITHOUT_NUMBER, raw=Raw("transfer", "exists"), price=None),
            id="made-before-D-74",
        ),
    ],
)
@pytest.mark.quirk("D-74")
def test_a_repeated_transfer_exists_whichever_call_created_it(
    codec: DeliverIt, unknown: AttemptView, now: datetime, reply: Reply, seen: Observation
) -> None:
    (repeated,) = codec.find([unknown], now)
    assert codec.read(repeated, reply, [unknown], now) == Reading(observations={unknown.id: (seen,)})


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (bad_request(NOT_SAVED), Unavailable),
        (make_reply(500, ""), Unavailable),
        (make_reply(401, TRANSFER_NOT_ALLOWED), Unavailable),
        (bad_request(MESSY_ADDRESS), Unreadable),
        (bad_request(EMPTY_VARIABLE), Unreadable),
        (make_reply(201, SELF_PICKUP), Unreadable),
        (make_reply(200, "<html>"), Unreadable),
    ],
)
@pytest.mark.quirk("D-74", "D-75")
def test_no_reply_to_a_repeated_transfer_proves_absence(
    codec: DeliverIt, unknown: AttemptView, now: datetime, reply: Reply, raised: type[CarrierError]
) -> None:
    (repeated,) = codec.find([unknown], now)
    assert type(error_of(lambda: codec.read(repeated, reply, [unknown], now))) is raised
