"""GET /order: its requests, and the observations of one answer."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import CancelledBy, DeliveryStatus
from tests.carriers.cervo.orders import (
    DOCUMENTED_ORDER,
    DRIVER,
    SAMPLE_TIME,
    ZONE,
    body,
    entries,
    observations_of,
    with_state,
)
from worker.carriers.cervo import Cervo
from worker.carriers.port import AttemptView, Courier, Observation, Raw, Reading
from worker.errors import CarrierError, Unavailable, Unreadable
from worker.http.call import Reply

S = DeliveryStatus


# The requests


@pytest.mark.quirk("C-04")
def test_every_attempt_is_read_by_its_own_request(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    calls = codec.track([attempt, replace(attempt, id=2012, ref="26")], now)
    assert [(call.attempt_ids, call.query) for call in calls] == [
        ((2011,), (("id", "25"),)),
        ((2012,), (("id", "26"),)),
    ]


@pytest.mark.quirk("C-31")
@pytest.mark.parametrize("ref", [None, "", "0", "abc", "25/../1", "25\r\nX: y", "٢٥"])
def test_only_an_order_id_of_cervo_s_is_read(
    codec: Cervo, attempt: AttemptView, now: datetime, ref: str | None
) -> None:
    assert codec.track([replace(attempt, ref=ref)], now) == []  # C-31


# The observations of an order


@pytest.mark.quirk("C-32", "C-39")
def test_the_documented_order_gives_its_history_and_an_unknown_code(
    codec: Cervo, attempt: AttemptView, now: datetime
) -> None:
    timed: dict[str, Any] = {"carrier_time": SAMPLE_TIME, "occurred_at": SAMPLE_TIME, "occurred_at_assumed_zone": ZONE}
    assert observations_of(codec, attempt, DOCUMENTED_ORDER, now) == (
        Observation(S.COURIER_ASSIGNED, Raw("order", "2"), **timed, codec_state={"history": "2", "last_code": "2"}),
        Observation(
            S.PICKED_UP,
            Raw("order", "3"),
            **timed,
            codec_state={"history": "2,3", "last_code": "3", "goods_collected": "1"},
        ),
        Observation(  # C-32
            None,
            Raw("order", "6"),
            **timed,
            codec_state={"history": "2,3,6", "last_code": "6", "goods_collected": "1"},
            courier=DRIVER,
            notes=("tracking_refused",),  # C-39: the sample's link has no host
        ),
    )


@pytest.mark.quirk("C-32", "C-33", "C-34", "C-35", "C-38")
@pytest.mark.parametrize(
    ("status", "expected", "courier"),
    [
        (1, Observation(S.CREATED, Raw("order", "1"), codec_state={"last_code": "1"}), None),
        (2, Observation(S.COURIER_ASSIGNED, Raw("order", "2"), codec_state={"last_code": "2"}), DRIVER),
        (
            3,
            Observation(S.PICKED_UP, Raw("order", "3"), codec_state={"last_code": "3", "goods_collected": "1"}),
            DRIVER,
        ),
        (
            4,
            Observation(S.DELIVERED, Raw("order", "4"), codec_state={"last_code": "4", "goods_collected": "1"}),
            DRIVER,
        ),
        (5, Observation(S.COURIER_WITHDRAWN, Raw("order", "5"), codec_state={"last_code": "5"}), None),
        (
            0,
            Observation(
                S.CANCELLED, Raw("order", "0"), cancelled_by=CancelledBy.UNKNOWN, codec_state={"last_code": "0"}
            ),
            None,
        ),
        (6, Observation(None, Raw("order", "6"), codec_state={"last_code": "6"}), DRIVER),
        ("2", Observation(S.COURIER_ASSIGNED, Raw("order", "2"), codec_state={"last_code": "2"}), DRIVER),
        (" New,er ", Observation(None, Raw("order", "New,er"), codec_state={"last_code": "New;er"}), DRIVER),
    ],
    ids=["1", "2", "C-35", "4", "C-34", "C-33", "C-32", "text", "label"],
)
@pytest.mark.parametrize("history", [None, [], "none", {}], ids=["null", "empty", "text", "object"])
def test_an_order_without_a_history_is_read_by_its_status(
    codec: Cervo,
    attempt: AttemptView,
    now: datetime,
    status: object,
    expected: Observation,
    courier: Courier | None,
    history: object,
) -> None:
    payload = body(status, history, DriverName="Fot testing", DriverMobile=599000111)
    assert observations_of(codec, attempt, payload, now) == (replace(expected, courier=courier),)


@pytest.mark.quirk("C-05")
def test_keys_are_read_in_any_case_and_style(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    history = b'[{"status": "2", "DATE": "2023-04-29 10:44"}]'
    payload = b'\xef\xbb\xbf{"STATUS": "2", "order_status": ' + history + b', "driver_name": "A"}'
    [seen] = observations_of(codec, attempt, payload, now)
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
    [seen] = observations_of(codec, attempt, body(2, DriverName="A", DriverMobile=mobile), now)
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
def test_only_a_valid_https_link_is_reported(
    codec: Cervo, attempt: AttemptView, now: datetime, link: str, url: str | None
) -> None:
    [seen] = observations_of(codec, attempt, body(2, tracking=link), now)
    assert (seen.tracking_url, seen.notes) == (url, () if url else ("tracking_refused",))


def test_an_empty_tracking_link_is_not_reported(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    [seen] = observations_of(codec, attempt, body(2, tracking=""), now)
    assert (seen.tracking_url, seen.notes) == (None, ())


def test_a_requested_cancellation_is_the_merchant_s(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    [seen] = observations_of(codec, replace(attempt, cancel_requested=True), body(0), now)
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
    last = observations_of(codec, replace(attempt, rank=rank), body(5, entries(history)), now)[-1]
    assert (last.status, last.detail, last.cancelled_by) == expected


def test_a_follow_up_read_knows_that_the_goods_were_collected(
    codec: Cervo, attempt: AttemptView, now: datetime
) -> None:
    collected = with_state(attempt, observations_of(codec, attempt, body(3), now))
    ended = replace(collected, state="cancelled", rank=100)
    [seen] = observations_of(codec, ended, body(5), now)
    assert (seen.status, seen.detail, seen.cancelled_by) == (S.CANCELLED, "with_items", CancelledBy.COURIER)


# Answers that are not an order


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
def test_an_answer_that_is_not_an_order_is_unreadable(
    codec: Cervo, attempt: AttemptView, now: datetime, status: int, payload: bytes
) -> None:
    [call] = codec.track([attempt], now)
    with pytest.raises(Unreadable):
        codec.read(call, Reply(status, payload), [attempt], now)


@pytest.mark.parametrize("status", [500, 503])
def test_a_failed_read_may_be_repeated(codec: Cervo, attempt: AttemptView, now: datetime, status: int) -> None:
    [call] = codec.track([attempt], now)
    with pytest.raises(Unavailable) as error:
        codec.read(call, Reply(status, b"", {"retry-after": "30"}), [attempt], now)
    assert (error.value.account, error.value.retry_after) == (False, 30.0)


def test_an_answer_about_another_attempt_is_ignored(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
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


@settings(deadline=None)
@given(payload=st.binary() | ORDERS)
def test_a_read_raises_only_carrier_errors(codec: Cervo, attempt: AttemptView, now: datetime, payload: bytes) -> None:
    try:
        seen = observations_of(codec, attempt, payload, now)
    except CarrierError:
        return
    assert seen
    assert all("\x00" not in f"{each.raw}{each.codec_state}{each.courier}" for each in seen)
