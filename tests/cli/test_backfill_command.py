"""`order-sync backfill`: on a real server of the sandbox, with a Redis for the platform's budget."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web.edge import ENVIRONMENT
from worker import cli, container
from worker.cli import platform
from worker.cli.base import moment

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
Command = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    sqlite_url: str,
    redis_url: str,
) -> Command:
    monkeypatch.chdir(tmp_path)
    ordering = {"ORDERING__BASE_URL": "http://127.0.0.1:1", "ORDERING__API_KEY": "sandbox-ordering-key"}
    variables = {**ENVIRONMENT, "DATABASE_URL": sqlite_url, "REDIS_URL": redis_url, **ordering}
    for name, value in variables.items():
        monkeypatch.setenv(f"ORDER_SYNC_{name}", value)

    def run(*arguments: str) -> tuple[int, list[str], str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["backfill", *arguments])
        container.close()
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out.splitlines(), captured.err

    return run


def seed(sandbox: str, *orders: dict[str, Any]) -> None:
    given = [{"business_id": 17, **order} for order in orders]
    assert httpx.post(f"{sandbox}/sandbox/ordering/orders", json=given).status_code == 201


@pytest.mark.quirk("O-10")
def test_what_is_missing_is_shown_or_taken_in_and_then_nothing_is(
    command: Command, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDER_SYNC_ORDERING__BASE_URL", sandbox)
    monkeypatch.setenv("ORDER_SYNC_ORDERING__RATE", "")
    monkeypatch.setattr(platform, "SECOND", 0.0)
    seed(sandbox, {"id": 1}, {"id": 2, "paymethod": {"gateway": "barter"}}, {"id": 3, "status": 1})
    code, lines, _ = command("--dry-run")
    assert (code, [line.split(",")[0] for line in lines]) == (0, ["1 missing", "2 missing"])
    code, lines, _ = command()
    unknown = "paymethod.gateway: unknown whether it is prepaid or paid at the door; set PAYMETHODS for it"
    assert (code, lines) == (0, ["1 taken in", f"2 a dead letter: {unknown}"])
    code, lines, told = command()
    assert (code, lines) == (0, [])
    assert "A key that may not see the orders gets this answer, too" in told


@pytest.mark.parametrize("since", ["yesterday", "2026-11-21T17:00:00", "5x", "h", "999999d"])
def test_a_time_that_is_none_is_wrong_usage(command: Command, since: str) -> None:
    assert command("--since", since)[0] == 2


def test_a_platform_that_does_not_answer_is_one_readable_line(command: Command) -> None:
    code, lines, told = command()
    assert (code, lines, told.splitlines()[-1]) == (
        1,
        [],
        "order-sync: the platform cannot be asked: not sent: ConnectError",
    )


def test_without_a_platform_there_is_nothing_to_ask(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORDER_SYNC_ORDERING__BASE_URL")
    assert command()[0] == 2


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
def test_since_is_a_time_or_how_long_ago(text: str, found: datetime) -> None:
    assert moment(text, NOW) == found
