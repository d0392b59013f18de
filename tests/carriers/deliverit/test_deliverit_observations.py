"""What a row of the day list says about one order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from schemas.status import CancelledBy, DeliveryStatus, Evidence
from tests.carriers.deliverit.replies import EXAMPLE_LIST, LATE, NO_ORDERS, TOKEN, make_list, make_row
from worker.carriers.deliverit import DeliverIt
from worker.carriers.port import AttemptView, Observation, Price, Raw, Reading
from worker.http.call import Call, Reply

S, E = DeliveryStatus, Evidence
ROW_TABLE = [
    pytest.param({"cancel": 1}, S.CANCELLED, E.OBSERVED, "cancel", None, id="1-flag-D-58"),
    pytest.param({"cancel": True}, S.CANCELLED, E.OBSERVED, "cancel", None, id="1-true"),
    pytest.param({"cancel": "1"}, S.CANCELLED, E.OBSERVED, "cancel", None, id="1-text"),
    pytest.param({"cancel": "true"}, S.CANCELLED, E.OBSERVED, "cancel", None, id="1-word"),
    pytest.param({"canceled_at": "2026-11-21 20:40:00"}, S.CANCELLED, E.OBSERVED, "cancel", "19:40", id="1-at-D-59"),
    pytest.param({"canceled_at": "20:40"}, S.CANCELLED, E.OBSERVED, "cancel", "19:40", id="1-at-clock-D-59"),
    pytest.param(
        {"cancel": 1, "done": "20:50", "driverLeft": "20:20"}, S.DELIVERED, E.OBSERVED, "done", "19:50", id="1-done"
    ),
    pytest.param({"driverLeft": "20:20", "done": "20:50"}, S.DELIVERED, E.OBSERVED, "done", "19:50", id="2-left-D-63"),
    pytest.param(
        {"arriveAtCustomer": "20:40", "done": "20:50"}, S.DELIVERED, E.OBSERVED, "done", "19:50", id="2-customer"
    ),
    pytest.param({"done": "20:50"}, S.DELIVERED, E.WEAK, "done", "19:50", id="3-D-63"),
    pytest.param({"arriveAtCustomer": "20:40"}, S.DROPOFF_ARRIVED, E.OBSERVED, "arriveAtCustomer", "19:40", id="4"),
    pytest.param({"driverLeft": "20:20"}, S.PICKED_UP, E.OBSERVED, "driverLeft", "19:20", id="5"),
    pytest.param({"driverArrive": "20:10"}, S.PICKUP_ARRIVED, E.OBSERVED, "driverArrive", "19:10", id="6"),
    pytest.param(
        {"driverArrive": "21:02"}, S.PICKUP_ARRIVED, E.OBSERVED, "driverArrive", "20:02", id="6-two-minutes-D-57"
    ),
    pytest.param({}, S.CREATED, E.OBSERVED, "N/A", "17:00:05", id="7-D-64"),
    pytest.param({"cancel": "0"}, S.CREATED, E.OBSERVED, "N/A", "17:00:05", id="7-cancel-0-D-58"),
    pytest.param({"driverArrive": "21:03"}, S.CREATED, E.OBSERVED, "N/A", "17:00:05", id="7-future-arrive-D-57"),
    pytest.param({"arriveAtCustomer": "21:10"}, S.CREATED, E.OBSERVED, "N/A", "17:00:05", id="7-future-customer-D-57"),
    pytest.param(
        {"canceled_at": "2026-11-22 20:40:00"}, S.CREATED, E.OBSERVED, "N/A", "17:00:05", id="7-future-cancel"
    ),
    pytest.param({"canceled_at": "0000-00-00 00:00:00"}, S.CREATED, E.OBSERVED, "N/A", "17:00:05", id="7-no-date"),
]


@pytest.mark.quirk("D-57", "D-58", "D-59", "D-63", "D-64")
@pytest.mark.parametrize(("changes", "status", "evidence", "code", "happened"), ROW_TABLE)
def test_the_first_status_rule_that_applies_decides_a_row(
    codec: DeliverIt,
    attempt: AttemptView,
    tracking: Call,
    changes: dict[str, Any],
    status: DeliveryStatus,
    evidence: Evidence,
    code: str,
    happened: str | None,
) -> None:
    (seen,) = codec.read(tracking, make_list(make_row(**changes)), [attempt], LATE).observations[attempt.id]
    when = datetime.fromisoformat(f"2026-11-21 {happened}+00:00") if happened else None
    assert (seen.status, seen.evidence, seen.raw, seen.occurred_at) == (status, evidence, Raw("row", code), when)
    assumed = happened is not None and status is not S.CREATED
    assert seen.occurred_at_assumed_zone == ("Europe/Copenhagen" if assumed else None)


@pytest.mark.quirk("D-52", "D-64")
def test_the_first_read_of_a_row_stores_its_fingerprint_and_times(
    codec: DeliverIt, attempt: AttemptView, tracking: Call
) -> None:
    reading = codec.read(tracking, make_list(make_row(driverArrive="20:10", arriveAtCustomer="21:30")), [attempt], LATE)
    (seen,) = reading.observations[attempt.id]
    assert len(seen.codec_state["row_fingerprint"]) == 32  # D-52
    assert reading == Reading(
        {
            attempt.id: (
                Observation(
                    status=S.PICKUP_ARRIVED,
                    raw=Raw("row", "driverArrive"),
                    occurred_at=datetime(2026, 11, 21, 19, 10, tzinfo=UTC),
                    occurred_at_assumed_zone="Europe/Copenhagen",
                    ref=TOKEN,
                    codec_state={
                        "driver_arrive": "2026-11-21T19:10:00+00:00",
                        "listed_on": "2026-11-21",
                        "row_fingerprint": seen.codec_state["row_fingerprint"],
                        "listed_pickup": "2026-11-21T19:15:00+00:00",
                        "price": "60",
                    },
                    dropoff_eta=datetime(2026, 11, 21, 20, 30, tzinfo=UTC),
                    price=Price(Decimal(60), "DKK"),
                ),
            )
        }
    )


def test_the_documented_example_row_is_read(codec: DeliverIt, attempt: AttemptView) -> None:
    made = datetime(2017, 5, 13, 15, 30, 7, tzinfo=UTC)
    then = replace(attempt, pickup_at=made + timedelta(minutes=29), submitted_at=made, codec_state={})
    (call,) = codec.track([then], made)
    (seen,) = codec.read(call, Reply(200, EXAMPLE_LIST.encode()), [then], made).observations[attempt.id]
    assert (seen.status, seen.ref, seen.occurred_at) == (S.CREATED, TOKEN, made)
    assert seen.pickup_eta == datetime(2017, 5, 13, 15, 59, tzinfo=UTC)


def test_a_cancel_that_we_requested_is_the_merchants(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    ours = replace(attempt, cancel_requested=True)
    reading = [
        codec.read(tracking, make_list(make_row(cancel=1)), [one], LATE).observations[one.id][0]
        for one in (ours, attempt)
    ]
    assert [one.cancelled_by for one in reading] == [CancelledBy.MERCHANT, CancelledBy.UNKNOWN]
    assert [one.detail for one in reading] == [None, None]


def test_a_cancel_after_the_pickup_has_the_detail_with_items(
    codec: DeliverIt, attempt: AttemptView, tracking: Call
) -> None:
    by_row = codec.read(tracking, make_list(make_row(cancel=1, driverLeft="20:20")), [attempt], LATE).observations[
        attempt.id
    ]
    by_rank = codec.read(tracking, make_list(make_row(cancel=1)), [replace(attempt, rank=50)], LATE).observations[
        attempt.id
    ]
    assert [one.detail for one in (*by_row, *by_rank)] == ["with_items", "with_items"]


@pytest.mark.quirk("D-63")
def test_an_order_that_is_done_and_cancelled_is_delivered_and_noted(
    codec: DeliverIt, attempt: AttemptView, tracking: Call
) -> None:
    (seen,) = codec.read(tracking, make_list(make_row(cancel=1, done="20:50")), [attempt], LATE).observations[
        attempt.id
    ]
    assert (seen.status, seen.cancelled_by) == (S.DELIVERED, None)
    assert seen.notes == ("done_without_handover", "cancelled_but_done")


@pytest.mark.fault("F-53")
@pytest.mark.quirk("D-56")
def test_a_trip_rolls_over_midnight(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    late = replace(attempt, codec_state={**attempt.codec_state, "agreed_pickup": "2026-11-21T22:50:00+00:00"})
    changes = {"pickupTime": "23:50", "driverArrive": "23:48", "driverLeft": "23:59", "arriveAtCustomer": "00:14"}
    moment = datetime(2026, 11, 21, 23, 20, tzinfo=UTC)
    (seen,) = codec.read(tracking, make_list(make_row(**changes, done="00:16")), [late], moment).observations[
        attempt.id
    ]
    assert (seen.status, seen.occurred_at) == (S.DELIVERED, datetime(2026, 11, 21, 23, 16, tzinfo=UTC))
    assert seen.codec_state["driver_arrive"] == "2026-11-21T22:48:00+00:00"
    assert seen.codec_state["driver_left"] == "2026-11-21T22:59:00+00:00"


@pytest.mark.quirk("D-57")
@pytest.mark.parametrize("gone", ["N/A", "", "-", None, "23:30"])
def test_a_time_that_disappears_reverts_no_status(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, gone: str | None
) -> None:
    picked_up = replace(
        attempt, codec_state={**attempt.codec_state, "driver_left": "2026-11-21T19:20:00+00:00"}, rank=50
    )
    reply = make_list(make_row(driverArrive="20:10", driverLeft=gone))
    (seen,) = codec.read(tracking, reply, [picked_up], LATE).observations[attempt.id]
    assert (seen.status, seen.occurred_at) == (S.PICKED_UP, datetime(2026, 11, 21, 19, 20, tzinfo=UTC))
    assert seen.notes == ("time_reverted",)


@pytest.mark.quirk("D-54")
def test_a_row_that_vanished_changes_nothing(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    listed_before = replace(attempt, codec_state={**attempt.codec_state, "listed_on": "2026-11-21"})
    gone = Observation(status=None, raw=None, notes=("rows_vanished",))
    for reply in (Reply(404, NO_ORDERS.encode()), make_list()):
        assert codec.read(tracking, reply, [listed_before], LATE) == Reading({attempt.id: (gone,)})
        assert codec.read(replace(tracking, context="2026-11-22"), reply, [listed_before], LATE) == Reading()
        assert codec.read(tracking, reply, [attempt], LATE) == Reading()


@pytest.mark.parametrize(
    ("shown", "notes"),
    [
        ("20:15", ()),
        ("20:17", ()),
        ("20:18", ("pickup_time_changed",)),
        ("20:12", ("pickup_time_changed",)),
        ("N/A", ()),
    ],
)
def test_a_changed_pickup_time_is_noted_once(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, now: datetime, shown: str, notes: tuple[str, ...]
) -> None:  # row 10
    (first,) = codec.read(tracking, make_list(make_row(pickupTime=shown)), [attempt], now).observations[attempt.id]
    again = replace(attempt, codec_state={**attempt.codec_state, **first.codec_state})
    (second,) = codec.read(tracking, make_list(make_row(pickupTime=shown)), [again], now).observations[attempt.id]
    assert (first.status, first.notes, second.notes) == (S.CREATED, notes, ())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"driverLeft": "afhentet", "canceled_at": "måske"}, "driverLeft=afhentet"),
        ({"canceled_at": "måske"}, "canceled_at=måske"),
        ({"done": "25:00"}, "done=25:00"),
        ({"cancel": "ja"}, "cancel=ja"),
        ({"cancel": 2}, "cancel=2"),
    ],
)
def test_a_text_in_place_of_a_time_or_a_flag_is_an_unmapped_status(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, changes: dict[str, Any], word: str
) -> None:
    seen = codec.read(tracking, make_list(make_row(driverArrive="20:10", **changes)), [attempt], LATE).observations[
        attempt.id
    ]
    assert [(one.status, one.raw) for one in seen] == [
        (None, Raw("row", word)),
        (S.PICKUP_ARRIVED, Raw("row", "driverArrive")),
    ]


def test_a_future_arrival_of_the_driver_is_the_expected_pickup(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, now: datetime
) -> None:
    (seen,) = codec.read(tracking, make_list(make_row(driverArrive="20:21")), [attempt], now).observations[attempt.id]
    assert (seen.status, seen.pickup_eta) == (S.CREATED, datetime(2026, 11, 21, 19, 21, tzinfo=UTC))


@pytest.mark.quirk("D-24")
def test_only_a_changed_price_is_reported(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    priced = replace(attempt, codec_state={**attempt.codec_state, "price": "60.00"})
    assert codec.read(tracking, make_list(make_row()), [priced], LATE).observations[attempt.id][0].price is None
    (seen,) = codec.read(tracking, make_list(make_row(deliveryPrice="75")), [priced], LATE).observations[attempt.id]
    assert seen.price == Price(Decimal(75), "DKK", "unknown")
