"""The status history of an order: each entry is reported once, and the status last."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.carriers.cervo.orders import (
    DOCUMENTED_ORDER,
    SAMPLE_TIME,
    ZONE,
    body,
    codes_of,
    entries,
    observations_of,
    with_state,
)
from worker.carriers.cervo import Cervo
from worker.carriers.port import AttemptView, Observation, Raw


@pytest.mark.quirk("C-37")
def test_a_reported_entry_is_not_reported_again(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    later = with_state(attempt, observations_of(codec, attempt, DOCUMENTED_ORDER, now))
    [present] = observations_of(codec, later, DOCUMENTED_ORDER, now)
    assert (present.raw, present.status, present.codec_state) == (Raw("order", "6"), None, later.codec_state)


@pytest.mark.quirk("C-32", "C-34", "C-37", "C-38")
@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([((), 1), ((2,), 2), ((2, 3), 3), ((2, 3, 4), 4)], ["1", "2", "3", "4"]),
        ([((2, 3, 4), 4)], ["2", "3", "4"]),
        ([((2,), 2), ((2, 5, 1, 2, 3), 3)], ["2", "5", "1", "2", "3"]),
        ([((2, 5), 5), ((2, 5, 2), 2)], ["2", "5", "2"]),
        ([((2,), 3), ((2, 3), 3)], ["2", "3", "3"]),
        ([((), 3), ((2, 3), 3), ((2, 3, 4), 4)], ["3", "3", "4"]),
        ([((), 3), ((2, 4), 4)], ["3", "4"]),
        ([((2, 3), 3), ((), 3), ((2, 3), 3), ((2, 3, 4), 4)], ["2", "3", "3", "3", "4"]),
        ([((2, 2), 2)], ["2", "2"]),
        ([((2, 6), 3), ((2, 6, 3), 3)], ["2", "6", "3", "3"]),
        ([((), 6), ((2, 6), 6)], ["6", "2", "6"]),
        ([((2, 0, 2), 2)], ["2", "2"]),
        ([((2, 3, 5, 2), 2)], ["2", "3", "2"]),
        ([((2, 3, 4, 0), 0)], ["2", "3", "0"]),
        ([((2, 3, 4, 6), 6)], ["2", "3", "4", "6"]),
        ([((2, 0, 6), 6)], ["2", "6"]),
        ([((3, 2), 2), ((3, 2, 4), 4)], ["3", "2", "4"]),
        ([((2, 3), 3), ((1, 2, 3), 3)], ["2", "3", "3"]),
    ],
    ids=[
        "C-37 one by one",
        "C-37 all at once",
        "C-34 a driver leaves between two reads",
        "C-34 a driver comes back",
        "C-38 Status ahead of the history",
        "C-38 the history comes late",
        "C-38 the history skips the code of Status",
        "C-38 the history is missing once",
        "C-37 the same code twice",
        "C-32 an unknown entry",
        "C-32 an unknown Status",
        "C-38 a cancel that did not last",
        "C-38 a withdrawal that did not last",
        "C-38 a completion that did not last",
        "C-32 a completion before an unknown code",
        "C-32 a cancel before an unknown code",
        "C-37 the array's order counts",
        "C-37 a rewritten history",
    ],
)
def test_each_entry_is_reported_once_and_the_status_last(
    codec: Cervo, attempt: AttemptView, now: datetime, reads: list[tuple[tuple[int, ...], int]], expected: list[str]
) -> None:
    seen: list[Observation] = []
    for history, status in reads:
        new = observations_of(codec, attempt, body(status, entries(history)), now)
        attempt = with_state(attempt, new)
        seen += new
    assert codes_of(seen) == expected


@pytest.mark.quirk("C-37", "C-38", "X-01", "X-11", "X-14")
@pytest.mark.parametrize(
    ("history", "status", "codes", "notes"),
    [
        (entries([2]), 3, ["2", "3"], ("history_disagrees",)),
        (
            [*entries([3], "2023-04-29 10:50"), *entries([2])],
            3,
            ["3"],
            ("history_unordered", "history_disagrees"),
        ),
        (
            ["x", 7, None, {}, {"Status": True}, *entries([2])],
            2,
            ["2"],
            ("history_entry_unreadable", "time_unreadable"),
        ),
        (entries([2], "soon"), 2, ["2"], ("time_unreadable",)),
        (entries([2], None), 2, ["2"], ("time_unreadable",)),
        (entries([2], "2023-13-45 10:44"), 2, ["2"], ("time_unreadable",)),
        (entries([2], "2023-04-29"), 2, ["2"], ("time_unreadable",)),
        (entries([2], "9999-12-31T23:59-12:00"), 2, ["2"], ("time_unreadable",)),
        (entries([2], "2023-04-29 11:03"), 2, ["2"], ("time_ahead",)),
        (entries([2] * 150), 2, ["2"] * 100, ()),
    ],
    ids=["C-38", "C-37", "X-14", "no time", "null", "no date", "day", "X-11", "X-01", "long"],
)
def test_an_odd_history_is_noted_and_still_read(
    codec: Cervo,
    attempt: AttemptView,
    now: datetime,
    history: list[object],
    status: int,
    codes: list[str],
    notes: tuple[str, ...],
) -> None:
    seen = observations_of(codec, attempt, body(status, history), now)
    assert (codes_of(seen), seen[-1].notes) == (codes, notes)


def test_a_rewritten_history_is_noted(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    later = with_state(attempt, observations_of(codec, attempt, body(3, entries([2, 3])), now))
    [seen] = observations_of(codec, later, body(3, entries([1, 2, 3])), now)
    assert (seen.notes, seen.codec_state) == (
        ("history_rewritten",),
        {"history": "1,2,3", "last_code": "3", "goods_collected": "1"},
    )


@pytest.mark.quirk("X-01")
@pytest.mark.parametrize(
    ("date", "at", "zone"),
    [
        ("2023-04-29 10:44", SAMPLE_TIME, ZONE),
        ("2023-04-29T10:44:30", SAMPLE_TIME.replace(second=30), ZONE),
        ("2023-04-29T07:44:00Z", SAMPLE_TIME, None),
        ("2023-04-29 11:02", datetime(2023, 4, 29, 8, 2, tzinfo=UTC), ZONE),
    ],
)
def test_a_time_without_a_zone_is_in_the_account_s_zone(
    codec: Cervo, attempt: AttemptView, now: datetime, date: str, at: datetime, zone: str | None
) -> None:
    [seen] = observations_of(codec, attempt, body(2, entries([2], date)), now)
    assert (seen.carrier_time, seen.occurred_at, seen.occurred_at_assumed_zone) == (at, at, zone)


@pytest.mark.quirk("C-37")
@settings(deadline=None)
@given(codes=st.lists(st.sampled_from([1, 2, 3, 6]), min_size=1, max_size=12), cuts=st.sets(st.integers(1, 12)))
def test_a_growing_history_is_reported_once_however_often_it_is_read(
    codec: Cervo, attempt: AttemptView, now: datetime, codes: list[int], cuts: set[int]
) -> None:
    seen: list[str] = []
    for length in sorted({min(cut, len(codes)) for cut in cuts} | {len(codes)}):
        new = observations_of(codec, attempt, body(codes[length - 1], entries(codes[:length])), now)
        attempt = with_state(attempt, new)
        seen += codes_of(new)
    assert seen == [str(code) for code in codes]
