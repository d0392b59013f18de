"""Publish stored events again, on request of an operator. They keep their ids, so subscribers recognise repeats."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from worker.clock import Clock
from worker.database import attempt_events, operator_actions, outbox, search
from worker.database.database import Database
from worker.database.outbox import Stored
from worker.domain.delivery import OutgoingEvent
from worker.domain.operator import Operator, OperatorAction
from worker.services.relay import Relay

BATCH = 500
"""How many events are published again before new events have their turn."""
PAUSE, TRIES = 0.1, 150
"""Seconds between the tries to publish a batch, and the number of tries."""
OVERLAP = timedelta(minutes=1)
"""By how much the time of an event may be older than that of an event with a lower position."""


class NotPublished(Exception):
    """A batch of events could not be published in time."""


@dataclass(frozen=True)
class Replays:
    """Choose stored events and publish them again, in their order."""

    database: Database
    relay: Relay
    clock: Clock
    pause: Callable[[float], object] = time.sleep

    def choose(
        self,
        order_id: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        upto: int | None = None,
    ) -> Stored:
        """Choose the events of an order, or those between two times, up to a position, by default the newest."""
        newest = self.database.read(attempt_events.newest_position) if upto is None else upto
        after = self.database.read(attempt_events.position_before, since - OVERLAP) if since else 0
        keys = self.database.read(search.event_keys, order_id) if order_id else None
        return Stored(keys, since, until, after, newest)

    def count(self, chosen: Stored) -> int:
        """Count the chosen events."""
        return self.database.read(outbox.count, chosen)

    def batches(self, chosen: Stored) -> Iterator[list[OutgoingEvent]]:
        """Yield the chosen events, oldest first."""
        while events := self.database.read(outbox.stored, chosen, BATCH):
            yield events
            chosen = replace(chosen, after=events[-1].position)

    def to_bus(self, chosen: Stored, by: Operator, what: str) -> Iterator[int]:
        """Publish the chosen events on the bus again; yield the size of each batch that is published.

        `what` describes the events in the record of the operator's action. Raises NotPublished when the bus does not
        take a batch. The relay publishes that batch later.
        """
        action = OperatorAction(self.clock(), by.name, "events replay", by.reason, subject=what)
        self.database.write(operator_actions.record, action)
        for events in self.batches(chosen):
            self._publish(events)
            yield len(events)

    def _publish(self, events: list[OutgoingEvent]) -> None:
        positions, requeued = [event.position for event in events], False
        for _ in range(TRIES):
            requeued = requeued or self.relay.requeue(events)
            self.relay.publish()
            if requeued and not self.database.read(outbox.waiting, positions):
                return
            self.pause(PAUSE)
        raise NotPublished(f"{len(events)} events are not published: the bus is not reachable or refuses them")
