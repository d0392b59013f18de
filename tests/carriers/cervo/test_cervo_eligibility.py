"""Orders that cannot be created at Cervo: `book` and `check_order` refuse them for the same reason."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import Reason
from schemas.stores import Store
from tests.carriers.cervo.orders import with_order
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.cervo.account import Bounds
from worker.carriers.port import Booking
from worker.errors import Refused

RIYADH = Bounds(24.4, 46.3, 25.1, 47.0)
UNUSABLE_FIELDS = [
    ("customer", {"name": " \t"}, Reason.VALIDATION, "customer.name is empty"),
    ("customer", {"phone": "call me"}, Reason.VALIDATION, "customer.phone is not a valid telephone number"),
    ("customer", {"phone": "+96612"}, Reason.VALIDATION, "customer.phone is not a valid telephone number"),
    ("dropoff", {"street": " "}, Reason.VALIDATION, "dropoff.street is empty"),
    ("dropoff", {"latitude": None}, Reason.VALIDATION, "dropoff.latitude and dropoff.longitude are missing"),
    ("dropoff", {"longitude": None}, Reason.VALIDATION, "dropoff.latitude and dropoff.longitude are missing"),
    (
        "dropoff",
        {"latitude": 0.0, "longitude": 0.0},
        Reason.VALIDATION,
        "dropoff.latitude and dropoff.longitude are missing",
    ),
    ("payment", {"currency": "DKK"}, Reason.CONFIG, "payment.currency is DKK, the account's is SAR"),
    (
        "payment",
        {"method": "online"},
        Reason.CONFIG,
        "payment.method is not in payment_tokens, so the courier cannot collect it",
    ),
]
UNUSABLE_FIELD_IDS = [
    "C-12",
    "X-02",
    "X-02 invalid",
    "C-12 street",
    "C-15",
    "C-15 lng",
    "C-15 zero",
    "C-16 currency",
    "C-16 method",
]


def refusal_of(
    check: Callable[[Booking, datetime], object], booking: Booking, now: datetime
) -> tuple[Reason, str] | None:
    try:
        check(booking, now)
    except Refused as refused:
        return refused.reason, refused.text
    return None


@pytest.mark.quirk("C-12", "C-15", "C-16", "X-02")
@pytest.mark.parametrize(("part", "changes", "reason", "text"), UNUSABLE_FIELDS, ids=UNUSABLE_FIELD_IDS)
def test_an_order_with_an_unusable_field_is_refused_before_it_is_sent(
    codec: Cervo, booking: Booking, now: datetime, part: str, changes: dict[str, Any], reason: Reason, text: str
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.book(with_order(booking, part, **changes), now)
    assert (refusal.value.reason, refusal.value.text) == (reason, text)


@pytest.mark.quirk("C-19")
def test_a_store_without_coordinates_is_refused(codec: Cervo, booking: Booking, store: Store, now: datetime) -> None:
    nowhere = replace(booking, store=store.model_copy(update={"latitude": 0.0, "longitude": 0.0}))
    with pytest.raises(Refused, match=r"store\.latitude and store\.longitude are missing") as refusal:  # C-19
        codec.book(nowhere, now)
    assert refusal.value.reason is Reason.CONFIG


@pytest.mark.quirk("C-15")
def test_the_account_s_bounds_catch_swapped_coordinates(account: CervoAccount, booking: Booking, now: datetime) -> None:
    codec = Cervo(account.model_copy(update={"bounds": RIYADH}), {})
    inside = codec.book(with_order(booking, "dropoff", latitude=24.7, longitude=46.6), now)
    assert json.loads(inside.body, parse_float=Decimal)["lat"] == Decimal("24.7")
    with pytest.raises(Refused, match="outside the account's bounds"):
        codec.book(with_order(booking, "dropoff", latitude=46.6, longitude=24.7), now)


@pytest.mark.quirk("C-16")
@pytest.mark.parametrize("tokens", [{"paid_token": "NO PAID"}, {"unpaid_token": "paid"}])
def test_ambiguous_paid_tokens_are_never_sent(
    account: CervoAccount, booking: Booking, now: datetime, tokens: dict[str, str]
) -> None:  # should the settings fail to refuse them
    with pytest.raises(Refused, match="do not have opposite meanings"):
        Cervo(account.model_copy(update=tokens), {}).book(booking, now)


# check_order


@pytest.mark.parametrize(("part", "changes", "reason", "text"), UNUSABLE_FIELDS, ids=UNUSABLE_FIELD_IDS)
def test_a_check_refuses_an_unusable_field_with_the_reason_and_the_text_of_book(
    codec: Cervo, booking: Booking, now: datetime, part: str, changes: dict[str, Any], reason: Reason, text: str
) -> None:
    unusable = with_order(booking, part, **changes)
    assert refusal_of(codec.check_order, unusable, now) == refusal_of(codec.book, unusable, now) == (reason, text)


def test_a_check_refuses_a_store_without_coordinates(codec: Cervo, booking: Booking, now: datetime) -> None:
    nowhere = replace(booking, store=booking.store.model_copy(update={"latitude": 0.0, "longitude": 0.0}))
    assert refusal_of(codec.check_order, nowhere, now) == (
        Reason.CONFIG,
        "store.latitude and store.longitude are missing",
    )


def test_a_check_refuses_coordinates_outside_the_account_s_bounds(
    account: CervoAccount, booking: Booking, now: datetime
) -> None:
    codec = Cervo(account.model_copy(update={"bounds": RIYADH}), {})
    assert refusal_of(codec.check_order, booking, now) == (
        Reason.VALIDATION,
        "dropoff.latitude and dropoff.longitude are outside the account's bounds",
    )


def test_a_check_refuses_ambiguous_paid_tokens(account: CervoAccount, booking: Booking, now: datetime) -> None:
    codec = Cervo(account.model_copy(update={"paid_token": "NO PAID"}), {})
    assert refusal_of(codec.check_order, booking, now) == (
        Reason.CONFIG,
        "paid_token and unpaid_token do not have opposite meanings",
    )


def test_the_first_of_several_unusable_fields_is_named_by_book_and_by_a_check(
    codec: Cervo, booking: Booking, now: datetime
) -> None:
    unusable = with_order(with_order(booking, "customer", name=" ", phone="x"), "dropoff", street=" ")
    expected = (Reason.VALIDATION, "dropoff.street is empty")
    assert (refusal_of(codec.book, unusable, now), refusal_of(codec.check_order, unusable, now)) == (expected, expected)


def test_a_check_accepts_the_documented_order(codec: Cervo, booking: Booking, now: datetime) -> None:
    assert refusal_of(codec.check_order, booking, now) is None


@settings(deadline=None)
@given(
    name=st.sampled_from(["Testing customer", " ", "\x00"]) | st.text(),
    phone=st.sampled_from(["+966599000111", "0599000111", "+96612", "x"]) | st.text(),
    street=st.sampled_from(["King Fahd Road", "", " "]) | st.text(),
    latitude=st.sampled_from([None, 0.0, 24.7, 46.6]),
    longitude=st.sampled_from([None, 0.0, 24.7, 46.6]),
    payment=st.fixed_dictionaries(
        {},
        optional={
            "prepaid": st.booleans(),
            "method": st.sampled_from(["cash", "Card", "online", "x"]),
            "currency": st.sampled_from(["SAR", "DKK"]),
        },
    ),
    bounds=st.sampled_from([None, RIYADH]),
)
def test_a_check_refuses_exactly_what_book_refuses(  # noqa: PLR0913 - one for each field
    account: CervoAccount,
    booking: Booking,
    now: datetime,
    *,
    name: str,
    phone: str,
    street: str,
    latitude: float | None,
    longitude: float | None,
    payment: dict[str, Any],
    bounds: Bounds | None,
) -> None:
    codec = Cervo(account.model_copy(update={"bounds": bounds}), {})
    order = with_order(booking, "customer", name=name, phone=phone)
    order = with_order(order, "dropoff", street=street, latitude=latitude, longitude=longitude)
    order = with_order(order, "payment", **payment)
    assert refusal_of(codec.check_order, order, now) == refusal_of(codec.book, order, now)
