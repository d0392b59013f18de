"""A receiver under development gets every event, one after the other, as a subscriber will."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from itertools import islice

import pytest
from standardwebhooks import Webhook

from tests.database.samples import place
from tests.receiver import receiving
from worker.database.database import Database
from worker.http.receiver_url import ANY_HOST
from worker.http.webhooks import WebhookSender, new_secret
from worker.local.supervisor import free_port
from worker.services.event_feed import EventFeed
from worker.services.listener import Listener


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with closing(Database(sqlite_url)) as database:
        place(database, "1", "2")
        yield database


@pytest.fixture
def sender() -> Iterator[WebhookSender]:
    with closing(WebhookSender(lambda _url: "", private_hosts=(ANY_HOST,))) as sender:
        yield sender


def test_each_event_is_sent_in_order_and_its_signature_is_valid(database: Database, sender: WebhookSender) -> None:
    listener, secret = Listener(sender, lambda: datetime.now(UTC), lambda _: None), new_secret()
    with receiving() as server:
        url = f"http://localhost:{server.server_port}/hooks"
        tries = list(islice(listener.forward(EventFeed(database).follow(0), url, secret), 2))
    bodies = [each.body.encode() for each in EventFeed(database).read(0).events]
    assert server.received == [("/hooks", body) for body in bodies]
    assert [(each.event.position, each.status, each.error) for each in tries] == [(1, 200, ""), (2, 200, "")]
    for body, headers in zip(bodies, server.headers, strict=True):
        assert Webhook(secret).verify(body, headers) == json.loads(body)
        assert headers["webhook-id"] == json.loads(body)["id"]


def test_an_answer_that_is_no_success_is_shown_and_the_next_event_is_sent(
    database: Database, sender: WebhookSender
) -> None:
    listener = Listener(sender, lambda: datetime.now(UTC), lambda _: None)
    with receiving() as server:
        server.status = 500
        url = f"http://127.0.0.1:{server.server_port}"
        tries = list(islice(listener.forward(EventFeed(database).follow(0), url, new_secret()), 2))
    assert [(each.event.position, each.status) for each in tries] == [(1, 500), (2, 500)]


def test_while_the_receiver_is_down_the_same_event_is_tried_again(database: Database, sender: WebhookSender) -> None:
    port, pauses = free_port(), []
    with ExitStack() as stack:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 5:
                stack.enter_context(receiving(port))

        listener = Listener(sender, lambda: datetime.now(UTC), pause)
        forwarded = listener.forward(EventFeed(database).follow(0), f"http://127.0.0.1:{port}", new_secret())
        tries = list(islice(forwarded, 7))
    assert [(each.event.position, each.status) for each in tries] == [(1, None)] * 5 + [(1, 200), (2, 200)]
    assert all(each.error for each in tries[:5])
    assert pauses == [0.5, 1.0, 2.0, 5.0, 5.0]
