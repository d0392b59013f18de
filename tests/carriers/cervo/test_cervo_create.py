"""POST /order: what is sent, what is refused before, and what the answer means."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.status import DeliveryStatus, Reason
from schemas.stores import Store
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.cervo.account import Bounds
from worker.carriers.port import Booked, Booking, Observation, Raw
from worker.errors import Refused, Unavailable, Uncertain
from worker.http.call import Operation, Reply

DOCUMENTED_BODY = (
    '{ "address": "address Of the customer", "lng": 34.266593, "lat": 31.279708, "id": 2011, "order_id": '
    '"2011", "date": "2023-04-28 14:40", "customer": "Testing customer", "mobile": "+966599000111", '
    '"price": 1.2, "payment": "CASH", "ispaid": "PAID", "callback": "", "status": 1, "notes": "", '
    '"storelat": 31.277202, "storelng": 34.268996 }'
)
DOCUMENTED_ID = b"99999"
DOCUMENTED_ERROR = b'{ "Customer is required , ..." }'


def with_order(booking: Booking, part: str | None = None, **changes: Any) -> Booking:
    """Change the order of a booking, or one part of it."""
    order = booking.order
    if part is None:
        return replace(booking, order=order.model_copy(update=changes))
    return replace(booking, order=order.model_copy(update={part: getattr(order, part).model_copy(update=changes)}))


def sent(codec: Cervo, booking: Booking, now: datetime) -> Any:
    return json.loads(codec.book(booking, now).body, parse_float=Decimal)


# What is sent


@pytest.mark.quirk("C-12", "C-18")
def test_the_documented_request_is_what_we_send_for_it(account: CervoAccount, booking: Booking) -> None:
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


def test_the_token_is_in_no_representation(codec: Cervo, booking: Booking, now: datetime) -> None:
    assert "WlhGWUtWT2Y2cTZhZ" not in f"{codec.book(booking, now)!r} {codec.account!r}"


@pytest.mark.quirk("C-15")
def test_longitude_and_latitude_are_not_swapped(codec: Cervo, booking: Booking, now: datetime) -> None:
    body = sent(codec, with_order(booking, "dropoff", latitude=24.7, longitude=46.6), now)
    assert (body["lat"], body["lng"]) == (Decimal("24.7"), Decimal("46.6"))


@pytest.mark.quirk("C-10", "C-11")
def test_every_attempt_has_an_id_of_its_own_as_an_integer(codec: Cervo, booking: Booking, now: datetime) -> None:
    second = replace(booking, attempt_id=2**53 - 1, attempt_number=2)
    body = sent(codec, second, now)
    assert (body["id"], body["order_id"]) == (9007199254740991, "2011-2")  # C-10, C-11


@pytest.mark.quirk("C-11")
def test_the_printed_number_is_the_one_on_the_ticket(codec: Cervo, booking: Booking, now: datetime) -> None:
    assert sent(codec, with_order(booking, order_number="A-7"), now)["order_id"] == "A-7"  # C-11


@pytest.mark.quirk("C-13")
@pytest.mark.parametrize(
    ("deliver_at", "zone", "date"),
    [
        (None, "Asia/Riyadh", "2023-04-29 11:00"),
        (datetime(2023, 4, 29, 22, 30, 59, tzinfo=UTC), "Asia/Riyadh", "2023-04-30 01:30"),
        (datetime(2023, 4, 29, 22, 30, tzinfo=UTC), "Asia/Kolkata", "2023-04-30 04:00"),
    ],
    ids=["C-13 as soon as possible is now", "C-13 the wanted time, without seconds", "C-13 the account's zone"],
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
@given(number=st.integers(550000000, 559999999))
def test_an_e164_phone_comes_out_as_it_went_in(codec: Cervo, booking: Booking, now: datetime, number: int) -> None:
    phone = f"+966{number}"  # X-02
    assert sent(codec, with_order(booking, "customer", phone=phone), now)["mobile"] == phone


@pytest.mark.quirk("C-16")
@pytest.mark.parametrize(
    ("prepaid", "method", "words"),
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
def test_only_a_prepaid_order_is_told_as_paid(
    codec: Cervo, booking: Booking, now: datetime, *, prepaid: bool, method: str, words: tuple[str, str]
) -> None:
    body = sent(codec, with_order(booking, "payment", prepaid=prepaid, method=method), now)
    assert (body["payment"], body["ispaid"]) == words


def test_a_further_way_to_pay_at_the_door_can_be_named(account: CervoAccount, booking: Booking, now: datetime) -> None:
    tokens = CervoAccount.model_validate({**plain(account), "payment_tokens": {"MADA": "CREDIT"}})
    body = sent(Cervo(tokens, {}), with_order(booking, "payment", method="mada"), now)
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
def test_the_callback_address_is_passed_on(codec: Cervo, booking: Booking, now: datetime) -> None:
    url = "https://shop.example/callbacks/cervo/s3cret"
    assert sent(codec, replace(booking, callback_url=url), now)["callback"] == url


def test_notes_carry_the_door_and_the_change_on_one_line(codec: Cervo, booking: Booking, now: datetime) -> None:
    told = with_order(
        with_order(booking, "dropoff", unit="Apt 4", notes="ring twice\nthen wait\r\n"), notes="no \x00onions"
    )
    paid = with_order(told, "payment", change_for=Decimal("200.00"))
    assert sent(codec, paid, now)["notes"] == "Apt 4 / ring twice / then wait / change for 200.00 SAR / no onions"


def test_a_prepaid_order_wants_no_change(codec: Cervo, booking: Booking, now: datetime) -> None:
    paid = with_order(booking, "payment", prepaid=True, change_for=Decimal("200.00"))
    assert sent(codec, paid, now)["notes"] == ""


@pytest.mark.quirk("C-20")
def test_notes_end_after_500_characters(codec: Cervo, booking: Booking, now: datetime) -> None:
    assert sent(codec, with_order(booking, notes="مرحبا " * 200), now)["notes"] == ("مرحبا " * 84)[:500].strip()


def test_the_address_is_street_and_city(codec: Cervo, booking: Booking, now: datetime) -> None:
    there = with_order(booking, "dropoff", street="طريق الملك فهد", postal_code="12211", city="Riyadh")
    assert sent(codec, there, now)["address"] == "طريق الملك فهد, 12211 Riyadh"


# What is refused before anything is sent


@pytest.mark.quirk("C-12", "C-15", "C-16", "X-02")
@pytest.mark.parametrize(
    ("part", "changes", "reason", "text"),
    [
        ("customer", {"name": " \t"}, Reason.VALIDATION, "customer.name is empty"),
        ("customer", {"phone": "call me"}, Reason.VALIDATION, "customer.phone is no telephone number"),
        ("customer", {"phone": "+96612"}, Reason.VALIDATION, "customer.phone is no valid telephone number"),
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
            "payment.method is none of payment_tokens, so it cannot be collected",
        ),
    ],
    ids=[
        "C-12",
        "X-02",
        "X-02 invalid",
        "C-12 street",
        "C-15",
        "C-15 lng",
        "C-15 zero",
        "C-16 currency",
        "C-16 method",
    ],
)
def test_an_order_that_cervo_cannot_be_asked_for_is_refused(
    codec: Cervo, booking: Booking, now: datetime, part: str, changes: dict[str, Any], reason: Reason, text: str
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.book(with_order(booking, part, **changes), now)
    assert (refusal.value.reason, refusal.value.text) == (reason, text)


@pytest.mark.quirk("C-19")
def test_a_store_without_a_place_is_refused(codec: Cervo, booking: Booking, store: Store, now: datetime) -> None:
    nowhere = replace(booking, store=store.model_copy(update={"latitude": 0.0, "longitude": 0.0}))
    with pytest.raises(Refused, match=r"store\.latitude and store\.longitude are missing") as refusal:  # C-19
        codec.book(nowhere, now)
    assert refusal.value.reason is Reason.CONFIG


@pytest.mark.quirk("C-15")
def test_a_swapped_point_is_caught_by_the_account_s_bounds(
    account: CervoAccount, booking: Booking, now: datetime
) -> None:
    codec = Cervo(account.model_copy(update={"bounds": Bounds(24.4, 46.3, 25.1, 47.0)}), {})
    assert sent(codec, with_order(booking, "dropoff", latitude=24.7, longitude=46.6), now)["lat"] == Decimal("24.7")
    with pytest.raises(Refused, match="outside the account's bounds"):
        codec.book(with_order(booking, "dropoff", latitude=46.6, longitude=24.7), now)


@pytest.mark.quirk("C-16")
@pytest.mark.parametrize("tokens", [{"paid_token": "NO PAID"}, {"unpaid_token": "paid"}])
def test_words_that_do_not_tell_paid_apart_are_never_sent(
    account: CervoAccount, booking: Booking, now: datetime, tokens: dict[str, str]
) -> None:  # the guard behind the settings' own
    with pytest.raises(Refused, match="do not tell paid orders apart"):
        Cervo(account.model_copy(update=tokens), {}).book(booking, now)


@pytest.mark.quirk("C-16")
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


# What the answer means


@pytest.mark.fault("F-30")
@pytest.mark.quirk("C-21")
@pytest.mark.parametrize(
    ("body", "ref"),
    [
        (DOCUMENTED_ID, "99999"),
        (b'"99999"', "99999"),
        (b"'99999'", "99999"),
        (b"\xef\xbb\xbf99999\r\n", "99999"),
        (b" 1 ", "1"),
        (b"9" * 19, "9" * 19),
    ],
)
def test_a_bare_id_is_a_success(codec: Cervo, booking: Booking, now: datetime, body: bytes, ref: str) -> None:
    booked = codec.read_booking(booking, Reply(200, body, {"content-type": "text/html"}), now)
    assert booked == Booked(Observation(DeliveryStatus.CREATED, Raw("response", "200"), ref=ref))


@pytest.mark.fault("F-30")
@pytest.mark.quirk("C-21", "C-22", "C-23")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html><body>login</body></html>"),
        (200, b"0"),
        (200, b"-5"),
        (200, b"099"),
        (200, b"9" * 20),
        (200, b"NaN"),
        (200, b"null"),
        (200, b"1.5"),
        (200, b'{"id": 99999}'),
        (200, "٩٩".encode()),
        (200, b"\xff\xfe9\x009\x00"),
        (200, DOCUMENTED_ERROR),
        (201, DOCUMENTED_ID),
        (202, DOCUMENTED_ID),
        (204, b""),
        (301, b""),
        (400, b""),
        (400, b"Order duplicated, a new id is required"),
        (400, b"<html>The field is required</html>"),
        (404, b"not found"),
        (408, b"Customer is required"),
        (409, b"order exists, id is invalid"),
        (500, b""),
        (500, b"invalid operation"),
        (500, b"this is an id required by"),
        (502, b"<html>The upstream is required</html>"),
        (503, b"come again"),
        (504, b""),
    ],
)
def test_whatever_else_came_back_may_have_made_an_order(
    codec: Cervo, booking: Booking, now: datetime, status: int, body: bytes
) -> None:
    with pytest.raises(Uncertain):
        codec.read_booking(booking, Reply(status, body), now)


@pytest.mark.quirk("C-22")
@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (400, DOCUMENTED_ERROR, '{ "Customer is required , ..." }'),
        (500, DOCUMENTED_ERROR, '{ "Customer is required , ..." }'),
        (422, b"Invalid price", "Invalid price"),
        (400, b"storelat REQUIRED", "storelat REQUIRED"),
    ],
)
def test_a_complaint_about_our_data_is_a_refusal(
    codec: Cervo, booking: Booking, now: datetime, status: int, body: bytes, text: str
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, Reply(status, body), now)
    assert (refusal.value.reason, refusal.value.text) == (Reason.VALIDATION, text)


def test_a_refusal_repeats_nothing_of_the_customer_s(codec: Cervo, booking: Booking, now: datetime) -> None:
    text = (
        "Mobile +966599000111 of testing CUSTOMER (a@b.sa, 059 900 0111) at address Of the customer is invalid"
        + "." * 999
    )
    with pytest.raises(Refused) as refusal:
        codec.read_booking(booking, Reply(400, text.encode()), now)
    told = "Mobile *** of *** *** ***) at *** is invalid"
    assert (refusal.value.text[: len(told)], len(refusal.value.text)) == (told, 300)


@pytest.mark.fault("F-35")
@pytest.mark.quirk("C-02")
@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_token_shuts_the_account_and_blames_no_order(
    codec: Cervo, booking: Booking, now: datetime, status: int
) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_booking(booking, Reply(status, b"Customer is required"), now)
    assert error.value.account


@pytest.mark.quirk("C-04")
@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "Sat, 29 Apr 2023 08:01:00 GMT"}, 60.0),
        ({"retry-after": "Sat, 29 Apr 2023 08:01:00 GMT", "date": "Sat, 29 Apr 2023 08:00:20 GMT"}, 40.0),
    ],
)
def test_a_rate_limit_says_when_to_come_again(
    codec: Cervo, booking: Booking, now: datetime, header: dict[str, str], wait: float | None
) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_booking(booking, Reply(429, b"", header), now)
    assert (error.value.retry_after, error.value.account) == (wait, False)


def plain(account: CervoAccount) -> dict[str, Any]:
    return {"name": account.name, "kind": account.kind, "token": account.token.get_secret_value()}
