"""Retry-After in the replies of all carriers."""

from datetime import UTC, datetime

import pytest

from worker.http.call import Reply

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
DATE = "Sat, 21 Nov 2026 17:01:00 GMT"


@pytest.mark.fault("F-34")
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "86400"}, 3600.0),
        ({"retry-after": "9" * 400}, 3600.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 17:02:00 GMT"}, 120.0),
        ({"retry-after": "Sat, 21 Nov 2026 17:02:00 -0000"}, 120.0),
        ({"retry-after": "Sat, 21 Nov 2026 17:02:00 GMT", "date": DATE}, 60.0),
        ({"retry-after": "Sat, 21 Nov 2026 17:02:00 GMT", "date": "Sat, 21 Nov 2026 17:01:00 -0000"}, 60.0),
        ({"retry-after": "Sat, 21 Nov 2026 17:02:00 GMT", "date": "today"}, 120.0),
        ({"retry-after": "Sat, 21 Nov 2020 17:02:00 GMT"}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2036 17:02:00 GMT"}, 3600.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"}, None),
    ],
)
def test_retry_after_is_honoured_within_an_hour(headers: dict[str, str], seconds: float | None) -> None:
    assert Reply(429, b"", headers).retry_after(NOW) == seconds


def test_an_http_date_without_any_clock_is_ignored() -> None:
    assert Reply(429, b"", {"retry-after": "Sat, 21 Nov 2026 17:02:00 GMT"}).retry_after(None) is None


def test_an_http_date_is_measured_by_the_carriers_own_clock() -> None:
    reply = Reply(429, b"", {"retry-after": "Sat, 21 Nov 2026 17:02:00 GMT", "date": DATE})
    assert reply.retry_after(None) == 60.0
