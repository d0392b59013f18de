"""Counters of the web process, which begin at zero when it starts.

Orders and calls are counted from the rows of the database, each once, by its position; these counts are `SETTLED`
behind. A counter in the database would make every transaction wait for one row.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus

import prometheus_client
from prometheus_client import CollectorRegistry

from schemas import openapi
from schemas.events import EventType
from schemas.status import FINAL, DeliveryStatus
from worker.database import attempt_events, carrier_calls
from worker.database.carrier_calls import CallKey, CallTimes
from worker.database.database import Database
from worker.domain.report import AttemptEvent, By
from worker.domain.report_builder import ReportBuilder

SETTLED = timedelta(seconds=30)
"""The age from which the positions of a table have no gaps.

A transaction may commit a row after rows with higher positions are committed. A statement ends after
`connection.BUSY_SECONDS`, and a transaction soon after its last statement.
"""
PAGE = 20_000
"""How many positions one transaction reads."""
NO_CARRIER = ""
ANSWERS = (
    HTTPStatus.OK,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""The statuses that a callback endpoint may answer."""
REFUSALS = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
"""The answers to requests that no callback endpoint receives."""


@dataclass
class NewPositions:
    """Gives the positions of a table that were added since this process started, each once."""

    newest: Callable[[], int]
    """Returns the highest position of the table; 0 when it is empty."""
    _counted: int | None = None
    """The last position that is counted; None before the first call of `pages`."""
    _seen: deque[tuple[datetime, int]] = field(default_factory=deque)
    """When each position was the newest one, the oldest first."""

    def pages(self, now: datetime) -> Iterator[tuple[int, int]]:
        """Yield ranges of new positions that are old enough: the position before the first, and the last.

        A range counts as read when the next one is taken. Raises DatabaseError.
        """
        newest = self.newest()
        if self._counted is None or newest < self._counted:  # the first call, or another or an emptied table
            self._counted = newest
            self._seen.clear()
        self._seen.append((now, newest))
        while self._seen and self._seen[0][0] <= now - SETTLED:
            until = self._seen[0][1]
            while self._counted < until:
                page_end = min(self._counted + PAGE, until)
                yield self._counted, page_end
                self._counted = page_end
            self._seen.popleft()


class OrderCounts:
    """Counts the orders that were received, and the deliveries and attempts that ended, from the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._events = NewPositions(lambda: database.read(attempt_events.newest_position))
        self.received = 0
        self.ended: Counter[tuple[DeliveryStatus, str]] = Counter()
        """The number of ended deliveries by status and carrier; the carrier is empty if no carrier was chosen."""
        self.rejected: Counter[str] = Counter()
        self.attempts = ReportBuilder(divisions=(By.CARRIER,))
        """The attempts that began since this process started."""

    def update(self, now: datetime) -> None:
        """Count the new events that are old enough. Raises DatabaseError."""
        for after, until in self._events.pages(now):
            for event in self._database.read(attempt_events.between, after, until):
                self.attempts.add(event)
                if event.type is EventType.STATUS_CHANGED:
                    self._count_change(event)

    def _count_change(self, event: AttemptEvent) -> None:
        self.received += event.sequence == 1
        if event.status in FINAL and event.previous_status not in FINAL:
            self.ended[event.status, event.carrier or NO_CARRIER] += 1
            if event.status is DeliveryStatus.REJECTED:
                self.rejected[event.reason or ""] += 1


class CallCounts:
    """Counts the recorded calls and their durations.

    A record is deleted only after days, so a process that is scraped counts every record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._calls = NewPositions(lambda: database.read(carrier_calls.newest_position))
        self.times: dict[CallKey, CallTimes] = {}

    def update(self, now: datetime) -> None:
        """Count the new calls that are old enough. Raises DatabaseError."""
        for after, until in self._calls.pages(now):
            for key, times in self._database.read(carrier_calls.times_between, after, until).items():
                self.times[key] = self.times[key] + times if key in self.times else times


class Answers:
    """Counts this process's answers as they are sent: to callbacks by account, to requests about orders by path."""

    def __init__(self, accounts: Iterable[str], unknown: str) -> None:
        """`accounts` are those whose carriers send callbacks; `unknown` counts requests with an unknown address."""
        self.registry = CollectorRegistry()
        text = "Callbacks by account and HTTP status of the answer"
        self._callbacks = prometheus_client.Counter(
            "order_sync_callbacks", text, ["carrier", "answer"], registry=self.registry
        )
        for account, statuses in [*((name, ANSWERS) for name in accounts), (unknown, REFUSALS)]:
            for status in statuses:
                self._callbacks.labels(account, status.value)
        text = "Requests about orders by path and HTTP status of the answer"
        self._requests = prometheus_client.Counter(
            "order_sync_order_requests", text, ["path", "answer"], registry=self.registry
        )
        for path, answers in openapi.ANSWERS.items():
            for answer in answers:
                self._requests.labels(path, answer)

    def count_callback(self, account: str, status: int) -> None:
        """Count an answer to a callback."""
        self._callbacks.labels(account, status).inc()

    def count_request(self, path: str, status: int) -> None:
        """Count an answer to a request about an order."""
        self._requests.labels(path, status).inc()
