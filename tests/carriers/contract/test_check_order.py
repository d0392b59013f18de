"""What every carrier promises of `check_order`: it refuses exactly what `book` refuses."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.order import Customer, Dropoff, Item, Order, Payment
from schemas.status import Reason
from tests.carriers.contract.subjects import BOOKING, SUBJECTS, Subject
from tests.carriers.sample import NOW
from worker.carriers.port import Booking, Carrier
from worker.errors import Refused

subjects = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)

PHONES = st.sampled_from(
    ["+4520304050", "20 30 40 50", "11 90000-0001", "+4520304050;ext=1", "20304050 ramal 7", "12", "call me", " "]
)
TEXTS = st.sampled_from(["Nørregade 7", "Jane Doe", "x", " ", "\n", "\x00", "x" * 351, "🍕" * 600])
OPTIONAL_TEXTS = st.just("") | TEXTS
COORDINATES = st.sampled_from([(55.39, 10.38), (10.38, 55.39), (0.0, 0.0), (None, None)])
AMOUNTS = st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("125.00"), Decimal("9999999999.99")])
MINUTES = st.sampled_from([-600, -5, 0, 4, 20, 180, 2_000])
DROPOFFS = st.builds(
    lambda texts, position: Dropoff(**texts, latitude=position[0], longitude=position[1]),
    st.fixed_dictionaries(
        {"street": TEXTS},
        optional=dict.fromkeys(("unit", "postal_code", "city", "country", "notes"), OPTIONAL_TEXTS),
    ),
    COORDINATES,
)
PAYMENTS = st.builds(
    Payment,
    prepaid=st.booleans(),
    amount=AMOUNTS,
    currency=st.sampled_from(["DKK", "BRL", "SAR"]),
    method=st.sampled_from(["card", "cash", "CASH", "voucher", ""]),
    change_for=st.none() | AMOUNTS,
)
ITEMS = st.lists(
    st.builds(
        Item,
        name=st.sampled_from(["x", "🍕" * 600]),
        quantity=st.integers(0, 2),
        unit_price=st.none() | AMOUNTS | st.just(Decimal("-20.00")),
    ),
    max_size=3,
)
ORDERS = st.builds(
    Order,
    order_id=st.just("2011"),
    store_id=st.just("17"),
    customer=st.builds(Customer, name=TEXTS.filter(lambda name: len(name) <= 350), phone=PHONES),
    dropoff=DROPOFFS,
    payment=PAYMENTS,
    items=ITEMS,
    notes=OPTIONAL_TEXTS,
)
SETTINGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "borzo": st.fixed_dictionaries(
        {
            "cod": st.booleans(),
            "cod_voucher": st.booleans(),
            "packages": st.booleans(),
            "insurance": st.sampled_from(["none", "order"]),
            "payment_method": st.sampled_from(["balance", "cash"]),
        }
    ),
    "cervo": st.fixed_dictionaries(
        {
            "currency": st.sampled_from(["DKK", "BRL", "SAR"]),
            "bounds": st.sampled_from([None, "55,10,56,11"]),
            "payment_tokens": st.sampled_from([{}, {"voucher": "VOUCHER"}]),
        }
    ),
}
"""The settings that decide which orders an account takes."""


@st.composite
def bookings(draw: st.DrawFn) -> Booking:
    """A booking of any order, from a store that may be incomplete itself."""
    store = BOOKING.store.model_copy(
        update={
            "phone": draw(PHONES),
            "street": draw(TEXTS),
            "city": draw(OPTIONAL_TEXTS),
            "country": draw(st.sampled_from(["DK", "BR"])),
        }
    )
    pickup_at = NOW + timedelta(minutes=draw(MINUTES))
    deliver_at = draw(st.none() | MINUTES.map(lambda minutes: pickup_at + timedelta(minutes=minutes)))
    order = draw(ORDERS).model_copy(update={"deliver_at": deliver_at})
    return replace(BOOKING, order=order, store=store, pickup_at=pickup_at, deliver_at=deliver_at)


def with_settings(codec: Carrier, changes: dict[str, Any]) -> Carrier:
    """The same carrier with another account."""
    return type(codec)(codec.account_type.model_validate({**codec.account.model_dump(), **changes}), {})


def refusal(act: Callable[[], object]) -> tuple[Reason, str] | None:
    """Return the reason and the text of a refusal; None without one."""
    try:
        act()
    except Refused as refused:
        return refused.reason, refused.text
    return None


@subjects
@settings(max_examples=3 * settings().max_examples)
@given(data=st.data())
def test_check_order_refuses_with_the_same_reason_and_text_exactly_when_book_refuses(
    subject: Subject, data: st.DataObject
) -> None:
    codec = with_settings(subject.codec, data.draw(SETTINGS.get(subject.codec.kind, st.just({})), label="settings"))
    booking = data.draw(bookings(), label="booking")
    assert refusal(lambda: codec.check_order(booking, NOW)) == refusal(lambda: codec.book(booking, NOW))


@subjects
def test_check_order_refuses_an_order_that_the_carrier_cannot_deliver_and_no_other(subject: Subject) -> None:
    order = BOOKING.order
    impossible = order.model_copy(
        update={
            "customer": order.customer.model_copy(update={"phone": " "}),
            "payment": order.payment.model_copy(update={"prepaid": False, "currency": "XXX"}),
        }
    )
    assert refusal(lambda: subject.codec.check_order(BOOKING, NOW)) is None
    assert refusal(lambda: subject.codec.check_order(replace(BOOKING, order=impossible), NOW)) is not None
