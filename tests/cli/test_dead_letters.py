"""`order-sync dead-letters` and `order-sync stores`: what an operator corrects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import CommandLine, Result, write_file
from tests.web.edge import ENVIRONMENT, NOW, sample
from worker.config.settings import load
from worker.container import Container
from worker.database import inbox
from worker.local.demo.orders import MALFORMED, placed


@pytest.fixture
def letter(container: Container) -> str:
    """Store a message that cannot be read, and give its dead letter's id."""
    container.ingest.store_documents([("1-0", MALFORMED.encode())])
    return str(container.database.read(inbox.dead_letters, 1)[0]["id"])


def test_dead_letters_are_listed_and_shown_as_they_came(command_line: CommandLine, letter: str) -> None:
    (listed,) = command_line("dead-letters", "--json").documents
    assert (listed["id"], listed["received_at"]) == (letter, "2026-11-21T17:00:00Z")
    assert sorted(listed) == ["id", "reason", "received_at"]
    heading, row = command_line("dead-letters").lines
    assert heading.split() == ["id", "age", "reason"]
    assert (row.split()[0], row.endswith(listed["reason"])) == (letter, True)
    assert command_line("dead-letters", "show", letter) == Result(0, MALFORMED + "\n", "")


def test_a_replayed_dead_letter_is_put_on_the_bus_again(
    command_line: CommandLine, letter: str, orders_on_bus: Callable[[], list[Any]]
) -> None:
    result = command_line("dead-letters", "replay", letter)
    assert (result.code, [document for _, document in orders_on_bus()]) == (0, [MALFORMED.encode()])
    assert command_line("dead-letters").out == ""


@pytest.mark.fault("F-82")
@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b]0;pwned\x07\xc2\x9b2J {", r"\u001b]0;pwned\u0007\u009b2J {"),
        ("abc\u202egnp.exe\u2066\r\tnext\nline".encode(), "abc\\u202egnp.exe\\u2066\\u000d\tnext\nline"),
        (b'{"a": "\xff\x7f"}', r'{"a": "\xff\u007f"}'),
    ],
)
def test_a_dead_letter_cannot_control_the_terminal_that_shows_it(
    command_line: CommandLine, container: Container, raw: bytes, shown: str
) -> None:
    container.ingest.store_documents([("1-0", raw)])
    (listed,) = command_line("dead-letters", "--json").documents
    assert command_line("dead-letters", "show", listed["id"]) == Result(0, f"{shown}\n", "")


@pytest.mark.fault("F-84")
def test_the_entry_of_a_dead_letter_is_put_on_the_bus_again_with_all_its_fields(
    command_line: CommandLine, container: Container, bus_entries: Callable[[], list[Any]]
) -> None:
    fields = {b"data": b'{"order_id": "2011"}', b"trace": b"\xff"}
    container.ingest.store_documents([("1-0", fields)])
    (listed,) = command_line("dead-letters", "--json").documents
    assert listed["reason"] == "no field `event`"
    shown = command_line("dead-letters", "show", listed["id"]).out
    assert shown == '{"data": "{\\"order_id\\": \\"2011\\"}", "trace": "\\xff"}\n'
    result = command_line("dead-letters", "replay", listed["id"])
    assert (result.code, [found for _, found in bus_entries()]) == (0, [fields])


def test_a_corrected_message_is_put_on_the_bus_in_place_of_a_dead_letter(
    command_line: CommandLine, letter: str, orders_on_bus: Callable[[], list[Any]]
) -> None:
    corrected = placed(sample("2011", "34"))
    result = command_line("dead-letters", "correct", letter, write_file("corrected.json", corrected))
    assert (result.code, [document for _, document in orders_on_bus()]) == (0, [corrected.encode()])
    assert command_line("dead-letters").out == ""


@pytest.mark.parametrize(
    ("name", "error"),
    [("corrected.json", "corrected.json: message: not JSON"), ("nowhere.json", "nowhere.json: [Errno 2] No such file")],
)
def test_a_corrected_message_that_cannot_be_read_is_not_replayed(
    command_line: CommandLine, letter: str, name: str, error: str
) -> None:
    write_file("corrected.json", "{")
    result = command_line("dead-letters", "correct", letter, name)
    assert (result.code, result.err.startswith(f"order-sync: {error}")) == (1, True)
    assert [each["id"] for each in command_line("dead-letters", "--json").documents] == [letter]


def test_a_dead_letter_stays_on_the_list_when_the_bus_is_unavailable(command_line: CommandLine, letter: str) -> None:
    assert command_line("dead-letters", "replay", letter).code == 1
    assert [each["id"] for each in command_line("dead-letters", "--json").documents] == [letter]


def test_a_discarded_dead_letter_is_no_longer_found(command_line: CommandLine, letter: str) -> None:
    assert command_line("dead-letters", "discard", letter) == Result(0, "", "")
    corrected = write_file("corrected.json", placed(sample("2011", "34")))
    for verb, *more in (("show",), ("replay",), ("discard",), ("correct", corrected)):
        assert command_line("dead-letters", verb, letter, *more) == Result(
            1, "", f"order-sync: there is no dead letter {letter}\n"
        )


def test_stores_loaded_into_the_database_win_over_the_file(command_line: CommandLine) -> None:
    directory = Path(ENVIRONMENT["STORES_FILE"]).read_text()
    write_file("mine.toml", directory.replace("Najd Grill", "Najd [/red] Grill"))
    assert command_line("stores", "load", "mine.toml") == Result(0, "3 stores loaded, 0 waiting orders continue\n", "")
    assert [each["name"] for each in command_line("stores", "list", "--json").documents] == [
        "Pizzeria Odense",
        "Cantina da Mooca",
        "Najd [/red] Grill",
    ]
    assert command_line("stores", "list").lines[3].split() == ["34", "Najd", "[/red]", "Grill", "Riyadh", "cervo"]


def test_an_order_that_waits_for_its_store_continues_when_the_store_is_loaded(command_line: CommandLine) -> None:
    command_line.set(STORES_FILE="nowhere.toml")
    container = Container(load(), clock=lambda: NOW)
    container.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    container.database.close()
    result = command_line("stores", "load", ENVIRONMENT["STORES_FILE"])
    assert result == Result(0, "3 stores loaded, 1 waiting orders continue\n", "")


def test_stores_that_name_carriers_without_an_account_are_reported(command_line: CommandLine) -> None:
    directory = Path(ENVIRONMENT["STORES_FILE"]).read_text()
    write_file("mine.toml", directory.replace('carriers = ["deliverit", "borzo"]', 'carriers = ["borzo", "bozro"]'))
    result = command_line("stores", "load", "mine.toml")
    assert result == Result(
        0,
        "3 stores loaded, 0 waiting orders continue\n",
        "order-sync: store 17 names carriers without an account: bozro\n",
    )


def test_a_faulty_store_directory_is_not_loaded(command_line: CommandLine) -> None:
    write_file("mine.toml", "[stores.1]\nname = 'x'\n")
    result = command_line("stores", "load", "mine.toml")
    assert (result.code, result.err.splitlines()[1]) == (2, "mine.toml: stores.1.phone: must be set")
    assert len(command_line("stores", "list").lines) == 4


def test_several_dead_letters_are_replayed_at_once(
    command_line: CommandLine, container: Container, orders_on_bus: Callable[[], list[Any]]
) -> None:
    container.ingest.store_documents([("1-0", b"[1]"), ("2-0", b"[2]")])
    ids = [each["id"] for each in container.database.read(inbox.dead_letters, 10)]
    result = command_line("dead-letters", "replay", *ids, "no such letter", "--json")
    entries = orders_on_bus()
    assert [(each["id"], each["entry"]) for each in result.documents] == list(
        zip(ids, [entry for entry, _ in entries], strict=True)
    )
    assert (result.code, result.err) == (1, "order-sync: there is no dead letter no such letter\n")
    assert sorted(document for _, document in entries) == [b"[1]", b"[2]"]
