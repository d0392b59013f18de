"""Local times: daylight saving, rare dates, and times without a zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from worker.carriers.borzo.request import timestamp
from worker.carriers.borzo.wire import parse_event
from worker.carriers.cervo.history import EventTime as Moment
from worker.carriers.cervo.history import parse_time as cervo_moment
from worker.carriers.deliverit.times import parse_date_time
from worker.carriers.deliverit.times import resolve_time as deliverit_moment

COPENHAGEN = ZoneInfo("Europe/Copenhagen")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- Cervo: to the minute, in the account's zone ---


@pytest.mark.fault("F-52", "F-53")
@pytest.mark.quirk("C-37", "X-01")
@pytest.mark.parametrize(
    ("text", "now", "zone", "expected"),
    [
        ("2026-10-25 02:50", "2026-10-25T00:51", "Europe/Copenhagen", "2026-10-25T00:50"),
        ("2026-10-25 02:10", "2026-10-25T01:11", "Europe/Copenhagen", "2026-10-25T01:10"),
        ("2027-03-28 02:30", "2027-03-28T01:31", "Europe/Copenhagen", "2027-03-28T01:30"),
        ("2026-10-25 02:30", "2026-10-25T12:00", "Asia/Riyadh", "2026-10-24T23:30"),
        ("2028-02-29 23:59", "2028-02-29T21:00", "Asia/Riyadh", "2028-02-29T20:59"),
        ("2027-01-01 00:01", "2026-12-31T21:02", "Asia/Riyadh", "2026-12-31T21:01"),
        ("2038-01-19 06:15", "2038-01-19T03:16", "Asia/Riyadh", "2038-01-19T03:15"),
    ],
    ids=["autumn-first", "autumn-second", "spring-gap", "riyadh", "leap-day", "new-year", "2038"],
)
def test_a_time_of_cervo_is_the_latest_that_has_passed(text: str, now: str, zone: str, expected: str) -> None:
    assert cervo_moment(text, zone, utc(now)) == Moment(utc(expected), zone)


@pytest.mark.fault("F-52")
def test_the_second_autumn_hour_is_later_than_the_first() -> None:
    first = cervo_moment("2026-10-25 02:50", "Europe/Copenhagen", utc("2026-10-25T00:51")).at
    second = cervo_moment("2026-10-25 02:10", "Europe/Copenhagen", utc("2026-10-25T01:11")).at
    assert first is not None
    assert second is not None
    assert first < second


@pytest.mark.fault("F-53")
def test_a_date_that_does_not_exist_is_no_time() -> None:
    assert cervo_moment("2027-02-29 10:00", "Asia/Riyadh", utc("2027-03-01T10:00")) == Moment(
        notes=("time_unreadable",)
    )


# --- DeliverIt: clock times, seldom with a date ---


@pytest.mark.fault("F-52")
@pytest.mark.quirk("D-56", "X-01")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-25 02:30", "2026-10-25T00:30"),
        ("2027-03-28 02:30", "2027-03-28T01:30"),
        ("2028-02-29 12:00", "2028-02-29T11:00"),
        ("2027-02-29 12:00", None),
        ("2038-01-19 04:14:08", "2038-01-19T03:14:08"),
    ],
    ids=["autumn", "spring-gap", "leap-day", "no-leap-day", "2038"],
)
def test_a_date_and_time_of_deliverit_is_the_first_of_that_clock_time(text: str, expected: str | None) -> None:
    assert parse_date_time(text, COPENHAGEN) == (utc(expected) if expected else None)


@pytest.mark.fault("F-53")
@pytest.mark.quirk("D-26", "X-01")
@pytest.mark.parametrize(
    ("text", "anchor", "expected"),
    [
        ("00:05", "2026-12-31T22:50", "2026-12-31T23:05"),
        ("23:58", "2027-01-01T00:10", "2026-12-31T22:58"),
        ("00:05", "2028-02-28T22:50", "2028-02-28T23:05"),
        ("00:05", "2028-02-29T22:50", "2028-02-29T23:05"),
    ],
    ids=["new-year", "back-to-the-old", "into-the-leap-day", "out-of-it"],
)
def test_a_clock_time_rolls_over_on_rare_dates(text: str, anchor: str, expected: str) -> None:
    assert deliverit_moment(text, utc(anchor), COPENHAGEN) == utc(expected)


# --- Borzo: always with an offset ---


@pytest.mark.fault("F-52")
@pytest.mark.quirk("B-07")
@pytest.mark.parametrize(
    ("instant", "text"),
    [
        ("2026-10-18T03:30", "2026-10-18T00:30:00-03:00"),
        ("2027-02-21T02:30", "2027-02-20T23:30:00-03:00"),
        ("2026-12-31T23:59", "2026-12-31T20:59:00-03:00"),
        ("2038-01-19T03:14", "2038-01-19T00:14:00-03:00"),
    ],
    ids=["once-the-first-night-of-summer", "once-the-last", "new-year", "2038"],
)
def test_sao_paulo_has_no_summer_time(instant: str, text: str) -> None:
    assert timestamp(utc(instant), ZoneInfo("America/Sao_Paulo")) == text


@pytest.mark.fault("F-53")
@pytest.mark.quirk("B-07", "X-01")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30"),
        ("2026-10-25T02:30:00", None),
        ("2027-02-29T10:00:00-03:00", None),
    ],
    ids=["first", "second", "no-zone", "no-such-day"],
)
def test_a_time_of_borzo_without_an_offset_is_no_time(text: str, expected: str | None) -> None:
    event = parse_event(b'{"event_datetime": "%s", "order": {"order_id": 7}}' % text.encode())
    assert event is not None
    assert event.event_datetime == (utc(expected) if expected else None)
