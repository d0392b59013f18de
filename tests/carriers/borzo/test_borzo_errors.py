"""Error codes, and the error that each of them means for the caller."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import Reason
from worker.carriers.borzo import Borzo
from worker.carriers.borzo.errors import PARAMETER_CODES, REQUEST_CODES, read_error, write_error
from worker.carriers.port import Booking
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply

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


def test_the_documented_validation_error_names_the_fields(
    codec: Borzo, booking: Booking, document: Callable[[str], bytes], now: datetime
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, Reply(400, document("create_order_invalid")), now)
    assert (refusal.value.reason, refusal.value.text) == (
        Reason.VALIDATION,
        "invalid_parameters; /matter required; /points/1/address required; /points/1/contact_person/phone required",
    )


def test_the_documented_unknown_method_is_a_configuration_error(
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


def _summary(error: CarrierError) -> tuple[type[CarrierError], object]:
    return type(error), getattr(error, "reason", getattr(error, "account", None))


@pytest.mark.quirk("B-02", "B-03", "B-14")
def test_the_table_has_exactly_the_documented_request_codes() -> None:
    assert set(REQUEST_CODES) == set(ON_CREATE) == set(DOCUMENTED_CODES)
    assert len(DOCUMENTED_CODES) == 26


@pytest.mark.parametrize("code", DOCUMENTED_CODES)
def test_each_request_code_has_its_error_for_a_create(refused: Callable[..., Reply], code: str) -> None:
    assert _summary(write_error(refused(code))) == ON_CREATE[code]


@pytest.mark.parametrize("code", DOCUMENTED_CODES)
def test_each_request_code_has_its_error_for_a_read(refused: Callable[..., Reply], code: str) -> None:
    kind, detail = ON_CREATE[code]
    expected = {Uncertain: (Unavailable, False), Refused: (Unreadable, None)}.get(kind, (kind, detail))
    assert _summary(read_error(refused(code))) == expected


def test_an_unknown_code_leaves_the_outcome_of_a_create_unknown(refused: Callable[..., Reply]) -> None:
    assert _summary(write_error(refused("brand_new"))) == (Uncertain, None)
    assert _summary(read_error(refused("brand_new"))) == (Unavailable, False)


@pytest.mark.fault("F-36")
@pytest.mark.quirk("B-31")
def test_a_duplicate_of_a_repeated_create_proves_nothing(
    codec: Borzo, booking: Booking, refused: Callable[..., Reply], now: datetime
) -> None:
    reply = refused("order_is_duplicate")
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, reply, now)
    assert refusal.value.reason is Reason.DUPLICATE
    with pytest.raises(Uncertain):
        codec.read_booking(replace(booking, attempt_number=2), reply, now)


@pytest.mark.quirk("B-05")
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
def test_of_several_codes_the_lowest_class_decides(
    refused: Callable[..., Reply], codes: list[str], expected: tuple[type[CarrierError], object]
) -> None:
    assert _summary(write_error(refused(*codes))) == expected


DOCUMENTED_PARAMETER_CODES = [
    "required", "unknown", "invalid_list", "invalid_object", "invalid_boolean", "invalid_date",
    "invalid_date_format", "invalid_float", "invalid_integer", "invalid_string", "invalid_order", "invalid_point",
    "invalid_order_status", "invalid_vehicle_type", "invalid_phone", "invalid_region", "invalid_order_package",
    "invalid_delivery_id", "invalid_delivery_package", "invalid_delivery_status", "invalid_bank_card",
    "invalid_url", "invalid_enum_value", "invalid_postal_code", "invalid_delivery_interval", "different_regions",
    "address_not_found", "min_length", "max_length", "min_date", "max_date", "min_size", "max_size", "min_value",
    "max_value", "cannot_be_past", "start_after_end", "earlier_than_previous_point", "coordinates_out_of_bounds",
    "not_editable", "not_nullable", "not_allowed", "order_payment_only_one_point", "cod_agreement_required",
    "cod_is_not_allowed_with_buyout", "sameday_pickup_interval_too_short", "invalid_value",
    "promo_code_already_used", "promo_code_not_available",
]  # fmt: skip
"""Borzo, "Parameter error codes"."""
PLACE_CODES = ["invalid_region", "different_regions", "address_not_found", "coordinates_out_of_bounds"]
SETTINGS_CODES = [
    "invalid_vehicle_type", "invalid_bank_card", "order_payment_only_one_point", "cod_agreement_required",
    "cod_is_not_allowed_with_buyout",
]  # fmt: skip
REASONS: dict[str, Reason] = {
    **dict.fromkeys(DOCUMENTED_PARAMETER_CODES, Reason.VALIDATION),
    **dict.fromkeys([*PLACE_CODES, "invalid_postal_code"], Reason.UNSERVICEABLE),
    **dict.fromkeys(SETTINGS_CODES, Reason.CONFIG),
}


def _refusal(refused: Callable[..., Reply], *codes: str) -> tuple[type[CarrierError], object]:
    tree = {"points": [None, {"address": codes}]}
    return _summary(write_error(refused("invalid_parameters", parameter_errors=tree)))


@pytest.mark.quirk("B-45")
def test_the_table_has_exactly_the_documented_parameter_codes() -> None:
    assert PARAMETER_CODES == REASONS
    assert len(DOCUMENTED_PARAMETER_CODES) == 49


@pytest.mark.quirk("B-45")
@pytest.mark.parametrize("code", [*DOCUMENTED_PARAMETER_CODES, "brand_new"])
def test_each_parameter_code_gives_the_refusal_its_reason(refused: Callable[..., Reply], code: str) -> None:
    assert _refusal(refused, code) == (Refused, REASONS.get(code, Reason.VALIDATION))


def test_of_several_parameter_codes_the_gravest_decides(refused: Callable[..., Reply]) -> None:
    assert _refusal(refused, "cannot_be_past", "address_not_found", *SETTINGS_CODES) == (Refused, Reason.UNSERVICEABLE)
    assert _refusal(refused, "cannot_be_past", "cod_agreement_required") == (Refused, Reason.CONFIG)


def test_an_error_text_consists_of_codes_and_parameter_names(refused: Callable[..., Reply]) -> None:
    tree = {"Rua da Ana 5": ["Ana lives here"], "points": [{"contact_person": {"phone": ["invalid_phone"]}}]}
    error = write_error(refused("invalid_parameters", "+5511900000001 is wrong", parameter_errors=tree))
    assert str(error) == "invalid_parameters,?; /? ?; /points/0/contact_person/phone invalid_phone"


@pytest.mark.parametrize("status", [401, 403])
def test_an_unauthorized_answer_pauses_the_account(codec: Borzo, booking: Booking, now: datetime, status: int) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_booking(booking, Reply(status, b"<html>"), now)
    assert error.value.account


DATE = "Sat, 23 Nov 2024 12:38:35 GMT"


@pytest.mark.fault("F-34")
@pytest.mark.quirk("B-06")
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
def test_a_rate_limit_has_its_pause(
    codec: Borzo,
    booking: Booking,
    refused: Callable[..., Reply],
    now: datetime,
    headers: Mapping[str, str],
    seconds: float,
) -> None:
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


@settings(deadline=None)
@given(st.sampled_from([200, 400, 500]), garbage)
def test_arbitrary_bytes_are_a_carrier_error(status: int, body: bytes) -> None:
    for error in (write_error(Reply(status, body)), read_error(Reply(status, body))):
        assert isinstance(error, CarrierError)
        assert len(str(error)) <= 300
