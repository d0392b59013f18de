"""The list of orders, compared with an attempt whose id at Borzo is not known."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.carriers.borzo.conftest import ATTEMPT_ID
from worker.carriers.abilities import ListedOrder
from worker.carriers.borzo import Borzo
from worker.carriers.comparison import Comparison
from worker.carriers.port import AttemptView, Price
from worker.http.call import Call, Operation, Reply

Orders = Callable[..., dict[str, Any]]
Listed = Callable[..., Reply]
LISTED = ListedOrder(
    ref="1250032",
    status="available",
    created_at=datetime(2024, 11, 23, 12, 38, 35, tzinfo=UTC),
    pickup_at=datetime(2024, 11, 23, 13, 8, 35, tzinfo=UTC),
    price=Price(Decimal("18.00"), "BRL"),
    attempt_ids=frozenset({ATTEMPT_ID}),
    phone=Comparison.MATCHES,
    address=Comparison.MATCHES,
    pickup_address=Comparison.MATCHES,
)
"""The document's order."""


@pytest.fixture
def call(codec: Borzo, unanswered: AttemptView, now: datetime) -> Call:
    (first,) = codec.list_near(unanswered, now)
    return first


def test_the_newest_orders_are_requested_as_a_query_of_an_operator(call: Call) -> None:
    assert (call.operation, call.method, call.path, call.query) == (
        Operation.QUERY, "GET", "/api/business/1.6/orders", (),
    )  # fmt: skip


@pytest.mark.quirk("B-55", "B-60")
def test_a_listed_order_is_compared_and_nothing_of_its_customer_is_kept(
    codec: Borzo, call: Call, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    found = codec.read_near(call, listed(order_of()), unanswered, now)
    assert found.orders == (LISTED,)
    assert not [each for each in ("900000001", "Paulista", "Ana") if each in repr(found)]


@pytest.mark.parametrize(
    ("point", "changes", "result"),
    [
        (1, {"client_order_id": None}, replace(LISTED, attempt_ids=frozenset())),
        (1, {"contact_person": {"phone": "5511900000002"}}, replace(LISTED, phone=Comparison.DIFFERS)),
        (1, {"contact_person": None}, replace(LISTED, phone=Comparison.NOT_SHOWN)),
        (1, {"address": "Av. Paulista, 1440"}, replace(LISTED, address=Comparison.DIFFERS)),
        (1, {"address": 7}, replace(LISTED, address=Comparison.NOT_SHOWN)),
        (0, {"address": "R. Augusta, 1"}, replace(LISTED, pickup_address=Comparison.DIFFERS)),
        (0, {"required_start_datetime": "soon"}, replace(LISTED, pickup_at=None)),
    ],
)
def test_what_differs_or_is_not_shown_is_named(  # noqa: PLR0913, PLR0917 - fixtures
    codec: Borzo, call: Call, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime,
    point: int, changes: dict[str, Any], result: ListedOrder,
) -> None:  # fmt: skip
    order = order_of()
    order["points"][point] |= changes
    assert codec.read_near(call, listed(order), unanswered, now).orders == (result,)


def test_one_of_several_customers_may_be_ours(
    codec: Borzo, call: Call, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    order = order_of()
    other = order["points"][1] | {"address": "R. Augusta, 1", "contact_person": {"phone": "5511900000002"}}
    order["points"] = [order["points"][0], other, order["points"][1]]
    assert codec.read_near(call, listed(order), unanswered, now).orders == (LISTED,)


@pytest.mark.quirk("B-50")
def test_the_list_is_read_back_to_a_time_before_the_create(
    codec: Borzo, call: Call, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    first = codec.read_near(call, listed(order_of()), unanswered, now)
    assert first.next_page is not None
    assert (first.complete, first.next_page.operation, first.next_page.query) == (
        False, Operation.QUERY, (("offset", "1"), ("count", "50")),
    )  # fmt: skip
    older = order_of(order_id=1250031, created_datetime="2024-11-23T09:30:00-03:00")
    last = codec.read_near(first.next_page, listed(older), unanswered, now)
    assert (last.complete, last.next_page) == (True, None)


def test_a_list_with_an_unreadable_order_is_not_complete(
    codec: Borzo, call: Call, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    older = order_of(order_id=1250031, created_datetime="2024-11-23T09:30:00-03:00")
    assert not codec.read_near(call, listed({"order_id": "?"}, older), unanswered, now).complete


def test_an_order_is_named_as_it_was_sent(codec: Borzo, unanswered: AttemptView) -> None:
    assert codec.sent_names(unanswered) == {"client_order_id": "0123456789A", "note": "Order 77"}
