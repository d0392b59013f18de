"""The pages: their links, their place on the site, and the commands and pictures in them."""

import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from docs import draw_pictures, write_command_line
from tests.house.pages import PAGES, ROOT, blocks, lines, prose
from worker.cli import app

DOCS = ROOT / "docs"
COMMAND = get_command(app)
LINKED = re.compile(r"\[([^]]*)\]\([^)]*\)")
LINK = re.compile(r"\]\(([^)\s:]+)\)")
INLINE = re.compile(r"`(order-sync [^`]+)`")
FENCED = re.compile(r"(?:^|[|;&] *)order-sync ([^|;&>]+)")


# --- links ---


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: those of its headings by GitHub's rule, and those that are written.

    The build of the site checks the same links by the rule of the site.
    """
    text = prose(page)
    headings = [LINKED.sub(r"\1", each).lower() for each in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    written = re.findall(r'<a id="([^"]+)"', text)
    return {re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in headings} | set(written)


def is_broken(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return not target.exists() or bool(anchor and target.suffix == ".md" and anchor not in anchors(target))


def test_every_relative_link_of_the_pages_has_a_target() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(prose(page))]
    assert [f"{page.name}: {link}" for page, link in links if is_broken(page, link)] == []


# --- the site ---


class External(HTMLParser):
    """Collects what a browser loads from elsewhere when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        loaded = values.get("href") if tag == "link" and values.get("rel") != "canonical" else values.get("src")
        if loaded and re.match(r"(https?:)?//", loaded):
            self.found.append(loaded)


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    parser = External()
    for page in tmp_path.rglob("*.html"):
        parser.feed(page.read_text())
        assert 'data-md-component="source"' not in page.read_text()  # a script asks GitHub about it
    assert parser.found == []
    for schema in DOCS.glob("schemas/*.json"):
        assert (tmp_path / "schemas" / schema.name).read_bytes() == schema.read_bytes()
    assert 'order-sync/blob/main/examples/subscriber.py"' in (tmp_path / "subscribing.html").read_text()


def named(entry: Any) -> list[str]:
    """Return the pages that a part of the nav names."""
    if isinstance(entry, str):
        return [entry]
    return [page for each in (entry.values() if isinstance(entry, dict) else entry) for page in named(each)]


def test_every_page_is_in_the_nav_once() -> None:
    nav = named(YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text())["nav"])
    decisions = {str(path.relative_to(DOCS)) for path in DOCS.glob("adr/0*.md")}
    assert sorted(nav) == sorted({str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - decisions)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_list_begins_after_an_empty_line(page: Path) -> None:
    """On GitHub a list may follow a line of text; on the site it would become a part of that paragraph."""
    assert re.findall(r"^(?![*\d|#<> ]).+\n(?:\* |\d+\. ).*$", prose(page), re.MULTILINE) == []


# --- commands ---


def unknown(line: str) -> list[str]:
    """Return the words of a command line that are no command or option of `order-sync`."""
    command: Any = COMMAND
    words = line.split()[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-") and not words[0].isupper():
        if words[0] not in command.commands:
            return [words[0]]
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in words if word.startswith("-") and word != "-"]
    return [word for word in given if word not in options | {"--help", "--debug"}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_prose_of_a_page_exists(page: Path) -> None:
    commands = [" ".join(each.split()) for each in INLINE.findall(prose(page))]
    assert [(each, unknown(each)) for each in commands if unknown(each)] == []


def test_every_command_in_the_blocks_has_the_arguments_that_it_needs() -> None:
    for each in blocks("sh", "bash"):
        for line in lines(each.text):
            for arguments in FENCED.findall(line.partition(" #")[0]):
                parse(shlex.split(arguments))


def parse(words: list[str]) -> None:
    """Parse a command line as `order-sync` does. Raises UsageError for a wrong one."""
    command: Any = COMMAND
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    command.make_context("order-sync", words)


def test_the_page_of_the_command_line_is_generated_from_the_commands() -> None:
    assert write_command_line.PAGE.read_text() == write_command_line.render(), "run `make docs`"


def test_every_alert_is_reached_from_a_symptom() -> None:
    alerts = (DOCS / "operating.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    symptoms = (DOCS / "troubleshooting.md").read_text()
    names = re.findall(r"^### (\w+)$", alerts, re.MULTILINE)
    assert [name for name in names if f"[{name}](operating.md#{name.lower()})" not in symptoms] == []


# --- pictures ---


def test_the_table_of_transitions_is_that_of_the_code() -> None:
    page = draw_pictures.STATUSES.read_text()
    assert draw_pictures.with_table(page) == page, "run `make pictures`"
    assert draw_pictures.table() in page


def test_the_source_of_the_picture_of_a_life_is_generated_from_the_transitions() -> None:
    assert (draw_pictures.IMAGES / "life.dot").read_text() == draw_pictures.life(), "run `make pictures`"


def test_every_step_of_the_usual_way_is_allowed() -> None:
    drawn = set(draw_pictures.steps())
    assert [step for step in pairwise(draw_pictures.USUAL) if step not in drawn] == []


@pytest.mark.parametrize("source", sorted(DOCS.glob("images/*.dot")), ids=lambda path: path.name)
def test_a_picture_shows_the_nodes_and_edges_of_its_source(source: Path) -> None:
    text = re.sub(r"//.*", "", source.read_text())
    chains = [re.split(r"\s*->\s*", each) for each in re.findall(r"^\s*(\w+(?: -> \w+)+)", text, re.MULTILINE)]
    edges = [f"{a}->{b}" for chain in chains for a, b in pairwise(chain)]
    nodes = [each for each in re.findall(r"^ +(\w+) \[", text, re.MULTILINE) if each not in {"graph", "node", "edge"}]
    picture = ET.parse(source.with_suffix(".svg"))
    groups = [each for each in picture.iter("{http://www.w3.org/2000/svg}g") if each.get("class") in {"node", "edge"}]
    assert sorted(str(each.findtext("{http://www.w3.org/2000/svg}title")) for each in groups) == sorted(nodes + edges)
