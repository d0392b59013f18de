"""Orders as platforms write them: phones with an extension, postal codes with a country, 0/0, discounts, currencies."""

import json
from dataclasses import replace
from datetime import time
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from schemas.order import Customer, Dropoff, Item, Payment
from schemas.status import Reason
from tests.carriers.sample import CODECS, NOW, booking
from worker.carriers.account import CarrierAccount
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.port import Booking, Carrier
from worker.errors import Refused
from worker.http.redaction import redact_customer

every_carrier = pytest.mark.parametrize("carrier", CODECS)


def body(codec: Carrier, placed: Booking) -> str:
    """Return the body of a create as text; a form is decoded."""
    sent = codec.book(placed, NOW).body.decode()
    return sent if sent.startswith("{") else json.dumps(parse_qs(sent, keep_blank_values=True), ensure_ascii=False)


def changed(placed: Booking, **fields: Any) -> Booking:
    return replace(placed, order=placed.order.model_copy(update=fields))


def calling(phone: str) -> Booking:
    return changed(booking(), customer=Customer(name="Jane", phone=phone))


# --- telephone numbers ------------------------------------------------------------------------------------------------


@pytest.mark.fault("F-80")
@every_carrier
@pytest.mark.parametrize(
    "phone",
    [
        "+45 20 30 40 50 ext. 512",
        "+4520304050,,512#",
        "+4520304050;ext=512",
        "20 30 40 50 ramal 512",
        "20304050 lokal: 512",
        "20304050x512",
        "+45 20304050 #512",
        "+4520304050 تحويلة 512",
    ],
)
def test_a_courier_reads_the_extension_of_a_telephone_number(carrier: str, phone: str) -> None:
    written, plain = body(CODECS[carrier], calling(phone)), body(CODECS[carrier], calling("+4520304050"))
    assert written.count("ext. 512") == 1
    without = written.replace("2011 / ext. 512", "2011").replace('"notes": "ext. 512"', '"notes": ""')
    assert without.replace(', "note": "ext. 512"', "") == plain


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("phone", "sent"),
    [
        ("+55 11 3000-1234 ext. 512", "551130001234"),
        ("+551130001234,,512#", "551130001234"),
        ("(11) 3000-1234 ramal 512", "551130001234"),
    ],
)
def test_a_number_of_sao_paulo_with_an_extension_is_sent_to_borzo(phone: str, sent: str) -> None:
    placed = calling(phone)
    placed = replace(placed, store=placed.store.model_copy(update={"country": "BR", "phone": phone}))
    points = json.loads(CODECS["borzo"].book(placed, NOW).body)["points"]
    assert [point["contact_person"]["phone"] for point in points] == [sent, sent]
    assert [point["note"] for point in points] == ["Order 2011 / ext. 512", "ext. 512"]


@every_carrier
@pytest.mark.parametrize("phone", ["+45 20 30 40 50", "20304050", "4520304050"])
def test_a_number_without_an_extension_is_sent_without_a_remark(carrier: str, phone: str) -> None:
    assert body(CODECS[carrier], calling(phone)) == body(CODECS[carrier], calling("+4520304050"))


@pytest.mark.quirk("X-15")
def test_a_number_with_an_extension_is_redacted_from_a_carriers_text() -> None:
    order = calling("+45 20 30 40 50 ext. 512").order
    assert redact_customer("call 20304050", order) == "call ***"


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F-80")
@pytest.mark.parametrize("encoding", ["form", "json"])
@pytest.mark.parametrize("code", ["DK-5000", "DK 5000", "dk-5000", "DK5000", " 5000 "])
def test_a_postal_code_with_its_country_is_sent_to_deliverit_without_it(encoding: str, code: str) -> None:
    assert body(CODECS[encoding], booking(postal_code=code)) == body(CODECS[encoding], booking())


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("setting", "code", "reached"),
    [
        ("50", "DK-5000", True),
        ("50", "DK 5000", True),
        ("50", "DK5000", True),
        ("DK-50", "5000", True),
        ("51", "DK-5000", False),
        ("LV-10", "LV-1010", True),
        ("LV10", "LV-1010", True),
        ("EC1A", "EC1A 1BB", True),
        ("VLT", "VLT 1117", True),
        ("013", "01310-100", True),
        ("50", "", True),
        ("", "DK-5000", True),
    ],
)
def test_the_postal_codes_of_an_account_are_compared_without_countries(setting: str, code: str, reached: bool) -> None:  # noqa: FBT001 - a table's column
    account = CarrierAccount(name="x", kind="x", base_url="https://x.example", poll_interval=1, postal_codes=setting)
    assert (account.reaches(code), account.is_open(time(12))) == (reached, True)


@pytest.mark.fault("F-80")
@pytest.mark.parametrize("half", [(0.0, 0.0), (None, None), (-0.0, 0.0)])
@every_carrier
def test_the_position_0_0_is_none_at_every_carrier(carrier: str, half: tuple[float | None, float | None]) -> None:
    nowhere = booking(latitude=half[0], longitude=half[1])
    if carrier == "borzo":
        (_, dropoff) = json.loads(CODECS[carrier].book(nowhere, NOW).body)["points"]
        assert {"latitude", "longitude"} & dropoff.keys() == set()
    else:
        with pytest.raises(Refused, match=r"^dropoff\.latitude and dropoff\.longitude") as refused:
            CODECS[carrier].book(nowhere, NOW)
        assert refused.value.reason is Reason.VALIDATION


@pytest.mark.fault("F-80")
def test_the_position_0_0_of_a_store_is_not_sent_to_borzo() -> None:
    placed = booking()
    nowhere = replace(placed, store=placed.store.model_copy(update={"latitude": 0.0, "longitude": 0.0}))
    (pickup, _) = json.loads(CODECS["borzo"].book(nowhere, NOW).body)["points"]
    assert {"latitude", "longitude"} & pickup.keys() == set()


@pytest.mark.fault("F-80")
@every_carrier
def test_a_courier_is_told_a_stand_in_for_a_customer_without_a_name(carrier: str) -> None:
    nameless = changed(booking(), customer=Customer.model_validate({"name": "", "phone": "+4520304050"}))
    assert "Guest" in body(CODECS[carrier], nameless)


# --- lines and money --------------------------------------------------------------------------------------------------

PIZZA = Item(name="Pizza", quantity=2, unit_price=Decimal("62.50"))
VOUCHER = Item(name="Voucher", unit_price=Decimal("-20.00"))
CHEESE = Item.model_validate({"name": "Cheese, kg", "quantity": 0.75, "unit_price": "99.90"})


def borzo(**settings: Any) -> Borzo:
    return Borzo(BorzoAccount(name="borzo", kind="borzo", token=SecretStr("t"), **settings), {})


def in_sao_paulo(*items: Item, currency: str = "BRL", prepaid: bool = True) -> Booking:
    payment = Payment(prepaid=prepaid, amount=Decimal("125.00"), currency=currency)
    return changed(booking(), items=items, payment=payment, dropoff=Dropoff(street="Rua Augusta, 5"))


@pytest.mark.fault("F-80")
def test_a_weighed_line_is_one_package_at_borzo_and_a_discount_is_none() -> None:
    created = json.loads(borzo(packages=True).book(in_sao_paulo(PIZZA, VOUCHER, CHEESE), NOW).body)
    assert created["matter"] == "Order 2011 (3 items)"
    assert created["points"][1]["packages"] == [
        {"description": "Pizza", "items_count": 2, "item_payment_amount": "62.50"},
        {"description": "Cheese, kg", "items_count": 1},  # 74.925 BRL cannot be paid
    ]


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ((PIZZA, VOUCHER), "items: a receipt has no line for a discount"),
        ((PIZZA, CHEESE), "items: a receipt needs every item with its price"),
    ],
)
def test_a_receipt_that_cannot_be_exact_is_refused(items: tuple[Item, ...], reason: str) -> None:
    codec, placed = borzo(cod=True, cod_voucher=True), in_sao_paulo(*items, prepaid=False)
    for check in (codec.check_order, codec.book):
        with pytest.raises(Refused, match=f"^{reason}$"):
            check(placed, NOW)


@pytest.mark.fault("F-80")
def test_a_price_in_another_currency_is_not_sent_to_borzo() -> None:
    created = json.loads(borzo(packages=True).book(in_sao_paulo(PIZZA, currency="DKK"), NOW).body)
    assert created["points"][1]["packages"] == [{"description": "Pizza", "items_count": 2}]


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("61.505", "KWD", '"price": 61.505,'),
        ("1500", "JPY", '"price": 1500,'),
        ("61.5", "SAR", '"price": 61.50,'),
        ("7.1234", "CLF", '"price": 7.1234,'),
    ],
)
def test_an_amount_is_sent_to_cervo_exactly(amount: str, currency: str, written: str) -> None:
    account = CervoAccount(
        name="cervo", kind="cervo", token=SecretStr("t"), currency=currency, payment_tokens={"cash": "CASH"}
    )
    payment = Payment.model_validate(
        {"prepaid": False, "amount": amount, "currency": currency, "method": "cash", "change_for": amount}
    )
    sent = Cervo(account, {}).book(changed(booking(), payment=payment), NOW).body.decode()
    assert written in sent
    assert json.loads(sent)["notes"] == f"change for {written[9:-1]} {currency}"
