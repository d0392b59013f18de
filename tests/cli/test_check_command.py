"""`order-sync check`, `up` and `db upgrade`: whether every part works, and what fails."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from tests.cli.commands import CommandLine, Result, write_file
from worker.carriers.port import Callback, CallbackKey
from worker.config.settings import NO_REDIS
from worker.database import callbacks
from worker.database.database import Database
from worker.local.supervisor import lock_file


def test_a_second_upgrade_of_the_database_changes_nothing(command_line: CommandLine) -> None:
    command_line.set(DATABASE_URL="sqlite:///new/fresh.db")
    assert [command_line("db", "upgrade") for _ in range(2)] == [Result(0, "", "")] * 2
    created = Database("sqlite:///new/fresh.db")
    created.ping()
    created.close()


@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_writes_one_line_for_each_part_that_works(command_line: CommandLine) -> None:
    result = command_line("check")
    assert (result.code, result.err) == (0, "")
    assert [line.split(":")[0] for line in result.lines] == [
        "ok      database",
        "ok      redis",
        "ok      journal",
        "ok      carrier borzo",
        "ok      carrier cervo",
        "ok      carrier deliverit",
        "ok      callbacks borzo",
    ]


@pytest.mark.quirk("O-10")
@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_reports_whether_the_platform_accepts_the_key_and_shows_orders_to_it(command_line: CommandLine) -> None:
    origin = os.environ["ORDER_SYNC_CARRIERS__CERVO__BASE_URL"]
    command_line.set(ORDERING__BASE_URL=origin, ORDERING__API_KEY="sandbox-ordering-key", ORDERING__RATE="")
    accepted = command_line("check").lines[-1]
    command_line.set(ORDERING__API_KEY="another key")
    rejected = command_line("check")
    assert accepted == (
        "ok      platform: orders of the source 'platform' are written back; "
        "no order is visible to this key: is it an administrator's or a business owner's?"
    )
    assert (rejected.code, rejected.lines[-1]) == (1, "failed  platform: Unavailable the platform answered 401")


@pytest.mark.usefixtures("carriers")
def test_a_check_reports_each_part_that_fails(command_line: CommandLine) -> None:
    command_line.set(DATABASE_URL="sqlite:///empty.db", CARRIERS__BORZO__TOKEN="wrong")
    result = command_line("check")
    assert result.code == 1
    assert [line.split(":")[0] for line in result.lines if line.startswith("failed")] == [
        "failed  database",
        "failed  redis",
        "failed  carrier borzo",
        "failed  callbacks borzo",
    ]
    assert "wrong" not in result.out


@pytest.mark.quirk("B-80")
@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_reports_callbacks_about_deliveries_that_are_not_enabled(command_line: CommandLine) -> None:
    database, now = Database(os.environ["ORDER_SYNC_DATABASE_URL"]), datetime.now(UTC)
    order = CallbackKey(ref="1", entity="order")
    database.write(callbacks.save, "borzo", Callback("POST", b"{}"), now - timedelta(hours=2), order)
    database.close()
    result = command_line("check")
    assert (result.code, result.lines[-1]) == (
        1,
        (
            "failed  callbacks borzo: LookupError no callback about a delivery came, but others did: "
            "enable them at the carrier"
        ),
    )


@pytest.mark.quirk("B-34")
@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_reports_a_bank_card_that_the_account_does_not_have(command_line: CommandLine) -> None:
    command_line.set(CARRIERS__BORZO__PAYMENT_METHOD="bank_card", CARRIERS__BORZO__BANK_CARD_ID="81")
    result = command_line("check")
    assert result.code == 1
    assert "failed  carrier borzo: Refused bank_card_id: the account has no such card" in result.lines


def test_a_check_reports_a_journal_folder_that_cannot_be_written(command_line: CommandLine) -> None:
    command_line.set(JOURNAL_FOLDER=write_file("file", ""))
    result = command_line("check")
    assert (result.code, result.lines[2]) == (1, "failed  journal: FileExistsError [Errno 17] File exists: 'file'")


def test_a_check_fails_for_a_redis_that_evicts_keys(
    command_line: CommandLine, embedded_redis: Callable[..., AbstractContextManager[str]]
) -> None:
    with embedded_redis() as url, redis.Redis.from_url(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        command_line.set(REDIS_URL=url)
        redis_line = command_line("check").lines[1]
    assert redis_line.startswith("failed  redis: SettingsError maxmemory-policy is allkeys-lru, it must be noeviction")


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_second_supervisor_does_not_start_in_the_folder_of_the_first(command: str, command_line: CommandLine) -> None:
    Path("var").mkdir()
    Path("var/redis.url").write_text("of the first")
    command_line.set(REDIS_URL="")
    with lock_file(Path(f"var/{command}.lock")):
        result = command_line(command)
    assert result == Result(1, "", f"order-sync: `order-sync {command}` already runs in this folder\n")
    assert Path("var/redis.url").read_text() == "of the first"


def test_a_check_without_a_redis_says_what_to_do(command_line: CommandLine) -> None:
    command_line.set(REDIS_URL="")
    result = command_line("check")
    assert (result.code, result.lines[1]) == (1, f"failed  redis: SettingsError {NO_REDIS}")
