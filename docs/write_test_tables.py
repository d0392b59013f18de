"""Write docs/api-quirks.md and docs/faults.md: `make docs`.

The texts are in docs/api-quirks.toml and docs/faults.toml; the tests of an entry are those marked with its id, such as
`@pytest.mark.quirk("C-21")` or `@pytest.mark.fault("F-08")`.
"""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"

Entry = Mapping[str, str]
"""The texts of one id, by column."""

QUIRKS_HEAD = """\
# API quirks

<!-- Written by `make docs` from docs/api-quirks.toml and the markers of the tests. -->

What is odd, contradictory or missing in the API documents of the four systems, and what can go wrong between any two of
them. The code that handles a quirk names its id, and every quirk has a test. `grep -rn <id> worker schemas tasks tests`
finds everything about an id.
"""
FAULTS_HEAD = """\
# Faults

<!-- Written by `make docs` from docs/faults.toml and the markers of the tests. -->

What can go wrong, what the product does then, and the tests that prove it. `grep -rn <id> tests` finds the tests of an
id. In addition, `make chaos` runs real processes under load, injects two faults at a time, and then checks that each
order has exactly one courier and that every event is on the bus.

The [glossary](glossary.md) explains the terms. An unknown outcome is the status `submit_unknown`. An operator is asked
with `delivery.attention_required`.
"""


class Page(NamedTuple):
    """One generated page."""

    name: str
    """The name of the page and of its source, without the suffix."""
    marker: str
    """The pytest marker that holds the ids."""
    columns: tuple[str, ...]
    """The keys of an entry's texts, in the order of the columns."""
    shown: int
    """The maximum number of tests that are listed for one id."""
    head: str
    """The text above the tables."""

    @property
    def path(self) -> Path:
        """The path of the page."""
        return HERE / f"{self.name}.md"

    def sections(self) -> dict[str, dict[str, Entry]]:
        """Read the entries by section and id, in the order of the source."""
        return tomllib.loads((HERE / f"{self.name}.toml").read_text())

    def entries(self) -> dict[str, Entry]:
        """Read the entries of all sections by id."""
        return dict(chain.from_iterable(section.items() for section in self.sections().values()))

    def render(self) -> str:
        """Return the text of the page."""
        tests = find_tests(self.marker)
        lines = (line for title, entries in self.sections().items() for line in self._section(title, entries, tests))
        return "\n".join([self.head, *lines]).rstrip() + "\n"

    def _section(self, title: str, entries: Mapping[str, Entry], tests: Mapping[str, list[str]]) -> Iterator[str]:
        columns = ("id", *self.columns, "tests")
        yield f"## {title}\n"
        yield f"| {' | '.join(columns)} |"
        yield "| " + " | ".join("---" for _ in columns) + " |"
        for entry_id, texts in entries.items():
            cells = [entry_id, *(texts[each] for each in self.columns), self._listed(tests.get(entry_id, []))]
            yield f"| {' | '.join(cells)} |"
        yield ""

    def _listed(self, names: list[str]) -> str:
        more = len(names) - self.shown
        return ", ".join(f"`{name}`" for name in names[: self.shown]) + (f" and {more} more" if more > 0 else "")


QUIRKS = Page("api-quirks", "quirk", ("quirk",), 3, QUIRKS_HEAD)
FAULTS = Page("faults", "fault", ("fault", "behaviour"), 8, FAULTS_HEAD)
PAGES = (QUIRKS, FAULTS)


@cache
def find_tests(marker: str) -> dict[str, list[str]]:
    """Return the names of the tests that carry each id, in the order of their files and lines."""
    found = defaultdict[str, dict[str, None]](dict)
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        for name, ids in _marked_tests(tree.body, _marked_names(tree, marker), marker):
            for entry_id in ids:
                found[entry_id][name] = None  # two tests may have the same name
    return {entry_id: list(names) for entry_id, names in found.items()}


def _marked_names(tree: ast.Module, marker: str) -> dict[str, set[str]]:
    """Return the ids within each module variable: `pytestmark`, and lists of parameters whose rows are marked."""
    return {
        target.id: _ids([node], {}, marker)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def _marked_tests(
    body: Iterable[ast.stmt], names: Mapping[str, set[str]], marker: str
) -> Iterator[tuple[str, set[str]]]:
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        ids = names.get("pytestmark", set()) | _ids(node.decorator_list, names, marker)
        if isinstance(node, ast.ClassDef):
            yield from _marked_tests(node.body, {**names, "pytestmark": ids}, marker)
        elif node.name.startswith("test_"):
            yield node.name, ids


def _ids(nodes: Iterable[ast.AST], names: Mapping[str, set[str]], marker: str) -> set[str]:
    """Return the ids of the marker within these nodes and within the module variables that they use."""
    found = set[str]()
    for node in chain.from_iterable(map(ast.walk, nodes)):
        if isinstance(node, ast.Name):
            found |= names.get(node.id, set())
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == marker:
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return found


if __name__ == "__main__":
    for page in PAGES:
        page.path.write_text(page.render())
