"""The day list: which days are read, which row belongs to which attempt, and what proves absence."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.status import DeliveryStatus
from tests.carriers.deliverit.replies import (
    LATE,
    LINK,
    LIST_NOT_ALLOWED,
    NO_ORDERS,
    REFERENCE,
    TOKEN,
    error_of,
    make_list,
    make_row,
)
from worker.carriers.deliverit import DeliverIt
from worker.carriers.port import AttemptView, Reading
from worker.errors import Unavailable, Unreadable
from worker.http.call import Call, Operation, Reply

S = DeliveryStatus


# --- which days ---


def test_one_day_list_covers_every_attempt_of_that_day(codec: DeliverIt, attempt: AttemptView, now: datetime) -> None:
    second = replace(attempt, id=2, ref="RYGKaXMCSN94WfqPEivy")
    calls = codec.track([attempt, second], now)
    assert calls == [
        Call(
            Operation.READ, "GET", "/api/v1/order/14/2026-11-21/2026-11-21", (attempt.id, 2),
            headers=codec.probe().headers[:2], context="2026-11-21",
        )
    ]  # fmt: skip


@pytest.mark.quirk("D-50", "D-53")
def test_the_days_of_creation_and_pickup_and_today_are_read_one_by_one(codec: DeliverIt, attempt: AttemptView) -> None:
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


def test_only_attempts_with_a_ref_are_tracked(codec: DeliverIt, unknown: AttemptView, now: datetime) -> None:
    assert codec.track([unknown], now) == []
    assert [call.operation for call in codec.find([unknown], now)] == [Operation.FIND]


# --- which row ---


def after_first_read(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> AttemptView:
    (seen,) = codec.read(tracking, make_list(make_row()), [attempt], LATE).observations[attempt.id]
    return replace(attempt, codec_state={**attempt.codec_state, **seen.codec_state})


@pytest.mark.quirk("D-51", "D-52")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"remarks": "", "created_at": None}, id="token-D-51"),
        pytest.param({"canceUrl": None, "created_at": None}, id="reference-D-51"),
        pytest.param(
            {"canceUrl": "", "remarks": f"NB #{REFERENCE.lower()}, ring", "created_at": None}, id="reference-lower-case"
        ),
        pytest.param({"canceUrl": None, "remarks": "edited"}, id="fingerprint-D-52"),
        pytest.param({"canceUrl": None, "remarks": None, "telephone": "20304050", "zip": 5000}, id="fingerprint-types"),
    ],
)
def test_a_known_row_is_matched_by_any_of_its_identifiers(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, changes: dict[str, Any]
) -> None:
    known = after_first_read(codec, attempt, tracking)
    reply = make_list(
        make_row(remarks="", canceUrl=f"{LINK}/anotherCUSTOMER", telephone="+4599999999"), make_row(**changes)
    )
    reading = codec.read(tracking, reply, [known], LATE)
    assert [one.status for one in reading.observations[attempt.id]] == [S.CREATED]
    assert reading.observations[attempt.id][0].ref == TOKEN


def test_a_fingerprint_that_two_rows_have_matches_neither(
    codec: DeliverIt, attempt: AttemptView, tracking: Call
) -> None:
    known = after_first_read(codec, attempt, tracking)
    twin = make_row(canceUrl=None, remarks=None)
    reading = codec.read(tracking, make_list(twin, twin), [known], LATE)
    assert [one.notes for one in reading.observations[attempt.id]] == [("rows_vanished",)]


@pytest.mark.quirk("D-61")
def test_a_row_without_a_link_and_a_reference_is_not_matched_before_its_fingerprint_is_known(
    codec: DeliverIt, attempt: AttemptView, tracking: Call
) -> None:
    assert codec.read(tracking, make_list(make_row(canceUrl=None, remarks=None)), [attempt], LATE) == Reading()


@pytest.mark.quirk("D-61")
def test_the_rows_of_other_customers_are_dropped(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    foreign = make_row(
        canceUrl=f"{LINK}/anotherCUSTOMER", remarks="ring", telephone="+4599999999", address="Secret Road 9"
    )
    reading = codec.read(tracking, make_list(foreign, make_row()), [attempt], LATE)
    assert set(reading.observations) == {attempt.id}
    assert "Secret" not in repr(reading)
    assert "9999" not in repr(reading)


def test_an_observation_holds_no_data_of_the_customer(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    (seen,) = codec.read(tracking, make_list(make_row()), [attempt], LATE).observations[attempt.id]
    assert not [mark for mark in ("20304050", "Hovedgaden", "Anna") if mark.lower() in repr(seen).lower()]


@pytest.mark.quirk("X-14")
@pytest.mark.parametrize("bad", [None, 7, "row", [], [1]])
def test_an_unreadable_row_blocks_no_other(codec: DeliverIt, attempt: AttemptView, tracking: Call, bad: object) -> None:
    assert set(codec.read(tracking, make_list(bad, make_row()), [attempt], LATE).observations) == {attempt.id}


def test_a_list_that_is_encoded_as_an_object_is_read(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    reply = Reply(200, json.dumps({"error": False, "orders": {"0": make_row(), "4": make_row(remarks="")}}).encode())
    assert set(codec.read(tracking, reply, [attempt], LATE).observations) == {attempt.id}


@pytest.mark.quirk("D-32")
def test_a_row_with_an_earlier_cancel_link_is_still_matched(
    codec: DeliverIt, attempt: AttemptView, tracking: Call
) -> None:
    known = {**attempt.codec_state, "cancel_token": "uyPtNITg5cAOoKDViG2e", "earlier_cancel_tokens": TOKEN}
    accepted = replace(attempt, ref="uyPtNITg5cAOoKDViG2e", codec_state=known)
    for token in (TOKEN, "uyPtNITg5cAOoKDViG2e"):
        (seen,) = codec.read(
            tracking, make_list(make_row(canceUrl=f"{LINK}/{token}", remarks="")), [accepted], LATE
        ).observations[attempt.id]
        assert (seen.ref, seen.notes) == ("uyPtNITg5cAOoKDViG2e", ())


def test_a_new_cancel_link_is_stored_and_noted(codec: DeliverIt, attempt: AttemptView, tracking: Call) -> None:
    reply = make_list(make_row(canceUrl=f"{LINK}/uyPtNITg5cAOoKDViG2e"))
    (seen,) = codec.read(tracking, reply, [attempt], LATE).observations[attempt.id]
    assert (seen.ref, seen.notes) == (TOKEN, ("token_changed",))
    assert (seen.codec_state["cancel_token"], seen.codec_state["earlier_cancel_tokens"]) == (
        "uyPtNITg5cAOoKDViG2e",
        TOKEN,
    )


# --- other replies ---


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(404, "<html>Not Found</html>", id="404-of-a-proxy"),
        pytest.param(404, LIST_NOT_ALLOWED, id="404-with-another-message"),
        pytest.param(404, '{"message": "No order is found."}', id="404-without-error"),
        pytest.param(200, NO_ORDERS, id="200-error"),
        pytest.param(200, '{"orders": []}', id="200-without-error"),
        pytest.param(200, '{"error": false}', id="200-without-orders"),
        pytest.param(200, '{"error": false, "orders": "none"}', id="200-orders-text"),
        pytest.param(200, "", id="200-empty"),
        pytest.param(200, '{"error": false, "orders": [', id="200-truncated"),
        pytest.param(302, "", id="redirect"),
        pytest.param(400, LIST_NOT_ALLOWED, id="400"),
    ],
)
def test_any_other_reply_to_a_day_list_is_unreadable(
    codec: DeliverIt, unknown: AttemptView, finding: Call, now: datetime, status: int, body: str
) -> None:
    assert isinstance(error_of(lambda: codec.read(finding, Reply(status, body.encode()), [unknown], now)), Unreadable)


@pytest.mark.fault("F-37")
@pytest.mark.parametrize(
    ("status", "body", "headers", "account_rejected", "wait"),
    [
        (401, LIST_NOT_ALLOWED, {}, True, None),
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
    account_rejected: bool,
) -> None:
    error = error_of(lambda: codec.read(tracking, Reply(status, body.encode(), headers), [attempt], LATE))
    assert isinstance(error, Unavailable)
    assert (error.account, error.retry_after) == (account_rejected, wait)


WORDS = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(["N/A", "20:20", "1", REFERENCE])
)
ROWS = st.dictionaries(
    st.sampled_from(sorted(make_row())), WORDS | st.dictionaries(st.text(max_size=8), WORDS, max_size=3)
)


@pytest.mark.quirk("X-14")
@settings(max_examples=2 * settings().max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=ROWS, others=st.lists(ROWS | WORDS, max_size=3))
def test_no_row_raises_an_error_or_hides_our_own(
    codec: DeliverIt, attempt: AttemptView, tracking: Call, changes: dict[str, Any], others: list[object]
) -> None:
    ours = make_row(**{**changes, "canceUrl": f"{LINK}/{TOKEN}"})
    seen = codec.read(tracking, make_list(*others, ours), [attempt], LATE).observations[attempt.id]
    assert seen[-1].status is not None
    assert seen[-1].ref == TOKEN
