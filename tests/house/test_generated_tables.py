"""The pages of API quirks and faults: their source, the markers of the tests and the committed page agree."""

import re
from pathlib import Path

import pytest

from docs.write_test_tables import PAGES, QUIRKS, Page, find_tests

ROOT = Path(__file__).resolve().parents[2]
QUIRK_ID = re.compile(r"\b[BCDOX]-\d+\b")
FOLDERS = ("worker", "schemas", "tasks", "tests", "docs")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pages
def test_the_committed_page_is_what_the_source_and_the_markers_make(page: Page) -> None:
    assert page.path.read_text() == page.render(), "run `make docs`"


@pages
def test_the_ids_of_a_section_share_a_letter_and_ascend(page: Page) -> None:
    for ids in map(list, page.sections().values()):
        assert ids == sorted(ids)
        assert [each for each in ids if not re.fullmatch(rf"{ids[0][0]}-\d{{2,3}}", each)] == []


@pages
def test_no_id_occurs_twice(page: Page) -> None:
    assert len(page.entries()) == sum(map(len, page.sections().values()))


@pages
def test_every_entry_has_a_test_and_every_marker_an_entry(page: Page) -> None:
    assert sorted(find_tests(page.marker)) == sorted(page.entries())


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_quirk_id_in_the_repository_is_an_entry_of_the_page(folder: str) -> None:
    known = QUIRKS.entries().keys()
    unknown = {
        f"{path.relative_to(ROOT)}: {found}"
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md"}
        for found in QUIRK_ID.findall(path.read_text())
        if found not in known
    }
    assert sorted(unknown) == []
