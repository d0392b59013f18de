"""The day list, compared with an attempt whose cancel link is not known."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.carriers.deliverit.conftest import ATTEMPT_ID
from tests.carriers.deliverit.replies import REFERENCE, TOKEN, make_list, make_row
from worker.carriers.abilities import ListedOrder
from worker.carriers.comparison import Comparison
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Price
from worker.http.call import Operation

CREATED = {"date": "2026-11-21 18:00:05.000000", "timezone_type": 3, "timezone": "Europe/Berlin"}
OURS: dict[str, Any] = {
    "created_at": CREATED, "telephone": "+4520304050", "address": "Hovedgaden 1", "zip": "5000",
    "remarks": f"#{REFERENCE} 2011", "pickupTime": "20:15", "deliveryPrice": "60",
}  # fmt: skip
LISTED = ListedOrder(
    ref=TOKEN,
    status="created",
    created_at=datetime(2026, 11, 21, 17, 0, 5, tzinfo=UTC),
    pickup_at=datetime(2026, 11, 21, 19, 15, tzinfo=UTC),
    price=Price(Decimal(60), "DKK"),
    attempt_ids=frozenset({ATTEMPT_ID}),
    phone=Comparison.MATCHES,
    address=Comparison.MATCHES,
)


def test_the_days_of_the_create_are_requested_as_a_query_of_an_operator(
    codec: DeliverIt, unknown: AttemptView, now: datetime
) -> None:
    (call,) = codec.list_near(unknown, now)
    assert (call.operation, call.method, call.path) == (
        Operation.QUERY, "GET", "/api/v1/order/14/2026-11-21/2026-11-21",
    )  # fmt: skip


@pytest.mark.quirk("D-61")
@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, LISTED),
        ({"remarks": "by phone"}, replace(LISTED, attempt_ids=frozenset())),
        ({"canceUrl": None}, replace(LISTED, ref=None)),
        ({"telephone": "+4520304051"}, replace(LISTED, phone=Comparison.DIFFERS)),
        ({"telephone": "N/A"}, replace(LISTED, phone=Comparison.NOT_SHOWN)),
        ({"address": "Hovedgaden 12"}, replace(LISTED, address=Comparison.DIFFERS)),
        ({"zip": "5200"}, replace(LISTED, address=Comparison.DIFFERS)),
        ({"zip": None}, LISTED),
        ({"created_at": None}, replace(LISTED, created_at=None)),
        ({"deliveryPrice": None, "cancel": "1"}, replace(LISTED, price=None, status="cancelled")),
    ],
)
def test_a_row_is_compared_and_nothing_of_its_customer_is_kept(
    codec: DeliverIt, unknown: AttemptView, now: datetime, changes: dict[str, Any], result: ListedOrder
) -> None:
    (call,) = codec.list_near(unknown, now)
    found = codec.read_near(call, make_list(make_row(**OURS | changes)), unknown, now)
    assert (found.orders, found.complete, found.next_page) == ((result,), True, None)
    assert not [each for each in ("20304050", "Hovedgaden", "Customer") if each in repr(found)]


@pytest.mark.quirk("D-54")
def test_a_list_with_an_unreadable_row_is_not_complete(codec: DeliverIt, unknown: AttemptView, now: datetime) -> None:
    (call,) = codec.list_near(unknown, now)
    assert not codec.read_near(call, make_list("?", make_row(**OURS)), unknown, now).complete


@pytest.mark.quirk("D-70")
def test_transfers_are_not_listed(account: DeliverItAccount, unknown: AttemptView, now: datetime) -> None:
    codec = DeliverIt(account.model_copy(update={"mode": "transfer"}), {})
    assert codec.list_near(unknown, now) == []


@pytest.mark.quirk("D-10")
def test_an_order_is_named_as_it_was_sent(codec: DeliverIt, unknown: AttemptView) -> None:
    assert codec.sent_names(unknown) == {"remarks": f"#{REFERENCE}", "order number": "2011"}
