import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.json_reader import MalformedError
from schemas.order import Customer, DeliveryType, Dropoff, Item, Order, Payment
from schemas.ordering import (
    AT_THE_DOOR,
    INBOUND,
    PREPAID,
    ProjectDefaults,
    Reaction,
    reaction_to,
    read_order,
)
from schemas.ordering_times import read_time_placed
from schemas.platform_status import PlatformStatus
from tests.schemas.samples import PLATFORM_ORDER, paths, with_field

READ = Order(
    order_id="2011",
    revision=31,
    store_id="49",
    status=0,
    deliver_at=datetime(2026, 11, 21, 17, 40, tzinfo=UTC),
    customer=Customer(name="Freja Holm", phone="+45 20 30 40 50"),
    dropoff=Dropoff(
        street="Nørregade 7, Odense",
        unit="3. tv",
        postal_code="5000",
        country="DK",
        latitude=55.39,
        longitude=10.38,
        notes="Ring twice\nleave it at the door",
    ),
    payment=Payment(
        prepaid=False, amount=Decimal("125.10"), currency="DKK", method="cash", change_for=Decimal("200.00")
    ),
    items=(
        Item(name="Pizza", quantity=2, unit_price=Decimal("40.005")),
        Item(name="Cola", quantity=1, unit_price=Decimal("20.00")),
    ),
    notes="No onion",
)
DENMARK = ProjectDefaults(country="DK")


def changed(**fields: object) -> dict[str, Any]:
    """`customer__name="x"` changes the field `customer.name`."""
    raw = PLATFORM_ORDER
    for name, value in fields.items():
        raw = with_field(raw, name.replace("__", "."), value)
    return raw


def refusal(raw: dict[str, Any], project: ProjectDefaults = DENMARK) -> str:
    with pytest.raises(MalformedError) as caught:
        read_order(raw, project)
    return str(caught.value)


def outcome(raw: dict[str, Any]) -> Order | MalformedError:
    try:
        return read_order(raw)
    except MalformedError as error:
        return error


@pytest.mark.quirk("O-03", "O-22", "O-24", "O-26")
def test_an_order_of_the_platform_is_translated_into_ours() -> None:
    assert read_order(PLATFORM_ORDER, DENMARK) == READ


def test_an_order_needs_only_what_a_dispatch_needs() -> None:
    raw = {
        "id": "2011",
        "business_id": "49",
        "delivery_type": "1",
        "total": 0,
        "currency": "dkk",
        "customer": {"cellphone": 20304050, "address": "Nørregade 7"},
        "paymethod": {"gateway": "stripe"},
    }
    assert read_order(raw) == Order(
        order_id="2011",
        store_id="49",
        customer=Customer(name="Guest", phone="20304050"),
        dropoff=Dropoff(street="Nørregade 7"),
        payment=Payment(prepaid=True, amount=Decimal("0.00"), currency="DKK", method="stripe"),
    )


def test_every_other_field_may_be_null() -> None:
    needed = {"id", "business_id", "delivery_type", "currency", "summary", "customer", "paymethod"}
    raw = {key: value if key in needed else None for key, value in PLATFORM_ORDER.items()}
    assert read_order(raw, DENMARK).order_id == "2011"


@pytest.mark.quirk("O-07")
@pytest.mark.parametrize(
    ("given_type", "read"),
    [(2, DeliveryType.PICKUP), ("3", DeliveryType.EAT_IN), (4, DeliveryType.CURBSIDE), ("5", DeliveryType.DRIVE_THRU)],
)
def test_an_order_that_is_not_delivered_needs_neither_address_nor_payment(
    given_type: object, read: DeliveryType
) -> None:
    assert read_order({"id": 1, "business_id": 2, "delivery_type": given_type}) == Order(
        order_id="1",
        store_id="2",
        delivery_type=read,
        customer=Customer(name="-", phone="-"),
        dropoff=Dropoff(street="-"),
        payment=Payment(prepaid=True, amount=Decimal(0), currency="XXX", method="none"),
    )


@pytest.mark.quirk("O-03")
@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("id", None, "id: missing"),
        ("business_id", "", "business_id: missing"),
        ("delivery_type", None, "delivery_type: missing"),
        ("delivery_type", 7, "delivery_type: not one of 1 to 5"),
        ("delivery_type", True, "delivery_type: Input should be a valid string"),
        ("currency", None, "currency: missing"),
        ("currency", "kr.", "payment.currency: String should match pattern '^[A-Z]{3}$'"),
        ("summary", None, "summary.total: missing"),
        ("summary__total", "much", "summary.total: not an amount of money"),
        ("summary__total", True, "summary.total: not an amount of money"),
        ("summary__total", -1, "summary.total: not an amount of money"),
        ("summary__total", float("inf"), "summary.total: not an amount of money"),
        ("summary__total", 1e30, "summary.total: not an amount of money"),
        ("customer", None, "customer.cellphone: missing; customer.address: missing"),
        ("customer__cellphone", " ", "customer.cellphone: missing"),
        ("customer__address", None, "customer.address: missing"),
        ("customer__address", ["Nørregade"], "customer.address: Input should be a valid string"),
        ("delivery_datetime_utc", 1_795_282_800, "delivery_datetime_utc: not a date with a time"),
        ("delivery_datetime_utc", "2026-11-21", "delivery_datetime_utc: not a date with a time"),
        ("delivery_datetime_utc", "2026-13-21 10:00:00", "delivery_datetime_utc: no such date or time"),
        ("delivery_datetime", "0001-01-01 00:00:00", "delivery_datetime: the year must be between 2000 and 2099"),
    ],
)
def test_an_invalid_required_field_is_refused_with_its_name(path: str, value: object, reason: str) -> None:
    assert refusal(changed(**{path: value})) == reason


UNKNOWN = "paymethod.gateway: unknown whether it is prepaid or paid at the door; set PAYMETHODS for it"


@pytest.mark.quirk("O-05")
def test_an_order_without_a_paymethod_is_refused() -> None:
    assert refusal(changed(paymethod=None, paymethod_id=None)) == "paymethod.gateway: missing"


@pytest.mark.quirk("O-05")
@pytest.mark.parametrize("paymethod", [None, {"gateway": "stripe_link"}, {"gateway": "Cash"}, {"gateway": "barter"}])
def test_an_order_with_an_unknown_paymethod_is_refused(paymethod: object) -> None:
    assert refusal(changed(paymethod=paymethod)) == UNKNOWN


@pytest.mark.quirk("O-05")
@pytest.mark.parametrize("gateway", sorted(PREPAID))
def test_a_prepaid_order_owes_nothing_at_the_door(gateway: str) -> None:
    order = read_order(changed(paymethod__gateway=gateway), DENMARK)
    assert order.payment == Payment(prepaid=True, amount=Decimal("125.10"), currency="DKK", method=gateway)


@pytest.mark.quirk("O-04", "O-05")
@pytest.mark.parametrize(("gateway", "method"), AT_THE_DOOR.items())
def test_an_order_paid_at_the_door_owes_its_total(gateway: str, method: str) -> None:
    order = read_order(changed(paymethod__gateway=gateway, cash=None), DENMARK)
    assert order.payment == Payment(prepaid=False, amount=Decimal("125.10"), currency="DKK", method=method)


@pytest.mark.quirk("O-05")
@pytest.mark.parametrize("key", ["1", "barter"])
@pytest.mark.parametrize("prepaid", [True, False])
def test_the_settings_may_define_a_paymethod(key: str, prepaid: bool) -> None:  # noqa: FBT001 - a table's column
    order = read_order(changed(paymethod__gateway="barter"), ProjectDefaults(paymethods={key: prepaid}))
    assert (order.payment.prepaid, order.payment.method) == (prepaid, "barter")


@pytest.mark.quirk("O-05")
def test_the_settings_may_define_a_paymethod_by_its_id_alone() -> None:
    order = read_order(changed(paymethod=None), ProjectDefaults(paymethods={"1": False}))
    assert (order.payment.prepaid, order.payment.method) == (False, "cash")


def test_an_order_partly_paid_from_a_wallet_is_refused_unless_it_is_prepaid() -> None:
    wallet = [{"event": "payment", "amount": 50, "wallet_event": {"id": 3}}]
    assert refusal(changed(payment_events=wallet)) == (
        "payment_events: partly paid from a wallet, and the amount still due is not given"
    )
    assert read_order(changed(payment_events=wallet, paymethod__gateway="stripe")).payment.prepaid


@pytest.mark.quirk("O-04")
@pytest.mark.parametrize(
    ("cash", "change_for"),
    [("200", "200.00"), (200, "200.00"), ("125.10", "125.10"), ("100", None), ("", None), (0, None), (None, None)],
)
def test_cash_is_the_banknote_and_never_the_amount_due(cash: object, change_for: str | None) -> None:
    payment = read_order(changed(cash=cash), DENMARK).payment
    assert payment.amount == Decimal("125.10")
    assert payment.change_for == (None if change_for is None else Decimal(change_for))


@pytest.mark.quirk("O-22")
@pytest.mark.parametrize(
    ("total", "amount"),
    [(0.1, "0.10"), (0.07 + 0.01, "0.08"), (125, "125.00"), ("99.999", "100.00"), (1e3, "1000.00")],
)
def test_money_as_a_float_is_rounded_to_two_places(total: object, amount: str) -> None:
    assert str(read_order(changed(summary__total=total)).payment.amount) == amount


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("total", "currency", "amount", "noted"),
    [
        (61.505, "SAR", "61.51", {"summary.total"}),
        ("61.505", "KWD", "61.505", set()),
        (61.5, "sar", "61.50", set()),
        (125.09999999999999, "SAR", "125.10", set()),
        (1500, "JPY", "1500", set()),
        (1500.5, "JPY", "1501", {"summary.total"}),
    ],
)
def test_an_amount_that_its_currency_cannot_pay_is_rounded_and_noted(
    total: object, currency: str, amount: str, noted: set[str]
) -> None:
    ignored: set[str] = set()
    payment = read_order(changed(summary__total=total, currency=currency, cash=None), DENMARK, ignored).payment
    assert (payment.amount, ignored) == (Decimal(amount), noted)


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("path", "value", "without"),
    [
        ("business", [], {"business": None}),
        ("delivery_option", [], {"delivery_option": None}),
        ("customer__location", [], {"customer__location": None}),
        ("summary", [], {"summary": None, "total": 125.10}),
        ("payment_events", {}, {"payment_events": None}),
        ("products", {}, {"products": None}),
    ],
)
def test_an_empty_object_of_php_counts_as_absent(path: str, value: object, without: dict[str, object]) -> None:
    total = {"total": without.pop("total", None)}
    assert read_order(changed(**{path: value}) | total) == read_order(changed(**without) | total)


@pytest.mark.fault("F-80")
def test_a_list_that_php_writes_as_an_object_is_read() -> None:
    products = {str(number): product for number, product in enumerate(PLATFORM_ORDER["products"], 1)}
    assert read_order(changed(products=products), DENMARK) == READ


@pytest.mark.fault("F-80")
@pytest.mark.parametrize("value", [["x"], {"x": 1}, True])
@pytest.mark.parametrize(
    ("path", "noted"),
    [
        ("comment", "comment"),
        ("cash", "cash"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
        ("customer__lastname", "lastname"),
        ("customer__zipcode", "zipcode"),
        ("customer__address_notes", "address_notes"),
    ],
)
def test_a_field_that_does_not_decide_counts_as_absent_when_it_is_unreadable(
    path: str, noted: str, value: object
) -> None:
    ignored: set[str] = set()
    assert read_order(changed(**{path: value}), DENMARK, ignored) == read_order(changed(**{path: None}), DENMARK)
    assert ignored == {noted}


@pytest.mark.fault("F-80")
@pytest.mark.parametrize("never", ["0000-00-00 00:00:00", "0000-00-00T00:00:00.000000Z"])
def test_the_time_zero_of_mysql_is_no_time(never: str) -> None:
    times = dict.fromkeys(("delivery_datetime", "delivery_datetime_utc", "created_at", "updated_at"), never)
    assert read_order(changed(**times)) == read_order(changed(**dict.fromkeys(times)))


@pytest.mark.fault("F-80")
def test_a_line_of_the_platform_may_be_weighed_or_be_a_discount() -> None:
    products = [
        {"name": "Cheese, kg", "quantity": 0.75, "price": 99.9},
        {"name": "Cola", "quantity": "2.00", "price": "20"},
        {"name": "Voucher", "quantity": 1, "price": -20},
        {"name": "Bread", "quantity": [], "price": "x"},
        "Salt",
        {"name": None},
    ]
    ignored: set[str] = set()
    assert read_order(changed(products=products), DENMARK, ignored).items == (
        Item(name="Cheese, kg", quantity=1, unit_price=Decimal("74.925")),
        Item(name="Cola", quantity=2, unit_price=Decimal("20.00")),
        Item(name="Voucher", quantity=1, unit_price=Decimal("-20.00")),
        Item(name="Bread"),
    )
    assert ignored == {"quantity", "price", "products"}


@pytest.mark.fault("F-81")
@pytest.mark.parametrize(
    ("created_at", "placed_at"),
    [("2026-11-21 16:00:13", datetime(2026, 11, 21, 16, 0, 13, tzinfo=UTC)), (None, None), ("yesterday", None)],
)
def test_the_time_at_which_an_order_was_placed_is_read(created_at: object, placed_at: datetime | None) -> None:
    assert read_time_placed(changed(created_at=created_at)) == placed_at


@pytest.mark.quirk("O-03")
def test_the_settings_supply_a_missing_currency() -> None:
    assert read_order(changed(currency=None), ProjectDefaults(currency="SAR")).payment.currency == "SAR"


@pytest.mark.quirk("O-22")
def test_card_data_is_dropped() -> None:
    assert "4111111111111111" not in read_order(PLATFORM_ORDER).model_dump_json()


@pytest.mark.quirk("O-06")
@pytest.mark.parametrize(
    ("utc", "local", "due"),
    [
        ("2026-11-21 17:40:00", None, "2026-11-21T17:40:00+00:00"),
        ("2026-11-21T17:40:00.000000Z", "2026-11-21 09:00", "2026-11-21T17:40:00+00:00"),
        (None, "2026-11-21 18:40:00", "2026-11-21T17:40:00+00:00"),
        (None, "2026-11-21T18:40:00-05:00", "2026-11-21T23:40:00+00:00"),
        ("2026-11-21 16:00:00", "2026-11-21 17:00:00", None),
        (None, "2026-11-21 17:00:00", None),
        ("2026-11-21 16:00:13", None, None),
        ("", "", None),
    ],
)
def test_a_requested_time_not_later_than_the_order_means_as_soon_as_possible(
    utc: str | None, local: str | None, due: str | None
) -> None:
    order = read_order(changed(delivery_datetime_utc=utc, delivery_datetime=local))
    assert order.deliver_at == (None if due is None else datetime.fromisoformat(due))


def test_the_settings_supply_a_missing_time_zone() -> None:
    raw = changed(delivery_datetime_utc=None, business=None)
    assert read_order(raw, ProjectDefaults(timezone="Asia/Riyadh")).deliver_at is None
    assert read_order(raw, ProjectDefaults(timezone="America/New_York")).deliver_at == datetime(
        2026, 11, 21, 23, 40, tzinfo=UTC
    )


@pytest.mark.fault("F-52")
@pytest.mark.quirk("O-06", "X-01")
@pytest.mark.parametrize(
    ("local", "zone", "instant"),
    [
        ("2027-10-31 02:30:00", "Europe/Copenhagen", "2027-10-31T00:30"),
        ("2027-03-28 02:30:00", "Europe/Copenhagen", "2027-03-28T01:30"),
        ("2027-01-01 00:30:00", "Europe/Copenhagen", "2026-12-31T23:30"),
        ("2028-02-29 20:00:00", "America/Sao_Paulo", "2028-02-29T23:00"),
        ("2038-01-19 06:14:08", "Asia/Riyadh", "2038-01-19T03:14:08"),
    ],
    ids=["twice-in-autumn", "never-in-spring", "new-year", "leap-day", "2038"],
)
def test_an_ambiguous_local_time_is_the_first_one_in_the_shops_zone(local: str, zone: str, instant: str) -> None:
    raw = changed(delivery_datetime_utc=None, delivery_datetime=local, business__timezone=zone)
    assert read_order(raw).deliver_at == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.quirk("O-06")
def test_a_local_time_without_a_zone_is_refused() -> None:
    raw = changed(delivery_datetime_utc=None, business=None)
    assert refusal(raw) == "delivery_datetime_utc: missing; business.timezone: missing"


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../etc", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    raw = changed(delivery_datetime_utc=None, business__timezone=name)
    assert refusal(raw) == "business.timezone: not an IANA time zone"


@pytest.mark.parametrize(
    ("updated_at", "revision"),
    [
        ("2026-11-21 16:00:13", 1),
        ("2026-11-21 16:00:14", 2),
        ("2026-11-22 16:00:13", 86_401),
        ("2020-01-01 00:00:00", 1),
        (None, 1),
    ],
)
def test_the_revision_grows_with_every_change(updated_at: str | None, revision: int) -> None:
    assert read_order(changed(updated_at=updated_at)).revision == revision


@pytest.mark.parametrize(
    ("fields", "phone"),
    [
        ({"cellphone": "20304050", "country_phone_code": "45"}, "+45 20304050"),
        ({"cellphone": "20304050", "country_phone_code": "+45"}, "+45 20304050"),
        ({"cellphone": "20304050", "country_phone_code": None}, "20304050"),
        ({"cellphone": "+4520304050", "country_phone_code": "45"}, "+4520304050"),
        ({"cellphone": "004520304050", "country_phone_code": 45}, "004520304050"),
        ({"cellphone": "5511912345678", "country_phone_code": "55"}, "+5511912345678"),
        ({"cellphone": "55912345678", "country_phone_code": "55"}, "+55 55912345678"),
        ({"cellphone": "966501234567", "country_phone_code": "966"}, "+966501234567"),
        ({"cellphone": "0501234567", "country_phone_code": "966"}, "+966 0501234567"),
        ({"cellphone": "55", "country_phone_code": "55"}, "+55 55"),
        (
            {"cellphone": None, "guest_cellphone": "20304050", "guest_id": "g1", "country_phone_code": 45},
            "+45 20304050",
        ),
        ({"cellphone": None, "phone": "20304050", "country_phone_code": None}, "20304050"),
    ],
)
def test_a_country_code_is_put_before_a_national_phone_number(fields: dict[str, object], phone: str) -> None:
    customer = {"address": "Nørregade 7", **fields}
    assert read_order(changed(customer=customer)).customer == Customer(name="Guest", phone=phone)


@pytest.mark.parametrize("location", [None, "55,10", {}, {"lat": 55.39}, {"lat": 0, "lng": 0}, {"lat": None, "lng": 3}])
def test_an_invalid_position_counts_as_none(location: object) -> None:
    dropoff = read_order(changed(customer__location=location)).dropoff
    assert (dropoff.latitude, dropoff.longitude) == (None, None)


def test_a_position_on_the_equator_is_valid() -> None:
    dropoff = read_order(changed(customer__location={"lat": 0, "lng": "32.5"})).dropoff
    assert (dropoff.latitude, dropoff.longitude) == (0.0, 32.5)


@pytest.mark.quirk("O-03")
@pytest.mark.parametrize("beside", [None, {}, {"lat": 0, "lng": 0}])
def test_the_position_may_be_a_field_of_the_order_instead_of_the_customer(beside: object) -> None:
    dropoff = read_order(changed(customer__location=beside) | {"location": {"lat": 55.4, "lng": "10.4"}}).dropoff
    assert (dropoff.latitude, dropoff.longitude) == (55.4, 10.4)


@pytest.mark.quirk("O-11", "O-19")
@pytest.mark.parametrize("number", range(26))
def test_every_status_is_read_as_a_number_or_as_text(number: int) -> None:
    assert [read_order(changed(status=status)).status for status in (number, str(number))] == [number] * 2


@pytest.mark.quirk("O-11")
@pytest.mark.parametrize("status", [True, False, "done", 7.5, [7]])
def test_an_invalid_status_is_refused(status: object) -> None:
    assert refusal(changed(status=status)).startswith("status: ")


@pytest.mark.quirk("O-11")
@pytest.mark.parametrize("status", [None, ""])
def test_a_missing_status_is_not_pending(status: object) -> None:
    assert read_order(changed(status=status)).status is None


@pytest.mark.quirk("O-07")
@pytest.mark.parametrize("number", range(1, 6))
def test_every_delivery_type_is_read_as_a_number_or_as_text(number: int) -> None:
    read = [read_order(changed(delivery_type=given)).delivery_type for given in (number, str(number))]
    assert read == [list(DeliveryType)[number - 1]] * 2


@pytest.mark.quirk("O-09", "O-22", "O-26")
def test_fields_that_no_courier_needs_are_dropped() -> None:
    options = {"options": [{"name": "Without onion"}], "ingredients": [{"name": "Ketchup"}]}
    unneeded = {
        "driver_id": 9,
        "driver_tip": 12.34,
        "delivery_zone_id": 3,
        "offer_id": 4,
        "app_id": "web",
        "pay_data": "x",
    }
    raw = changed(products=[{**PLATFORM_ORDER["products"][0], **options}, PLATFORM_ORDER["products"][1]]) | unneeded
    assert read_order(raw, DENMARK) == READ


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["2000-01-01 00:00+23:59"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["lat", "name"]), inner, max_size=3),
    max_leaves=8,
)


@given(path=st.sampled_from(paths(PLATFORM_ORDER)), value=ANYTHING)
def test_any_value_in_any_field_is_read_or_refused_with_a_reason(path: str, value: object) -> None:
    said = outcome(with_field(PLATFORM_ORDER, path, value))
    assert isinstance(said, Order) or ": " in str(said)


def test_a_translated_order_survives_serialisation() -> None:
    order = read_order(PLATFORM_ORDER)
    assert Order.model_validate(json.loads(order.model_dump_json())) == order


R = Reaction
DOCUMENTED = {
    0: ("Pending", R.DISPATCH),
    1: ("Completed", R.CLOSED),
    2: ("Rejected", R.CANCEL),
    3: ("Driver in business", R.COURIER),
    4: ("Preparation Completed", R.READY),
    5: ("Rejected by business", R.CANCEL),
    6: ("Canceled by Driver", R.OPERATOR),
    7: ("Accepted by business", R.ACCEPTED),
    8: ("Accepted by driver", R.COURIER),
    9: ("Pick up completed by driver", R.COURIER),
    10: ("Pick up Failed by driver", R.OPERATOR),
    11: ("Delivery completed by driver", R.ENDED),
    12: ("Delivery Failed by driver", R.ENDED),
    13: ("Preorder", R.SCHEDULE),
    14: ("order not ready", R.NOT_READY),
    15: ("Pickup completed by customer", R.OUT_OF_SCOPE),
    16: ("canceled by customer", R.CANCEL),
    17: ("Not picked by customer", R.OUT_OF_SCOPE),
    18: ("Driver almost arrived to business", R.COURIER),
    19: ("Driver almost arrived to customer", R.COURIER),
    20: ("customer almost arrived to business", R.IGNORE),
    21: ("customer arrived to business", R.IGNORE),
    22: ("looking for driver", R.SEEKING),
    23: ("driver on way", R.COURIER),
    24: ("Driver waiting for order", R.COURIER),
    25: ("Accepted by driver company", R.COURIER),
}
"""The API document's own list ("Orders statuses"), and what each means to us."""


@pytest.mark.quirk("O-13", "O-14", "O-25")
def test_every_documented_status_has_its_reaction() -> None:
    assert {number: reaction for number, (_, reaction) in DOCUMENTED.items()} == INBOUND


@pytest.mark.quirk("O-08", "O-19")
def test_every_documented_status_has_its_name() -> None:
    words = {number: name.upper().replace(" ", "_") for number, (name, _) in DOCUMENTED.items()}
    assert words == {status.value: status.name for status in PlatformStatus}


def test_every_reaction_has_a_status() -> None:
    assert set(INBOUND.values()) == set(Reaction)


@pytest.mark.quirk("O-11", "O-25")
@pytest.mark.parametrize(
    ("status", "reaction"), [(None, R.DISPATCH), (0, R.DISPATCH), (16, R.CANCEL), (26, R.IGNORE), (-1, R.IGNORE)]
)
def test_an_order_without_a_status_is_dispatched_and_an_unknown_status_is_ignored(
    status: int | None, reaction: Reaction
) -> None:
    assert reaction_to(status) is reaction


@pytest.mark.quirk("O-12", "O-13")
def test_a_new_order_that_is_closed_cancelled_or_has_a_driver_is_not_dispatched() -> None:
    assert {number: why for number in DOCUMENTED if (why := reaction_to(number).skips)} == {
        **dict.fromkeys((3, 6, 8, 9, 10, 18, 19, 23, 24, 25), "own_driver"),
        **dict.fromkeys((1, 11, 12, 15, 17), "closed"),
        **dict.fromkeys((2, 5, 16), "cancelled"),
    }
