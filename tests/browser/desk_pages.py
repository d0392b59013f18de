"""What browser tests do with the pages of the desk: open each of them, and check that everybody can use it."""

import re
from collections.abc import Iterator
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

PATIENCE = 60_000
"""Milliseconds for which an expectation waits, on a machine that is busy with other tests."""
LINKS = "[...document.querySelectorAll('a[href^=\"/\"]')].map((each) => each.getAttribute('href'))"
FOCUS = """() => {
    const it = document.activeElement;
    const style = getComputedStyle(it);
    const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
    return [all.indexOf(it), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""
REACHABLE = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .map((each, number) => [number, each])
    .filter(([, each]) => each.type !== "hidden" && each.checkVisibility({visibilityProperty: true}))
    .map(([number]) => number)"""
FOCUSED = """() => {
    const it = document.activeElement;
    const texts = [it.labels?.[0] ?? it, it.closest("article")?.querySelector("h2")];
    return texts.map((each) => (each?.textContent ?? "").trim());
}"""


def log_in(page: Page, origin: str, name: str = "maria") -> None:
    """Log in by keyboard and wait for the first page."""
    page.set_default_timeout(PATIENCE)
    page.goto(origin)
    # Without waiting, a busy browser finds the field filled before it gives it the focus, and complains.
    expect(page.get_by_label("Your name")).to_be_focused(timeout=PATIENCE)
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{origin}/")


def every_page(page: Page, origin: str) -> Iterator[str]:
    """Open a page of each kind that a link of the desk leads to; yield its address without ids and query."""
    waiting, seen = ["/"], {"/"}
    for address in waiting:
        page.goto(f"{origin}{address}")
        yield _kind(address)
        for each in page.evaluate(LINKS):
            if (kind := _kind(each)) not in seen and not each.startswith("/static/"):
                seen.add(kind)
                waiting.append(each)


def _kind(address: str) -> str:
    return re.sub(r"/[^/]*\d[^/]*", "/ID", re.split(r"[?#]", address)[0])


def serious_faults(page: Page) -> list[str]:
    """Return what axe calls a serious or critical fault of the open page. Its script runs beside the page's policy."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html']}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]


def is_too_wide(page: Page) -> bool:
    """Return whether the open page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def tab_through(page: Page) -> tuple[list[int], list[int], list[int]]:
    """Press Tab until the focus returns; return what can be reached, what was, and what was without visible focus."""
    reachable: list[int] = page.evaluate(REACHABLE)
    reached, without_focus_ring = [], []
    page.evaluate("document.activeElement.blur()")
    for _ in reachable:
        page.keyboard.press("Tab")
        number, visible = page.evaluate(FOCUS)
        reached.append(number)
        if not visible:
            without_focus_ring.append(number)
    return reachable, reached, without_focus_ring


def press_until(page: Page, label: str, within: str = "") -> None:
    """Press Tab until the link, button or field with this label has the focus, in the card with a title if given."""
    for _ in range(2 * len(page.evaluate(REACHABLE))):  # the cards may change meanwhile
        page.keyboard.press("Tab")
        text, title = page.evaluate(FOCUSED)
        if label in text and within in {"", title}:
            return
    raise AssertionError(f"the keyboard does not reach {label!r} {within}")
