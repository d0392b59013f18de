"""What platforms really send: fields that are null, empty or of another type, and other spellings of a value."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.documents import documents
from schemas.json_reader import MalformedError
from schemas.messages import Cancellation, Message, read_fields, read_message
from schemas.order import Customer, DeliveryType, Dropoff, Item, Order, Payment, fingerprint
from schemas.phones import masked
from schemas.status import CancelledBy
from tests.schemas.samples import event, with_field

DATA: dict[str, Any] = {
    "order_id": "9601",
    "store_id": "1",
    "customer": {"name": "T", "phone": "+4551234567"},
    "dropoff": {"street": "Vej 1"},
    "payment": {"prepaid": True, "amount": "9.00", "currency": "DKK"},
}
READ = Order(
    order_id="9601",
    store_id="1",
    customer=Customer(name="T", phone="+4551234567"),
    dropoff=Dropoff(street="Vej 1"),
    payment=Payment(prepaid=True, amount=Decimal("9.00"), currency="DKK"),
)
EVENING = datetime(2026, 11, 30, 18, 30, tzinfo=UTC)
FITS = {
    name: Draft202012Validator(document)
    for name, document in documents().items()
    if name in {"message.schema.json", "order.schema.json", "cancellation.schema.json"}
}


def taken(raw: dict[str, Any], schema: str = "order") -> Message:
    """Read a message, which must also be valid by the published schemas."""
    for name, document in (("message", raw), (schema, raw["data"])):
        assert list(FITS[f"{name}.schema.json"].iter_errors(document)) == []
    return read_message(raw)


def order_with(**fields: object) -> Order:
    """Return the order of a message with other fields; `customer__name` is the field `name` of `customer`."""
    data = DATA
    for name, value in fields.items():
        data = with_field(data, name.replace("__", "."), value)
    order = taken(event(data)).data
    assert isinstance(order, Order)
    return order


def updated(**fields: object) -> Order:
    return READ.model_copy(update=fields)


# --- fields that do not decide ----------------------------------------------------------------------------------------


@pytest.mark.fault("F-80")
@pytest.mark.parametrize("absent", [None, ""])
@pytest.mark.parametrize(
    "path",
    [
        "notes", "items", "order_number", "revision", "delivery_type", "status", "deliver_at", "ready_at", "carriers",
        "dropoff.unit", "dropoff.postal_code", "dropoff.city", "dropoff.country", "dropoff.latitude",
        "dropoff.longitude", "dropoff.notes", "payment.method", "payment.change_for",
    ],
)  # fmt: skip
def test_an_optional_field_that_is_null_or_empty_counts_as_absent(path: str, absent: object) -> None:
    message = taken(event(with_field(DATA, path, absent)))
    assert (message.data, message.ignored) == (READ, frozenset())


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("notes", ["Ring"]),
        ("items", "Pizza"),
        ("items", {"name": "Pizza"}),
        ("order_number", {}),
        ("dropoff.unit", False),
        ("dropoff.latitude", 91),
        ("dropoff.longitude", "west"),
        ("payment.method", []),
        ("payment.change_for", 200),
        ("payment.change_for", "200.005"),
    ],
)
def test_a_field_that_does_not_decide_counts_as_absent_when_it_is_unreadable_and_is_noted(
    path: str, value: object
) -> None:
    message = read_message(event(with_field(DATA, path, value)))
    assert (message.data, message.ignored) == (READ, frozenset({path.rpartition(".")[2]}))


@pytest.mark.fault("F-80")
@pytest.mark.parametrize("name", ["", None, " ", "\u200b\u00ad", "x" * 351])
def test_a_customer_without_a_usable_name_gets_a_stand_in(name: object) -> None:
    assert order_with(customer__name=name).customer == Customer(name="Guest", phone="+4551234567")


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("fields", "canceller"),
    [
        ({"reason": None}, CancelledBy.MERCHANT),
        ({"reason": 4, "allow_paid": None}, CancelledBy.MERCHANT),
        ({"cancelled_by": "system"}, CancelledBy.MERCHANT),
        ({"cancelled_by": None}, CancelledBy.MERCHANT),
        ({"cancelled_by": "Customer"}, CancelledBy.CUSTOMER),
    ],
)
def test_a_cancellation_needs_only_its_order(fields: dict[str, object], canceller: CancelledBy) -> None:
    message = taken(event({"order_id": "9601", **fields}, type="order.cancelled"), "cancellation")
    assert isinstance(message.data, Cancellation)
    assert (message.data.order_id, message.data.canceller) == ("9601", canceller)


@pytest.mark.fault("F-80")
@pytest.mark.parametrize("value", [{"why": "sold out"}, ["sold out"], True])
def test_a_cancellation_with_an_unreadable_field_still_cancels(value: object) -> None:
    fields = {"order_id": 9601, "reason": value, "cancelled_by": value, "allow_paid": "yes"}
    message = read_message(event(fields, type="order.cancelled"))
    assert message.data == Cancellation(order_id="9601")
    assert message.ignored == {"reason", "cancelled_by", "allow_paid"}


def test_an_unknown_canceller_is_kept_as_it_was_said() -> None:
    message = read_message(event({"order_id": "1", "cancelled_by": "system"}, type="order.cancelled"))
    assert message.data == Cancellation(order_id="1", cancelled_by="system")


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    "attributes",
    [
        {"dataschema": "https://shop.example/schemas/order-v3.json"},
        {"dataschema": None},
        {"time": "2026-11-29 13:00:00"},
        {"time": "2026-12-31T23:59:60Z"},
        {"time": "0001-01-01T00:00:00Z"},
        {"time": 1_795_282_800},
        {"time": None},
        {"traceparent": None},
    ],
)
def test_an_unknown_attribute_value_counts_as_none(attributes: dict[str, object]) -> None:
    message = read_message({**event(DATA), **attributes})
    assert message.data == READ
    assert (message.time, message.trace) == (None, None)


@pytest.mark.parametrize("source", [None, ""])
def test_an_empty_source_is_the_default_source(source: object) -> None:
    assert read_message(event(DATA, source=source)).source == "platform"


# --- lines of the order -----------------------------------------------------------------------------------------------


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("line", "item"),
    [
        ({"name": "Cheese, kg", "quantity": 0.75}, Item(name="Cheese, kg", quantity=1)),
        (
            {"name": "Cheese, kg", "quantity": "0.75", "unit_price": "99.90"},
            Item(name="Cheese, kg", quantity=1, unit_price=Decimal("74.925")),
        ),
        ({"name": "Saffron", "quantity": 0.0001, "unit_price": "0.125"}, Item(name="Saffron", quantity=1)),
        ({"name": "Pizza", "quantity": 2.0}, Item(name="Pizza", quantity=2)),
        ({"name": "Pizza", "quantity": "2.00"}, Item(name="Pizza", quantity=2)),
        ({"name": "Pizza", "quantity": None}, Item(name="Pizza")),
        ({"name": 7, "unit_price": None}, Item(name="7")),
        (
            {"name": "Voucher", "quantity": 1, "unit_price": "-20.00"},
            Item(name="Voucher", quantity=1, unit_price=Decimal("-20.00")),
        ),
    ],
)
def test_a_line_may_be_weighed_or_be_a_discount(line: dict[str, object], item: Item) -> None:
    assert order_with(items=[line]) == updated(items=(item,))


def test_a_weighed_line_is_one_package_and_a_discount_is_none() -> None:
    order = order_with(items=[{"name": "Cheese", "quantity": 0.75}, {"name": "Voucher", "unit_price": "-20.00"}])
    assert [item.is_package for item in order.items] == [True, False]


def test_an_unreadable_line_is_left_out_and_noted() -> None:
    message = read_message(event(with_field(DATA, "items", [{"name": "Pizza", "quantity": -1}, "Cola", None, {}])))
    assert isinstance(message.data, Order)
    assert message.data.items == (Item(name="Pizza"),)
    assert message.ignored == {"quantity", "items"}


# --- other spellings --------------------------------------------------------------------------------------------------


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    "text",
    [
        "2026-11-30T18:30Z",
        "2026-11-30T19:30+01:00",
        "2026-11-30T18:30:00+0000",
        "2026-11-30T19:30:00+01",
        "2026-11-30t18:30:00z",
        "2026-11-30 18:30:00 +0000",
        "2026-11-30T18:30:00.000000000Z",
        "2026-11-30T19:30+01:00[Europe/Copenhagen]",
    ],
)
def test_a_time_may_be_spelled_as_java_and_php_spell_it(text: str) -> None:
    assert order_with(deliver_at=text, ready_at=text) == updated(deliver_at=EVENING, ready_at=EVENING)


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"order_id": 9601, "store_id": 1}, {}),
        ({"revision": "1", "status": "7"}, {"status": 7}),
        ({"revision": 0}, {"revision": 0}),
        ({"delivery_type": "Delivery"}, {}),
        ({"delivery_type": "PICKUP"}, {"delivery_type": DeliveryType.PICKUP}),
        ({"payment__currency": "dkk"}, {}),
        ({"customer__phone": 4551234567}, {"customer": Customer(name="T", phone="4551234567")}),
        ({"dropoff__postal_code": 5000}, {"dropoff": Dropoff(street="Vej 1", postal_code="5000")}),
    ],
)
def test_a_value_of_another_type_is_read_where_it_is_unambiguous(
    fields: dict[str, object], read: dict[str, object]
) -> None:
    assert order_with(**fields) == updated(**read)


def test_the_id_of_a_message_may_be_a_number() -> None:
    assert taken(event(DATA, id=4711)).id == "4711"


@pytest.mark.parametrize(
    ("latitude", "longitude", "point"),
    [(0, 0, None), ("0.0", -0.0, None), (55.4, None, None), (0, 32.5, (0.0, 32.5)), ("55.4", "10.4", (55.4, 10.4))],
)
def test_half_a_position_and_the_position_0_0_are_no_point(
    latitude: object, longitude: object, point: tuple[float, float] | None
) -> None:
    assert order_with(dropoff__latitude=latitude, dropoff__longitude=longitude).dropoff.point == point


@pytest.mark.fault("F-80")
def test_the_same_text_composed_of_other_code_points_is_the_same_content() -> None:
    composed, decomposed = order_with(customer__name="Jos\u00e9"), order_with(customer__name="Jose\u0301")
    assert fingerprint(composed) == fingerprint(decomposed)
    assert decomposed.customer.name == "Jose\u0301"


# --- money ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("amount", "currency"),
    [("61.505", "KWD"), ("1500", "JPY"), ("1500.00", "JPY"), ("61.50", "SAR"), ("61.500", "SAR"), ("7.1234", "CLF")],
)
def test_an_amount_is_read_exactly_with_the_decimals_of_its_currency(amount: str, currency: str) -> None:
    payment = order_with(payment__amount=amount, payment__currency=currency).payment
    assert payment == Payment(prepaid=True, amount=Decimal(amount), currency=currency)


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(("amount", "currency"), [("61.505", "SAR"), ("1500.50", "JPY"), ("0.0001", "KWD")])
def test_an_amount_that_its_currency_cannot_pay_is_refused(amount: str, currency: str) -> None:
    payment = {"prepaid": True, "amount": amount, "currency": currency}
    with pytest.raises(MalformedError, match=rf"^data: payment.amount: has more decimals than {currency} has$"):
        read_message(event({**DATA, "payment": payment}))


@pytest.mark.fault("F-80")
@pytest.mark.parametrize("amount", ["125", "125.0", "125.00", "125.000"])
def test_equal_amounts_are_one_content(amount: str) -> None:
    def content(written: str) -> str:
        return fingerprint(order_with(payment__amount=written, items=[{"name": "Pizza", "unit_price": written}]))

    assert content(amount) == content("125.00")


# --- envelopes --------------------------------------------------------------------------------------------------------


def document(**attributes: object) -> bytes:
    return json.dumps(event(DATA, **attributes)).encode()


@pytest.mark.fault("F-84")
def test_the_data_of_a_message_may_be_in_base64() -> None:
    raw = event(DATA)
    raw["data_base64"] = base64.b64encode(json.dumps(raw.pop("data")).encode()).decode()
    assert list(FITS["message.schema.json"].iter_errors(raw)) == []
    assert read_message(raw).data == READ


@pytest.mark.fault("F-84")
@pytest.mark.parametrize(
    ("encoded", "reason"),
    [("A", "data_base64: not base64"), ("W10=", "message: not a JSON object"), (7, "data: Field required")],
)
def test_data_in_base64_that_is_no_order_is_refused(encoded: object, reason: str) -> None:
    raw = event(data_base64=encoded)
    del raw["data"]
    with pytest.raises(MalformedError, match=f"^{reason}$"):
        read_message(raw)


@pytest.mark.fault("F-84")
def test_a_byte_order_mark_may_precede_the_document() -> None:
    assert read_message(b"\xef\xbb\xbf" + document()) == read_message(document())


BINARY = {
    b"ce_specversion": b"1.0",
    b"ce_id": b"e1",
    b"ce_source": b"shop",
    b"ce_type": b"order.placed",
    b"ce_time": b"2026-11-30T18:30:00Z",
    b"content-type": b"application/json",
    b"data": json.dumps(DATA).encode(),
}


@pytest.mark.fault("F-84")
def test_an_entry_in_binary_mode_is_the_same_message_as_in_structured_mode() -> None:
    assert read_fields(BINARY) == read_message(event(DATA, time="2026-11-30T18:30:00Z"))


@pytest.mark.fault("F-84")
def test_the_document_of_an_entry_is_its_field_event() -> None:
    assert read_fields({b"event": document(), b"trace": b"\xff"}) == read_message(document())


@pytest.mark.fault("F-84")
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({b"data": document()}, "no field `event`"),
        ({b"ordre": b"{}"}, "no field `event`"),
        ({}, "no field `event`"),
        ({**BINARY, b"data": b"<order/>"}, "message: not JSON"),
        ({**BINARY, b"ce_id": b"\xff"}, "message: not UTF-8"),
        ({b"ce_id": b"1", b"data": b"{}"}, "specversion: Field required; type: Field required"),
    ],
)
def test_an_entry_without_a_message_is_refused_with_the_reason(fields: dict[bytes, bytes], reason: str) -> None:
    with pytest.raises(MalformedError) as caught:
        read_fields(fields)
    assert str(caught.value) == reason


def test_a_phone_number_is_masked() -> None:
    assert [masked("+966500000012"), masked(None)] == ["•••12", ""]
