"""POST /order: the request that is built for an order."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.carriers.cervo.orders import with_order
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.port import Booking
from worker.errors import Refused
from worker.http.call import Operation

DOCUMENTED_BODY = (
    '{ "address": "address Of the customer", "lng": 34.266593, "lat": 31.279708, "id": 2011, "order_id": '
    '"2011", "date": "2023-04-28 14:40", "customer": "Testing customer", "mobile": "+966599000111", '
    '"price": 1.2, "payment": "CASH", "ispaid": "PAID", "callback": "", "status": 1, "notes": "", '
    '"storelat": 31.277202, "storelng": 34.268996 }'
)


def sent(codec: Cervo, booking: Booking, now: datetime) -> Any:
    return json.loads(codec.book(booking, now).body, parse_float=Decimal)


def required_settings(account: CervoAccount) -> dict[str, Any]:
    return {"name": account.name, "kind": account.kind, "token": account.token.get_secret_value()}


@pytest.mark.quirk("C-12", "C-18")
def test_the_documented_request_is_sent_for_the_documented_order(account: CervoAccount, booking: Booking) -> None:
    codec = Cervo(account.model_copy(update={"prepaid_token": "CASH"}), {})
    prepaid = with_order(booking, "payment", prepaid=True)
    body = codec.book(prepaid, datetime(2023, 4, 28, 11, 40, tzinfo=UTC)).body
    assert list(json.loads(body).items()) == list(json.loads(DOCUMENTED_BODY).items())


@pytest.mark.quirk("C-03")
def test_a_create_is_a_json_post_with_the_bearer_token(codec: Cervo, booking: Booking, now: datetime) -> None:
    call = codec.book(booking, now)
    assert replace(call, body=b"") == type(call)(
        Operation.CREATE,
        "POST",
        "/apis/v2/order",
        attempt_ids=(2011,),
        headers=(
            ("Authorization", "Bearer WlhGWUtWT2Y2cTZhZ"),
            ("Accept", "*/*"),
            ("Content-Type", "application/json; charset=utf-8"),  # C-03
        ),
    )


def test_no_representation_shows_the_token(codec: Cervo, booking: Booking, now: datetime) -> None:
    assert "WlhGWUtWT2Y2cTZhZ" not in f"{codec.book(booking, now)!r} {codec.account!r}"


@pytest.mark.quirk("C-15")
def test_longitude_and_latitude_are_not_swapped(codec: Cervo, booking: Booking, now: datetime) -> None:
    body = sent(codec, with_order(booking, "dropoff", latitude=24.7, longitude=46.6), now)
    assert (body["lat"], body["lng"]) == (Decimal("24.7"), Decimal("46.6"))


@pytest.mark.quirk("C-10", "C-11")
def test_every_attempt_has_its_own_integer_id(codec: Cervo, booking: Booking, now: datetime) -> None:
    second = replace(booking, attempt_id=2**53 - 1, attempt_number=2)
    body = sent(codec, second, now)
    assert (body["id"], body["order_id"]) == (9007199254740991, "2011-2")  # C-10, C-11


@pytest.mark.quirk("C-11")
def test_the_printed_number_is_the_order_number(codec: Cervo, booking: Booking, now: datetime) -> None:
    assert sent(codec, with_order(booking, order_number="A-7"), now)["order_id"] == "A-7"  # C-11


@pytest.mark.quirk("C-13")
@pytest.mark.parametrize(
    ("deliver_at", "zone", "date"),
    [
        (None, "Asia/Riyadh", "2023-04-29 11:00"),
        (datetime(2023, 4, 29, 22, 30, 59, tzinfo=UTC), "Asia/Riyadh", "2023-04-30 01:30"),
        (datetime(2023, 4, 29, 22, 30, tzinfo=UTC), "Asia/Kolkata", "2023-04-30 04:00"),
    ],
    ids=[
        "C-13 as soon as possible is now",
        "C-13 the wanted time, without seconds",
        "C-13 the account's zone",
    ],
)
def test_the_date_is_the_account_s_local_time(
    account: CervoAccount, booking: Booking, now: datetime, deliver_at: datetime | None, zone: str, date: str
) -> None:
    codec = Cervo(account.model_copy(update={"timezone": zone}), {})
    assert sent(codec, replace(booking, deliver_at=deliver_at), now)["date"] == date


@pytest.mark.quirk("C-14")
@pytest.mark.parametrize(
    ("phone", "country", "mobile"),
    [
        ("+966 59 900 0111", "SA", "+966599000111"),
        ("0599000111", "SA", "+966599000111"),
        ("00966599000111", "SA", "+966599000111"),
        ("66 11 22 33", "DK", "+4566112233"),
    ],
)
def test_a_phone_is_sent_in_e164(
    codec: Cervo, booking: Booking, now: datetime, phone: str, country: str, mobile: str
) -> None:
    local = replace(booking, store=booking.store.model_copy(update={"country": country}))
    assert sent(codec, with_order(local, "customer", phone=phone), now)["mobile"] == mobile


@pytest.mark.quirk("X-02")
@settings(deadline=None)
@given(number=st.integers(550000000, 559999999))
def test_an_e164_phone_is_sent_unchanged(codec: Cervo, booking: Booking, now: datetime, number: int) -> None:
    phone = f"+966{number}"
    assert sent(codec, with_order(booking, "customer", phone=phone), now)["mobile"] == phone


@pytest.mark.quirk("C-16")
@pytest.mark.parametrize(
    ("prepaid", "method", "tokens"),
    [
        (False, "cash", ("CASH", "NO PAID")),
        (False, "Cash", ("CASH", "NO PAID")),
        (False, "card", ("CREDIT", "NO PAID")),
        (False, "credit", ("CREDIT", "NO PAID")),
        (True, "card", ("ONLINE", "PAID")),
        (True, "cash", ("ONLINE", "PAID")),
        (True, "anything", ("ONLINE", "PAID")),
    ],
)
def test_only_a_prepaid_order_is_sent_as_paid(
    codec: Cervo, booking: Booking, now: datetime, *, prepaid: bool, method: str, tokens: tuple[str, str]
) -> None:
    body = sent(codec, with_order(booking, "payment", prepaid=prepaid, method=method), now)
    assert (body["payment"], body["ispaid"]) == tokens


def test_a_payment_method_can_be_added_in_the_settings(account: CervoAccount, booking: Booking, now: datetime) -> None:
    extended = CervoAccount.model_validate({**required_settings(account), "payment_tokens": {"MADA": "CREDIT"}})
    body = sent(Cervo(extended, {}), with_order(booking, "payment", method="mada"), now)
    assert (body["payment"], body["ispaid"]) == ("CREDIT", "NO PAID")


@pytest.mark.quirk("C-16")
@pytest.mark.parametrize(
    ("amount", "text"), [("1.2", b'"price": 1.20,'), ("0", b'"price": 0.00,'), ("9999999999.99", b": 9999999999.99,")]
)
def test_a_price_is_a_number_with_two_decimals(
    codec: Cervo, booking: Booking, now: datetime, amount: str, text: bytes
) -> None:
    assert text in codec.book(with_order(booking, "payment", amount=Decimal(amount)), now).body


@pytest.mark.quirk("C-17")
def test_the_callback_url_is_sent(codec: Cervo, booking: Booking, now: datetime) -> None:
    url = "https://shop.example/callbacks/cervo/s3cret"
    assert sent(codec, replace(booking, callback_url=url), now)["callback"] == url


def test_notes_have_the_unit_and_the_change_on_one_line(codec: Cervo, booking: Booking, now: datetime) -> None:
    noted = with_order(
        with_order(booking, "dropoff", unit="Apt 4", notes="ring twice\nthen wait\r\n"), notes="no \x00onions"
    )
    paid = with_order(noted, "payment", change_for=Decimal("200.00"))
    assert sent(codec, paid, now)["notes"] == "Apt 4 / ring twice / then wait / change for 200.00 SAR / no onions"


def test_a_prepaid_order_needs_no_change(codec: Cervo, booking: Booking, now: datetime) -> None:
    paid = with_order(booking, "payment", prepaid=True, change_for=Decimal("200.00"))
    assert sent(codec, paid, now)["notes"] == ""


@pytest.mark.quirk("C-20")
def test_notes_have_at_most_500_characters(codec: Cervo, booking: Booking, now: datetime) -> None:
    assert sent(codec, with_order(booking, notes="مرحبا " * 200), now)["notes"] == ("مرحبا " * 84)[:500].strip()


def test_the_address_has_the_street_and_the_city(codec: Cervo, booking: Booking, now: datetime) -> None:
    there = with_order(booking, "dropoff", street="طريق الملك فهد", postal_code="12211", city="Riyadh")
    assert sent(codec, there, now)["address"] == "طريق الملك فهد, 12211 Riyadh"


@pytest.mark.quirk("C-16")
@settings(deadline=None)
@given(
    name=st.text(min_size=1, max_size=350),
    street=st.text(min_size=1),
    notes=st.text(),
    unit=st.text(),
    prepaid=st.booleans(),
    method=st.sampled_from(["cash", "card", "online", "x"]),
)
def test_any_text_is_sent_as_json_or_refused(  # noqa: PLR0913 - one for each field
    codec: Cervo,
    booking: Booking,
    now: datetime,
    *,
    name: str,
    street: str,
    notes: str,
    unit: str,
    prepaid: bool,
    method: str,
) -> None:
    strange = with_order(with_order(booking, "customer", name=name), "dropoff", street=street, notes=notes, unit=unit)
    try:
        body = sent(codec, with_order(strange, "payment", prepaid=prepaid, method=method), now)
    except Refused:
        return
    assert (len(body), len(body["notes"]) <= 500, "\n" in body["notes"]) == (16, True, False)
    assert body["ispaid"] == ("PAID" if prepaid else "NO PAID")  # C-16
