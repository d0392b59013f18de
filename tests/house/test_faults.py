"""The page of faults: every fault has its row, and every test that a row names exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"
FAULTS = 69
ROW = re.compile(r"\| *(\d+) *\|([^|]+)\|([^|]+)\|([^|]+)\|")
NAME = re.compile(r"`(test_\w+)`")
REASON = "none:"


def rows() -> Iterator[tuple[int, str]]:
    """The number of each row, and what stands in its last column."""
    for line in PAGE.read_text().splitlines():
        if found := ROW.fullmatch(line.strip()):
            yield int(found[1]), found[4].strip()


@cache
def known() -> frozenset[str]:
    trees = (ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


def test_every_fault_has_one_row() -> None:
    assert [number for number, _ in rows()] == list(range(1, FAULTS + 1))


def test_no_other_line_of_the_table_is_left_unread() -> None:
    numbered = [line for line in PAGE.read_text().splitlines() if re.match(r"\| *\d", line)]
    assert len(numbered) == len(list(rows()))


@pytest.mark.parametrize("number", range(1, FAULTS + 1))
def test_a_fault_names_tests_that_exist_or_says_why_there_is_none(number: int) -> None:
    said = dict(rows())[number]
    named = NAME.findall(said)
    assert [name for name in named if name not in known()] == []
    assert named or said.startswith(REASON)
