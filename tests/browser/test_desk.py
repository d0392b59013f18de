"""The desk in a browser: an operator finds what is wrong and settles it, with a mouse, a keyboard or a phone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.desk_pages import (
    PATIENCE,
    every_page,
    is_too_wide,
    log_in,
    press_until,
    serious_faults,
    tab_through,
)
from tests.browser.desk_server import make_troubles, serve_desk
from tests.services.simulation import Simulation
from worker.database import accounts, operator_actions

pytestmark = pytest.mark.long

DARK_PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True}
TROUBLES = 6
expect.set_options(timeout=PATIENCE)


class Desk:
    """The desk of an evening with troubles, open in a browser in which maria has logged in."""

    def __init__(self, simulation: Simulation, page: Page, origin: str) -> None:
        self.simulation, self.page, self.origin = simulation, page, origin
        self.complaints: list[str] = []
        page.on("console", lambda said: self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(error.message))
        log_in(page, origin)

    def recorded(self) -> list[tuple[str, str, str, str | None]]:
        """Return what operators did, oldest first."""
        found = self.simulation.container.database.read(operator_actions.newest, 100)
        return [(each.operator, each.action, each.reason, each.subject) for each in reversed(found)]

    def pause(self, account: str) -> None:
        """Pause an account, as another process does."""
        self.simulation.container.database.write(accounts.pause, account, "operator", "rest", self.simulation.now)

    def resume(self, account: str) -> None:
        """Resume an account, as another process does."""
        self.simulation.container.database.write(accounts.resume, account, "operator", self.simulation.now)


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with ThreadPoolExecutor(1) as other:  # Playwright has the event loop of this thread
        running = other.submit(Simulation, tmp_path).result()
        other.submit(make_troubles, running).result()
        yield running
        other.submit(running.close).result()


@pytest.fixture
def origin(simulation: Simulation) -> Iterator[str]:
    with serve_desk(simulation) as address:
        yield address


@pytest.fixture
def desk(simulation: Simulation, origin: str, page: Page) -> Iterator[Desk]:
    opened = Desk(simulation, page, origin)
    yield opened
    assert opened.complaints == []


def test_an_operator_opens_the_worst_trouble_and_settles_it(desk: Desk) -> None:
    page = desk.page
    card = page.get_by_role("article").first
    expect(card.get_by_role("heading")).to_have_text("Is a courier coming? cervo gave no clear answer about order 2011")
    card.get_by_role("link", name="It does not exist…").click()
    expect(page.get_by_role("listitem")).to_contain_text("order 2011")
    page.get_by_role("button", name="It does not exist").click()
    page.get_by_label("Your reason").fill("they said no")
    page.get_by_role("button", name="It does not exist").click()
    page.get_by_label("I am sure").check()
    assert desk.recorded() == []
    page.get_by_role("button", name="It does not exist").click()
    expect(page.get_by_role("status").filter(has_text="Done")).to_have_text("Done: It does not exist, order 2011.")
    expect(page.get_by_text("Is a courier coming?")).to_have_count(0)
    assert desk.recorded() == [("maria", "resolve absent", "they said no", None)]


def test_the_filters_of_the_list_are_in_the_address_and_come_back_with_the_back_button(desk: Desk) -> None:
    page = desk.page
    page.get_by_role("link", name="Deliveries").click()
    page.get_by_label("Carrier").select_option("cervo")
    page.get_by_label("Status", exact=True).select_option("delivered")
    page.get_by_role("button", name="Filter").click()
    orders = page.locator("tbody th")
    expect(orders).to_have_text(["2005", "2004"])
    address = page.url
    assert {"status=delivered", "carrier=cervo"} <= set(address.partition("?")[2].split("&"))
    page.get_by_role("link", name="2004").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("2004")
    page.go_back()
    assert page.url == address
    expect(orders).to_have_text(["2005", "2004"])
    expect(page.get_by_label("Carrier")).to_have_value("cervo")


def test_a_new_trouble_and_its_end_are_shown_without_a_reload(desk: Desk) -> None:
    page, troubles = desk.page, desk.page.get_by_role("heading", level=2)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.evaluate("window.neverReloaded = true")
    desk.pause("cervo")
    expect(troubles.filter(has_text="cervo is paused")).to_be_visible()
    desk.resume("cervo")
    expect(troubles.filter(has_text="cervo is paused")).to_have_count(0)
    assert page.evaluate("window.neverReloaded")


@pytest.mark.parametrize("name", ["Resume now…", "The orders"])
def test_what_has_the_focus_keeps_it_and_what_is_open_stays_open_when_something_changes(desk: Desk, name: str) -> None:
    page, orders = desk.page, desk.page.locator("details").filter(has_text="2014")
    orders.locator("summary").click()
    focused = page.locator("summary, .button, li a").filter(has_text=name).first
    focused.focus()
    desk.pause("cervo")
    expect(page.get_by_role("heading", name="cervo is paused")).to_be_visible()
    expect(focused).to_be_focused()
    assert orders.evaluate("(each) => each.open")


def test_the_focus_goes_to_the_content_when_what_had_it_is_gone(desk: Desk) -> None:
    desk.page.get_by_role("link", name="Resume now…").focus()
    desk.resume("borzo")
    expect(desk.page.get_by_role("heading", name="borzo is paused")).to_have_count(0)
    expect(desk.page.locator("main")).to_be_focused()


@pytest.mark.parametrize("profile", [DARK_PHONE], ids=["phone"])
def test_a_table_stays_scrolled_when_something_changes(desk: Desk) -> None:
    page, table = desk.page, desk.page.get_by_role("region", name="Deliveries")
    page.goto(f"{desk.origin}/deliveries")
    table.evaluate("(each) => { each.scrollLeft = 100; }")
    desk.pause("cervo")
    expect(page.get_by_role("link", name=f"Needs you {TROUBLES + 1}")).to_be_visible()
    assert table.evaluate("(each) => each.scrollLeft") == 100


def test_every_page_is_accessible_and_the_keyboard_reaches_everything_in_order_with_visible_focus(desk: Desk) -> None:
    seen = set()
    for kind in every_page(desk.page, desk.origin):
        reachable, reached, without_focus_ring = tab_through(desk.page)
        assert (kind, serious_faults(desk.page), reached, without_focus_ring) == (kind, [], reachable, [])
        seen.add(kind)
    assert {"/", "/deliveries", "/deliveries/ID", "/carriers", "/messages", "/messages/ID", "/system"} <= seen


@pytest.mark.parametrize("profile", [DARK_PHONE], ids=["dark phone"])
def test_every_page_fits_a_dark_phone_and_is_legible_there(desk: Desk) -> None:
    assert desk.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 22)"
    found = {
        kind: [*serious_faults(desk.page), *["too wide"] * is_too_wide(desk.page)]
        for kind in every_page(desk.page, desk.origin)
    }
    assert found == {kind: [] for kind in found}


def test_an_operator_acts_with_the_keyboard_alone(desk: Desk) -> None:
    page = desk.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    press_until(page, "Resume now…")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Resume now")).to_be_visible()
    press_until(page, "Your reason")
    page.keyboard.type("they are back")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Done")).to_have_text("Done: Resume now, borzo.")
    assert desk.recorded() == [("maria", "carriers resume", "they are back", "borzo")]


@pytest.mark.parametrize("profile", [{"java_script_enabled": False}], ids=["no script"])
def test_an_operator_acts_without_scripts(desk: Desk) -> None:
    page = desk.page
    page.get_by_role("link", name="Resume now…").click()
    page.get_by_role("button", name="Resume now").click()
    expect(page.get_by_role("status").filter(has_text="Done")).to_have_text("Done: Resume now, borzo.")
    assert desk.recorded() == [("maria", "carriers resume", "", "borzo")]
