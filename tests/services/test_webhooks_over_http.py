"""Two processes that are killed send to a receiver that fails, drops connections and hangs: nothing is lost."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.services.webhook_receivers import NOON, SECRET, Deliverers, first_times
from worker.database import subscribers
from worker.database.database import Database
from worker.domain.subscriber import Subscriber
from worker.http.call import Outcome
from worker.http.webhooks import Post, WebhookSender
from worker.services.webhooks import LEASE_SECONDS, Webhooks

KEYS, EVENTS, ROUNDS = "abcdefgh", 6, 8


class Receiver(ThreadingHTTPServer):
    """A receiver that verifies each event, and then may lose its answer, until `recovers` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.chance, self.lock = random.Random(7), threading.Lock()
        self.recovered, self.ending = threading.Event(), threading.Event()
        self.handled: list[tuple[str, int]] = []
        """The key and the sequence of each event that was verified, in the order in which they came."""


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        event = Webhook(SECRET).verify(body, dict(self.headers))
        with self.server.lock:
            fate = 1.0 if self.server.recovered.is_set() else self.server.chance.random()
            if fate > 0.1:  # otherwise it fails before it has handled the event
                self.server.handled.append((event["partitionkey"], int(event["sequence"])))
        if 0.1 < fate < 0.2:
            return  # the connection is dropped
        if 0.2 < fate < 0.25:
            self.server.ending.wait(5)
        self.send_response(500 if fate < 0.1 else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.ending.set()
        server.shutdown()
        thread.join()


class MortalSender(WebhookSender):
    """A sender whose process is killed from time to time, after requests and before their outcomes are stored."""

    def __init__(self, seed: int) -> None:
        super().__init__(lambda _url: "", private_hosts=("127.0.0.1",), seconds=0.5)
        self.immortal = False
        self._chance, self._batches, self._changed = random.Random(seed), 0, threading.Condition()

    def send(
        self,
        chains: Mapping[Any, Sequence[Any]],
        build: Callable[[Any], Post],
        goes_on: Callable[[Iterable[Outcome]], bool],
        within: float,
        done: Callable[[Mapping[Any, Sequence[Outcome]]], None],
    ) -> None:
        """Send chains, and perhaps forget the outcomes."""
        is_killed = not self.immortal and self._chance.random() < 0.3
        self._count(1)

        def finish(outcomes: Mapping[Any, Sequence[Outcome]]) -> None:
            if not is_killed:
                done(outcomes)
            self._count(-1)

        super().send(chains, build, goes_on, within, finish)

    def wait(self) -> None:
        """Wait until no batch is under way."""
        with self._changed:
            self._changed.wait_for(lambda: self._batches == 0)

    def _count(self, change: int) -> None:
        with self._changed:
            self._batches += change
            self._changed.notify_all()


def test_every_event_arrives_over_http_and_those_of_a_delivery_in_order(database: Database) -> None:
    deliverers = Deliverers(database)
    with receiving() as receiver, closing(MortalSender(1)) as one, closing(MortalSender(2)) as two:
        url = f"http://127.0.0.1:{receiver.server_port}/"
        deliverers.database.write(subscribers.add, Subscriber("kitchen", url, (), (SECRET,), 0, NOON))
        processes = [
            Webhooks(
                database, deliverers.feed, each, deliverers.queue, lambda: deliverers.now, lambda: datetime.now(UTC)
            )
            for each in (one, two)
        ]

        def deliver() -> None:
            for each in processes:
                each.deliver("kitchen")
            one.wait()
            two.wait()
            deliverers.pass_time(seconds=LEASE_SECONDS + 1)

        for sequence in range(1, EVENTS + 1):
            deliverers.happen(*((key, sequence) for key in KEYS))
            deliver()
        for _ in range(ROUNDS):
            deliver()
        receiver.recovered.set()
        one.immortal = two.immortal = True
        deliverers.pass_time(hours=2)
        while deliverers.due():
            deliver()
    assert first_times(receiver.handled) == {key: list(range(1, EVENTS + 1)) for key in KEYS}
    assert (deliverers.blocked(), deliverers.subscriber().disabled_at) == ({}, None)
    assert len(receiver.handled) > len(KEYS) * EVENTS
