import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.json_reader import MalformedError
from schemas.messages import Cancellation, Message, OrderRef, read_fields, read_message
from schemas.order import ORDER_SCHEMA, Customer, DeliveryType, Dropoff, Item, Order, Payment, fingerprint
from schemas.ordering import ORDERING_SCHEMA
from schemas.trace import Trace
from tests.schemas.samples import ORDER, PERSONAL, event, paths, with_field

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
READ = Order(
    order_id="2011",
    order_number="A-11",
    revision=3,
    store_id="17",
    delivery_type=DeliveryType.DELIVERY,
    status=0,
    deliver_at=datetime(2026, 11, 21, 17, 40, tzinfo=UTC),
    customer=Customer(name="Freja Holm", phone="+4520304050"),
    dropoff=Dropoff(
        street="Nørregade 7",
        unit="3. tv",
        postal_code="5000",
        city="Odense C",
        country="DK",
        latitude=55.39,
        longitude=10.38,
        notes="Ring twice",
    ),
    payment=Payment(
        prepaid=False, amount=Decimal("125.00"), currency="DKK", method="cash", change_for=Decimal("200.00")
    ),
    items=(Item(name="Pizza", quantity=2, unit_price=Decimal("62.50")),),
    notes="No onion",
    carriers=("deliverit", "borzo"),
)


def changed(path: str, value: object) -> dict[str, Any]:
    return with_field(ORDER, path, value)


def lacking(path: str) -> dict[str, Any]:
    order = changed(path, None)
    *parents, last = path.split(".")
    inner = order
    for parent in parents:
        inner = inner[parent]
    del inner[last]
    return order


def refusal(raw: bytes | dict[str, Any]) -> str:
    with pytest.raises(MalformedError) as caught:
        read_message(raw)
    return str(caught.value)


def outcome(raw: dict[str, Any]) -> Message | MalformedError:
    try:
        return read_message(raw)
    except MalformedError as error:
        return error


def test_every_field_of_a_placed_order_is_read() -> None:
    raw = event(time="2026-11-21T16:00:00.5Z", traceparent=TRACE, dataschema=ORDER_SCHEMA)
    assert read_message(raw) == Message(
        source="shop",
        id="e1",
        type="order.placed",
        data=READ,
        time=datetime(2026, 11, 21, 16, 0, 0, 500_000, tzinfo=UTC),
        trace=Trace(TRACE),
    )


def test_a_dict_and_its_json_are_the_same_message() -> None:
    assert read_message(json.dumps(event()).encode()) == read_message(event())


def test_a_message_without_a_source_has_the_default_source() -> None:
    raw = event()
    del raw["source"]
    assert read_message(raw) == Message(source="platform", id="e1", type="order.placed", data=READ)


@pytest.mark.parametrize("kind", ["order.placed", "order.updated"])
@pytest.mark.parametrize("schema", [None, ORDER_SCHEMA, ORDERING_SCHEMA])
def test_a_message_with_only_an_id_refers_to_an_order_to_be_fetched(kind: str, schema: str | None) -> None:
    message = read_message(event({"order_id": "2011"}, type=kind, dataschema=schema))
    assert message == Message(source="shop", id="e1", type=kind, data=OrderRef(order_id="2011"))


def test_every_field_of_a_cancellation_is_read() -> None:
    data = {"order_id": "2011", "reason": "sold out", "cancelled_by": "customer", "allow_paid": True, "more": 1}
    assert read_message(event(data, type="order.cancelled")).data == Cancellation(
        order_id="2011", reason="sold out", cancelled_by="customer", allow_paid=True
    )


def test_a_cancellation_needs_only_the_order_id() -> None:
    assert read_message(event({"order_id": "2011"}, type="order.cancelled")).data == Cancellation(order_id="2011")


def test_the_dataschema_marks_an_order_of_the_ordering_platform() -> None:
    data = {"id": 2011, "business_id": 17, "delivery_type": 2}
    order = read_message(event(data, dataschema=ORDERING_SCHEMA)).data
    assert isinstance(order, Order)
    assert (order.order_id, order.store_id, order.delivery_type) == ("2011", "17", DeliveryType.PICKUP)


def test_an_ordering_order_without_its_dataschema_is_refused() -> None:
    assert refusal(event({"id": 2011, "business_id": 17})).startswith("data: order_id: Field required; ")


def test_a_fault_in_an_ordering_order_is_reported_with_the_platforms_field_name() -> None:
    data = {"id": 2011, "business_id": 17}
    assert refusal(event(data, dataschema=ORDERING_SCHEMA)) == "data: delivery_type: missing"


@pytest.mark.parametrize(
    "trace",
    ["", "00-zz", 7, None, [TRACE], TRACE + "-x", TRACE.upper(), f"ff{TRACE[2:]}", f"00-{'0' * 32}{TRACE[35:]}",
     f"{TRACE[:36]}{'0' * 16}-01"],
)  # fmt: skip
def test_an_invalid_traceparent_counts_as_absent(trace: object) -> None:
    assert read_message(event(traceparent=trace, tracestate="shop=1")).trace is None


@pytest.mark.parametrize(
    ("given", "read"),
    [("shop=1,other=x", "shop=1,other=x"), ("", None), (None, None), (7, None), ("é", None), ("x" * 513, None)],
)
def test_a_tracestate_is_read_and_an_invalid_one_counts_as_absent(given: object, read: str | None) -> None:
    assert read_message(event(traceparent=TRACE, tracestate=given)).trace == Trace(TRACE, read)


def test_the_trace_is_read_in_binary_mode() -> None:
    fields = {f"ce_{name}".encode(): str(value).encode() for name, value in event().items() if name != "data"}
    fields |= {
        b"ce_traceparent": TRACE.encode(),
        b"ce_tracestate": b"shop=1",
        b"data": json.dumps(event()["data"]).encode(),
    }
    assert read_fields(fields).trace == Trace(TRACE, "shop=1")


@pytest.mark.quirk("O-07")
@pytest.mark.parametrize(
    ("given_type", "read"),
    [
        (1, DeliveryType.DELIVERY),
        ("1", DeliveryType.DELIVERY),
        (2, DeliveryType.PICKUP),
        ("3", DeliveryType.EAT_IN),
        (4, DeliveryType.CURBSIDE),
        (5, DeliveryType.DRIVE_THRU),
        ("pickup", DeliveryType.PICKUP),
    ],
)
def test_a_delivery_type_may_be_a_name_or_the_platforms_number(given_type: object, read: DeliveryType) -> None:
    assert read_message(event(changed("delivery_type", given_type))).data == READ.model_copy(
        update={"delivery_type": read}
    )


@pytest.mark.fault("F-60")
@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"specversion": "0.3"}, "specversion: Input should be '1.0'"),
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"id": 7.5}, "id: Input should be a valid string"),
        ({"id": True}, "id: Input should be a valid string"),
        ({"type": "order.exploded"}, "type: Input should be 'order.placed', 'order.updated' or 'order.cancelled'"),
        ({"data": [1]}, "data: Input should be a valid dictionary"),
        ({"data": None}, "data: Input should be a valid dictionary"),
        ({"data": {}, "type": "order.cancelled"}, "data: order_id: Field required"),
    ],
)
def test_a_faulty_attribute_is_refused_with_its_name(attributes: dict[str, object], reason: str) -> None:
    assert refusal({**event(), **attributes}) == reason


MONEY = 'money must be a decimal string such as "125.00", not a number'
TIME = "a time must be RFC 3339 text with an offset"
INTEGER = "Input should be a valid integer"


@pytest.mark.quirk("O-03", "O-06")
@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("order_id", 2011.5, "Input should be a valid string"),
        ("order_id", "", "String should have at least 1 character"),
        ("order_id", "x" * 65, "String should have at most 64 characters"),
        ("revision", -1, "Input should be greater than or equal to 0"),
        ("revision", "three", INTEGER),
        ("revision", True, INTEGER),
        ("revision", 2**31, "Input should be less than or equal to 2147483647"),
        ("status", "new", INTEGER),
        ("status", -1, "Input should be greater than or equal to 0"),
        ("deliver_at", 1_795_282_800, TIME),
        ("deliver_at", "1795282800", TIME),
        ("deliver_at", "2026-11-21", TIME),
        ("deliver_at", "2026-11-21T18:40:00", TIME),
        ("deliver_at", "0001-01-01T00:00:00+23:00", "the year must be between 2000 and 2099"),
        ("deliver_at", "9999-12-31T23:59:59-23:00", "the year must be between 2000 and 2099"),
        ("deliver_at", "2026-02-30T18:40:00Z", "there is no such time"),
        ("ready_at", {}, TIME),
        ("customer", None, "Input should be a valid dictionary or instance of Customer"),
        ("customer.phone", 45203040.5, "Input should be a valid string"),
        ("dropoff.street", "", "String should have at least 1 character"),
        ("payment.prepaid", "no", "Input should be a valid boolean"),
        ("payment.prepaid", 0, "Input should be a valid boolean"),
        ("payment.amount", 125.0, MONEY),
        ("payment.amount", 125, MONEY),
        ("payment.amount", True, MONEY),
        ("payment.amount", "125,00", MONEY),
        ("payment.amount", "-1", MONEY),
        ("payment.amount", "1_000", MONEY),
        ("payment.amount", "1.005", "has more decimals than DKK has"),
        ("payment.amount", "NaN", MONEY),
        ("payment.amount", "1e400", MONEY),
        ("payment.currency", "kr", "String should match pattern '^[A-Z]{3}$'"),
        ("carriers", "borzo", "Input should be a valid tuple"),
    ],
)
def test_a_faulty_field_is_refused_with_its_name(path: str, value: object, why: str) -> None:
    assert refusal(event(changed(path, value))) == f"data: {path}: {why}"


def test_an_unknown_delivery_type_is_refused_with_the_field_name() -> None:
    reason = refusal(event(changed("delivery_type", 7)))
    assert reason.startswith("data: delivery_type: Input should be 'delivery', 'pickup', ")


REQUIRED = (
    "order_id", "store_id", "customer", "customer.phone", "dropoff", "dropoff.street", "payment",
    "payment.prepaid", "payment.amount", "payment.currency",
)  # fmt: skip


@pytest.mark.quirk("O-03")
@pytest.mark.parametrize("path", REQUIRED)
def test_a_missing_required_field_is_refused_with_its_name(path: str) -> None:
    assert refusal(event(lacking(path))) == f"data: {path}: Field required"


@pytest.mark.parametrize("path", sorted(set(ORDER) - set(REQUIRED)))
def test_every_other_field_is_optional(path: str) -> None:
    assert isinstance(read_message(event(lacking(path))).data, Order)


def test_only_the_first_five_faults_are_listed() -> None:
    reason = refusal(event({"order_id": True, "customer": {}, "dropoff": {}, "payment": {}}))
    assert reason.startswith("data: order_id: Input should be a valid string; store_id: Field required; ")
    assert reason.endswith("; and 2 more")


def test_a_validation_error_contains_no_personal_data() -> None:
    with pytest.raises(ValidationError) as caught:
        Customer.model_validate({"name": "Freja Holm", "phone": ["+4520304050"]})
    assert [each for each in PERSONAL if each in str(caught.value)] == []


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_malformed_error(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        read_message(raw)


NAMES = st.text() | st.sampled_from(paths(ORDER))
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["0001-01-01T00:00:00+23:59"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(paths(ORDER)), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(path=st.sampled_from(paths(ORDER)), value=ANYTHING)
def test_any_value_in_any_field_is_read_or_refused_with_a_reason(path: str, value: object) -> None:
    said = outcome(event(changed(path, value)))
    places = ("message: ", *path.split("."))
    assert isinstance(said, Message) or any(place in str(said) for place in places)


def test_the_fingerprint_is_stable() -> None:
    assert fingerprint(READ) == "eb433aaae9ff4cb14d359d30913a910d06f92ea629ac5ad6f001a721dabb0391"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("revision", 9),
        ("status", 7),
        ("delivery_type", 1),
        ("deliver_at", "2026-11-21T17:40:00Z"),
        ("payment.amount", "125"),
        ("payment.change_for", "200.0"),
        ("unknown", "field"),
    ],
)
def test_the_same_content_in_another_spelling_has_the_same_fingerprint(path: str, value: object) -> None:
    order = read_message(event(changed(path, value))).data
    assert isinstance(order, Order)
    assert fingerprint(order) == fingerprint(READ)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("order_number", "A-12"),
        ("deliver_at", None),
        ("customer.phone", "+4520304051"),
        ("dropoff.notes", ""),
        ("payment.amount", "125.01"),
        ("items", []),
        ("carriers", None),
    ],
)
def test_different_content_has_a_different_fingerprint(path: str, value: object) -> None:
    order = read_message(event(changed(path, value))).data
    assert isinstance(order, Order)
    assert fingerprint(order) != fingerprint(READ)
