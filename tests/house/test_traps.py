"""The table of traps: every id has a test or says why there is none, and no id is one that the table does not know."""

import re
from pathlib import Path

import pytest

from docs.write_traps import PAGE, SYSTEMS, holders, render, traps

ROOT = Path(__file__).resolve().parents[2]
ID = re.compile(rf"\b[{''.join(SYSTEMS)}]-\d+\b")
ROOMS = ("worker", "schemas", "tasks", "tests", "docs")
KNOWN, HELD = traps(), holders()


def test_the_page_of_traps_is_what_the_source_and_the_marks_say() -> None:
    assert PAGE.read_text() == render()


@pytest.mark.parametrize("letter", SYSTEMS)
def test_ids_are_two_digits_in_ascending_order(letter: str) -> None:
    ids = [trap for trap in KNOWN if trap.startswith(letter)]
    assert ids == sorted(ids)
    assert [trap for trap in ids if not re.fullmatch(r"\w-\d\d", trap)] == []


def test_every_trap_has_a_test_or_says_why_there_is_none() -> None:
    assert [trap for trap, said in KNOWN.items() if trap not in HELD and not said.note] == []


def test_no_mark_names_a_trap_that_is_not_in_the_table() -> None:
    assert sorted(HELD.keys() - KNOWN.keys()) == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_trap_is_named_that_is_not_in_the_table(room: str) -> None:
    named = {
        f"{path.relative_to(ROOT)}: {trap}"
        for path in (ROOT / room).rglob("*")
        if path.suffix in {".py", ".md"}
        for trap in ID.findall(path.read_text())
        if trap not in KNOWN
    }
    assert sorted(named) == []
