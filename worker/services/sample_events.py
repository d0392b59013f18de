"""Send test events, with which a subscriber can be tried without an order."""

from dataclasses import dataclass
from uuid import uuid4

from schemas.events import EventType, event_id
from schemas.samples import data_of_test
from schemas.status import DeliveryStatus
from worker.clock import Clock
from worker.database import outbox
from worker.database.database import Database
from worker.enqueue import TaskQueue, publish_task


@dataclass(frozen=True)
class SampleEvents:
    """Add test events to the outbox, from where they reach every subscriber like any other event."""

    database: Database
    queue: TaskQueue
    clock: Clock

    def send(self, kind: EventType, status: DeliveryStatus | None, source: str) -> str:
        """Send a test event of this type, with this status or that of a sample; return its id.

        `source` is the platform whose order the event is about.
        """
        key, now = str(uuid4()), self.clock()
        self.database.write(outbox.add_test, kind, key, data_of_test(kind, status, source, key, now), now)
        self.queue.send([publish_task()])
        return event_id(key, 1)
