"""Orders that DeliverIt cannot take: `book` refuses them before any call, and `check_order` without building one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.order import Order
from schemas.status import Reason
from tests.carriers.deliverit.replies import change_customer, change_dropoff, error_of, unpaid, without_company
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import Booking
from worker.errors import Refused, Unavailable

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
WAYS = {
    "book-form": {"mode": "book", "encoding": "form"},
    "book-json": {"mode": "book", "encoding": "json"},
    "transfer-form": {"mode": "transfer", "encoding": "form"},
    "transfer-json": {"mode": "transfer", "encoding": "json"},
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
SKIPPED = datetime(2027, 3, 28, 2, 30, tzinfo=COPENHAGEN)
FAULTS: dict[str, Callable[[Booking], Booking]] = {
    "payment.prepaid": unpaid,
    "customer.name": lambda booking: change_customer(booking, name=" "),
    "customer.phone": lambda booking: change_customer(booking, phone="+46701234567"),
    "dropoff.street": lambda booking: change_dropoff(booking, street=" , "),
    "dropoff.postal_code": lambda booking: change_dropoff(booking, postal_code="50001"),
    "pickup_at": lambda booking: replace(booking, pickup_at=SKIPPED),
    "dropoff.latitude": lambda booking: change_dropoff(booking, latitude=None),
    "dropoff.longitude": lambda booking: change_dropoff(booking, longitude=None),
}
"""One change for each field that makes an order impossible in every mode and encoding."""
ODD = {
    "dropoff.city": lambda booking: change_dropoff(booking, city=""),
    "one name": lambda booking: change_customer(booking, name="Anna"),
    "no number": lambda booking: change_dropoff(booking, street="Strandvejen"),
    "long notes": lambda booking: change_dropoff(booking, notes="ring\x00 " * 200),
}
"""Changes that at most one mode refuses."""


def outcome(act: Callable[[], object]) -> tuple[Reason, str] | None:
    """Return the reason and the text of a refusal; None when nothing is refused."""
    try:
        act()
    except Refused as refused:
        return refused.reason, refused.text
    return None


def codec_of(account: DeliverItAccount, way: dict[str, Any]) -> DeliverIt:
    return DeliverIt(account.model_copy(update=way), {})


@every_way
@pytest.mark.parametrize("field", FAULTS)
@pytest.mark.quirk("D-13", "D-14", "D-16", "D-17", "D-19", "D-71")
def test_a_check_refuses_an_order_with_the_same_reason_and_text_as_its_create(
    account: DeliverItAccount, booking: Booking, now: datetime, field: str, way: dict[str, Any]
) -> None:
    codec, impossible = codec_of(account, way), FAULTS[field](booking)
    refused = outcome(lambda: codec.check_order(impossible, now))
    assert refused is not None
    assert refused[1].startswith(field)
    assert refused == outcome(lambda: codec.book(impossible, now))


@every_way
def test_a_check_accepts_an_order_that_a_create_accepts(
    account: DeliverItAccount, booking: Booking, now: datetime, way: dict[str, Any]
) -> None:
    codec = codec_of(account, way)
    codec.check_order(booking, now)
    assert codec.book(booking, now).attempt_ids == (booking.attempt_id,)


@every_way
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.sampled_from([*FAULTS.values(), *ODD.values()]), max_size=4))
def test_a_check_and_a_create_agree_on_every_combination_of_faults(
    account: DeliverItAccount,
    booking: Booking,
    now: datetime,
    way: dict[str, Any],
    changes: list[Callable[[Booking], Booking]],
) -> None:
    codec = codec_of(account, way)
    for change in changes:
        booking = change(booking)
    assert outcome(lambda: codec.check_order(booking, now)) == outcome(lambda: codec.book(booking, now))


@pytest.mark.parametrize(("mode", "expected"), [("book", None), ("transfer", (Reason.VALIDATION, "dropoff.city"))])
def test_only_a_transfer_needs_a_city(
    account: DeliverItAccount, booking: Booking, now: datetime, mode: str, expected: tuple[Reason, str] | None
) -> None:
    codec, nowhere = codec_of(account, {"mode": mode}), change_dropoff(booking, city="")
    assert outcome(lambda: codec.check_order(nowhere, now)) == expected
    assert outcome(lambda: codec.book(nowhere, now)) == expected


@every_way
def test_an_order_can_be_checked_before_the_company_is_known(
    account: DeliverItAccount, booking: Booking, now: datetime, way: dict[str, Any]
) -> None:
    codec = without_company(account.model_copy(update=way))
    codec.check_order(booking, now)
    assert isinstance(error_of(lambda: codec.book(booking, now)), Unavailable)
    assert isinstance(error_of(lambda: codec.check_order(unpaid(booking), now)), Refused)


@pytest.mark.quirk("D-16")
@pytest.mark.parametrize("phone", ["+46701234567", "+45123456789", "1234", "none", "+"])
def test_any_other_phone_is_refused_before_the_call(
    codec: DeliverIt, booking: Booking, now: datetime, phone: str
) -> None:
    error = error_of(lambda: codec.book(change_customer(booking, phone=phone), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (Reason.VALIDATION, "customer.phone")


@pytest.mark.quirk("D-13", "D-17")
@pytest.mark.parametrize(
    ("field", "value"),
    [("latitude", None), ("longitude", None), ("postal_code", ""), ("postal_code", "50001"), ("street", " , ")],
)
def test_a_missing_required_field_is_refused_before_the_call(
    codec: DeliverIt, booking: Booking, now: datetime, field: str, value: str | None
) -> None:
    error = error_of(lambda: codec.book(change_dropoff(booking, **{field: value}), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (Reason.VALIDATION, f"dropoff.{field}")


def test_a_name_of_spaces_is_refused(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    error = error_of(lambda: codec.book(change_customer(booking, name="  "), now))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (Reason.VALIDATION, "customer.name")


@pytest.mark.quirk("D-19")
def test_an_order_with_money_to_collect_is_refused(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    unpaid = booking.order.payment.model_copy(update={"prepaid": False, "method": "cash"})
    order: Order = booking.order.model_copy(update={"payment": unpaid})
    error = error_of(lambda: codec.book(replace(booking, order=order), now))
    assert isinstance(error, Refused)
    assert error.reason is Reason.UNSERVICEABLE


@pytest.mark.quirk("D-14")
def test_a_pickup_in_the_skipped_hour_is_refused(codec: DeliverIt, booking: Booking, now: datetime) -> None:
    skipped = datetime(2027, 3, 28, 2, 30, tzinfo=COPENHAGEN)
    error = error_of(lambda: codec.book(replace(booking, pickup_at=skipped), now))
    assert isinstance(error, Refused)
    assert error.reason is Reason.VALIDATION
