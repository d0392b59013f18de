"""`order-sync backfill`, with the sandbox's server and a real Redis for the platform's rate limit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.cli.commands import CommandLine
from worker.cli import platform
from worker.cli.base import moment

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)


@pytest.fixture
def ordering(command_line: CommandLine, redis_url: str) -> CommandLine:
    """Configure an Ordering platform at an address that does not answer."""
    command_line.set(
        REDIS_URL=redis_url, ORDERING__BASE_URL="http://127.0.0.1:1", ORDERING__API_KEY="sandbox-ordering-key"
    )
    return command_line


def place_on_platform(sandbox: str, *orders: dict[str, Any]) -> None:
    placed = [{"business_id": 17, **order} for order in orders]
    assert httpx.post(f"{sandbox}/sandbox/ordering/orders", json=placed).status_code == 201


@pytest.mark.quirk("O-10")
def test_missing_orders_are_listed_or_fetched_and_are_then_no_longer_missing(
    ordering: CommandLine, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordering.set(ORDERING__BASE_URL=sandbox, ORDERING__RATE="")
    monkeypatch.setattr(platform, "ROUND_SECONDS", 0.0)
    place_on_platform(sandbox, {"id": 1}, {"id": 2, "paymethod": {"gateway": "barter"}}, {"id": 3, "status": 1})
    result = ordering("backfill", "--dry-run")
    assert (result.code, [line.split(",")[0] for line in result.lines]) == (0, ["1 missing", "2 missing"])
    result = ordering("backfill")
    unknown = "paymethod.gateway: unknown whether it is prepaid or paid at the door; set PAYMETHODS for it"
    assert (result.code, result.lines) == (0, ["1 stored", f"2 a dead letter: {unknown}"])
    result = ordering("backfill")
    assert (result.code, result.lines) == (0, [])
    assert "A key without the right to see orders gets the same answer." in result.err


@pytest.mark.parametrize("since", ["yesterday", "2026-11-21T17:00:00", "5x", "h", "999999d"])
def test_a_since_that_is_neither_a_time_nor_an_age_is_wrong_usage(ordering: CommandLine, since: str) -> None:
    assert ordering("backfill", "--since", since).code == 2


def test_a_platform_that_does_not_answer_is_reported_in_one_line(ordering: CommandLine) -> None:
    result = ordering("backfill")
    assert (result.code, result.lines, result.err.splitlines()[-1]) == (
        1,
        [],
        "order-sync: the platform's orders cannot be read: not sent: ConnectError",
    )


def test_backfill_without_a_platform_is_wrong_usage(ordering: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORDER_SYNC_ORDERING__BASE_URL")
    assert ordering("backfill").code == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-21T17:00:00+01:00", NOW - timedelta(hours=1)),
    ],
)
def test_since_is_a_time_or_an_age(text: str, found: datetime) -> None:
    assert moment(text, NOW) == found
