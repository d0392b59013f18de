"""`order-sync status` shows on one screen whether anything needs an operator."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.status import AttentionReason
from tests.cli.commands import CommandLine, apply_create_outcome, find, request_attention, write_file
from worker.cli.base import duration
from worker.container import Container
from worker.database import accounts, inbox, leases
from worker.errors import Uncertain
from worker.local.demo.orders import MALFORMED
from worker.services.worker_heartbeats import PREFIX


@pytest.fixture
def sweeping(container: Container) -> None:
    """Record a sweep and a worker just now, and a worker that vanished ten minutes ago."""
    now = datetime.now(UTC)
    write = container.database.write
    write(leases.take, "sweep", "sweep", now, 15)
    write(leases.take, f"{PREFIX}host.1", "host.1", now, 30)
    write(leases.take, f"{PREFIX}host.2", "host.2", now - timedelta(minutes=10), 30)


@pytest.mark.usefixtures("bus_entries", "sweeping")
def test_nothing_is_wrong(command_line: CommandLine) -> None:
    result = command_line("status")
    *parts, _, _, last = result.lines
    assert (result.code, parts, last) == (
        0,
        [
            "workers       1 running (host.1); host.2 vanished 10 min ago",
            "beat          sends sweeps",
            parts[2],
            "due           nothing",
            "outbox        empty",
            "dead letters  none",
        ],
        "Nothing is wrong.",
    )


@pytest.mark.usefixtures("bus_entries", "container")
def test_a_stopped_worker_shows(command_line: CommandLine) -> None:
    result = command_line("status")
    assert (result.code, result.lines[0], result.lines[-1]) == (1, "workers       none", "1 thing needs an operator.")
    assert "No worker runs" in result.lines


@pytest.mark.usefixtures("bus_entries", "sweeping", "delivery")
def test_an_unknown_outcome_is_shown_with_the_question_and_the_commands(
    command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, Uncertain("no answer within the deadline"))
    request_attention(container, AttentionReason.OUTCOME_UNKNOWN)
    result = command_line("status")
    attempt = find(container).attempts[0]
    begin = result.lines.index("Is a courier coming? cervo gave no clear answer about order 2011")
    shown = [line.strip() for line in result.lines[begin + 2 : begin + 8]]
    assert (result.code, shown) == (
        1,
        [
            (
                "The order was sent to the carrier at 20:00:00, and nothing shows whether it arrived "
                "(no answer within the deadline). No other carrier is asked until you know."
            ),
            "orders: 2011",
            (
                "ask cervo: Do you have our order 2011 with the reference 00000000007, sent at 20:00:00? "
                f"(number {attempt.id}, 00000000007, {find(container).order.payment.amount} SAR)"
            ),
            "order-sync resolve 2011 exists REF",
            "order-sync resolve 2011 absent",
            "order-sync cancel 2011",
        ],
    )


@pytest.mark.usefixtures("bus_entries", "sweeping", "delivery")
def test_a_paused_account_is_one_trouble_in_json(command_line: CommandLine, container: Container) -> None:
    container.database.write(accounts.pause, "cervo", "operator", "holiday", container.clock())
    (document,) = command_line("status", "--json").documents
    (trouble,) = (each for each in document["troubles"] if each["kind"] == "account_paused")
    assert {key: trouble[key] for key in ("key", "count", "account", "since", "commands")} == {
        "key": "account_paused:cervo",
        "count": 1,
        "account": "cervo",
        "since": "2026-11-21T17:00:00Z",
        "commands": ["order-sync carriers resume cervo"],
    }
    assert [each["order_id"] for each in trouble["orders"]] == ["2011"]
    assert document["workers"] == ["host.1"]
    assert list(document["vanished_workers"]) == ["host.2"]


@pytest.mark.usefixtures("sweeping")
def test_an_unavailable_redis_is_shown_beside_the_rest(command_line: CommandLine) -> None:
    result = command_line("status")
    assert (result.code, result.lines[0]) == (1, "workers       1 running (host.1); host.2 vanished 10 min ago")
    assert "streams       unknown (Redis is unavailable)" in result.lines
    assert "Redis does not answer" in result.lines


def test_an_unavailable_database_is_a_trouble_and_no_crash(command_line: CommandLine) -> None:
    for name, content in (("no-database.db", "text" * 1000), ("without-tables.db", "")):
        command_line.set(DATABASE_URL=f"sqlite:///{write_file(name, content)}")
        result = command_line("status")
        assert (result.code, result.err) == (1, "")
        assert "The database does not answer" in result.lines
        assert "`order-sync check` says why it does not answer." in result.out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.4, "59 s"), (60, "1 min"), (7199, "119 min"), (7200, "2 h"), (172_799, "47 h"), (172_800, "2 d")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_dead_letter_is_shown_with_the_commands_about_it(command_line: CommandLine, container: Container) -> None:
    container.ingest.store_documents([("1-0", MALFORMED.encode())])
    (letter,) = container.database.read(inbox.dead_letters, 1)
    shown = [line.strip() for line in command_line("status").lines]
    assert [line.removeprefix("order-sync dead-letters ") for line in shown if "dead-letters " in line] == [
        f"correct {letter['id']} FILE",
        f"replay {letter['id']}",
        f"discard {letter['id']}",
    ]
