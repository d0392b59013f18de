"""What browser tests read from the pages of Flower."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.desk_pages import PATIENCE

Row = tuple[str, str, str, str, str]
"""Name, orders, state, colour and reason of a task."""


def flower_rows(page: Page, flower: str, search: str = "") -> list[Row]:
    """Return the tasks that Flower finds."""
    page.goto(f"{flower}/tasks")
    page.get_by_role("searchbox").fill(search)
    expect(page.locator("#tasks-table_processing")).to_be_hidden(timeout=PATIENCE)
    return [_row(row.locator("td")) for row in page.locator("#tasks-table tbody tr:has(.badge)").all()]


def _row(cells: Any) -> Row:
    name, orders, state, reason = cells.all_inner_texts()[:4]
    colours = (cells.nth(2).locator(".badge").get_attribute("class") or "").split()
    return name, orders, state, colours[-1], reason
