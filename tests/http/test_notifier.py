"""Messages to people reach a real webhook, and a service that does not accept one is an error."""

import json
import queue
import threading
from collections.abc import Iterator

import pytest
from apprise.decorators import notify

from tests.receiver import Receiver, receiving
from worker.errors import NotSentError
from worker.http.notifier import Notifier


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def test_a_message_reaches_a_webhook(webhook: Receiver) -> None:
    Notifier(f"json://127.0.0.1:{webhook.server_port}/hook").send("A title", "A text")
    ((_, body),) = webhook.received
    got = json.loads(body)
    assert (got["title"], got["message"]) == ("A title", "A text")


def test_a_message_that_is_not_accepted_is_an_error(webhook: Receiver) -> None:
    webhook.status = 500
    with pytest.raises(NotSentError):
        Notifier(f"json://127.0.0.1:{webhook.server_port}/hook").send("A title", "A text")


def test_a_service_that_hangs_delays_a_message_by_the_limit_and_the_next_one_not_at_all() -> None:
    answered, calls = threading.Event(), queue.SimpleQueue[str]()

    @notify(on="hanging")  # type: ignore[no-untyped-call, untyped-decorator]
    def hang(_body: str, title: str, *_: object, **__: object) -> bool:
        calls.put(title)
        return answered.wait(10)

    notifier = Notifier("hanging://", seconds=0.01)
    for reason in ("did not accept the message", "has not answered the last message"):
        with pytest.raises(NotSentError, match=reason):
            notifier.send("A title", "A text")
    answered.set()
    assert (calls.get(timeout=60), calls.empty()) == ("A title", True)


def test_a_carrier_s_text_in_a_message_is_short_and_neither_markup_nor_control_characters() -> None:
    sent: list[tuple[str, str]] = []

    @notify(on="page")  # type: ignore[no-untyped-call, untyped-decorator]
    def page(body: str, title: str, *_: object, **__: object) -> bool:
        sent.append((title, body))
        return True

    Notifier("page://?format=html").send("a\x1b[31m" + "b" * 500, "one\n<a href='x'>two</a>\x00")
    assert sent == [
        ("a\\u001b[31m" + "b" * 189, "one<br/>&lt;a&nbsp;href=&apos;x&apos;&gt;two&lt;/a&gt;\\u0000"),
    ]


def test_an_address_of_an_unknown_service_is_refused() -> None:
    with pytest.raises(ValueError, match="is no address that apprise knows"):
        Notifier("carrier-pigeon://loft")
