"""What an operator does is recorded with their name and reason, and what may bring a second courier is asked first."""

import getpass
from collections.abc import Callable
from typing import Any

import pytest

from schemas.status import AttentionReason
from tests.cli.commands import CommandLine, apply_create_outcome, find, request_attention, write_file
from tests.sample_store import STORE
from worker.container import Container
from worker.database import accounts, inbox, operator_actions
from worker.database.inbox import DeadLetter
from worker.errors import Uncertain

WHO = ("--by", "maria", "--reason", "the shop called")


def recorded(container: Container) -> list[tuple[str, str, str, str | None, str | None]]:
    """Read what was recorded, newest first."""
    found = container.database.read(operator_actions.newest, 10)
    return [(each.operator, each.action, each.reason, each.delivery_id, each.subject) for each in found]


def test_a_decision_about_a_delivery_is_recorded_and_shown(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    assert command_line("cancel", "2011", *WHO, "--allow-paid").code == 0
    assert recorded(container) == [("maria", "cancel", "the shop called", delivery, "--allow-paid")]
    (shown,) = command_line("show", "2011", "--json").documents
    (action,) = shown["operators"]
    assert {key: action[key] for key in ("operator", "action", "reason")} == {
        "operator": "maria",
        "action": "cancel",
        "reason": "the shop called",
    }
    done = [line for line in command_line("show", "2011").lines if " operator " in line]
    assert [line.partition("operator")[2] for line in done] == [" maria did cancel --allow-paid: the shop called"]


def test_without_a_name_the_login_is_recorded(command_line: CommandLine, container: Container, delivery: str) -> None:
    command_line("retry", "2011")
    assert recorded(container) == [(getpass.getuser(), "retry", "", delivery, None)]


@pytest.mark.usefixtures("delivery")
def test_a_decision_that_changes_nothing_is_not_recorded(command_line: CommandLine, container: Container) -> None:
    assert command_line("refresh", "2011", *WHO).code == 1
    assert command_line("carriers", "resume", "cervo", *WHO).code == 1
    assert command_line("dead-letters", "discard", "no such letter", *WHO).code == 1
    assert recorded(container) == []


def test_an_order_that_may_exist_is_called_absent_only_after_a_confirmation(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    apply_create_outcome(container, Uncertain("no answer within the deadline"))
    request_attention(container, AttentionReason.OUTCOME_UNKNOWN)
    refused = command_line("resolve", "2011", "absent", *WHO)
    assert (refused.code, refused.err) == (
        2,
        "order-sync: If the carrier does have the order, a second courier will come. Write --yes if you are sure\n",
    )
    assert (recorded(container), find(container).status) == ([], "submit_unknown")
    assert command_line("resolve", "2011", "absent", *WHO, "--yes").code == 0
    assert recorded(container) == [("maria", "resolve absent", "the shop called", delivery, None)]


@pytest.mark.usefixtures("delivery")
def test_a_hold_after_lost_commits_is_released_only_after_a_confirmation(
    command_line: CommandLine, container: Container
) -> None:
    container.database.write(accounts.pause, accounts.EVERY_ACCOUNT, "database", "lost", container.clock())
    refused = command_line("carriers", "release", *WHO)
    assert (refused.code, refused.err.endswith("Write --yes if you are sure\n")) == (2, True)
    assert command_line("carriers", "release", *WHO, "--yes").out == "creates are sent again\n"
    assert recorded(container) == [("maria", "carriers release", "the shop called", None, None)]


@pytest.mark.usefixtures("delivery")
def test_a_status_that_ends_deliveries_is_mapped_only_after_a_confirmation(
    command_line: CommandLine, container: Container
) -> None:
    refused = command_line("carriers", "map", "cervo", "order:6", "failed", *WHO)
    assert (refused.code, refused.err.endswith("Write --yes if you are sure\n")) == (2, True)
    assert command_line("carriers", "map", "cervo", "order:6", "failed", *WHO, "--yes").code == 0
    assert command_line("carriers", "map", "cervo", "order:6", "--remove", *WHO).code == 0
    assert recorded(container) == [
        ("maria", "carriers map --remove", "the shop called", None, "cervo order:6"),
        ("maria", "carriers map", "the shop called", None, "cervo order:6 failed"),
    ]


def test_what_is_done_about_accounts_stores_and_dead_letters_is_recorded(
    command_line: CommandLine, container: Container, orders_on_bus: Callable[[], list[Any]]
) -> None:
    for identity in ("1-0", "2-0"):
        container.database.write(inbox.save_dead_letters, [DeadLetter(b"{}", "no field", identity)], container.clock())
    first, second = (each["id"] for each in container.database.read(inbox.dead_letters, 10))
    for command in (
        ("carriers", "pause", "cervo"),
        ("carriers", "resume", "cervo"),
        ("carriers", "hold"),
        ("carriers", "release"),
        ("stores", "load", write_file("stores.toml", STORE)),
        ("dead-letters", "replay", first),
        ("dead-letters", "discard", second),
    ):
        assert command_line(*command, *WHO).code == 0
    assert [(action, subject) for _, action, _, _, subject in reversed(recorded(container))] == [
        ("carriers pause", "cervo"),
        ("carriers resume", "cervo"),
        ("carriers hold", None),
        ("carriers release", None),
        ("stores load", "1 stores"),
        ("dead-letters replay", first),
        ("dead-letters discard", second),
    ]
    assert len(orders_on_bus()) == 1
