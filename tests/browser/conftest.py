"""One headless Chromium for all browser tests of a run, and an empty browser page for each test.

It is the Chromium of the system, because Playwright's own download needs a host that many networks block. Playwright
runs during the tests of one module, and occupies the event loop of its thread. So a browser test talks to servers in
other processes or threads, and uses no event loop of its own.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import missing

CHROMIUM_VARIABLE = "ORDER_SYNC_TEST_CHROMIUM"
CHROMIUM = os.environ.get(CHROMIUM_VARIABLE) or shutil.which("chromium") or shutil.which("chromium-browser")
START_SECONDS = 60
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # root, as in CI, has no sandbox; only pages of our own processes are opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
)


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Chromium; yield the address at which Playwright connects to it."""
    if not CHROMIUM:
        missing("Chromium", CHROMIUM_VARIABLE, "on Debian: apt-get install chromium")
    profile = tmp_path_factory.mktemp("chromium")
    log = profile / "chromium.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{_debugging_port(process, profile, log)}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # nothing in its profile is needed
        process.wait()


def _debugging_port(process: "subprocess.Popen[bytes]", profile: Path, log: Path) -> int:
    written, deadline = profile / "DevToolsActivePort", time.monotonic() + START_SECONDS
    while not (written.exists() and "\n" in written.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            missing("Chromium", CHROMIUM_VARIABLE, log.read_text(errors="replace")[-1000:])
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    return int(written.read_text().split("\n")[0])


@pytest.fixture
def profile() -> dict[str, Any]:
    """Return how the browser profile of `page` differs from an ordinary one; a test may override it."""
    return {}


@pytest.fixture(scope="module")
def _browser(_chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.connect_over_cdp(_chromium)


@pytest.fixture
def page(_browser: Browser, profile: dict[str, Any]) -> Iterator[Page]:
    """Yield an empty page of a new browser profile."""
    context = _browser.new_context(**profile)
    try:
        yield context.new_page()
    finally:
        context.close()
