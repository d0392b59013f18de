"""Only operators get in, every form is their own, and every answer has the headers that keep others out."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.services.simulation import Simulation
from tests.web.desk.conftest import Open
from tests.web.desk.operator_browser import Browser
from worker.web import desk
from worker.web.desk.access import MOST_FAILURES, Users, hash_password, local_path

PASSWORD = "correct horse battery staple"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
"""A hash that is cheap to check, unlike those of `hash_password`."""
PAGES = ("/", "/deliveries", "/deliveries/x", "/carriers", "/messages", "/messages/x", "/system", "/do/retry", "/live")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Browser]:
    """Open a browser at a desk whose user maria has a password."""
    with (
        closing(Simulation(tmp_path, DESK__USERS__MARIA=HASH)) as simulation,
        closing(Browser(desk.build(simulation.container), "https://desk.example")) as browser,
    ):
        yield browser


@pytest.mark.parametrize("path", PAGES)
def test_every_page_needs_a_login(guarded: Browser, path: str) -> None:
    page = guarded.get(path)
    assert (page.status, page.path.partition("?")[0], page.forms["/login"]["next"]) == (200, "/login", [path])


@pytest.mark.parametrize(
    "path", ["/do/retry", "/deliveries/x/customer", "/messages/x", "/messages/x/corrected", "/logout"]
)
def test_every_form_needs_a_login(guarded: Browser, path: str) -> None:
    page = guarded.post(path, csrf="x")
    assert (page.status, page.reply.text) == (401, "Log in first.")


def test_the_right_password_opens_the_page_that_was_asked_for(guarded: Browser) -> None:
    asked = guarded.get("/system?x=1")
    page = guarded.send(asked, "/login", name="Maria", password=PASSWORD)
    assert (page.status, page.path, page.lines[0]) == (200, "/system?x=1", "System")


@pytest.mark.parametrize(("name", "password"), [("maria", "wrong"), ("joe", PASSWORD), ("", "")])
def test_a_wrong_password_opens_nothing(guarded: Browser, name: str, password: str) -> None:
    with capture_logs() as logs:
        page = guarded.log_in(name, password=password)
    assert (page.status, page.lines[1]) == (403, "The name or the password is wrong.")
    assert [(each["event"], set(each)) for each in logs] == [("desk.login_failed", {"event", "log_level"})]


def test_no_password_is_checked_after_too_many_wrong_ones() -> None:
    now = [0.0]
    users = Users({"maria": SecretStr(HASH)}, lambda: now[0])
    assert not any(users.check("maria", "wrong") for _ in range(MOST_FAILURES))
    assert not users.check("maria", PASSWORD)
    now[0] = 1000.0
    assert users.check("maria", PASSWORD)


def test_a_new_password_ends_the_sessions_of_the_old_one() -> None:
    session: dict[str, object] = {}
    Users({"maria": SecretStr(HASH)}).log_in(session, "maria")
    assert Users({"maria": SecretStr(hash_password(PASSWORD))}).of(session) is None


def test_a_page_that_changes_nothing_sets_no_cookie(browser: Browser) -> None:
    assert "set-cookie" not in browser.get("/").reply.headers


def test_a_logout_ends_the_session(browser: Browser) -> None:
    browser.send(browser.get("/"), "/logout")
    assert browser.get("/").path.startswith("/login")


def test_without_users_the_desk_asks_for_a_name_alone(open_browser: Open) -> None:
    page = open_browser().get("/login")
    assert page.lines == [
        "Order Sync",
        "Your name",
        "No password is needed on this machine. Your name is recorded with everything you do.",
        "Log in",
    ]


def test_without_users_other_names_of_this_machine_are_refused(open_browser: Open) -> None:
    assert open_browser("http://attacker.example").get("/login").reply.text == "Invalid host header"


def test_without_users_no_proxy_may_forward(open_browser: Open) -> None:
    page = open_browser().get("/login", **{"X-Forwarded-For": "192.0.2.1"})
    assert (page.status, page.reply.text) == (403, "The desk has no users: set ORDER_SYNC_DESK__USERS__<NAME> first.")


@pytest.mark.parametrize("csrf", ["", "x", "ü"])
def test_a_form_without_its_token_does_nothing(browser: Browser, csrf: str) -> None:
    page = browser.post("/logout", csrf=csrf)
    assert (page.status, page.lines[1]) == (
        403,
        "The form is too old, or comes from another page. Open the page again.",
    )
    assert browser.get("/").path == "/"


def test_the_token_of_another_session_does_nothing(browser: Browser, open_browser: Open) -> None:
    other = open_browser()
    other.log_in("joe")
    assert browser.post("/logout", **other.get("/").forms["/logout"]).status == 403


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/static/desk.css"])
def test_every_answer_forbids_foreign_scripts_and_frames(browser: Browser, path: str) -> None:
    headers = browser.get(path).reply.headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    assert headers.get("cache-control") == (None if path.startswith("/static") else "no-store")


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(open_browser: Open) -> None:
    cookie = open_browser().get("/login").reply.headers["set-cookie"]
    assert cookie.partition("=")[0] == "order_sync_desk"
    assert {"httponly", "samesite=lax"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    ("path", "goes_to"),
    [("/x?y=1", "/x?y=1"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil", "/"), (None, "/")],
)
def test_a_login_leads_to_pages_of_the_desk_alone(path: str | None, goes_to: str) -> None:
    assert local_path(path) == goes_to


def test_pages_have_no_inline_script_or_style() -> None:
    for template in (Path(desk.__file__).parent / "templates").iterdir():
        text = template.read_text()
        assert not [
            each
            for each in ("style=", "<style", " onclick", " onload", "javascript:", "<script>")
            if f"{each}" in _tags(text)
        ]


def _tags(text: str) -> str:
    return " ".join(re.findall(r"<[^>]*>", text))
