"""What operators do about the subscribers that get events over HTTP. Each action is recorded with its operator."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from pydantic_core import to_json

from schemas.events import EVENT_SOURCE, EventType, rfc3339
from worker.clock import Clock
from worker.database import attempt_events, event_feed, operator_actions, search, subscribers
from worker.database.connection import Connection
from worker.database.database import Database
from worker.database.event_feed import Wanted
from worker.domain.operator import Operator, OperatorAction
from worker.domain.subscriber import BlockedKey, Subscriber
from worker.enqueue import TaskQueue
from worker.http.call import Reply
from worker.http.receiver_url import check_url, host_of
from worker.http.webhooks import WebhookSender, check_secret, new_secret, signed
from worker.services.event_feed import EventFeed
from worker.services.replays import OVERLAP
from worker.services.webhooks import TASK

MOST_OF_ORDER = 10_000
"""The most events of an order that are sent again."""
TEST_TYPE = "order_sync.test"
"""The type of the event of `subscribers test`. It is no event of an order, and is stored nowhere."""
NAME = "[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}"
"""The pattern of a subscriber's id, which becomes part of names of leases and of labels."""
T = TypeVar("T")


@dataclass(frozen=True)
class Subscribers:
    """Add, change, test and remove subscribers, and send them events again."""

    database: Database
    feed: EventFeed
    sender: WebhookSender
    queue: TaskQueue
    private_hosts: Sequence[str]
    clock: Clock
    wall_clock: Clock

    def add(self, url: str, name: str, types: Sequence[EventType], secret: str, by: Operator) -> Subscriber:
        """Add a subscriber, which gets the events that come up from now on; return it.

        Its id is `name` or, without one, the host of the URL. Without a `secret`, a random one is used. Raises
        ValueError for wrong values, and Unavailable if the host may not be called.
        """
        check_url(url, self.private_hosts)
        name = name or host_of(url)
        if not re.fullmatch(NAME, name):
            raise ValueError("the id must begin with a letter or digit, and have letters, digits and . : _ - (--id)")
        secret = check_secret(secret or new_secret())
        self.sender.check(url)
        now, position = self.clock(), self.feed.settled()
        subscriber = Subscriber(name, url, tuple(types), (secret,), position, now)

        def add(connection: Connection, _now: datetime) -> bool:
            return subscribers.add(connection, subscriber)

        if not self._do("subscribers add", subscriber.id, by, add):
            raise ValueError(f"there is already a subscriber {subscriber.id}; choose another name with --id")
        return subscriber

    def remove(self, subscriber_id: str, by: Operator) -> bool:
        """Delete a subscriber; return False without such a subscriber."""

        def remove(connection: Connection, _now: datetime) -> bool:
            return subscribers.remove(connection, subscriber_id)

        return self._do("subscribers remove", subscriber_id, by, remove)

    def disable(self, subscriber_id: str, by: Operator) -> bool:
        """Send a subscriber nothing until it is enabled; return False if it gets nothing already."""

        def disable(subscriber: Subscriber, now: datetime) -> Subscriber | None:
            return replace(subscriber, disabled_at=now, disabled_because=None) if not subscriber.disabled_at else None

        return self._change("subscribers disable", subscriber_id, by, disable) is not None

    def missing_before(self, subscriber: Subscriber) -> int | None:
        """Return the position up to which events were deleted that a subscriber has not had; None if none were."""
        first = self.feed.first()
        return first if subscriber.position < first else None

    def enable(self, subscriber_id: str, by: Operator) -> bool:
        """Send a disabled subscriber all that it has not had and that still exists; return False if it is none."""
        first, newest = self.feed.first(), self.feed.settled()

        def enable(subscriber: Subscriber, _now: datetime) -> Subscriber | None:
            position = max(min(subscriber.position, newest), first)
            return replace(_tried_again(subscriber), position=position) if subscriber.disabled_at else None

        return self._change("subscribers enable", subscriber_id, by, enable, retry=True) is not None

    def rotate(self, subscriber_id: str, secret: str, by: Operator) -> str | None:
        """Sign with a new secret and the present one; return the new one, None without such a subscriber.

        Raises ValueError if the secret is unusable.
        """
        new = check_secret(secret or new_secret())

        def rotate(subscriber: Subscriber, _now: datetime) -> Subscriber:
            return replace(subscriber, secrets=(new, subscriber.secrets[0]))

        return new if self._change("subscribers rotate", subscriber_id, by, rotate) else None

    def end_rotation(self, subscriber_id: str, by: Operator) -> bool:
        """Sign with the newest secret alone; return False without a rotation."""

        def end(subscriber: Subscriber, _now: datetime) -> Subscriber | None:
            return replace(subscriber, secrets=subscriber.secrets[:1]) if len(subscriber.secrets) > 1 else None

        return self._change("subscribers rotate --end", subscriber_id, by, end) is not None

    def test(self, subscriber: Subscriber) -> Reply:
        """Send a subscriber a signed test event, and return its reply. Raises Unavailable or Uncertain."""
        identity, now = str(uuid4()), self.wall_clock()
        event = {
            "specversion": "1.0",
            "id": identity,
            "source": EVENT_SOURCE,
            "type": TEST_TYPE,
            "subject": subscriber.id,
            "time": rfc3339(now),
            "datacontenttype": "application/json",
            "data": {"subscriber": subscriber.id},
        }
        return self.sender.post(signed(subscriber.url, subscriber.secrets, identity, now, to_json(event).decode()))

    # --- events again -------------------------------------------------------------------------------------------------

    def replay_order(self, subscriber_id: str, order_id: str, by: Operator) -> int | None:
        """Send all events about an order again; return how many there are, None without an enabled subscriber."""
        keys = self.database.read(search.event_keys, order_id)

        def replay(connection: Connection, subscriber: Subscriber, now: datetime) -> int:
            wanted = Wanted(subscriber.types, keys)
            found = event_feed.events(connection, 0, subscriber.position, MOST_OF_ORDER, wanted) if keys else []
            for key in {each.key for each in found}:
                subscribers.block(connection, subscriber.id, BlockedKey(key, 0, now, now))
            return len(found)

        return self._resend(f"{subscriber_id}, order {order_id}", subscriber_id, by, replay)

    def replay_since(self, subscriber_id: str, since: datetime, by: Operator) -> int | None:
        """Send all events since a time again, and those of the minute before it; return the position before them.

        Return None without an enabled subscriber.
        """
        position = max(self.database.read(attempt_events.position_before, since - OVERLAP), self.feed.first())

        def replay(connection: Connection, subscriber: Subscriber, _now: datetime) -> int:
            subscribers.rewind(connection, subscriber, position)
            return position

        return self._resend(f"{subscriber_id}, since {rfc3339(since)}", subscriber_id, by, replay)

    def retry(self, subscriber_id: str, by: Operator) -> int | None:
        """Send the events that failed again now; return for how many keys, None without an enabled subscriber."""

        def retry(connection: Connection, subscriber: Subscriber, now: datetime) -> int:
            subscribers.make_due(connection, subscriber.id, now)
            subscribers.save(connection, replace(subscriber, try_at=now if subscriber.try_at else None))
            return len(subscribers.blocked(connection, subscriber.id))

        return self._resend(f"{subscriber_id}, what failed", subscriber_id, by, retry)

    def skip(self, subscriber_id: str, order_id: str, by: Operator) -> list[int] | None:
        """Give up the event that blocks each key of an order, and send those after it; return their sequences.

        Return None without an enabled subscriber.
        """
        keys = self.database.read(search.event_keys, order_id)

        def skip(connection: Connection, subscriber: Subscriber, now: datetime) -> list[int]:
            skipped = []
            for row in subscribers.blocked(connection, subscriber.id):
                if row.key in keys and row.error is not None:
                    wanted = Wanted(subscriber.types, (row.key,))
                    until = max(subscriber.position, row.position)  # a batch that was cut short leaves the cursor below
                    for event in event_feed.events(connection, row.position - 1, until, 1, wanted):
                        subscribers.skip(connection, subscriber.id, row.key, event.position + 1, now)
                        skipped.append(event.sequence)
            return skipped

        return self._resend(f"{subscriber_id}, order {order_id}", subscriber_id, by, skip, "subscribers skip")

    def _resend(
        self,
        subject: str,
        subscriber_id: str,
        by: Operator,
        change: Callable[[Connection, Subscriber, datetime], T],
        action: str = "events replay",
    ) -> T | None:
        """Change what an enabled subscriber gets next, and wake it up."""

        def resend(connection: Connection, now: datetime) -> tuple[T] | None:
            subscriber = subscribers.lock(connection, subscriber_id)
            return None if subscriber is None or subscriber.disabled_at else (change(connection, subscriber, now),)

        done = self._do(action, subject, by, resend)
        if done is None:
            return None
        self.queue.send([(TASK, [subscriber_id])])
        return done[0]

    def _change(
        self,
        action: str,
        subscriber_id: str,
        by: Operator,
        change: Callable[[Subscriber, datetime], Subscriber | None],
        *,
        retry: bool = False,
    ) -> Subscriber | None:
        """Change a subscriber, and perhaps let its blocked keys be tried again; return it, None if nothing changed."""

        def apply(connection: Connection, now: datetime) -> Subscriber | None:
            subscriber = subscribers.lock(connection, subscriber_id)
            changed = change(subscriber, now) if subscriber else None
            if changed is not None:
                subscribers.save(connection, changed)
            if changed is not None and retry:
                subscribers.make_due(connection, subscriber_id, now)
            return changed

        changed = self._do(action, subscriber_id, by, apply)
        if changed is not None and retry:
            self.queue.send([(TASK, [subscriber_id])])
        return changed

    def _do(self, action: str, subject: str, by: Operator, change: Callable[[Connection, datetime], T]) -> T:
        """Make a change and record it in one transaction; return its result. Record nothing for a false result."""
        now = self.clock()

        def change_and_record(connection: Connection) -> T:
            if done := change(connection, now):
                operator_actions.record(connection, OperatorAction(now, by.name, action, by.reason, subject=subject))
            return done

        return self.database.write(change_and_record)


def _tried_again(subscriber: Subscriber) -> Subscriber:
    """Return a subscriber that gets events again, as if it had never failed."""
    return replace(
        subscriber,
        disabled_at=None,
        disabled_because=None,
        failures=0,
        failing_since=None,
        try_at=None,
        last_error=None,
    )
