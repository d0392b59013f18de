"""The create request, and every way it can be answered."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.status import DeliveryStatus, Evidence, Reason
from worker.carriers.borzo import Borzo
from worker.carriers.borzo.faults import REQUEST_CODES, after_reading, after_writing
from worker.carriers.port import Booked, Booking, Observation, Operation, Price, Raw, Reply
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain, Unreadable

DOCUMENTED_CODES = [
    "unexpected_error",
    "invalid_api_version",
    "required_api_upgrade",
    "requests_limit_exceeded",
    "required_auth_token",
    "invalid_auth_token",
    "required_method_get",
    "required_method_post",
    "invalid_post_json",
    "invalid_parameters",
    "unapproved_contract",
    "service_unavailable",
    "invalid_api_method",
    "buyout_not_allowed",
    "insufficient_balance_for_buyout",
    "order_cannot_be_edited",
    "order_cannot_be_canceled",
    "insufficient_balance",
    "buyout_amount_limit_exceeded",
    "route_not_found",
    "total_payment_amount_limit_exceeded",
    "order_is_duplicate",
    "insufficient_funds",
    "card_payment_failed",
    "impossible_delivery_fee_calculation",
    "tax_retension_limit",
]
"""Borzo, "Request error codes"."""
CREATED = datetime(2024, 11, 23, 12, 38, 35, tzinfo=UTC)


def _body(codec: Borzo, booking: Booking, now: datetime) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(codec.book(booking, now).body)
    return body


def _booked(drop: int) -> Booked:
    return Booked(
        Observation(
            status=DeliveryStatus.CREATED,
            raw=Raw("delivery", "planned"),
            stamp=CREATED,
            occurred_at=CREATED,
            ref="1250032",
            refs={
                "point_id": str(drop),
                "order_word": "2024-11-23T12:38:35+00:00 - available",
                "delivery_word": "2024-11-23T12:38:35+00:00 - planned",
            },
            price=Price(Decimal("18.00"), "BRL"),
        )
    )


def test_an_order_becomes_exactly_the_documented_parameters(codec: Borzo, booking: Booking, now: datetime) -> None:
    call = codec.book(booking, now)
    assert (call.operation, call.method, call.path, call.covers, call.query) == (
        Operation.CREATE,
        "POST",
        "/api/business/1.6/create-order",
        (booking.attempt_id,),
        (),
    )
    assert dict(call.headers) == {
        "X-DV-Auth-Token": "SECRET_AUTH_TOKEN",
        "Accept": "application/json",
        "Content-Type": "application/json; charset=utf-8",
    }
    assert json.loads(call.body) == {
        "type": "standard",
        "matter": "Order 77 (3 items)",
        "vehicle_type_id": 8,
        "is_client_notification_enabled": False,
        "is_contact_person_notification_enabled": False,
        "is_route_optimizer_enabled": False,
        "payment_method": "balance",
        "points": [
            {
                "address": "R. Guamiranga, 1140 - Vila Independencia, São Paulo - SP, 04220-020",
                "contact_person": {"phone": "5511900000001", "name": "Pizzaria Guamiranga"},
                "latitude": "-23.5962988",
                "longitude": "-46.5858049",
                "note": "Order 77",
            },
            {
                "client_order_id": booking.tag,
                "address": "Av. Paulista, 1439 - 12 - Bela Vista, São Paulo - SP, 01310-100",
                "contact_person": {"phone": "5511900000001", "name": "Ana"},
                "latitude": "-23.5627470",
                "longitude": "-46.6576753",
                "note": "apto 4 / Tocar / a campainha",
            },
        ],
    }


def test_the_token_shows_in_no_description_of_a_call(codec: Borzo, booking: Booking, now: datetime) -> None:
    assert "SECRET" not in repr(codec.book(booking, now)) + repr(codec.account)


def test_every_parameter_stands_in_a_sample_of_the_document(
    make: Callable[..., Borzo],
    booking_of: Callable[..., Booking],
    document: Callable[[str], bytes],
    now: datetime,
) -> None:  # B-11, B-12
    sample = json.loads(document("create_order"))["order"]
    order = {"payment": {"prepaid": False, "amount": "10.00", "currency": "BRL"}}
    booking = booking_of(order=order, pickup_at=now + timedelta(hours=2), deliver_at=now + timedelta(hours=3))
    for codec in (make(payment_method="bank_card", bank_card_id=80), make(payment_method="cash")):
        body = _body(codec, booking, now)
        assert set(body) - {"is_route_optimizer_enabled"} <= set(sample)  # a documented request parameter alone
        assert {name for point in body["points"] for name in point} <= set(sample["points"][1])


def test_an_unpaid_order_is_collected_at_the_customers_point_only(
    codec: Borzo, booking_of: Callable[..., Booking], now: datetime
) -> None:  # B-08, B-35
    owed = {"prepaid": False, "amount": "118", "currency": "BRL", "method": "cash", "change_for": "150"}
    pickup, drop = _body(codec, booking_of(order={"payment": owed}), now)["points"]
    assert ("taking_amount" in pickup, drop["taking_amount"]) == (False, "118.00")
    assert drop["note"] == "apto 4 / Tocar / a campainha / Change for 150.00"


def test_money_in_another_currency_is_not_collected(
    codec: Borzo, booking_of: Callable[..., Booking], now: datetime
) -> None:
    order = {"payment": {"prepaid": False, "amount": "118.00", "currency": "DKK"}}
    with pytest.raises(Refused, match=r"^payment\.currency") as refusal:
        codec.book(booking_of(order=order), now)
    assert refusal.value.reason is Reason.VALIDATION


def test_a_scheduled_order_names_its_times_in_the_accounts_zone(
    codec: Borzo, booking_of: Callable[..., Booking]
) -> None:  # B-07
    pickup_at = datetime(2024, 11, 23, 13, 8, 35, 987_654, tzinfo=UTC)
    booking = booking_of(pickup_at=pickup_at, deliver_at=datetime(2024, 11, 23, 14, 8, 35, tzinfo=UTC))
    pickup, drop = _body(codec, booking, CREATED)["points"]
    assert [(p["required_start_datetime"], p["required_finish_datetime"]) for p in (pickup, drop)] == [
        ("2024-11-23T10:08:35-03:00", "2024-11-23T10:38:35-03:00"),
        ("2024-11-23T11:08:35-03:00", "2024-11-23T11:38:35-03:00"),
    ]


def test_the_customers_time_never_lies_before_the_shops(codec: Borzo, booking_of: Callable[..., Booking]) -> None:
    at = CREATED + timedelta(hours=1)
    pickup, drop = _body(codec, booking_of(pickup_at=at, deliver_at=at - timedelta(minutes=9)), CREATED)["points"]
    assert drop["required_start_datetime"] == pickup["required_start_datetime"]


@pytest.mark.parametrize("deliver_at", [None, CREATED + timedelta(minutes=10)], ids=["asap", "stale"])
def test_no_time_is_named_that_was_not_asked_for_or_has_passed(
    codec: Borzo, booking_of: Callable[..., Booking], deliver_at: datetime | None
) -> None:  # B-40
    points = _body(codec, booking_of(pickup_at=CREATED, deliver_at=deliver_at), CREATED)["points"]
    assert not [name for point in points for name in point if name.startswith("required_")]


@pytest.mark.parametrize(
    ("settings", "sent", "paying"),
    [
        ({}, {"payment_method": "balance"}, None),
        (
            {"payment_method": "bank_card", "bank_card_id": 80},
            {"payment_method": "bank_card", "bank_card_id": 80},
            None,
        ),
        ({"payment_method": "cash"}, {"payment_method": "cash"}, [True, None]),
    ],
    ids=["balance", "bank_card", "cash"],
)
def test_each_payment_method_is_sent_whole(
    make: Callable[..., Borzo],
    booking: Booking,
    now: datetime,
    settings: dict[str, Any],
    sent: dict[str, Any],
    paying: object,
) -> None:  # B-34
    body = _body(make(**settings), booking, now)
    assert {name: body[name] for name in ("payment_method", "bank_card_id") if name in body} == sent
    assert [point.get("is_order_payment_here") for point in body["points"]] == (paying or [None, None])


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"customer": {"name": "Ana", "phone": "call me"}}, "customer.phone"),
        ({"customer": {"name": "Ana", "phone": "12"}}, "customer.phone"),
        ({"dropoff": {"street": "x" * 351}}, "dropoff.street"),
        ({"dropoff": {"street": " "}}, "dropoff.street"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_any_call(
    codec: Borzo, booking_of: Callable[..., Booking], now: datetime, order: dict[str, Any], field: str
) -> None:  # B-39, X-02
    with pytest.raises(Refused) as refusal:
        codec.book(booking_of(order=order), now)
    assert refusal.value.reason is Reason.VALIDATION
    assert refusal.value.text.startswith(field)
    assert "call me" not in refusal.value.text


def test_coordinates_that_are_not_known_are_not_sent(
    codec: Borzo, booking_of: Callable[..., Booking], now: datetime
) -> None:  # B-09
    drop = _body(codec, booking_of(order={"dropoff": {"street": "Av. Paulista, 1439"}}), now)
    assert not {"latitude", "longitude"} & set(drop["points"][1])


@pytest.mark.parametrize("sample", ["create_order", "create_order_bank_card", "create_order_from_draft"])
def test_each_documented_create_is_a_success(
    codec: Borzo, booking: Booking, document: Callable[[str], bytes], now: datetime, sample: str
) -> None:
    booked = codec.read_booking(booking, Reply(200, document(sample)), now)
    expected = _booked(202686)
    if sample == "create_order_from_draft":
        refs = {**expected.observation.refs, "delivery_id": "11712"}
        expected = Booked(replace(expected.observation, refs=refs))
    assert booked == expected


def test_the_drop_is_the_point_that_carries_our_tag(
    codec: Borzo, booking: Booking, order_of: Callable[..., dict[str, Any]], now: datetime
) -> None:  # B-74
    order = order_of({"status": "planned"})
    order["points"].reverse()
    reply = Reply(200, json.dumps({"is_successful": True, "order": order}).encode())
    assert codec.read_booking(booking, reply, now) == _booked(202686)


@pytest.mark.parametrize("status", ["new", "available", "active", "canceled", "unheard_of", None])
def test_a_created_order_is_created_whatever_its_first_word(
    codec: Borzo, booking: Booking, order_of: Callable[..., dict[str, Any]], now: datetime, status: str | None
) -> None:  # B-33
    reply = Reply(200, json.dumps({"is_successful": True, "order": order_of(status=status)}).encode())
    seen = codec.read_booking(booking, reply, now).observation
    assert (seen.status, seen.ref, seen.cancelled_by) == (DeliveryStatus.CREATED, "1250032", None)
    assert seen.detail == ("pending_verification" if status == "new" else None)
    assert seen.evidence is Evidence.ORDER_LEVEL


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>502</html>"),
        (200, b'{"is_successful": true}'),
        (200, b'{"is_successful": true, "order": null}'),
        (200, b'{"is_successful": true, "order": {"order_id": "1250032"}}'),
        (200, b'{"is_successful": true, "order": {"order_id": true}}'),
        (200, b'{"is_successful": true, "order": {"order_id": 0}}'),
        (200, b'{"is_successful": "true", "order": {"order_id": 1250032}}'),
        (200, b'{"is_successful": false, "errors": ["invalid_parameters"]}'),
        (201, b'{"is_successful": true, "order": {"order_id": 1250032}}'),
        (302, b""),
        (400, b"<html>bad gateway</html>"),
        (400, b'{"is_successful": true, "errors": ["invalid_parameters"]}'),
        (400, b'{"is_successful": false, "errors": []}'),
        (400, b'{"is_successful": false, "errors": [1]}'),
        (404, b'{"is_successful": false, "errors": ["invalid_parameters"]}'),
        (408, b""),
        (500, b'{"is_successful": false, "errors": ["invalid_parameters"]}'),
        (503, b""),
    ],
)
def test_whatever_is_undocumented_leaves_the_create_uncertain(
    codec: Borzo, booking: Booking, now: datetime, status: int, body: bytes
) -> None:  # B-03, B-04
    with pytest.raises(Uncertain):
        codec.read_booking(booking, Reply(status, body), now)


def test_the_samples_broken_json_leaves_the_create_uncertain(
    codec: Borzo, booking: Booking, document: Callable[[str], bytes], now: datetime
) -> None:  # B-13, B-20
    with pytest.raises(Uncertain):
        codec.read_booking(booking, Reply(200, document("calculate_order")), now)


def test_the_documented_validation_error_names_the_fields(
    codec: Borzo, booking: Booking, document: Callable[[str], bytes], now: datetime
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, Reply(400, document("create_order_invalid")), now)
    assert (refusal.value.reason, refusal.value.text) == (
        Reason.VALIDATION,
        "invalid_parameters; /matter required; /points/1/address required; /points/1/contact_person/phone required",
    )


def test_the_documented_unknown_method_is_our_fault(
    codec: Borzo, booking: Booking, document: Callable[[str], bytes], now: datetime
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, Reply(400, document("unknown_method")), now)
    assert (refusal.value.reason, refusal.value.text) == (Reason.CONFIG, "invalid_api_method")


FUNDING = [
    "insufficient_balance",
    "insufficient_funds",
    "insufficient_balance_for_buyout",
    "buyout_amount_limit_exceeded",
    "total_payment_amount_limit_exceeded",
    "tax_retension_limit",
]
ACCOUNT = [
    "invalid_api_version",
    "required_api_upgrade",
    "required_auth_token",
    "invalid_auth_token",
    "unapproved_contract",
]
BUGS = ["required_method_get", "required_method_post", "invalid_post_json", "invalid_api_method", "buyout_not_allowed"]
ON_CREATE: dict[str, tuple[type[CarrierError], object]] = {
    **dict.fromkeys(ACCOUNT, (Unavailable, True)),
    **dict.fromkeys(FUNDING, (Refused, Reason.ACCOUNT_FUNDING)),
    **dict.fromkeys(BUGS, (Refused, Reason.CONFIG)),
    **dict.fromkeys(("route_not_found", "impossible_delivery_fee_calculation"), (Refused, Reason.UNSERVICEABLE)),
    **dict.fromkeys(("order_cannot_be_edited", "order_cannot_be_canceled"), (Refused, Reason.UNKNOWN)),
    **dict.fromkeys(("service_unavailable", "unexpected_error", "card_payment_failed"), (Uncertain, None)),
    "requests_limit_exceeded": (Throttled, False),
    "invalid_parameters": (Refused, Reason.VALIDATION),
    "order_is_duplicate": (Refused, Reason.DUPLICATE),
}


def _what(error: CarrierError) -> tuple[type[CarrierError], object]:
    return type(error), getattr(error, "reason", getattr(error, "account", None))


def test_the_tables_have_exactly_the_documents_request_codes() -> None:
    assert set(REQUEST_CODES) == set(ON_CREATE) == set(DOCUMENTED_CODES)
    assert len(DOCUMENTED_CODES) == 26


@pytest.mark.parametrize("code", DOCUMENTED_CODES)
def test_each_request_code_says_what_happens_to_a_create(refused: Callable[..., Reply], code: str) -> None:
    assert _what(after_writing(refused(code))) == ON_CREATE[code]


@pytest.mark.parametrize("code", DOCUMENTED_CODES)
def test_each_request_code_says_what_happens_to_a_read(refused: Callable[..., Reply], code: str) -> None:
    kind, detail = ON_CREATE[code]
    expected = {Uncertain: (Unavailable, False), Refused: (Unreadable, None)}.get(kind, (kind, detail))
    assert _what(after_reading(refused(code))) == expected


def test_a_code_we_do_not_know_may_have_done_anything(refused: Callable[..., Reply]) -> None:
    assert _what(after_writing(refused("brand_new"))) == (Uncertain, None)
    assert _what(after_reading(refused("brand_new"))) == (Unavailable, False)


def test_a_duplicate_proves_nothing_on_a_repeated_create(
    codec: Borzo, booking: Booking, refused: Callable[..., Reply], now: datetime
) -> None:  # B-31
    reply = refused("order_is_duplicate")
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, reply, now)
    assert refusal.value.reason is Reason.DUPLICATE
    with pytest.raises(Uncertain):
        codec.read_booking(replace(booking, attempt_number=2), reply, now)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["invalid_parameters", "invalid_auth_token"], (Unavailable, True)),
        (["requests_limit_exceeded", "invalid_auth_token"], (Unavailable, True)),
        (["unexpected_error", "requests_limit_exceeded"], (Throttled, False)),
        (["invalid_parameters", "unexpected_error"], (Uncertain, None)),
        (["insufficient_balance", "service_unavailable"], (Uncertain, None)),
        (["insufficient_balance", "brand_new"], (Uncertain, None)),
        (["invalid_parameters", "insufficient_balance"], (Refused, Reason.ACCOUNT_FUNDING)),
        (["invalid_parameters", "order_is_duplicate"], (Refused, Reason.DUPLICATE)),
    ],
)
def test_of_several_codes_the_gravest_decides(
    refused: Callable[..., Reply], codes: list[str], expected: tuple[type[CarrierError], object]
) -> None:  # B-05
    assert _what(after_writing(refused(*codes))) == expected


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (["invalid_region"], Reason.UNSERVICEABLE),
        (["different_regions"], Reason.UNSERVICEABLE),
        (["address_not_found"], Reason.UNSERVICEABLE),
        (["coordinates_out_of_bounds"], Reason.UNSERVICEABLE),
        (["invalid_postal_code"], Reason.UNSERVICEABLE),
        (["cod_agreement_required"], Reason.CONFIG),
        (["unknown"], Reason.VALIDATION),
        (["promo_code_not_available"], Reason.VALIDATION),
        (["cannot_be_past", "address_not_found"], Reason.UNSERVICEABLE),
    ],
)
def test_parameter_codes_refine_the_refusal(refused: Callable[..., Reply], codes: list[str], reason: Reason) -> None:
    error = after_writing(refused("invalid_parameters", parameter_errors={"points": [None, {"address": codes}]}))
    assert _what(error) == (Refused, reason)


def test_an_error_text_repeats_nothing_that_is_not_a_code(refused: Callable[..., Reply]) -> None:
    tree = {"Rua da Ana 5": ["Ana lives here"], "points": [{"contact_person": {"phone": ["invalid_phone"]}}]}
    error = after_writing(refused("invalid_parameters", "+5511900000001 is wrong", parameter_errors=tree))
    assert str(error) == "invalid_parameters,?; /? ?; /points/0/contact_person/phone invalid_phone"


@pytest.mark.parametrize("status", [401, 403])
def test_a_shut_door_pauses_the_account(codec: Borzo, booking: Booking, now: datetime, status: int) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_booking(booking, Reply(status, b"<html>"), now)
    assert error.value.account


DATE = "Sat, 23 Nov 2024 12:38:35 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "soon"}, 60),
        ({"retry-after": "Sat, 23 Nov 2024 12:39:05 GMT", "date": DATE}, 30),
        ({"retry-after": "Sat, 23 Nov 2024 12:00:00 GMT", "date": DATE}, 0),
        ({"retry-after": "Sat, 23 Nov 2024 12:38:45 GMT"}, 4.75),
    ],
)
def test_a_limit_says_for_how_long(
    codec: Borzo,
    booking: Booking,
    refused: Callable[..., Reply],
    now: datetime,
    headers: Mapping[str, str],
    seconds: float,
) -> None:  # B-06
    for reply in (Reply(429, b"", headers), refused("requests_limit_exceeded", headers=headers)):
        with pytest.raises(Unavailable) as error:
            codec.read_booking(booking, reply, now)
        assert (error.value.retry_after, error.value.account) == (seconds, False)


garbage = st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["is_successful", "order", "errors", "parameter_errors", "order_id", "points", "status"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())


@given(st.sampled_from([200, 400, 500]), garbage)
def test_no_bytes_raise_anything_but_a_carrier_error(status: int, body: bytes) -> None:
    for error in (after_writing(Reply(status, body)), after_reading(Reply(status, body))):
        assert isinstance(error, CarrierError)
        assert len(str(error)) <= 300
