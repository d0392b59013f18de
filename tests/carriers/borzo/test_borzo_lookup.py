"""The search for an order by our reference in the newest-first list."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.status import DeliveryStatus as S
from schemas.status import Evidence
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Observation, Raw, Reading, reference_of
from worker.http.call import Call, Operation, Reply

Orders = Callable[..., dict[str, Any]]
Listed = Callable[..., Reply]
ORDERS = "/api/business/1.6/orders"
AT = "- -"


def _row(order_of: Orders, order_id: int, minutes: float = 0, **fields: Any) -> dict[str, Any]:
    """An order made so many minutes after the unanswered create was sent."""
    at = datetime(2024, 11, 23, 12, 38, 34, tzinfo=UTC) + timedelta(minutes=minutes)
    return order_of(**{"order_id": order_id, "created_datetime": at.isoformat(), "reference": None, **fields})


@pytest.mark.quirk("B-30", "B-60")
def test_an_order_with_an_unknown_outcome_is_found_by_our_reference(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([unanswered], now)
    assert (call.operation, call.path, call.query, call.attempt_ids) == (Operation.FIND, ORDERS, (), (unanswered.id,))
    order = order_of({"status": "planned"}, status="new", payment_amount=None)
    reading = codec.read(call, listed(order, _row(order_of, 5, -6)), [unanswered], now)
    seen = Observation(
        status=S.CREATED,
        raw=Raw("delivery", "planned", None),
        detail="pending_verification",
        ref="1250032",
        codec_state={"order_status": f"{AT} new", "delivery_status": f"{AT} planned", "point_id": "202686"},
    )
    seen = replace(seen, raw=Raw("delivery", "planned"))
    assert reading == Reading(observations={unanswered.id: (seen,)})


@pytest.mark.parametrize("status", ["unheard_of", "completed", None])
def test_a_found_order_is_created_whatever_its_status(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime, status: str | None
) -> None:
    [call] = codec.find([unanswered], now)
    [seen] = codec.read(call, listed(order_of(status=status)), [unanswered], now).observations[unanswered.id]
    assert (seen.status, seen.evidence, seen.ref) == (S.CREATED, Evidence.ORDER_LEVEL, "1250032")


@pytest.mark.quirk("B-60")
def test_an_order_is_absent_once_the_list_is_older_than_the_create(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    rows = [_row(order_of, 9, 1), _row(order_of, 8, -4), _row(order_of, 7, -6)]
    [call] = codec.find([unanswered], now)
    assert codec.read(call, listed(*rows), [unanswered], now) == Reading(absent=frozenset({unanswered.id}))


@pytest.mark.fault("F-37")
def test_an_order_is_absent_only_after_the_last_page(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([unanswered], now)
    first = codec.read(call, listed(_row(order_of, 9, 1), _row(order_of, 8, 0)), [unanswered], now)
    assert first.next_page
    assert (first.absent, first.next_page.query) == (frozenset(), (("offset", "2"), ("count", "50")))
    second = codec.read(first.next_page, listed(_row(order_of, 8, 0), _row(order_of, 7, 0)), [unanswered], now)
    assert second.next_page
    assert second.next_page.query == (("offset", "4"), ("count", "50"))
    assert codec.read(second.next_page, listed(), [unanswered], now) == Reading(absent=frozenset({unanswered.id}))


def test_an_empty_list_proves_absence(codec: Borzo, unanswered: AttemptView, listed: Listed, now: datetime) -> None:
    [call] = codec.find([unanswered], now)
    assert codec.read(call, listed(), [unanswered], now).absent == frozenset({unanswered.id})


@pytest.mark.quirk("B-50", "B-60")
def test_an_empty_page_proves_nothing_while_the_count_shows_more_orders(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    more = Reply(200, b'{"is_successful": true, "orders": [], "orders_count": 2}')
    [call] = codec.find([unanswered], now)
    assert codec.read(call, more, [unanswered], now) == Reading()
    first = codec.read(call, listed(_row(order_of, 9, 1)), [unanswered], now)
    assert first.next_page
    assert codec.read(first.next_page, more, [unanswered], now) == Reading()
    none = Reply(200, b'{"is_successful": true, "orders": [], "orders_count": 1}')
    assert codec.read(first.next_page, none, [unanswered], now) == Reading(absent=frozenset({unanswered.id}))


@pytest.mark.quirk("B-50", "B-60")
def test_an_order_that_is_older_than_its_id_does_not_end_the_search(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([unanswered], now)
    rows = [_row(order_of, 9, 3), _row(order_of, 8, -60), _row(order_of, 7, 2)]
    reading = codec.read(call, listed(*rows), [unanswered], now)
    assert reading.next_page
    assert reading.absent == frozenset()


@pytest.mark.parametrize("flaw", [None, {}, {"order_id": 4}, {"order_id": 4, "points": [None]}])
def test_an_unreadable_order_prevents_absence(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime, flaw: object
) -> None:
    [call] = codec.find([unanswered], now)
    first = codec.read(call, listed(_row(order_of, 9, 1), flaw), [unanswered], now)
    assert first.next_page
    assert codec.read(first.next_page, listed(_row(order_of, 3, -6)), [unanswered], now) == Reading()


@pytest.mark.fault("F-37")
def test_a_list_without_pages_proves_nothing(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([unanswered], now)
    page = listed(_row(order_of, 9, 1), _row(order_of, 8, 0))
    first = codec.read(call, page, [unanswered], now)
    assert first.next_page
    assert codec.read(first.next_page, page, [unanswered], now) == Reading()


def test_a_search_reads_at_most_a_thousand_orders(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    call: Call | None = codec.find([unanswered], now)[0]
    highest, pages = 10**6, 0
    while call:
        rows = [_row(order_of, highest - n, 1) for n in range(200)]
        highest, pages = highest - 200, pages + 1
        reading = codec.read(call, listed(*rows), [unanswered], now)
        call = reading.next_page
    assert (pages, reading.absent) == (5, frozenset())


@pytest.mark.quirk("B-50")
def test_an_unsorted_list_ends_the_search_only_when_every_order_is_old(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([unanswered], now)
    mixed = codec.read(call, listed(_row(order_of, 7, -6), _row(order_of, 9, 1)), [unanswered], now)
    assert mixed.next_page
    old = codec.read(call, listed(_row(order_of, 7, -7), _row(order_of, 9, -6)), [unanswered], now)
    assert old.absent == frozenset({unanswered.id})


@pytest.mark.fault("F-37")
@pytest.mark.quirk("B-60")
def test_the_oldest_live_order_is_adopted_and_the_others_are_duplicates(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    rows = [
        _row(order_of, 9, 2, reference=unanswered.reference),
        _row(order_of, 8, 1, reference=unanswered.reference),
        _row(order_of, 7, 0, reference=unanswered.reference, status="canceled"),
        _row(order_of, 6, -6),
    ]
    [call] = codec.find([unanswered], now)
    reading = codec.read(call, listed(*rows), [unanswered], now)
    assert (reading.observations[unanswered.id][0].ref, reading.duplicates) == ("8", {unanswered.id: ("9",)})


def test_an_order_of_a_later_page_is_a_duplicate(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([unanswered], now)
    first = codec.read(call, listed(_row(order_of, 9, 2, reference=unanswered.reference)), [unanswered], now)
    assert first.next_page
    later = listed(_row(order_of, 8, 1, reference=unanswered.reference), _row(order_of, 7, -6))
    assert (first.observations[unanswered.id][0].ref, codec.read(first.next_page, later, [unanswered], now)) == (
        "9",
        Reading(duplicates={unanswered.id: ("8",)}),
    )


def test_one_search_covers_many_attempts(
    codec: Borzo, unanswered: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    earlier = replace(unanswered, id=5, submitted_at=unanswered.submitted_at - timedelta(hours=1))
    [call] = codec.find([unanswered, earlier], now)
    rows = [_row(order_of, 9, -6), _row(order_of, 8, -50, reference=reference_of(5)), _row(order_of, 7, -66)]
    reading = codec.read(call, listed(*rows), [unanswered, earlier], now)
    assert (set(reading.observations), reading.absent, reading.next_page) == ({5}, frozenset({unanswered.id}), None)


def test_a_search_for_no_attempt_needs_no_request(codec: Borzo, now: datetime) -> None:
    assert codec.find([], now) == []
