"""`order-sync listen` shows events and sends them to a receiver on this machine."""

import os
import signal
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from tests.cli.commands import CommandLine, Result
from tests.database.test_outbox import tell
from tests.receiver import receiving
from worker.container import Container
from worker.database import deliveries

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Keep what the command changes about the signals of this process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_events_are_sent_signed_and_shown_until_a_signal_ends_the_command(
    command_line: CommandLine, container: Container, delivery: str, end: signal.Signals
) -> None:
    container.database.persist(deliveries.update, [delivery], tell)
    with receiving() as server:
        url = f"localhost:{server.server_port}"

        def end_at_the_second() -> None:
            if len(server.received) == 2:
                os.kill(os.getpid(), end)

        server.on_request = end_at_the_second
        result = command_line("listen", "--forward", url, "--secret", SECRET, "--after", "0")
    assert (result.code, result.err) == (0, "")
    assert result.lines[:2] == [
        f"Events are sent to http://{url}, signed with the secret {SECRET}",
        "1 2026-11-21T17:00:00Z 2011 delivery.status_changed queued -> 200",
    ]
    (_, body), _ = server.received
    assert Webhook(SECRET).verify(body, server.headers[0])["data"]["delivery_id"] == delivery


@pytest.mark.usefixtures("delivery")
def test_events_since_a_time_are_sent_as_json_with_a_new_secret(command_line: CommandLine) -> None:
    with receiving() as server:
        server.on_request = lambda: os.kill(os.getpid(), signal.SIGINT)
        url = f"http://127.0.0.1:{server.server_port}/hooks"
        result = command_line("listen", "--forward", url, "--since", "2026-11-21T16:00:00Z", "--json")
    head = result.documents[0]
    assert (result.code, head["forward"], head["secret"][:6]) == (0, url, "whsec_")
    (path, body), headers = server.received[0], server.headers[0]
    assert (path, Webhook(head["secret"]).verify(body, headers)["subject"]) == ("/hooks", "2011")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--forward", "ftp://localhost"), "the URL must be a full one, such as https://example.com/hooks"),
        (("--forward", "localhost:1", "--secret", "x"), "a secret is whsec_ and 24 to 64 bytes in base64"),
        (("--after", "-1"), "--after -1 is no position"),
        (("--since", "7"), "--since 7 is neither a time nor an age such as 30m, 2h or 1d"),
    ],
)
def test_wrong_usage_is_reported(command_line: CommandLine, arguments: tuple[str, ...], error: str) -> None:
    assert command_line("listen", *arguments) == Result(2, "", f"order-sync: {error}\n")


def test_a_position_that_no_event_has_is_reported(command_line: CommandLine) -> None:
    why = "no event has this position: the database is another one or has lost commits"
    assert command_line("listen", "--after", "7") == Result(1, "", f"order-sync: {why}; begin with --since\n")
