"""GET /order: what is asked, and what an order's Status and history tell."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.status import CancelledBy, DeliveryStatus
from worker.carriers.cervo import Cervo
from worker.carriers.port import AttemptView, Courier, Observation, Raw, Reading
from worker.errors import CarrierError, Unavailable, Unreadable
from worker.http.call import Reply

S = DeliveryStatus
ZONE = "Asia/Riyadh"

DOCUMENTED_ORDER = (
    b'{ "DriverName": "Fot testing", "DriverMobile": "599000111", "Status": 6, "OrderStatus": [{ '
    b'"Status": 2, "Date": "2023-04-29 10:44" }, { "Status": 3, "Date": "2023-04-29 10:44" }, { "Status": '
    b'6, "Date": "2023-04-29 10:44" }], "tracking": "https://...." }'
)
SAMPLE_TIME = datetime(2023, 4, 29, 7, 44, tzinfo=UTC)
DRIVER = Courier("Fot testing", "+966599000111", phone_guessed=True)


def body(status: object, history: Any = None, **fields: object) -> bytes:
    return json.dumps({"Status": status, "OrderStatus": history, **fields}).encode()


def entries(words: Iterable[object], date: str | None = "2023-04-29 10:44") -> list[dict[str, object]]:
    return [{"Status": word, "Date": date} for word in words]


def read(codec: Cervo, attempt: AttemptView, payload: bytes, now: datetime) -> tuple[Observation, ...]:
    [call] = codec.track([attempt], now)
    reading = codec.read(call, Reply(200, payload), [attempt], now)
    assert reading == Reading({attempt.id: reading.observations[attempt.id]})
    return reading.observations[attempt.id]


def told(seen: Iterable[Observation]) -> list[str]:
    return [one.raw.code for one in seen if one.raw]


def remember(attempt: AttemptView, seen: Iterable[Observation]) -> AttemptView:
    """Store what the engine would: the merged memory."""
    refs = dict(attempt.codec_state)
    for one in seen:
        refs |= one.codec_state
    return replace(attempt, codec_state=refs)


# What is asked


@pytest.mark.quirk("C-04")
def test_every_attempt_is_asked_about_alone(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    calls = codec.track([attempt, replace(attempt, id=2012, ref="26")], now)
    assert [(call.attempt_ids, call.query) for call in calls] == [
        ((2011,), (("id", "25"),)),
        ((2012,), (("id", "26"),)),
    ]


@pytest.mark.quirk("C-31")
@pytest.mark.parametrize("ref", [None, "", "0", "abc", "25/../1", "25\r\nX: y", "٢٥"])
def test_only_an_id_of_cervo_s_is_asked_about(
    codec: Cervo, attempt: AttemptView, now: datetime, ref: str | None
) -> None:
    assert codec.track([replace(attempt, ref=ref)], now) == []  # C-31


# What an order tells


@pytest.mark.quirk("C-32", "C-39")
def test_the_documented_order_tells_its_history_and_an_unknown_word(
    codec: Cervo, attempt: AttemptView, now: datetime
) -> None:
    timed: dict[str, Any] = {"stamp": SAMPLE_TIME, "occurred_at": SAMPLE_TIME, "occurred_at_assumed_zone": ZONE}
    assert read(codec, attempt, DOCUMENTED_ORDER, now) == (
        Observation(S.COURIER_ASSIGNED, Raw("order", "2"), **timed, codec_state={"told": "2", "word": "2"}),
        Observation(S.PICKED_UP, Raw("order", "3"), **timed, codec_state={"told": "2,3", "word": "3", "goods": "1"}),
        Observation(  # C-32
            None,
            Raw("order", "6"),
            **timed,
            codec_state={"told": "2,3,6", "word": "6", "goods": "1"},
            courier=DRIVER,
            notes=("tracking_refused",),  # C-39: the sample's link has no host
        ),
    )


@pytest.mark.quirk("C-37")
def test_what_was_told_is_not_told_again(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    later = remember(attempt, read(codec, attempt, DOCUMENTED_ORDER, now))
    [present] = read(codec, later, DOCUMENTED_ORDER, now)
    assert (present.raw, present.status, present.codec_state) == (Raw("order", "6"), None, later.codec_state)


@pytest.mark.quirk("C-32", "C-33", "C-34", "C-35", "C-38")
@pytest.mark.parametrize(
    ("status", "expected", "courier"),
    [
        (1, Observation(S.CREATED, Raw("order", "1"), codec_state={"word": "1"}), None),
        (2, Observation(S.COURIER_ASSIGNED, Raw("order", "2"), codec_state={"word": "2"}), DRIVER),
        (3, Observation(S.PICKED_UP, Raw("order", "3"), codec_state={"word": "3", "goods": "1"}), DRIVER),
        (4, Observation(S.DELIVERED, Raw("order", "4"), codec_state={"word": "4", "goods": "1"}), DRIVER),
        (5, Observation(S.COURIER_WITHDRAWN, Raw("order", "5"), codec_state={"word": "5"}), None),
        (
            0,
            Observation(S.CANCELLED, Raw("order", "0"), cancelled_by=CancelledBy.UNKNOWN, codec_state={"word": "0"}),
            None,
        ),
        (6, Observation(None, Raw("order", "6"), codec_state={"word": "6"}), DRIVER),
        ("2", Observation(S.COURIER_ASSIGNED, Raw("order", "2"), codec_state={"word": "2"}), DRIVER),
        (" New,er ", Observation(None, Raw("order", "New,er"), codec_state={"word": "New;er"}), DRIVER),
    ],
    ids=["1", "2", "C-35", "4", "C-34", "C-33", "C-32", "text", "label"],
)
@pytest.mark.parametrize("history", [None, [], "none", {}], ids=["null", "empty", "text", "object"])
def test_the_status_alone_is_enough(
    codec: Cervo,
    attempt: AttemptView,
    now: datetime,
    status: object,
    expected: Observation,
    courier: Courier | None,
    history: object,
) -> None:
    payload = body(status, history, DriverName="Fot testing", DriverMobile=599000111)
    assert read(codec, attempt, payload, now) == (replace(expected, courier=courier),)


@pytest.mark.quirk("C-05")
def test_keys_are_read_in_any_case_and_style(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    history = b'[{"status": "2", "DATE": "2023-04-29 10:44"}]'
    payload = b'\xef\xbb\xbf{"STATUS": "2", "order_status": ' + history + b', "driver_name": "A"}'
    [seen] = read(codec, attempt, payload, now)
    assert (seen.status, seen.occurred_at, seen.courier) == (S.COURIER_ASSIGNED, SAMPLE_TIME, Courier("A"))


@pytest.mark.quirk("C-14")
@pytest.mark.parametrize(
    ("mobile", "phone", "guessed"),
    [
        ("599000111", "+966599000111", True),
        ("+966599000111", "+966599000111", False),
        ("966599000111", "+966599000111", True),
        ("ask at 12", "ask at 12", False),
        ("", None, False),
    ],
)
def test_a_driver_s_phone_is_kept_and_marked_when_its_country_was_assumed(
    codec: Cervo, attempt: AttemptView, now: datetime, mobile: str, phone: str | None, *, guessed: bool
) -> None:
    [seen] = read(codec, attempt, body(2, DriverName="A", DriverMobile=mobile), now)
    assert seen.courier == Courier("A", phone, phone_guessed=guessed)


@pytest.mark.quirk("C-39")
@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://track.example/25?x=1", "https://track.example/25?x=1"),
        ("http://track.example/25", None),
        ("javascript:alert(1)", None),
        ("https://user:pass@track.example", None),
        ("https://", None),
        ("https://....", None),
        ("https://[::1", None),
        ("https://a b", None),
        ("https://track.example/\nx", None),
    ],
)
def test_only_a_sound_https_link_is_passed_on(
    codec: Cervo, attempt: AttemptView, now: datetime, link: str, url: str | None
) -> None:
    [seen] = read(codec, attempt, body(2, tracking=link), now)
    assert (seen.tracking_url, seen.notes) == (url, () if url else ("tracking_refused",))


def test_an_empty_tracking_link_is_no_news(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    [seen] = read(codec, attempt, body(2, tracking=""), now)
    assert (seen.tracking_url, seen.notes) == (None, ())


def test_a_cancel_we_asked_for_is_the_merchant_s(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    [seen] = read(codec, replace(attempt, cancel_requested=True), body(0), now)
    assert (seen.status, seen.cancelled_by, seen.detail) == (S.CANCELLED, CancelledBy.MERCHANT, None)


@pytest.mark.quirk("C-34")
@pytest.mark.parametrize(
    ("rank", "history", "expected"),
    [
        (20, (2, 5), (S.COURIER_WITHDRAWN, None, None)),
        (50, (2, 5), (S.CANCELLED, "with_items", CancelledBy.COURIER)),
        (20, (2, 3, 5), (S.CANCELLED, "with_items", CancelledBy.COURIER)),
        (10, (3, 5), (S.CANCELLED, "with_items", CancelledBy.COURIER)),
    ],
)
def test_a_driver_who_leaves_with_the_goods_ends_the_attempt(
    codec: Cervo,
    attempt: AttemptView,
    now: datetime,
    rank: int,
    history: tuple[int, ...],
    expected: tuple[S, str | None, CancelledBy | None],
) -> None:
    last = read(codec, replace(attempt, rank=rank), body(5, entries(history)), now)[-1]
    assert (last.status, last.detail, last.cancelled_by) == expected


def test_the_goods_are_remembered_to_the_tail_reads(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    lost = remember(attempt, read(codec, attempt, body(3), now))
    ended = replace(lost, state="cancelled", rank=100)
    [seen] = read(codec, ended, body(5), now)
    assert (seen.status, seen.detail, seen.cancelled_by) == (S.CANCELLED, "with_items", CancelledBy.COURIER)


# Which entries are news


@pytest.mark.quirk("C-32", "C-34", "C-37", "C-38")
@pytest.mark.parametrize(
    ("looks", "expected"),
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
        "C-34 a driver leaves between two looks",
        "C-34 a driver comes back",
        "C-38 Status ahead of the history",
        "C-38 the history comes late",
        "C-38 the history skips what Status said",
        "C-38 the history is missing once",
        "C-37 the same word twice",
        "C-32 an unknown entry",
        "C-32 an unknown Status",
        "C-38 a cancel that did not last",
        "C-38 a withdrawal that did not last",
        "C-38 a completion that did not last",
        "C-32 a completion before an unknown word",
        "C-32 a cancel before an unknown word",
        "C-37 the array's order counts",
        "C-37 a rewritten history",
    ],
)
def test_each_entry_is_told_once_and_the_status_last(
    codec: Cervo, attempt: AttemptView, now: datetime, looks: list[tuple[tuple[int, ...], int]], expected: list[str]
) -> None:
    seen: list[Observation] = []
    for history, status in looks:
        new = read(codec, attempt, body(status, entries(history)), now)
        attempt = remember(attempt, new)
        seen += new
    assert told(seen) == expected


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
def test_an_odd_history_is_noted_and_blocks_nothing(
    codec: Cervo,
    attempt: AttemptView,
    now: datetime,
    history: list[object],
    status: int,
    codes: list[str],
    notes: tuple[str, ...],
) -> None:
    seen = read(codec, attempt, body(status, history), now)
    assert (told(seen), seen[-1].notes) == (codes, notes)


def test_a_rewritten_history_is_noted(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    later = remember(attempt, read(codec, attempt, body(3, entries([2, 3])), now))
    [seen] = read(codec, later, body(3, entries([1, 2, 3])), now)
    assert (seen.notes, seen.codec_state) == (("history_rewritten",), {"told": "1,2,3", "word": "3", "goods": "1"})


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
def test_a_time_is_the_account_s_unless_it_says_its_zone(
    codec: Cervo, attempt: AttemptView, now: datetime, date: str, at: datetime, zone: str | None
) -> None:
    [seen] = read(codec, attempt, body(2, entries([2], date)), now)
    assert (seen.carrier_time, seen.occurred_at, seen.occurred_at_assumed_zone) == (at, at, zone)


# What is no order


@pytest.mark.quirk("C-33", "C-40")
@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (200, b""),
        (200, b"<html></html>"),
        (200, b"[]"),
        (200, b"99999"),
        (200, b"{}"),
        (200, b'{"Status": null}'),
        (200, b'{"Status": ""}'),
        (200, b'{"Status": false}'),
        (200, b'{"Status": [1]}'),
        (200, b'{"DriverName": "A", "OrderStatus": []}'),
        (200, b"[" * 100_000),
        (201, DOCUMENTED_ORDER),
        (301, b""),
        (400, b""),
        (404, b""),
    ],
    ids=[
        "empty", "html", "list", "id", "object", "C-33 null", "C-33 blank", "C-33 false", "C-33 list", "C-33 missing",
        "deep", "201", "301", "C-40 400", "404",
    ],
)  # fmt: skip
def test_what_is_no_order_changes_nothing(
    codec: Cervo, attempt: AttemptView, now: datetime, status: int, payload: bytes
) -> None:
    [call] = codec.track([attempt], now)
    with pytest.raises(Unreadable):
        codec.read(call, Reply(status, payload), [attempt], now)


@pytest.mark.parametrize("status", [500, 503])
def test_a_read_that_failed_is_made_again(codec: Cervo, attempt: AttemptView, now: datetime, status: int) -> None:
    [call] = codec.track([attempt], now)
    with pytest.raises(Unavailable) as error:
        codec.read(call, Reply(status, b"", {"retry-after": "30"}), [attempt], now)
    assert (error.value.account, error.value.retry_after) == (False, 30.0)


def test_an_answer_about_another_attempt_is_not_read(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    [call] = codec.track([attempt], now)
    assert codec.read(call, Reply(200, DOCUMENTED_ORDER), [replace(attempt, id=1)], now) == Reading()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Status", "Date", "x"]) | st.text(), inner),
    max_leaves=8,
)
ORDERS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("Status", "OrderStatus", "DriverName", "DriverMobile", "tracking"), JSON),
).map(lambda raw: json.dumps(raw).encode())


@given(payload=st.binary() | ORDERS)
def test_no_answer_to_a_read_raises_anything_but_carrier_errors(
    codec: Cervo, attempt: AttemptView, now: datetime, payload: bytes
) -> None:
    try:
        seen = read(codec, attempt, payload, now)
    except CarrierError:
        return
    assert seen
    assert all("\x00" not in f"{one.raw}{one.codec_state}{one.courier}" for one in seen)


@pytest.mark.quirk("C-37")
@given(words=st.lists(st.sampled_from([1, 2, 3, 6]), min_size=1, max_size=12), cuts=st.sets(st.integers(1, 12)))
def test_a_growing_history_is_told_once_however_often_it_is_read(
    codec: Cervo, attempt: AttemptView, now: datetime, words: list[int], cuts: set[int]
) -> None:
    seen: list[str] = []
    for length in sorted({min(cut, len(words)) for cut in cuts} | {len(words)}):
        new = read(codec, attempt, body(words[length - 1], entries(words[:length])), now)
        attempt = remember(attempt, new)
        seen += told(new)
    assert seen == [str(word) for word in words]
