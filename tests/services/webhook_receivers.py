"""Receivers of events without a network, and the deliverers that send to them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery

from schemas.events import EventType, OrderEvent
from tests.database.samples import SentTasks
from worker.database import outbox, subscribers
from worker.database.database import Database
from worker.domain.operator import Operator
from worker.domain.subscriber import Chain, Subscriber
from worker.http.call import Outcome, Reply
from worker.http.webhooks import Post, WebhookSender
from worker.services.event_feed import EventFeed
from worker.services.subscribers import Subscribers
from worker.services.webhooks import Webhooks

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MARIA = Operator("maria", "a test")
OK, BROKEN = Reply(200, b""), Reply(500, b"")
Answer = Callable[[str, int], Outcome]
"""Returns the outcome of a request with the event of a key and sequence."""


class ScriptedSender(WebhookSender):
    """A sender whose requests a function answers, at once."""

    def __init__(self) -> None:
        super().__init__(lambda _url: "")
        self.answer: Answer = lambda _key, _sequence: OK
        self.sent: list[tuple[str, int]] = []
        """The key and the sequence of each event, in the order in which they were sent."""
        self.posts: list[Post] = []
        self.dies_before_storing = False
        """Whether the process dies after the requests and before the outcomes are stored."""

    def check(self, url: str) -> None:
        """Admit every host."""

    def send(
        self,
        chains: Mapping[Any, Sequence[Any]],
        build: Callable[[Any], Post],
        goes_on: Callable[[Iterable[Outcome]], bool],
        within: float,  # noqa: ARG002 - all requests begin at once
        done: Callable[[Mapping[Any, Sequence[Outcome]]], None],
    ) -> None:
        """Send the first events of all chains, then the second ones, and so on."""
        outcomes: dict[Any, list[Outcome]] = {key: [] for key in chains}
        open_ = {key: list(chain) for key, chain in chains.items()}
        while open_:
            for key, chain in list(open_.items()):
                if not chain or not goes_on(each for found in outcomes.values() for each in found):
                    del open_[key]
                    continue
                event = chain.pop(0)
                self.posts.append(build(event))
                self.sent.append((event.key, event.sequence))
                outcomes[key].append(self.answer(event.key, event.sequence))
                if outcomes[key][-1] != OK:
                    del open_[key]
        if not self.dies_before_storing:
            done(outcomes)


@dataclass
class Deliverers:
    """A database with events, the deliverer of a process, and a clock that only a test moves."""

    database: Database
    now: datetime = NOON
    sender: ScriptedSender = field(default_factory=ScriptedSender)
    queue: SentTasks = field(default_factory=lambda: SentTasks(Celery(set_as_current=False)))

    def __post_init__(self) -> None:
        self.feed = EventFeed(self.database)
        self.webhooks = self.process(self.sender)
        self.subscribers = Subscribers(
            self.database, self.feed, self.sender, self.queue, (), lambda: self.now, lambda: self.now
        )

    def process(
        self, sender: WebhookSender, choose: Callable[[Sequence[Chain]], Chain] = lambda each: each[0]
    ) -> Webhooks:
        """Return the deliverer of another process."""
        return Webhooks(self.database, self.feed, sender, self.queue, lambda: self.now, lambda: self.now, choose)

    def add(self, *types: EventType, name: str = "kitchen") -> Subscriber:
        """Add a subscriber."""
        return self.subscribers.add(f"https://{name}.example/hook", name, types, SECRET, MARIA)

    def happen(self, *events: tuple[str, int], kind: EventType = EventType.SKIPPED) -> None:
        """Record events: the key and the sequence of each."""
        rows = [
            outbox.event_row(
                kind,
                key,
                sequence,
                f"order {key}",
                OrderEvent(order_id=key, order_source="platform", reason="pickup"),
                self.now,
            )
            for key, sequence in events
        ]
        self.database.write(outbox.add, rows)

    def deliver(self, name: str = "kitchen") -> list[tuple[str, int]]:
        """Run the task; return what was sent."""
        before = len(self.sender.sent)
        self.webhooks.deliver(name)
        return self.sender.sent[before:]

    def pass_time(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def due(self) -> list[str]:
        """Return the subscribers that the sweep would wake."""
        return self.database.read(subscribers.due, self.now)

    def subscriber(self, name: str = "kitchen") -> Subscriber:
        """Return a subscriber as it is stored."""
        found = self.database.read(subscribers.load, name)
        assert found is not None
        return found

    def blocked(self, name: str = "kitchen") -> dict[str, tuple[int, str | None]]:
        """Return the position and the error of each blocked key."""
        return {each.key: (each.position, each.error) for each in self.database.read(subscribers.blocked, name)}


def failing(*which: tuple[str, int], outcome: Outcome = BROKEN) -> Answer:
    """Answer these events with a failure, and all others with 200."""
    return lambda key, sequence: outcome if (key, sequence) in which else OK


def first_times(sent: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """Return the sequences of each key, each when it first came."""
    found: dict[str, list[int]] = defaultdict(list)
    for key, sequence in sent:
        if sequence not in found[key]:
            found[key].append(sequence)
    return dict(found)
