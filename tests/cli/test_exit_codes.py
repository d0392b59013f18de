"""How a command ends: exit codes, one readable line for an error, and advice."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.commands import CommandLine, Result, write_file
from worker import cli


def test_a_missing_argument_and_an_unknown_command_are_wrong_usage(command_line: CommandLine) -> None:
    assert [command_line(*arguments).code for arguments in ((), ("nope",), ("show",), ("place", "a", "b"))] == [2] * 4


def test_help_ends_with_code_0(command_line: CommandLine) -> None:
    result = command_line("--help")
    assert (result.code, result.err) == (0, "")


def test_each_faulty_setting_is_reported_on_its_own_line(command_line: CommandLine) -> None:
    command_line.set(LOG_LEVEL="LOUD", TYPO="1")
    assert command_line("deliveries") == Result(
        2,
        "",
        "order-sync: the settings cannot work:\n"
        "log_level: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'\n"
        "typo: there is no such setting\n",
    )


def test_a_database_without_tables_is_reported_in_one_line_with_advice(command_line: CommandLine) -> None:
    command_line.set(DATABASE_URL="sqlite:///empty.db")
    write_file("empty.db", "")
    result = command_line("deliveries")
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err == (
        "order-sync: OperationalError: (sqlite3.OperationalError) no such table: delivery "
        "(check ORDER_SYNC_DATABASE_URL, or run `order-sync db upgrade`; --debug shows the traceback)\n"
    )


@pytest.mark.parametrize("arguments", [("deliveries",), ("show", "2011"), ("status",), ("events",), ("retry", "2011")])
def test_no_command_of_an_operator_begins_a_second_database_in_another_folder(
    command_line: CommandLine, arguments: tuple[str, ...]
) -> None:
    command_line.set(DATABASE_URL="sqlite:///var/order-sync.db")
    result = command_line(*arguments)
    assert (result.code, result.out, Path("var").exists()) == (2, "", False)
    assert result.err == (
        "order-sync: the settings cannot work:\n"
        f"database_url: there is no database at {Path.cwd()}/var/order-sync.db: a relative path begins at this folder; "
        "`order-sync up` or `order-sync db upgrade` in the folder of the settings creates it\n"
    )


def test_db_upgrade_creates_the_database(command_line: CommandLine) -> None:
    command_line.set(DATABASE_URL="sqlite:///var/order-sync.db")
    assert command_line("db", "upgrade").code == 0
    assert command_line("deliveries", "--json") == Result(0, "", "")


def test_an_upgrade_without_rights_says_whose_rights_it_needs(command_line: CommandLine, postgres_url: str) -> None:
    command_line.set(DATABASE_URL=f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-c%20role%3Dpg_monitor")
    result = command_line("db", "upgrade")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "permission denied" in result.err
    assert result.err.endswith("(run it as the owner of the tables)\n")


def test_up_refuses_the_address_of_the_redis_of_an_earlier_up(command_line: CommandLine) -> None:
    Path("var/redis").mkdir(parents=True)
    Path("var/redis/redis.conf").write_text('port "7777"\nrequirepass "s3cret"\n')
    command_line.set(REDIS_URL="redis://default:s3cret@127.0.0.1:7777/0")
    result = command_line("up")
    assert result.code == 2
    assert result.err.endswith(
        "\nORDER_SYNC_REDIS_URL is the address of an earlier `up` (var/settings.sh), which starts its Redis itself: "
        "unset it\n"
    )


def test_an_unavailable_redis_is_reported_in_one_line_with_advice(command_line: CommandLine) -> None:
    result = command_line("place", write_file("order.json", '{"order_id": "2011"}'))
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.endswith(
        "Connection refused. (check ORDER_SYNC_REDIS_URL and ORDER_SYNC_BUS_URL; --debug shows the traceback)\n"
    )


@pytest.mark.parametrize("arguments", [("place", "nowhere.json", "--debug"), ("--debug", "place", "nowhere.json")])
def test_debug_raises_the_error_with_its_traceback(arguments: tuple[str, ...]) -> None:
    with pytest.raises(FileNotFoundError):
        cli.main(arguments)


def test_help_imports_no_heavy_library() -> None:
    heavy = {"alembic", "celery", "flower", "httpx", "redis", "sqlalchemy", "starlette", "uvicorn", "worker.sandbox"}
    script = "import sys, worker.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & heavy == set()


SERVERS = {"demo", "up", "sandbox", "web", "flower"}
ALWAYS_JSON = {"archived", "sample-order"}


def test_every_command_with_a_result_writes_json() -> None:
    commands = _commands(typer.main.get_command(cli.app))
    without = {
        each.name for each in commands if "--json" not in {name for option in each.params for name in option.opts}
    }
    assert without == SERVERS | ALWAYS_JSON


def _commands(command: Any) -> Iterator[Any]:
    """Yield a command, or the commands of a group."""
    if not hasattr(command, "commands"):
        yield command
        return
    for each in command.commands.values():
        yield from _commands(each)
