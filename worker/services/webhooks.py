"""Send the events to the subscribers over HTTP: each at least once, and those of a delivery in order.

Each subscriber has a cursor over the recorded events. A batch of events is sent, the answers are stored with the new
cursor, and the next batch follows. A process that dies in between sends the batch again. A lease lets one process at a
time send to a subscriber. Without it, events would only be repeated more often: each event is sent after the one before
it was accepted.

No thread waits for a receiver. Nothing here needs Redis.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import uuid4

from schemas.events import event_id
from worker import log
from worker.clock import Clock
from worker.database import event_feed, leases, subscribers
from worker.database.connection import Connection
from worker.database.database import Database
from worker.database.event_feed import Wanted
from worker.domain import subscriber as subscriber_rules
from worker.domain.delivery import OutgoingEvent
from worker.domain.subscriber import MAX_BLOCKED, Batch, BlockedKey, Chain, Subscriber, chains_of, goes_on, probe
from worker.enqueue import TaskQueue
from worker.http.call import Outcome
from worker.http.receiver_url import host_of
from worker.http.webhooks import Post, WebhookSender, signed
from worker.services.event_feed import CursorExpired, EventFeed

logger = log.get(__name__)
TASK, QUEUE = "webhooks.deliver", "webhooks"
LEASE_SECONDS = 60.0
"""The longest time for a batch: until its last request begins, until its end, and until the answers are stored."""
START_SECONDS = 20.0
"""Seconds within which the requests of a batch begin."""
PAGE, RETRIES, OF_KEY = 100, 20, 50
"""The most events after the cursor, the most blocked keys, and the most events of a blocked key in a batch."""
REMEMBERED_SECONDS = 5.0
"""For how long a process remembers which subscribers exist. The sweep finds a new one sooner."""
Outcomes = Mapping[str, Sequence[Outcome]]


class _Known:
    """Which subscribers exist, so that the relay need not read it each time."""

    def __init__(self) -> None:
        self._ids: Sequence[str] = ()
        self._until = 0.0

    def ids(self, read: Callable[[], Sequence[str]]) -> Sequence[str]:
        if time.monotonic() >= self._until:
            self._ids, self._until = read(), time.monotonic() + REMEMBERED_SECONDS
        return self._ids


@dataclass(frozen=True)
class Webhooks:
    """Send the subscribers what they have not had."""

    database: Database
    feed: EventFeed
    sender: WebhookSender
    queue: TaskQueue
    clock: Clock
    wall_clock: Clock
    """The time of the signatures, which receivers compare with their own clocks."""
    choose: Callable[[Sequence[Chain]], Chain] = random.choice
    _known: _Known = field(default_factory=_Known)

    def wake(self) -> None:
        """Send a wake-up task for each subscriber, after events were recorded."""
        ids = self._known.ids(lambda: self.database.read(subscribers.enabled))
        if ids:
            self.queue.send([(TASK, [each]) for each in ids])

    def deliver(self, subscriber_id: str) -> None:
        """Begin to send a subscriber what it has not had, and return.

        Do nothing while another process, or another run of this process, is sending to it.
        """
        holder = uuid4().hex
        if self.database.write(leases.take, _lease(subscriber_id), holder, self.clock(), LEASE_SECONDS):
            self._continue(subscriber_id, holder)

    def _continue(self, subscriber_id: str, holder: str) -> None:
        """Begin the next batch; without one, drop the lease."""
        subscriber, now = self.database.read(subscribers.load, subscriber_id), self.clock()
        batch = self._next_batch(subscriber, now) if subscriber and _may_get(subscriber, now) else None
        if subscriber is None or batch is None:
            self.database.write(leases.drop, _lease(subscriber_id), holder)
        elif batch.chains:
            self._send(subscriber, batch, holder)
        else:  # there are only events of other types
            self._store(subscriber, batch, holder, {})

    def _next_batch(self, subscriber: Subscriber, now: datetime) -> Batch | None:
        blocked = self.database.read(subscribers.blocked, subscriber.id)
        chains, end = [], subscriber.position
        if len(blocked) < MAX_BLOCKED:
            try:
                page = self.feed.read(subscriber.position, Wanted(types=subscriber.types), PAGE)
            except CursorExpired as error:
                self._disable(subscriber, str(error), now)
                return None
            chains, end = chains_of(page.events, {each.key for each in blocked}), page.next
        due = [each for each in blocked if each.try_at <= now and each.position <= end]
        chains += [self._retry(subscriber, each, end) for each in due[:RETRIES]]
        if not chains and end == subscriber.position:
            return None
        batch = Batch(tuple(chains), subscriber.position, end)
        return probe(batch, self.choose) if chains and subscriber.try_at is not None else batch

    def _retry(self, subscriber: Subscriber, blocked: BlockedKey, end: int) -> Chain:
        """Return the events of a blocked key, also those that the batch takes the cursor past."""
        wanted = Wanted(types=subscriber.types, keys=(blocked.key,))
        found = self.database.read(event_feed.events, blocked.position - 1, end, OF_KEY, wanted)
        if not found and blocked.error is not None:
            logger.warning("webhook.events_missing", subscriber=subscriber.id, key=blocked.key)
        return Chain(blocked.key, tuple(found), blocked, ends=len(found) < OF_KEY)

    def _send(self, subscriber: Subscriber, batch: Batch, holder: str) -> None:
        def build(event: OutgoingEvent) -> Post:
            identity = event_id(event.key, event.sequence)
            return signed(subscriber.url, subscriber.secrets, identity, self.wall_clock(), event.body)

        chains = {each.key: each.events for each in batch.chains}
        self.sender.send(
            chains, build, goes_on, START_SECONDS, lambda outcomes: self._store(subscriber, batch, holder, outcomes)
        )

    def _store(self, before: Subscriber, batch: Batch, holder: str, outcomes: Outcomes) -> None:
        """Store the outcomes of a batch, and go on unless nothing was sent, as in a process that stops."""
        after = self.database.persist(_store, before.id, batch, holder, outcomes, self.clock())
        if after is None:
            return  # the lease is lost, or the subscriber is removed
        _log(before, after)
        if any(outcomes.values()) or after.position != batch.start:
            self._continue(before.id, holder)
        else:
            self.database.write(leases.drop, _lease(before.id), holder)

    def _disable(self, subscriber: Subscriber, because: str, now: datetime) -> None:
        def disable(connection: Connection) -> Subscriber | None:
            current = subscribers.lock(connection, subscriber.id)
            if current is None or current.disabled_at is not None:
                return None
            disabled = replace(current, disabled_at=now, disabled_because=because)
            subscribers.save(connection, disabled)
            return disabled

        if (disabled := self.database.write(disable)) is not None:
            _log(subscriber, disabled)


def _store(
    connection: Connection, subscriber_id: str, batch: Batch, holder: str, outcomes: Outcomes, now: datetime
) -> Subscriber | None:
    """Store what follows from a batch, and renew the lease; return the subscriber, None if the batch does not count."""
    if not leases.holds(connection, _lease(subscriber_id), holder):
        return None
    current = subscribers.lock(connection, subscriber_id)
    if current is None:
        return None
    progress = subscriber_rules.apply(current, batch, outcomes, now)
    if current.position != batch.start:  # an operator has moved the cursor; the events after it need no row
        rows = tuple(each for each in progress.blocked if each[0] or each[1].position <= current.position)
        subscriber = replace(progress.subscriber, position=current.position)
        progress = replace(progress, subscriber=subscriber, blocked=rows)
    subscribers.store(connection, current, progress, now)
    leases.take(connection, _lease(subscriber_id), holder, now, LEASE_SECONDS)
    return progress.subscriber


def _lease(subscriber_id: str) -> str:
    return subscribers.LEASE_PREFIX + subscriber_id


def _may_get(subscriber: Subscriber, now: datetime) -> bool:
    """Return whether a subscriber may be sent events now."""
    return subscriber.disabled_at is None and (subscriber.try_at is None or subscriber.try_at <= now)


def _log(before: Subscriber, after: Subscriber) -> None:
    """Log when a subscriber begins or ends to fail, and when it is disabled."""
    fields = {"subscriber": after.id, "host": host_of(after.url)}
    if after.disabled_at is not None and before.disabled_at is None:
        logger.error("webhook.disabled", **fields, because=after.disabled_because)
    elif after.failing_since is not None and before.failing_since is None:
        logger.warning("webhook.failed", **fields, error=after.last_error)
    elif after.failing_since is None and before.failing_since is not None:
        logger.info("webhook.accepted", **fields)
