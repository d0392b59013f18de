"""The pages of the documentation, and what is fenced in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str

    @property
    def name(self) -> str:
        """The page, and the first line without its comment."""
        return f"{self.page}: {self.text.splitlines()[0].partition('   #')[0].strip()}"


def blocks(*languages: str) -> list[Block]:
    """Return the blocks in these languages, by default in all, in the order of their pages."""
    return [
        Block(str(path.relative_to(ROOT)), language, text)
        for path in PAGES
        for language, text in FENCED.findall(path.read_text())
        if language in languages or not languages
    ]


def block(page: str, language: str, marker: str) -> str:
    """Return the one block of a page that contains a marker."""
    (found,) = [each.text for each in blocks(language) if each.page == page and marker in each.text]
    return found


def prose(path: Path) -> str:
    """Return the text of a page without its blocks."""
    return FENCED.sub("", path.read_text())


def lines(text: str) -> Iterator[str]:
    """Yield the lines of a block; a line that ends in a backslash continues in the next one."""
    yield from text.replace("\\\n", " ").splitlines()
