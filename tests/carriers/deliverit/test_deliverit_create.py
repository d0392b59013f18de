"""Creates of driver orders: the fields that are sent, and the documented replies."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.status import DeliveryStatus, Reason
from tests.carriers.deliverit.replies import (
    CLOSED,
    CREATED,
    EMPTY_PHONE,
    HOST,
    NOT_ALLOWED,
    PUSHED,
    REFERENCE,
    change_customer,
    change_dropoff,
    error_of,
    fields,
    make_reply,
    without_company,
)
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import Booked, Booking, Observation, Offer, Price, Raw
from worker.errors import Refused, Unavailable, Uncertain
from worker.http.call import Operation, Reply


def test_a_create_has_the_documented_fields(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    call = codec.book(booking, now)
    assert (call.operation, call.method, call.path) == (Operation.CREATE, "POST", "/api/v1/orderdriver/create")
    assert call.attempt_ids == (booking.attempt_id,)
    assert fields(call) == {
        "firstname": "Anna", "lastname": "Marie Holm",
        "street": "Hovedgaden 1", "zip": "5000", "city": "Odense C",
        "time": "2026-11-21 20:15",
        "telephone": "20304050",
        "remarks": f"#{REFERENCE} 2011 / 2. tv / Ring the bell",
        "latitude": "55.3957969", "longitude": "10.3912053",
    }  # fmt: skip


@pytest.mark.quirk("D-06")
def test_json_has_the_documented_types(account: DeliverItAccount, booking: Booking, now: datetime) -> None:
    call = DeliverIt(account.model_copy(update={"encoding": "json"}), {}).book(booking, now)
    assert dict(call.headers)["Content-Type"] == "application/json"
    assert json.loads(call.body) == {
        "firstname": "Anna", "lastname": "Marie Holm", "street": "Hovedgaden 1", "zip": 5000, "city": "Odense C",
        "time": "2026-11-21 20:15", "telephone": 20304050, "remarks": f"#{REFERENCE} 2011 / 2. tv / Ring the bell",
        "latitude": 55.3957969, "longitude": 10.3912053,
    }  # fmt: skip


@pytest.mark.quirk("D-12")
@pytest.mark.parametrize(
    ("street", "sent", "unit"),
    [
        ("Vestergade 1, 2. tv", "Vestergade 1", "2. tv"),
        ("Vestergade 12B, st. th", "Vestergade 12B", "st. th"),
        ("Vestergade 12 B st. th.", "Vestergade 12 B", "st. th."),
        ("Vestergade 1, kld.", "Vestergade 1", "kld."),
        ("Vestergade 1, lejl. 4", "Vestergade 1", "lejl. 4"),
        ("Vestergade 1-3, 3. sal", "Vestergade 1-3", "3. sal"),
        ("Vestergade 1, 3 sal", "Vestergade 1", "3 sal"),
        ("Vestergade 1, Appartment 7", "Vestergade 1", "Appartment 7"),
        ("Vestergade 1 apt 7", "Vestergade 1", "apt 7"),
        ("Vestergade 1, floor 2", "Vestergade 1", "floor 2"),
        ("Vestergade 1, basement", "Vestergade 1", "basement"),
        ("10. Februar Vej 5, 1. mf", "10. Februar Vej 5", "1. mf"),
        ("St. Kongensgade 5", "St. Kongensgade 5", ""),
        ("H.C. Andersens Gade 12", "H.C. Andersens Gade 12", ""),
        ("Vestergade 1, 5000 Odense", "Vestergade 1, 5000 Odense", ""),
        ("Strandvejen", "Strandvejen", ""),
    ],
)
def test_the_floor_and_the_door_move_from_the_street_to_the_remarks(
    codec: DeliverIt, booking: Booking, now: datetime, street: str, sent: str, unit: str
) -> None:
    written = fields(codec.book(change_dropoff(booking, street=street, notes=""), now))
    assert (written["street"], written["remarks"]) == (
        sent,
        f"#{REFERENCE} 2011 / {unit}" if unit else f"#{REFERENCE} 2011",
    )


@pytest.mark.quirk("D-10")
def test_the_remarks_begin_with_the_reference_however_long_the_notes_are(
    codec: DeliverIt, booking: Booking, now: datetime
) -> None:
    remarks = fields(codec.book(change_dropoff(booking, notes="ring\n#22222222222\x00 " * 99, unit="2. tv"), now))[
        "remarks"
    ]
    assert remarks.startswith(f"#{REFERENCE} 2011 / 2. tv / ring #22222222222 ring")  # D-10
    assert len(remarks) == 250


@pytest.mark.quirk("D-11")
@pytest.mark.parametrize(
    ("name", "first", "last"), [("Anna", "Anna", ""), ("Anna  Holm", "Anna", "Holm"), ("A B C", "A", "B C")]
)
def test_a_name_of_one_word_is_a_first_name(
    codec: DeliverIt, booking: Booking, now: datetime, name: str, first: str, last: str
) -> None:
    written = fields(codec.book(change_customer(booking, name=name), now))
    assert (written["firstname"], written["lastname"]) == (first, last)


@pytest.mark.quirk("D-16")
@pytest.mark.parametrize("phone", ["+4520304050", "0045 20304050", "20 30 40 50", "20304050", "+45 (20) 30-40-50"])
def test_a_danish_phone_is_sent_as_eight_digits(codec: DeliverIt, booking: Booking, now: datetime, phone: str) -> None:
    assert fields(codec.book(change_customer(booking, phone=phone), now))["telephone"] == "20304050"  # D-16


@pytest.mark.quirk("D-14", "D-15")
@pytest.mark.parametrize(
    ("pickup_at", "sent"),
    [
        pytest.param("2026-11-21T23:30:00+00:00", "2026-11-22 00:30", id="after-midnight"),
        pytest.param("2026-07-01T16:30:00+00:00", "2026-07-01 18:30", id="summer"),
        pytest.param("2026-11-21T19:15:00.000001+00:00", "2026-11-21 20:16", id="rounded-up"),
        pytest.param("2026-10-25T00:30:00+00:00", "2026-10-25 02:30", id="autumn-first"),
        pytest.param("2026-10-25T01:30:00+00:00", "2026-10-25 02:30", id="autumn-second"),
    ],
)
def test_the_pickup_time_is_sent_in_the_accounts_zone_with_its_date(
    codec: DeliverIt, booking: Booking, now: datetime, pickup_at: str, sent: str
) -> None:
    assert fields(codec.book(replace(booking, pickup_at=datetime.fromisoformat(pickup_at)), now))["time"] == sent


CREATED_OBSERVATION = Observation(
    status=DeliveryStatus.CREATED,
    raw=Raw("create", "created"),
    ref="F64u3fbxNdaoTyAcOisM",
    codec_state={
        "cancel_token": "F64u3fbxNdaoTyAcOisM", "agreed_pickup": "2026-11-21T19:15:00+00:00",
        "order_id": "11823", "price": "60",
    },
    pickup_eta=datetime(2026, 11, 21, 19, 15, tzinfo=UTC),
    dropoff_eta=datetime(2026, 11, 21, 19, 26, tzinfo=UTC),
    price=Price(Decimal(60), "DKK", "excluded"),
)  # fmt: skip


@pytest.mark.quirk("D-20", "D-24", "D-27")
def test_a_201_without_a_push_is_created(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    assert codec.read_booking(booking, make_reply(201, CREATED), now) == Booked(CREATED_OBSERVATION)


@pytest.mark.quirk("D-20", "D-28")
def test_a_201_with_a_push_is_an_offer(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    asked, given = datetime(2026, 11, 21, 19, 15, tzinfo=UTC), datetime(2026, 11, 21, 19, 25, tzinfo=UTC)
    observation = replace(
        CREATED_OBSERVATION,
        status=DeliveryStatus.AWAITING_CONFIRMATION,
        raw=Raw("create", "push"),
        codec_state={
            **CREATED_OBSERVATION.codec_state,
            "accept_token": "acceptTOKEN01",
            "deny_token": "denyTOKEN0001",
            "agreed_pickup": given.isoformat(),
        },
        pickup_eta=given,
        dropoff_eta=datetime(2026, 11, 21, 19, 36, tzinfo=UTC),
    )
    assert codec.read_booking(booking, make_reply(201, PUSHED), now) == Booked(observation, Offer(asked, given))


def test_an_offer_without_a_cancel_link_is_still_an_offer(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    booked = codec.read_booking(booking, make_reply(201, {**PUSHED, "cancelUrl": ""}), now)
    assert booked.offer is not None
    assert (booked.observation.ref, booked.observation.notes) == (f"#{REFERENCE}", ("cancel_link_missing",))


@pytest.mark.quirk("D-21")
def test_a_changed_pickup_time_without_a_push_is_noted(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    booked = codec.read_booking(booking, make_reply(201, {**json.loads(CREATED), "time": "20:20"}), now)
    assert booked.observation.status is DeliveryStatus.CREATED
    assert booked.observation.notes == ("pickup_time_changed",)
    assert booked.observation.codec_state["agreed_pickup"] == "2026-11-21T19:20:00+00:00"


@pytest.mark.quirk("D-26")
def test_times_after_midnight_belong_to_the_next_day(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    late = replace(booking, pickup_at=datetime(2026, 11, 21, 22, 50, tzinfo=UTC))
    body = {**json.loads(CREATED), "time": "23:50", "arrive_at_customer": "00:05"}
    booked = codec.read_booking(late, make_reply(201, body), now)
    assert booked.observation.pickup_eta == datetime(2026, 11, 21, 22, 50, tzinfo=UTC)
    assert booked.observation.dropoff_eta == datetime(2026, 11, 21, 23, 5, tzinfo=UTC)


@pytest.mark.quirk("D-14")
def test_a_pickup_time_that_occurs_twice_is_noted(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    twice = replace(booking, pickup_at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    booked = codec.read_booking(twice, make_reply(201, {**json.loads(CREATED), "time": "02:30"}), now)
    assert booked.observation.notes == ("pickup_time_ambiguous",)
    assert booked.observation.pickup_eta == twice.pickup_at


def test_a_link_on_another_host_is_noted_and_only_its_token_is_used(
    codec: DeliverIt, booking: Booking, now: datetime
) -> None:
    link = "https://dev.butik.deliverit.dk/api/v1/orderdriver/cancel/14/RYGKaXMCSN94WfqPEivy"
    booked = codec.read_booking(booking, make_reply(201, {**json.loads(CREATED), "cancelUrl": link}), now)
    assert (booked.observation.ref, booked.observation.notes) == ("RYGKaXMCSN94WfqPEivy", ("link_host_differs",))


@pytest.mark.quirk("D-23")
@pytest.mark.parametrize(
    ("status", "body", "reason", "text"),
    [
        pytest.param(400, CLOSED, Reason.CARRIER_CLOSED, "Sorry. DeliverIt is closed.", id="closed-D-23"),
        pytest.param(400, EMPTY_PHONE, Reason.VALIDATION, "Telephone cannot be empty", id="empty"),
        pytest.param(400, '{"error": true, "message": "No"}', Reason.UNKNOWN, "No", id="other"),
        pytest.param(400, '{"error": true, "message": "%s"}' % ("x" * 999), Reason.UNKNOWN, "x" * 300, id="long"),
    ],
)
def test_a_documented_400_refuses_a_create(
    codec: DeliverIt, booking: Booking, now: datetime, status: int, body: str, reason: Reason, text: str
) -> None:
    error = error_of(lambda: codec.read_booking(booking, make_reply(status, body), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (reason, text)


@pytest.mark.quirk("D-02", "D-21", "D-22", "D-60")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(201, {**PUSHED, "acceptUrl": ""}, id="push-without-accept-D-21"),
        pytest.param(201, {**PUSHED, "acceptUrl": f"{HOST}/accept/15/acceptTOKEN01"}, id="accept-of-another-company"),
        pytest.param(201, {**PUSHED, "push": False}, id="accept-without-push-D-21"),
        pytest.param(201, {**PUSHED, "time": "soon"}, id="push-without-time"),
        pytest.param(201, {**json.loads(CREATED), "order_driver": False}, id="order-driver-false-D-22"),
        pytest.param(201, {"DeliverItOpen": True}, id="order-driver-missing-D-22"),
        pytest.param(
            201, {**json.loads(CREATED), "cancelUrl": f"{HOST}/cancel/15/F64u3fbxNdaoTyAcOisM"}, id="foreign-D-02"
        ),
        pytest.param(201, {**json.loads(CREATED), "cancelUrl": ""}, id="no-cancel-link"),
        pytest.param(201, "<html>", id="unparsable-D-60"),
        pytest.param(201, "", id="empty"),
        pytest.param(200, CREATED, id="another-2xx"),
        pytest.param(302, "", id="redirect"),
        pytest.param(400, "<html>Bad Request</html>", id="400-html"),
        pytest.param(400, '{"error": false, "message": "Telephone cannot be empty"}', id="400-without-error"),
        pytest.param(400, '{"error": true}', id="400-without-message"),
        pytest.param(422, EMPTY_PHONE, id="undocumented-4xx"),
        pytest.param(408, "", id="408"),
        pytest.param(500, EMPTY_PHONE, id="500-D-60"),
        pytest.param(502, "", id="502"),
    ],
)
def test_any_other_reply_to_a_create_has_an_unknown_outcome(
    codec: DeliverIt, booking: Booking, now: datetime, status: int, body: str | dict[str, Any]
) -> None:
    assert isinstance(error_of(lambda: codec.read_booking(booking, make_reply(status, body), now)), Uncertain)


def test_only_a_refusal_can_be_read_before_the_company_is_known(
    account: DeliverItAccount, booking: Booking, now: datetime
) -> None:
    codec = without_company(account)
    assert isinstance(error_of(lambda: codec.read_booking(booking, make_reply(201, CREATED), now)), Uncertain)
    assert isinstance(error_of(lambda: codec.read_booking(booking, make_reply(400, CLOSED), now)), Refused)


@pytest.mark.parametrize(
    ("reply", "account_rejected", "wait"),
    [
        (make_reply(401, NOT_ALLOWED), True, None),
        (make_reply(403, ""), True, None),
        (make_reply(429, ""), False, None),
        (make_reply(429, "", retry_after="30"), False, 30.0),
        (make_reply(429, "", retry_after="Sat, 21 Nov 2026 17:02:00 GMT"), False, 120.0),
    ],
)
def test_a_create_that_was_rejected_for_the_account_or_its_rate_may_be_repeated(
    codec: DeliverIt, booking: Booking, now: datetime, reply: Reply, wait: float | None, *, account_rejected: bool
) -> None:
    error = error_of(lambda: codec.read_booking(booking, reply, now))
    assert isinstance(error, Unavailable)
    assert (error.account, error.retry_after) == (account_rejected, wait)
