"""Write docs/traps.md from docs/traps.toml and from the tests marked `@pytest.mark.trap("C-21")`: `make docs`."""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PAGE = HERE / "traps.md"
SOURCE = HERE / "traps.toml"
TESTS = HERE.parent / "tests"
SHOWN = 3
"""How many tests of an id are named."""

HEAD = """\
# Traps

<!-- Written by `make docs` from docs/traps.toml and the marks of the tests. -->

What is odd, contradictory or missing in the documents of the four systems, and what can go wrong between any two of
them. The ids stand in the code beside what handles them. Each is held by the tests that are named here, or says why
there is none; `grep -rn <id> worker schemas tasks tests` finds everything about one.
"""
SYSTEMS = {
    "C": "Cervo (Delivery API V2)",
    "D": "DeliverIt (DeliverIt bestilling)",
    "B": "Borzo (Business API 1.6)",
    "O": "The Ordering platform",
    "X": "Between any two systems",
}


class Trap(NamedTuple):
    """One oddity: what it is, and what else there is to say."""

    what: str
    note: str = ""


def traps() -> dict[str, Trap]:
    """Read every oddity by its id, in the order of the file."""
    return {trap: Trap(**said) for trap, said in tomllib.loads(SOURCE.read_text()).items()}


def holders() -> dict[str, list[str]]:
    """Name the tests that hold each id, in the order of their files and lines."""
    found = defaultdict[str, dict[str, None]](dict)
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        for name, held in _held(tree.body, _tables(tree)):
            for trap in sorted(held):
                found[trap][name] = None  # two tests may have the same name
    return {trap: list(names) for trap, names in found.items()}


def render() -> str:
    """Write the page."""
    known, held = traps(), holders()
    return "\n".join([HEAD, *(line for letter in SYSTEMS for line in _section(letter, known, held))]).rstrip() + "\n"


def _section(letter: str, known: Mapping[str, Trap], held: Mapping[str, list[str]]) -> Iterator[str]:
    yield f"## {SYSTEMS[letter]}\n"
    yield "| id | what is odd | tests | note |"
    yield "| --- | --- | --- | --- |"
    for trap, said in known.items():
        if trap.startswith(letter):
            yield f"| {trap} | {said.what} | {_named(held.get(trap, []))} | {said.note} |"
    yield ""


def _named(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(f"`{name}`" for name in names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _tables(tree: ast.Module) -> dict[str, set[str]]:
    """List the ids in what a module assigns: `pytestmark`, and tables of parameters whose rows are marked."""
    return {
        target.id: _marks([node], {})
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def _held(body: Iterable[ast.stmt], tables: Mapping[str, set[str]]) -> Iterator[tuple[str, set[str]]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            whole = tables.get("pytestmark", set()) | _marks(node.decorator_list, tables)
            yield from _held(node.body, {**tables, "pytestmark": whole})
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, tables.get("pytestmark", set()) | _marks(node.decorator_list, tables)


def _marks(nodes: Iterable[ast.AST], tables: Mapping[str, set[str]]) -> set[str]:
    """Collect the ids of every mark within these nodes, and within the tables that they name."""
    found = set[str]()
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        if isinstance(node, ast.Name):
            found |= tables.get(node.id, set())
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "trap":
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return found


if __name__ == "__main__":
    PAGE.write_text(render())
