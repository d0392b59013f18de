"""The commands about subscribers that get events over HTTP."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.events import EventType
from tests.cli.commands import CommandLine, Result
from tests.http.misbehaving import Misbehaving, Script, answering
from tests.web.edge import NOW
from worker.container import Container
from worker.database import event_feed, operator_actions, subscribers
from worker.domain.subscriber import BlockedKey

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nthank"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BY_MARIA = ("--by", "maria")
Serve = Callable[[Script], Misbehaving]


@pytest.fixture
def url(serve: Serve, command_line: CommandLine) -> str:
    """Return the URL of a receiver on this machine, which is allowed."""
    command_line.set(WEBHOOKS__PRIVATE_HOSTS="127.0.0.1")
    return f"{serve(answering(ACCEPTED)).origin}/hook"


def stored(container: Container, name: str = "kitchen") -> Any:
    return container.database.read(subscribers.load, name)


def add(command_line: CommandLine, url: str, *more: str) -> None:
    assert command_line("subscribers", "add", url, "--id", "kitchen", "--secret", SECRET, *more).code == 0


def test_a_subscriber_is_added_listed_and_removed(command_line: CommandLine, container: Container, url: str) -> None:
    added = command_line("subscribers", "add", url, "--types", "order.skipped, order.skipped", "--json", *BY_MARIA)
    (document,) = added.documents
    assert (added.code, document["id"]) == (0, "127.0.0.1")
    found = stored(container, "127.0.0.1")
    assert (found.secrets, found.types) == ((document["secret"],), (EventType.SKIPPED,))
    listed = command_line("subscribers", "list", "--json")
    assert [(each["id"], each["url"], each["types"], each["blocked"]) for each in listed.documents] == [
        ("127.0.0.1", url, ["order.skipped"], 0)
    ]
    for result in (listed, command_line("subscribers", "list")):
        assert document["secret"] not in result.out
    assert "up to date" in result.out
    assert command_line("subscribers", "remove", "127.0.0.1", *BY_MARIA).code == 2
    assert command_line("subscribers", "remove", "127.0.0.1", "--yes", *BY_MARIA).lines == ["127.0.0.1: removed"]
    assert stored(container, "127.0.0.1") is None
    done = container.database.read(operator_actions.newest, 10)
    assert [(each.operator, each.action, each.subject) for each in done] == [
        ("maria", "subscribers remove", "127.0.0.1"),
        ("maria", "subscribers add", "127.0.0.1"),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("http://127.0.0.1:1/",), 1, "the URL is plain http"),
        (("https://127.0.0.1:1/",), 1, "the address 127.0.0.1 of 127.0.0.1 is not public"),
        (("https://user:pw@example.com/",), 1, "neither credentials nor a fragment"),
        (("https://1.1.1.1/", "--secret", "letmein"), 1, "a secret is whsec_ and 24 to 64 bytes in base64"),
        (("https://1.1.1.1/", "--types", "order.eaten"), 2, "there are no events of the type order.eaten"),
        (("https://1.1.1.1/", "--id", "a b"), 1, "the id must begin with a letter or digit"),
    ],
)
def test_what_a_subscriber_cannot_have_is_refused_in_one_line(
    command_line: CommandLine, container: Container, arguments: tuple[str, ...], code: int, error: str
) -> None:
    result = command_line("subscribers", "add", *arguments)
    assert (result.code, len(result.err.splitlines()), error in result.err) == (code, 1, True)
    assert container.database.read(subscribers.enabled) == []


def test_two_subscribers_cannot_have_the_same_id(command_line: CommandLine, container: Container, url: str) -> None:
    add(command_line, url)
    assert "choose another name with --id" in command_line("subscribers", "add", url, "--id", "kitchen").err
    assert stored(container).secrets == (SECRET,)


def test_a_new_secret_is_shown_once_on_a_line_of_its_own(
    command_line: CommandLine, container: Container, url: str
) -> None:
    for arguments in (("add", url, "--id", "kitchen"), ("rotate", "kitchen")):
        _, line = command_line("subscribers", *arguments).lines
        assert line == f"secret: {stored(container).secrets[0]}"


def test_a_secret_is_read_from_standard_input(command_line: CommandLine, container: Container, url: str) -> None:
    added = command_line("subscribers", "add", url, "--id", "kitchen", "--secret", "-", stdin=f"{SECRET}\n".encode())
    assert (stored(container).secrets, added.lines) == ((SECRET,), ["kitchen gets the events from now on"])
    generated = command_line("subscribers", "add", url, "--id", "bar", "--secret", "-", stdin=b"\n")
    assert generated.lines[-1] == f"secret: {stored(container, 'bar').secrets[0]}"


def test_a_list_without_subscribers_says_so(command_line: CommandLine) -> None:
    assert command_line("subscribers", "list") == Result(0, "no subscribers\n", "")


def test_a_test_event_shows_the_answer(command_line: CommandLine, container: Container, serve: Serve, url: str) -> None:
    add(command_line, url)
    result = command_line("subscribers", "test", "kitchen")
    assert (result.code, result.lines) == (0, ["kitchen answered HTTP 202: accepted", "thank"])
    broken = serve(answering(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
    command_line("subscribers", "add", broken.origin, "--id", "broken")
    result = command_line("subscribers", "test", "broken", "--json")
    assert (result.code, result.documents) == (1, [{"id": "broken", "status": 500, "accepted": False, "body": ""}])
    head = broken.requests[0].decode().lower()
    assert all(name in head for name in ("webhook-id: ", "webhook-timestamp: ", "webhook-signature: v1,"))
    command_line("subscribers", "add", "http://127.0.0.1:1/", "--id", "away")
    result = command_line("subscribers", "test", "away")
    assert (result.code, result.err) == (1, "order-sync: away: no connection (ConnectionRefusedError)\n")
    assert container.database.read(event_feed.events, 0, 100, 10, event_feed.Wanted()) == []


def test_a_subscriber_is_disabled_and_enabled_again(command_line: CommandLine, container: Container, url: str) -> None:
    add(command_line, url)
    assert command_line("subscribers", "enable", "kitchen").err == "order-sync: kitchen is not disabled\n"
    assert command_line("subscribers", "disable", "kitchen").lines == ["kitchen: disabled"]
    assert command_line("subscribers", "disable", "kitchen").err == "order-sync: kitchen is already disabled\n"
    assert "(by an operator)" in command_line("subscribers", "list").out
    assert command_line("subscribers", "enable", "kitchen").lines == ["kitchen: enabled"]
    assert stored(container).disabled_at is None


def test_enabling_says_that_events_were_deleted(command_line: CommandLine, container: Container, url: str) -> None:
    add(command_line, url)
    command_line("subscribers", "disable", "kitchen")
    container.database.write(event_feed.record_deleted, 7)
    refused = command_line("subscribers", "enable", "kitchen")
    assert (refused.code, "events that kitchen has not had were deleted" in refused.err) == (2, True)
    result = command_line("subscribers", "enable", "kitchen", "--yes", "--json")
    assert result.documents == [{"id": "kitchen", "disabled": False, "gap": True}]
    assert stored(container).position == 7


def test_a_rotation_has_two_secrets_until_it_ends(command_line: CommandLine, container: Container, url: str) -> None:
    add(command_line, url)
    (document,) = command_line("subscribers", "rotate", "kitchen", "--json").documents
    assert stored(container).secrets == (document["secret"], SECRET)
    assert command_line("subscribers", "rotate", "kitchen", "--end").code == 0
    assert stored(container).secrets == (document["secret"],)
    assert command_line("subscribers", "rotate", "kitchen", "--end").err == "order-sync: kitchen has only one secret\n"


def test_a_refused_event_is_skipped(command_line: CommandLine, container: Container, delivery: str, url: str) -> None:
    add(command_line, url)
    assert command_line("subscribers", "skip", "kitchen", "2011", "--yes").code == 1
    now = container.clock()
    container.database.write(subscribers.block, "kitchen", BlockedKey(delivery, 1, now, now, "HTTP 500"))
    result = command_line("subscribers", "skip", "kitchen", "2011", "--yes", "--json")
    assert result.documents == [{"id": "kitchen", "order_id": "2011", "skipped": [1]}]


def test_a_subscriber_that_does_not_exist_is_named(command_line: CommandLine, container: Container) -> None:
    assert stored(container, "nobody") is None
    for arguments in (("remove", "nobody"), ("enable", "nobody"), ("test", "nobody"), ("rotate", "nobody")):
        result = command_line("subscribers", *arguments)
        assert (result.code, result.err) == (
            1,
            "order-sync: there is no subscriber nobody; `order-sync subscribers list` shows them\n",
        )


def test_the_status_shows_each_subscriber(command_line: CommandLine, container: Container, url: str) -> None:
    add(command_line, url)
    assert stored(container) is not None
    shown = command_line("status")
    assert "webhooks      kitchen: up to date" in shown.lines
    document = json.loads(command_line("status", "--json").out)
    assert document["subscribers"] == [{"id": "kitchen", "lag_seconds": 0, "blocked": 0, "disabled": False}]


def test_events_are_replayed_to_a_subscriber(
    command_line: CommandLine, container: Container, delivery: str, url: str
) -> None:
    def replay(*arguments: str) -> tuple[int, str]:
        result = command_line("events", "replay", "--to", "kitchen", *arguments)
        return result.code, result.out + result.err

    assert replay()[0] == 1
    add(command_line, url)
    assert replay("--order", "2011") == (0, "kitchen: 1 event of 2011 sent again\n")
    assert [each.key for each in container.database.read(subscribers.blocked, "kitchen")] == [delivery]
    assert replay() == (0, "kitchen: the failed events of 1 delivery sent again\n")
    since = NOW.isoformat()
    assert replay("--since", since) == (0, f"kitchen: all events since {since} sent again\n")
    assert stored(container).position == 0
    for wrong in (("--since", "1h", "--order", "2011"), ("--since", "1h", "--until", "1m")):
        assert replay(*wrong)[0] == 2
    command_line("subscribers", "disable", "kitchen")
    code, out = replay("--since", "1h")
    assert (code, out) == (
        1,
        "order-sync: kitchen is disabled; `order-sync subscribers enable kitchen` sends it what it has missed\n",
    )
