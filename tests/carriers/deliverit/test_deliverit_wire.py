"""Their words: spelling, types, times and links."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.carriers.deliverit.attempt_state import placeholder_ref
from worker.carriers.deliverit.times import is_real, resolve_past_time, resolve_time, round_up_to_minute
from worker.carriers.deliverit.wire import (
    Link,
    RawAnswer,
    RawDateTime,
    RawRow,
    decode_json,
    driver_order_path,
    is_token,
    parse_link,
    plain,
)

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)


@pytest.mark.quirk("D-07")
@pytest.mark.parametrize("key", ["cancelUrl", "cancelurl", "cancel_url", "canceUrl"])
def test_the_key_of_a_cancel_link_is_read_in_any_spelling(key: str) -> None:
    row = RawRow.parse({key: "https://butik.deliverit.dk/x"})
    assert row is not None
    assert row.cancel_url == "https://butik.deliverit.dk/x"


@pytest.mark.quirk("D-07")
@pytest.mark.parametrize("key", ["msg", "message"])
def test_the_key_of_a_message_has_two_spellings(key: str) -> None:
    answer = RawAnswer.parse({key: "Welcome"})
    assert answer is not None
    assert answer.message == "Welcome"


@pytest.mark.quirk("D-58")
@pytest.mark.parametrize(
    ("raw", "meaning"),
    [
        (True, True), (1, True), ("1", True), ("true", True),
        (False, False), (0, False), ("0", False), ("false", False),
        ("", None), (None, None), ("yes", None), (2, None), (1.0, None), ([], None),
    ],
)  # fmt: skip
def test_only_documented_spellings_are_a_flag(raw: object, meaning: object) -> None:
    row = RawRow.parse({"cancel": raw})
    assert row is not None
    assert row.cancel is meaning


@pytest.mark.quirk("D-56")
@pytest.mark.parametrize("raw", ["", "N/A", "n/a", "-", None, " N/A ", True, [], {}])
def test_a_sentinel_is_no_value(raw: object) -> None:
    row = RawRow.parse({"done": raw})
    assert row is not None
    assert row.done is None


@pytest.mark.quirk("D-24")
@pytest.mark.parametrize(
    ("raw", "price"),
    [("60", "60"), (60, "60"), ("60,50", "60.50"), (Decimal("60.5"), "60.5"), ("1.234,50", None), ("-1", None)],
)
def test_a_price_is_read_as_a_decimal(raw: object, price: str | None) -> None:
    row = RawRow.parse({"deliveryPrice": raw})
    assert row is not None
    assert row.delivery_price == (Decimal(price) if price else None)


@pytest.mark.quirk("D-55")
@pytest.mark.parametrize(
    ("raw", "instant"),
    [
        ({"date": "2017-05-13 17:30:07.000000", "timezone_type": 3, "timezone": "Europe/Berlin"}, "15:30:07"),
        ({"date": "2017-05-13 17:30:07.000000", "timezone_type": 1, "timezone": "+02:00"}, "15:30:07"),
        ({"date": "2017-05-13 17:30:07.000000", "timezone_type": 1, "timezone": "-01:30"}, "19:00:07"),
        ({"date": "2017-05-13 17:30:07.000000", "timezone_type": 2, "timezone": "CEST"}, "15:30:07"),
        ({"date": "2017-05-13 17:30:07.000000", "timezone_type": 2, "timezone": "CET"}, "16:30:07"),
        ({"date": "2017-05-13 17:30:07.000000", "timezone_type": 3, "timezone": "../../etc"}, "15:30:07"),
        ({"date": "2017-05-13 17:30:07"}, "15:30:07"),
        ({"date": "2017-05-13 17:30:07", "timezone_type": 1, "timezone": "+99:00"}, "15:30:07"),
        ({"date": "2017-02-30 17:30:07"}, None),
        ({"date": "yesterday"}, None),
        ({}, None),
    ],
)
def test_every_type_of_a_dumped_php_datetime_is_read(raw: object, instant: str | None) -> None:
    when = RawDateTime.parse(raw)
    assert when is not None
    assert when.instant(COPENHAGEN) == (datetime.fromisoformat(f"2017-05-13 {instant}+00:00") if instant else None)


def test_a_creation_time_that_is_a_text_is_read() -> None:
    row = RawRow.parse({"created_at": "2017-05-13 17:30:07"})
    assert row is not None
    assert row.created_at == RawDateTime(date="2017-05-13 17:30:07")


@pytest.mark.quirk("X-11")
@pytest.mark.parametrize(
    "body",
    [b'\xef\xbb\xbf{"msg": "\xc3\xb8"}', b'{"msg": "\xf8"}', b'{"msg": "\\u00f8"}'],
    ids=["bom", "latin-1", "escaped"],
)
def test_json_is_read_as_php_servers_write_it(body: bytes) -> None:
    assert decode_json(body) == {"msg": "ø"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"[1e99999999999999999999]", b"\xff\xfe"])
def test_a_body_that_is_no_json_is_none(body: bytes) -> None:
    assert decode_json(body) is None


@given(st.text())
def test_plain_text_can_always_be_stored(text: str) -> None:
    assert plain(text) == plain(plain(text))
    assert "\x00" not in plain(text + "\x00\ud800")
    assert plain(text + "\ud800").encode()


@pytest.mark.fault("F-33")
@pytest.mark.quirk("D-01", "D-02")
@pytest.mark.parametrize(
    ("url", "verb", "company", "link"),
    [
        pytest.param(
            "http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM", "cancel", "14",
            Link("14", "F64u3fbxNdaoTyAcOisM", "butik.deliverit.dk"), id="create",
        ),
        pytest.param(
            "https://dev.butik.deliverit.dk/api/v1/orderdriver/cancel/149/RYGKaXMCSN94WfqPEivy", "cancel", "149",
            Link("149", "RYGKaXMCSN94WfqPEivy", "dev.butik.deliverit.dk"), id="accept-202-D-01",
        ),
        pytest.param(
            "http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/uyPtNITg5cAOoKDViG2e", "cancel", "14",
            Link("14", "uyPtNITg5cAOoKDViG2e", "butik.deliverit.dk"), id="accept-200",
        ),
        pytest.param("https://x/api/v1/orderdriver/cancel/15/F64u3fbxN", "cancel", "14", None, id="foreign"),
        pytest.param("https://x/api/v1/orderdriver/deny/14/F64u3fbxN", "cancel", "14", None, id="verb"),
        pytest.param("https://x/api/v1/orderdriver/cancel/14/short", "cancel", "14", None, id="short"),
        pytest.param("https://x/api/v1/orderdriver/cancel/14/F64u3fbxN/../login", "cancel", "14", None, id="climbing"),
        pytest.param("https://x/api/v1/orderdriver/cancel/14/F64u3fbxN%2e", "cancel", "14", None, id="escaped"),
        pytest.param("https://x/api/v1/orderdriver/cancel/١٤/F64u3fbxN", "cancel", "14", None, id="digits"),
        pytest.param("https://[/api/v1/orderdriver/cancel/14/F64u3fbxN", "cancel", "14", None, id="broken"),
        pytest.param("https://x/api/v1/orderdriver/cancel/14/F64u3fbxN", "cancel", None, None, id="company-unknown"),
        pytest.param(None, "cancel", "14", None, id="none"),
    ],
)  # fmt: skip
def test_a_link_is_read_strictly(url: str | None, verb: str, company: str | None, link: Link | None) -> None:
    assert parse_link(url, verb, company) == link


@given(st.text())
def test_no_text_breaks_the_link_parser(text: str) -> None:
    assert parse_link(text, "cancel", "14") is None or "/orderdriver/" in text


@given(st.from_regex(r"[A-Za-z0-9]{8,64}", fullmatch=True))
def test_a_rebuilt_link_is_read_back(token: str) -> None:
    path = driver_order_path("accept", "14", token)
    assert parse_link(f"https://butik.deliverit.dk{path}", "accept", "14") == Link("14", token, "butik.deliverit.dk")


def test_a_placeholder_ref_is_no_token() -> None:
    assert not is_token(placeholder_ref("132TMY8NEP0"))
    assert not is_token(None)


@pytest.mark.fault("F-52")
@pytest.mark.quirk("D-26")
@pytest.mark.parametrize(
    ("text", "anchor", "instant"),
    [
        pytest.param("20:15", "2026-11-21T19:15", "2026-11-21T19:15", id="same"),
        pytest.param("00:10", "2026-11-21T22:55", "2026-11-21T23:10", id="over-midnight"),
        pytest.param("23:55", "2026-11-21T23:05", "2026-11-21T22:55", id="back-over-midnight"),
        pytest.param("02:30", "2026-10-25T00:30", "2026-10-25T00:30", id="autumn-first"),
        pytest.param("02:30", "2026-10-25T01:30", "2026-10-25T01:30", id="autumn-second"),
        pytest.param("02:30", "2027-03-28T01:10", "2027-03-28T01:30", id="spring-gap"),
        pytest.param("2026-11-22 20:15", "2026-11-21T19:15", "2026-11-22T19:15", id="full"),
        pytest.param("25:00", "2026-11-21T19:15", None, id="impossible"),
        pytest.param("soon", "2026-11-21T19:15", None, id="word"),
        pytest.param(None, "2026-11-21T19:15", None, id="none"),
    ],
)
def test_a_clock_face_is_the_nearest_such_time(text: str | None, anchor: str, instant: str | None) -> None:
    found = resolve_time(text, datetime.fromisoformat(anchor).replace(tzinfo=UTC), COPENHAGEN)
    assert found == (datetime.fromisoformat(instant).replace(tzinfo=UTC) if instant else None)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(hours=-10), timedelta(hours=10)),
)
def test_a_clock_time_is_read_back_as_an_instant_that_shows_it(anchor: datetime, away: timedelta) -> None:
    written = round_up_to_minute(anchor + away)
    read = resolve_time(written.astimezone(COPENHAGEN).strftime("%H:%M"), anchor, COPENHAGEN)
    assert read is not None
    # the autumn hour is shown twice, so the nearer of the two is meant
    assert abs(read - anchor) <= abs(written - anchor)
    assert f"{read.astimezone(COPENHAGEN):%H:%M}" == f"{written.astimezone(COPENHAGEN):%H:%M}"


@pytest.mark.quirk("D-59")
def test_a_cancellation_is_never_in_the_future() -> None:
    assert resolve_past_time("17:40", NOW, COPENHAGEN) == NOW - timedelta(minutes=20)
    assert resolve_past_time("18:30", NOW, COPENHAGEN) == NOW - timedelta(hours=23, minutes=30)
    assert resolve_past_time("2026-11-21 17:50:03", NOW, COPENHAGEN) == datetime(2026, 11, 21, 16, 50, 3, tzinfo=UTC)
    assert resolve_past_time("soon", NOW, COPENHAGEN) is None


@pytest.mark.quirk("D-14")
def test_a_time_in_the_skipped_hour_is_not_real() -> None:
    assert not is_real(datetime(2027, 3, 28, 2, 30, tzinfo=COPENHAGEN))
    assert is_real(datetime(2027, 3, 28, 3, 30, tzinfo=COPENHAGEN))
    assert is_real(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=COPENHAGEN))
