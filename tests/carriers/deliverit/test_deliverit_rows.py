"""The day list: which days are asked, whose row is whose, and what a row says."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.status import CancelledBy, DeliveryStatus, Evidence
from worker.carriers.deliverit import DeliverIt
from worker.carriers.port import AttemptView, Observation, Price, Raw, Reading, reference_of
from worker.errors import CarrierError, Unavailable, Unreadable
from worker.http.call import Call, Operation, Reply

TAG = "132TMY8NEP0"
TOKEN = "F64u3fbxNdaoTyAcOisM"
LINK = "https://butik.deliverit.dk/api/v1/orderdriver/cancel/14"
DOCUMENTED = """{"error": false, "orders": [{"created_at": {"date": "2017-05-13 17:30:07.000000", "timezone_type": 3,
"timezone": "Europe/Berlin"}, "name": "Customer 1", "telephone": "+45123456789", "address": "Hovedgaden 1",
"city": "Odense C", "zip": "5000", "remarks": "", "deliveryPrice": "60", "pickupTime": "17:59", "driverArrive": "N/A",
"driverLeft": "N/A", "arriveAtCustomer": "N/A", "done": "N/A", "distance": "1914",
"canceUrl": "http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM", "cancel": 0,
"canceled_at": null}], "message": "Here are the orders you are looking for"}"""
NOTHING = '{"error": true, "message": "No order is found. Are the dates correct?."}'
NOT_HERE = '{"error": true, "message": "You should not be here"}'
LATE = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)

S, E = DeliveryStatus, Evidence


def row(**changes: Any) -> dict[str, Any]:
    known = {
        "created_at": {"date": "2026-11-21 18:00:05.000000", "timezone_type": 3, "timezone": "Europe/Berlin"},
        "name": "Anna Holm", "telephone": "+4520304050", "address": "Hovedgaden 1", "city": "Odense C", "zip": "5000",
        "remarks": f"#{TAG} 2011 / 2. tv", "deliveryPrice": "60", "pickupTime": "20:15", "driverArrive": "N/A",
        "driverLeft": "N/A", "arriveAtCustomer": "N/A", "done": "N/A", "distance": "1914",
        "canceUrl": f"{LINK}/{TOKEN}", "cancel": 0, "canceled_at": None,
    }  # fmt: skip
    return {**known, **changes}


def listed(*rows: object) -> Reply:
    return Reply(200, json.dumps({"error": False, "orders": rows, "message": "Here are the orders"}).encode())


def error_of(act: Callable[[], object]) -> CarrierError:
    with pytest.raises(CarrierError) as caught:
        act()
    return caught.value


@pytest.fixture
def unknown(attempt: AttemptView) -> AttemptView:
    return replace(attempt, state="submit_unknown", ref=None, codec_state={}, rank=2)


# --- which days ----------------------------------------------------------------------------------------------------


def test_one_day_serves_every_attempt_of_that_day(codec: DeliverIt, attempt: AttemptView, now: datetime) -> None:
    second = replace(attempt, id=2, ref="RYGKaXMCSN94WfqPEivy")
    calls = codec.track([attempt, second], now)
    assert calls == [
        Call(
            Operation.READ, "GET", "/api/v1/order/14/2026-11-21/2026-11-21", (attempt.id, 2),
            headers=codec.probe().headers[:2], context="2026-11-21",
        )
    ]  # fmt: skip


@pytest.mark.quirk("D-50", "D-53")
def test_the_days_of_creation_of_pickup_and_today_are_asked_singly(codec: DeliverIt, attempt: AttemptView) -> None:
    preorder = replace(attempt, pickup_at=datetime(2026, 11, 24, 18, 0, tzinfo=UTC), codec_state={})
    calls = codec.track([preorder], datetime(2026, 11, 22, 23, 30, tzinfo=UTC))
    assert [(call.path, call.context) for call in calls] == [
        (f"/api/v1/order/14/{day}/{day}", day) for day in ("2026-11-21", "2026-11-23", "2026-11-24")
    ]  # D-50, D-53


@pytest.mark.fault("F-52")
@pytest.mark.quirk("D-53")
def test_a_create_around_midnight_is_looked_for_on_both_days(codec: DeliverIt, unknown: AttemptView) -> None:
    midnight = datetime(2026, 11, 21, 23, 1, tzinfo=UTC)
    around = replace(unknown, submitted_at=midnight, pickup_at=midnight + timedelta(minutes=30))
    assert [call.context for call in codec.find([around], midnight)] == ["2026-11-21", "2026-11-22"]


def test_only_attempts_with_a_reference_are_tracked(codec: DeliverIt, unknown: AttemptView, now: datetime) -> None:
    assert codec.track([unknown], now) == []
    assert [call.operation for call in codec.find([unknown], now)] == [Operation.FIND]


# --- what a row says -----------------------------------------------------------------------------------------------

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
def test_a_row_is_read_from_the_top_down(
    codec: DeliverIt,
    attempt: AttemptView,
    tracking: Call,
    changes: dict[str, Any],
    status: DeliveryStatus,
    evidence: Evidence,
    code: str,
    happened: str | None,
) -> None:
    (seen,) = codec.read(tracking, listed(row(**changes)), [attempt], LATE).observations[attempt.id]
    when = datetime.fromisoformat(f"2026-11-21 {happened}+00:00") if happened else None
    assert (seen.status, seen.evidence, seen.raw, seen.occurred_at) == (status, evidence, Raw("row", code), when)
    assumed = happened is not None and status is not S.CREATED
    assert seen.occurred_at_assumed_zone == ("Europe/Copenhagen" if assumed else None)


@pytest.mark.quirk("D-52", "D-64")
def test_a_first_sighting_is_remembered_whole(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    reading = codec.read(tracking, listed(row(driverArrive="20:10", arriveAtCustomer="21:30")), [attempt], LATE)
    (seen,) = reading.observations[attempt.id]
    assert len(seen.codec_state["fingerprint"]) == 32  # D-52
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
                        "at_arrive": "2026-11-21T19:10:00+00:00",
                        "day": "2026-11-21",
                        "fingerprint": seen.codec_state["fingerprint"],
                        "pickup_shown": "2026-11-21T19:15:00+00:00",
                        "price": "60",
                    },
                    dropoff_eta=datetime(2026, 11, 21, 20, 30, tzinfo=UTC),
                    price=Price(Decimal(60), "DKK"),
                ),
            )
        }
    )


def test_the_documents_own_row_is_read(codec: DeliverIt, attempt: AttemptView) -> None:
    made = datetime(2017, 5, 13, 15, 30, 7, tzinfo=UTC)
    then = replace(attempt, pickup_at=made + timedelta(minutes=29), submitted_at=made, codec_state={})
    (call,) = codec.track([then], made)
    (seen,) = codec.read(call, Reply(200, DOCUMENTED.encode()), [then], made).observations[attempt.id]
    assert (seen.status, seen.ref, seen.occurred_at) == (S.CREATED, TOKEN, made)
    assert seen.pickup_eta == datetime(2017, 5, 13, 15, 59, tzinfo=UTC)


def test_a_cancel_of_ours_is_the_merchants(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    ours = replace(attempt, cancel_requested=True)
    reading = [
        codec.read(tracking, listed(row(cancel=1)), [one], LATE).observations[one.id][0] for one in (ours, attempt)
    ]
    assert [one.cancelled_by for one in reading] == [CancelledBy.MERCHANT, CancelledBy.UNKNOWN]
    assert [one.detail for one in reading] == [None, None]


def test_a_cancel_after_the_pickup_has_the_items(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    by_row = codec.read(tracking, listed(row(cancel=1, driverLeft="20:20")), [attempt], LATE).observations[attempt.id]
    by_rank = codec.read(tracking, listed(row(cancel=1)), [replace(attempt, rank=50)], LATE).observations[attempt.id]
    assert [one.detail for one in (*by_row, *by_rank)] == ["with_items", "with_items"]


@pytest.mark.quirk("D-63")
def test_done_and_cancelled_stays_delivered_and_is_told(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    (seen,) = codec.read(tracking, listed(row(cancel=1, done="20:50")), [attempt], LATE).observations[attempt.id]
    assert (seen.status, seen.cancelled_by) == (S.DELIVERED, None)
    assert seen.notes == ("done_without_handover", "cancelled_but_done")


@pytest.mark.fault("F-53")
@pytest.mark.quirk("D-56")
def test_a_trip_rolls_over_midnight(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    late = replace(attempt, codec_state={**attempt.codec_state, "pickup": "2026-11-21T22:50:00+00:00"})
    changes = {"pickupTime": "23:50", "driverArrive": "23:48", "driverLeft": "23:59", "arriveAtCustomer": "00:14"}
    moment = datetime(2026, 11, 21, 23, 20, tzinfo=UTC)
    (seen,) = codec.read(tracking, listed(row(**changes, done="00:16")), [late], moment).observations[attempt.id]
    assert (seen.status, seen.occurred_at) == (S.DELIVERED, datetime(2026, 11, 21, 23, 16, tzinfo=UTC))
    assert seen.codec_state["at_arrive"] == "2026-11-21T22:48:00+00:00"
    assert seen.codec_state["at_left"] == "2026-11-21T22:59:00+00:00"


@pytest.mark.quirk("D-57")
@pytest.mark.parametrize("gone", ["N/A", "", "-", None, "23:30"])
def test_a_time_that_goes_back_takes_nothing_back(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, gone: str | None
) -> None:
    picked_up = replace(attempt, codec_state={**attempt.codec_state, "at_left": "2026-11-21T19:20:00+00:00"}, rank=50)
    reply = listed(row(driverArrive="20:10", driverLeft=gone))
    (seen,) = codec.read(tracking, reply, [picked_up], LATE).observations[attempt.id]
    assert (seen.status, seen.occurred_at) == (S.PICKED_UP, datetime(2026, 11, 21, 19, 20, tzinfo=UTC))
    assert seen.notes == ("time_reverted",)


@pytest.mark.quirk("D-54")
def test_a_row_that_is_gone_changes_nothing(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    bound = replace(attempt, codec_state={**attempt.codec_state, "day": "2026-11-21"})
    gone = Observation(status=None, raw=None, notes=("rows_vanished",))
    for reply in (Reply(404, NOTHING.encode()), listed()):
        assert codec.read(tracking, reply, [bound], LATE) == Reading({attempt.id: (gone,)})
        assert codec.read(replace(tracking, context="2026-11-22"), reply, [bound], LATE) == Reading()
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
def test_a_moved_pickup_is_told_once(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, now: datetime, shown: str, notes: tuple[str, ...]
) -> None:  # row 10
    (first,) = codec.read(tracking, listed(row(pickupTime=shown)), [attempt], now).observations[attempt.id]
    again = replace(attempt, codec_state={**attempt.codec_state, **first.codec_state})
    (second,) = codec.read(tracking, listed(row(pickupTime=shown)), [again], now).observations[attempt.id]
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
def test_a_text_where_a_time_should_be_is_an_unknown_word(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, changes: dict[str, Any], word: str
) -> None:
    seen = codec.read(tracking, listed(row(driverArrive="20:10", **changes)), [attempt], LATE).observations[attempt.id]
    assert [(one.status, one.raw) for one in seen] == [
        (None, Raw("row", word)),
        (S.PICKUP_ARRIVED, Raw("row", "driverArrive")),
    ]


def test_a_future_arrival_of_the_driver_is_the_expected_pickup(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, now: datetime
) -> None:
    (seen,) = codec.read(tracking, listed(row(driverArrive="20:21")), [attempt], now).observations[attempt.id]
    assert (seen.status, seen.pickup_eta) == (S.CREATED, datetime(2026, 11, 21, 19, 21, tzinfo=UTC))


@pytest.mark.quirk("D-24")
def test_a_known_price_is_not_told_again(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    priced = replace(attempt, codec_state={**attempt.codec_state, "price": "60.00"})
    assert codec.read(tracking, listed(row()), [priced], LATE).observations[attempt.id][0].price is None
    (seen,) = codec.read(tracking, listed(row(deliveryPrice="75")), [priced], LATE).observations[attempt.id]
    assert seen.price == Price(Decimal(75), "DKK", "unknown")


# --- whose row it is -----------------------------------------------------------------------------------------------


def bound_by(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> AttemptView:
    (seen,) = codec.read(tracking, listed(row()), [attempt], LATE).observations[attempt.id]
    return replace(attempt, codec_state={**attempt.codec_state, **seen.codec_state})


@pytest.mark.quirk("D-51", "D-52")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"remarks": "", "created_at": None}, id="token-D-51"),
        pytest.param({"canceUrl": None, "created_at": None}, id="tag-D-51"),
        pytest.param({"canceUrl": "", "remarks": f"NB #{TAG.lower()}, ring", "created_at": None}, id="tag-lower-case"),
        pytest.param({"canceUrl": None, "remarks": "edited"}, id="fingerprint-D-52"),
        pytest.param({"canceUrl": None, "remarks": None, "telephone": "20304050", "zip": 5000}, id="fingerprint-types"),
    ],
)
def test_a_bound_row_is_known_by_any_of_its_marks(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, changes: dict[str, Any]
) -> None:
    known = bound_by(codec, attempt, tracking)
    reply = listed(row(remarks="", canceUrl=f"{LINK}/anotherCUSTOMER", telephone="+4599999999"), row(**changes))
    reading = codec.read(tracking, reply, [known], LATE)
    assert [one.status for one in reading.observations[attempt.id]] == [S.CREATED]
    assert reading.observations[attempt.id][0].ref == TOKEN


def test_a_fingerprint_that_fits_two_rows_fits_none(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    known = bound_by(codec, attempt, tracking)
    twin = row(canceUrl=None, remarks=None)
    reading = codec.read(tracking, listed(twin, twin), [known], LATE)
    assert [one.notes for one in reading.observations[attempt.id]] == [("rows_vanished",)]


@pytest.mark.quirk("D-61")
def test_no_mark_is_bound_without_a_sighting(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    assert codec.read(tracking, listed(row(canceUrl=None, remarks=None)), [attempt], LATE) == Reading()


@pytest.mark.quirk("D-61")
def test_the_rows_of_other_customers_leave_no_trace(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    foreign = row(canceUrl=f"{LINK}/anotherCUSTOMER", remarks="ring", telephone="+4599999999", address="Secret Road 9")
    reading = codec.read(tracking, listed(foreign, row()), [attempt], LATE)
    assert set(reading.observations) == {attempt.id}
    assert "Secret" not in repr(reading)
    assert "9999" not in repr(reading)


def test_no_customer_is_named_in_what_is_remembered(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    (seen,) = codec.read(tracking, listed(row()), [attempt], LATE).observations[attempt.id]
    assert not [mark for mark in ("20304050", "Hovedgaden", "Anna") if mark.lower() in repr(seen).lower()]


@pytest.mark.quirk("X-14")
@pytest.mark.parametrize("bad", [None, 7, "row", [], [1]])
def test_a_bad_row_blocks_no_other(codec: DeliverIt, attempt: AttemptView, tracking: Call, bad: object) -> None:
    assert set(codec.read(tracking, listed(bad, row()), [attempt], LATE).observations) == {attempt.id}


def test_a_list_that_came_as_an_object_is_a_list(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    reply = Reply(200, json.dumps({"error": False, "orders": {"0": row(), "4": row(remarks="")}}).encode())
    assert set(codec.read(tracking, reply, [attempt], LATE).observations) == {attempt.id}


@pytest.mark.quirk("D-32")
def test_the_old_cancel_link_is_known_after_a_new_one(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    refs = {**attempt.codec_state, "cancel": "uyPtNITg5cAOoKDViG2e", "cancel_history": TOKEN}
    accepted = replace(attempt, ref="uyPtNITg5cAOoKDViG2e", codec_state=refs)
    for token in (TOKEN, "uyPtNITg5cAOoKDViG2e"):
        (seen,) = codec.read(
            tracking, listed(row(canceUrl=f"{LINK}/{token}", remarks="")), [accepted], LATE
        ).observations[attempt.id]
        assert (seen.ref, seen.notes) == ("uyPtNITg5cAOoKDViG2e", ())


def test_another_cancel_link_is_remembered_and_told(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    reply = listed(row(canceUrl=f"{LINK}/uyPtNITg5cAOoKDViG2e"))
    (seen,) = codec.read(tracking, reply, [attempt], LATE).observations[attempt.id]
    assert (seen.ref, seen.notes) == (TOKEN, ("token_changed",))
    assert (seen.codec_state["cancel"], seen.codec_state["cancel_history"]) == ("uyPtNITg5cAOoKDViG2e", TOKEN)


# --- finding -------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("D-60")
def test_a_row_with_our_tag_is_adopted(codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime) -> None:
    reading = codec.read(finding, listed(row()), [unknown], now)
    (seen,) = reading.observations[unknown.id]
    assert (seen.status, seen.ref, seen.codec_state["cancel"]) == (S.CREATED, TOKEN, TOKEN)
    assert (reading.absent, reading.duplicates) == (frozenset(), {})


@pytest.mark.quirk("D-52")
def test_an_adopted_row_without_a_link_is_named_by_our_tag(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    (seen,) = codec.read(finding, listed(row(canceUrl=None)), [unknown], now).observations[unknown.id]
    assert seen.ref == f"#{TAG}"
    (later,) = codec.read(finding, listed(row()), [replace(unknown, ref=seen.ref)], now).observations[unknown.id]
    assert later.ref == TOKEN


@pytest.mark.quirk("D-54")
@pytest.mark.parametrize("reply", [Reply(404, NOTHING.encode()), listed()], ids=["404-D-54", "empty"])
def test_an_empty_day_proves_absence(
    codec: DeliverIt, unknown: AttemptView, finding: Call, reply: Reply, now: datetime
) -> None:
    assert codec.read(finding, reply, [unknown], now) == Reading(absent=frozenset({unknown.id}))


def test_absence_is_said_only_of_what_the_look_up_covered(
    codec: DeliverIt, unknown: AttemptView, finding: Call, tracking: Call, now: datetime
) -> None:
    assert codec.read(replace(finding, attempt_ids=()), listed(), [unknown], now) == Reading()
    assert codec.read(tracking, listed(), [unknown], now) == Reading()


@pytest.mark.quirk("D-13", "D-61")
@pytest.mark.parametrize(
    ("other", "absent"),
    [
        pytest.param(row(remarks="", canceUrl=None), False, id="lookalike-D-61"),
        pytest.param(row(remarks="", canceUrl=None, telephone=None), False, id="lookalike-without-phone"),
        pytest.param({}, False, id="nothing-known"),
        pytest.param(7, False, id="unreadable"),
        pytest.param(row(remarks="", telephone="+4599999999"), True, id="another-phone"),
        pytest.param(row(remarks="", zip="5200"), True, id="another-zip-D-13"),
        pytest.param(row(remarks="", created_at={"date": "2026-11-21 17:30:00"}), True, id="long-before"),
        pytest.param(row(remarks=f"#{reference_of(7)} 2012"), True, id="another-tag"),
        pytest.param(row(remarks=f"#{reference_of(7)} and #{TAG}"), False, id="another-tag-before-ours"),
    ],
)
def test_a_row_that_might_be_ours_is_no_proof_of_absence(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime, other: object, *, absent: bool
) -> None:
    reading = codec.read(finding, listed(other), [unknown], now)
    assert reading == Reading(absent=frozenset({unknown.id}) if absent else frozenset())


def test_a_row_that_was_seen_before_is_never_absent(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    bound = replace(unknown, codec_state={"day": "2026-11-21"})
    reading = codec.read(finding, listed(), [bound], now)
    assert reading.absent == frozenset()
    assert reading.observations[unknown.id][0].notes == ("rows_vanished",)


@pytest.mark.fault("F-37")
@pytest.mark.quirk("D-60")
def test_the_oldest_of_two_with_our_tag_is_adopted_and_the_other_named(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    younger = row(created_at={"date": "2026-11-21 18:01:00"}, canceUrl=f"{LINK}/uyPtNITg5cAOoKDViG2e")
    reading = codec.read(finding, listed(younger, row(), row()), [unknown], now)
    assert reading.observations[unknown.id][0].ref == TOKEN
    assert reading.duplicates == {unknown.id: ("uyPtNITg5cAOoKDViG2e",)}


def test_a_cancelled_twin_is_neither_adopted_nor_named(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime
) -> None:
    older = row(created_at={"date": "2026-11-21 17:59:00"}, canceUrl=f"{LINK}/uyPtNITg5cAOoKDViG2e", cancel=1)
    reading = codec.read(finding, listed(older, row()), [unknown], now)
    assert [(one.status, one.ref) for one in reading.observations[unknown.id]] == [(S.CREATED, TOKEN)]
    assert reading.duplicates == {}


# --- answers that are no list --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(404, "<html>Not Found</html>", id="404-of-a-proxy"),
        pytest.param(404, NOT_HERE, id="404-with-another-message"),
        pytest.param(404, '{"message": "No order is found."}', id="404-without-error"),
        pytest.param(200, NOTHING, id="200-error"),
        pytest.param(200, '{"orders": []}', id="200-without-error"),
        pytest.param(200, '{"error": false}', id="200-without-orders"),
        pytest.param(200, '{"error": false, "orders": "none"}', id="200-orders-text"),
        pytest.param(200, "", id="200-empty"),
        pytest.param(200, '{"error": false, "orders": [', id="200-truncated"),
        pytest.param(302, "", id="redirect"),
        pytest.param(400, NOT_HERE, id="400"),
    ],
)
def test_what_is_no_list_is_unreadable_and_no_absence(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime, status: int, body: str
) -> None:
    assert isinstance(error_of(lambda: codec.read(finding, Reply(status, body.encode()), [unknown], now)), Unreadable)


@pytest.mark.fault("F-37")
@pytest.mark.parametrize(
    ("status", "body", "headers", "shut_out", "wait"),
    [
        (401, NOT_HERE, {}, True, None),
        (403, "", {}, True, None),
        (429, "", {"retry-after": "12"}, False, 12.0),
        (500, "", {}, False, None),
        (503, "", {"retry-after": "5"}, False, 5.0),
    ],
)
def test_a_list_that_cannot_be_had_is_asked_for_again(
    codec: DeliverIt,
    attempt: AttemptView,
    tracking: Call,
    status: int,
    body: str,
    headers: dict[str, str],
    wait: float | None,
    *,
    shut_out: bool,
) -> None:
    error = error_of(lambda: codec.read(tracking, Reply(status, body.encode(), headers), [attempt], LATE))
    assert isinstance(error, Unavailable)
    assert (error.account, error.retry_after) == (shut_out, wait)


WORDS = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(["N/A", "20:20", "1", TAG])
ROWS = st.dictionaries(st.sampled_from(sorted(row())), WORDS | st.dictionaries(st.text(max_size=8), WORDS, max_size=3))


@pytest.mark.quirk("X-14")
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=ROWS, others=st.lists(ROWS | WORDS, max_size=3))
def test_no_row_raises_and_none_hides_ours(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, changes: dict[str, Any], others: list[object]
) -> None:
    ours = row(**{**changes, "canceUrl": f"{LINK}/{TOKEN}"})
    seen = codec.read(tracking, listed(*others, ours), [attempt], LATE).observations[attempt.id]
    assert seen[-1].status is not None
    assert seen[-1].ref == TOKEN
