"""`order-sync db restored`."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete

from tests.cli.commands import CommandLine
from worker.container import Container
from worker.database import accounts
from worker.database.tables import ATTEMPT, DELIVERY, EVENT, MESSAGE, ORDER, PUBLICATION

LOST = (PUBLICATION, EVENT, ATTEMPT, ORDER, DELIVERY, MESSAGE)


@pytest.fixture
def lost(bus_entries: Callable[[], list[Any]], container: Container, delivery: str) -> None:  # noqa: ARG001 - a bus
    """Publish the events of the order 2011, and restore a database that does not have it."""
    container.relay.publish()
    with container.database.engine.begin() as connection:
        for table in LOST:
            connection.execute(delete(table))


@pytest.mark.usefixtures("lost")
def test_without_yes_it_shows_what_is_lost_and_changes_nothing(command_line: CommandLine, container: Container) -> None:
    result = command_line("db", "restored")
    assert result.code == 2
    assert result.out.splitlines()[0] == "The newest event in the database is of no time."
    assert result.out.splitlines()[-1].split() == ["2011", "queued", "no", "place", "it", "again"]
    assert container.database.read(accounts.paused) == {}


@pytest.mark.usefixtures("lost")
def test_with_yes_creates_are_held_by_the_operator_and_what_is_left_is_one_document_each(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    (document,) = command_line("db", "restored", "--yes", "--json", "--by", "ann").documents
    assert document == {
        "delivery_id": delivery, "time": document["time"], "read_again": False,
        "order_id": "2011", "status": "queued", "final": False, "carrier": None, "carrier_ref": None,
        "in_database": False, "courier_known": False, "to_do": "place it again",
    }  # fmt: skip
    held = container.database.read(accounts.paused)[accounts.EVERY_ACCOUNT]
    assert (held.by, held.because) == ("operator", "the database was restored from a backup")


@pytest.mark.usefixtures("lost")
def test_used_again_it_shows_what_is_to_do_and_changes_nothing(command_line: CommandLine) -> None:
    command_line("db", "restored", "--yes", "--by", "ann")
    result = command_line("db", "restored")
    assert (result.code, [line.split() for line in result.out.splitlines()[1:]]) == (
        0,
        [["order", "to", "do"], ["2011", "place", "it", "again"]],
    )
    assert command_line("db", "restored", "--json").documents == [{"order_id": "2011", "to_do": "place it again"}]


def test_a_database_that_lost_nothing_has_nothing_to_do(
    command_line: CommandLine, bus_entries: Callable[[], list[Any]], container: Container
) -> None:
    assert bus_entries() == []
    result = command_line("db", "restored", "--yes")
    assert result.out.count("The bus has no event that the database has lost. If processes ran since the restore") == 2
    assert accounts.EVERY_ACCOUNT in container.database.read(accounts.paused)
