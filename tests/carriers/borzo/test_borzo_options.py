"""The parameters that the settings of an account add to an order."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from schemas.status import Reason
from worker.carriers.borzo import Borzo
from worker.carriers.port import Booking
from worker.errors import Refused


def _body(codec: Borzo, booking: Booking, now: datetime) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(codec.book(booking, now).body)
    return body


EVERY_SETTING = {
    "payment_method": "bank_card",
    "bank_card_id": 80,
    "cod_voucher": True,
    "backpayment_details": "Pix 11900000001",
    "insurance": "order",
    "total_weight_kg": 3,
    "loaders_count": 2,
    "motobox": True,
    "thermobox": True,
    "return_required": True,
    "notify_client": True,
    "notify_recipient": True,
}
"""Every setting that adds a parameter."""
OWED = {"payment": {"prepaid": False, "amount": "118.00", "currency": "BRL"}}
LINES = {"items": [{"name": "Pizza", "quantity": 2, "unit_price": "50.00"}, {"name": "S" * 1001, "unit_price": "18"}]}
ONLY_IN_REQUESTS = {"is_route_optimizer_enabled", "is_thermobox_required"}
"""Parameters of the document's tables that no sample answer has."""


@pytest.mark.quirk("B-11", "B-12", "B-97")
@pytest.mark.parametrize(
    "settings", [{}, EVERY_SETTING, {**EVERY_SETTING, "payment_method": "cash", "cash_paid_at": "dropoff"}]
)
def test_every_parameter_is_documented_and_none_is_null(
    make: Callable[..., Borzo],
    booking_of: Callable[..., Booking],
    document: Callable[[str], bytes],
    now: datetime,
    settings: dict[str, Any],
) -> None:
    sample = json.loads(document("create_order"))["order"]
    packages = json.loads(document("edit_order_packages") + b"}")["order"]["points"][0]["packages"]
    booking = booking_of(order=OWED | LINES, pickup_at=now + timedelta(hours=2), deliver_at=now + timedelta(hours=3))
    for call in (make(**settings).book(booking, now), make(**settings).quote(booking, now)):
        body = json.loads(call.body)
        assert set(body) - ONLY_IN_REQUESTS <= set(sample)
        assert {name for point in body["points"] for name in point} <= set(sample["points"][1])
        assert {name for line in body["points"][1].get("packages", []) for name in line} <= set(packages[0])
        assert b"null" not in call.body


@pytest.mark.quirk("B-08", "B-10", "B-34", "B-35", "B-38", "B-39", "B-41")
def test_every_setting_is_sent_as_its_parameter(
    make: Callable[..., Borzo], booking_of: Callable[..., Booking], now: datetime
) -> None:
    plain = _body(make(cod_voucher=True), booking_of(order=OWED | LINES), now)
    full = _body(make(**EVERY_SETTING), booking_of(order=OWED | LINES), now)
    assert {name: value for name, value in full.items() if plain.get(name) != value} == {
        "payment_method": "bank_card",
        "bank_card_id": 80,
        "backpayment_details": "Pix 11900000001",
        "insurance_amount": "118.00",
        "total_weight_kg": 3,
        "loaders_count": 2,
        "is_motobox_required": True,
        "is_thermobox_required": True,
        "is_return_required": True,
        "is_client_notification_enabled": True,
        "is_contact_person_notification_enabled": True,
    }
    dropoff = full["points"][1]
    assert {name: dropoff[name] for name in ("taking_amount", "is_cod_cash_voucher_required", "packages")} == {
        "taking_amount": "118.00",
        "is_cod_cash_voucher_required": True,
        "packages": [
            {"description": "Pizza", "items_count": 2, "item_payment_amount": "50.00"},
            {"description": "S" * 1000, "items_count": 1, "item_payment_amount": "18.00"},
        ],
    }


@pytest.mark.quirk("B-35")
def test_a_paid_order_requests_no_collection_no_receipt_and_no_payout(
    make: Callable[..., Borzo], booking: Booking, now: datetime
) -> None:
    body = _body(make(**EVERY_SETTING), booking, now)
    dropoff = body["points"][1]
    names = {"backpayment_details", "taking_amount", "is_cod_cash_voucher_required", "packages"}
    assert not names & {*body, *dropoff}


def test_the_lines_of_an_order_are_sent_with_their_known_prices_where_the_account_wants_them(
    make: Callable[..., Borzo], booking_of: Callable[..., Booking], now: datetime
) -> None:
    lines = {"items": [{"name": "Pizza"}, {"name": "none", "quantity": 0}, {"name": "Suco", "unit_price": "9.5"}]}
    assert _body(make(packages=True), booking_of(order=lines), now)["points"][1]["packages"] == [
        {"description": "Pizza", "items_count": 1},
        {"description": "Suco", "items_count": 1, "item_payment_amount": "9.50"},
    ]
    assert "packages" not in _body(make(packages=True), booking_of(order={"items": []}), now)["points"][1]


@pytest.mark.quirk("B-35")
@pytest.mark.parametrize(
    ("settings", "order", "refusal"),
    [
        ({"cod": False}, OWED, (Reason.CONFIG, "payment.prepaid: this account collects no money")),
        ({"cod_voucher": True}, OWED, (Reason.VALIDATION, "items: a receipt needs every item with its price")),
        (
            {"cod_voucher": True},
            {**OWED, "items": []},
            (Reason.VALIDATION, "items: a receipt needs every item with its price"),
        ),
        (
            {"insurance": "order"},
            {"payment": {"prepaid": True, "amount": "10.00", "currency": "DKK"}},
            (Reason.VALIDATION, "payment.currency: Borzo insures BRL only"),
        ),
        (
            {},
            {"payment": {"prepaid": False, "amount": "10.00", "currency": "DKK"}},
            (Reason.VALIDATION, "payment.currency: Borzo collects BRL only"),
        ),
    ],
)
def test_an_order_that_borzo_cannot_deliver_for_this_account_is_refused_before_any_call(
    make: Callable[..., Borzo],
    booking_of: Callable[..., Booking],
    now: datetime,
    settings: dict[str, Any],
    order: dict[str, Any],
    refusal: tuple[Reason, str],
) -> None:
    with pytest.raises(Refused) as error:
        make(**settings).book(booking_of(order=order), now)
    assert (error.value.reason, error.value.text) == refusal
