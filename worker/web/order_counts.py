"""Counts of what the events say about orders and carriers, for the metrics."""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.status import FINAL, DeliveryStatus
from worker.database import attempt_events
from worker.database.database import Database
from worker.domain.report import AttemptEvent, By
from worker.domain.report_builder import ReportBuilder

SETTLED = timedelta(seconds=30)
"""The age from which the positions of the outbox have no gaps.

A transaction may commit an event after events with higher positions are committed. A statement ends after
`connection.BUSY_SECONDS`, and a transaction soon after its last statement.
"""
PAGE = 20_000
"""How many positions of the outbox one transaction reads."""
NO_CARRIER = ""


@dataclass
class OrderCounts:
    """Counts what the outbox gained since this process started. Each event is read once, by its position.

    A counter in the database would make every transaction wait for one row. The counts are `SETTLED` behind.
    """

    database: Database
    received: int = 0
    ended: Counter[tuple[DeliveryStatus, str]] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    attempts: ReportBuilder = field(default_factory=lambda: ReportBuilder(divisions=(By.CARRIER,)))
    """The attempts that began since this process started."""
    _counted: int | None = None
    """The last position that is counted; None before the first update."""
    _newest: deque[tuple[datetime, int]] = field(default_factory=deque)
    """When each position was the newest one, the oldest first."""

    def update(self, now: datetime) -> None:
        """Count the new events that are old enough. Raises DatabaseError."""
        newest = self.database.read(attempt_events.newest_position)
        if self._counted is None or newest < self._counted:  # the first update, or another database
            self._counted = newest
            self._newest.clear()
        self._newest.append((now, newest))
        while self._newest and self._newest[0][0] <= now - SETTLED:
            self._count(self._counted, self._newest[0][1])
            self._newest.popleft()

    def _count(self, after: int, until: int) -> None:
        for start in range(after, until, PAGE):
            events = self.database.read(attempt_events.between, start, min(start + PAGE, until))
            self._counted = min(start + PAGE, until)
            for event in events:
                self.attempts.add(event)
                if event.type is EventType.STATUS_CHANGED:
                    self._count_change(event)

    def _count_change(self, event: AttemptEvent) -> None:
        self.received += event.sequence == 1
        if event.status in FINAL and event.previous_status not in FINAL:
            self.ended[event.status, event.carrier or NO_CARRIER] += 1
            if event.status is DeliveryStatus.REJECTED:
                self.rejected[event.reason or ""] += 1
