"""Write the pictures of the desk in docs/images: `python -m docs.take_screenshots`, with Chromium installed.

The orders are invented, and their clock does not move, so the pictures change only when the pages do.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, ViewportSize, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.desk_pages import log_in
from tests.browser.desk_server import make_troubles, serve_desk
from tests.services.simulation import Simulation

IMAGES = Path(__file__).parent / "images"
WIDE = ViewportSize(width=900, height=700)
PHONE = ViewportSize(width=390, height=844)


def main() -> None:
    """Take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, closing(Simulation(Path(folder))) as simulation:
        make_troubles(simulation)
        with serve_desk(simulation) as origin, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport=WIDE)
            log_in(page, origin)
            for name in _open_pages(page, origin):
                page.get_by_text("live", exact=True).wait_for()
                page.screenshot(path=IMAGES / f"{name}.png")
            browser.close()


def _open_pages(page: Page, origin: str) -> Iterator[str]:
    """Open the pages in turn; yield the name of each one's picture."""
    page.goto(f"{origin}/deliveries")
    yield "deliveries"
    page.get_by_role("link", name="2013").click()
    yield "delivery"
    page.goto(origin)
    yield "needs-you"
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    yield "needs-you-phone"


if __name__ == "__main__":
    main()
