"""Metrics in Prometheus's text format, measured at each scrape.

The collector measures four parts separately: the database, the bus, the limits (breakers and rate limits) and the
queues. If a part does not answer within two seconds, its series are missing and `order_sync_metrics_up` is 0 for it.
Every other series exists from the start, at zero.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from math import inf
from typing import Any, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas import openapi
from schemas.status import FINAL, AttentionReason, DeliveryStatus, Reason
from worker import log
from worker.bus.streams import GROUP, Bus
from worker.database import measurements
from worker.database.accounts import EVERY_ACCOUNT, Pause
from worker.database.database import Database
from worker.database.measurements import Measurements
from worker.domain.delivery import Step
from worker.enqueue import TaskQueue
from worker.http.account import ApiAccount
from worker.resilience.circuit_breaker import BreakerState, CircuitBreaker
from worker.resilience.rate_limiter import RateLimiter
from worker.services import sweep
from worker.web.checks import Check, run_all

logger = log.get(__name__)
K = TypeVar("K")
V = TypeVar("V")
Labels = tuple[str, ...]
"""The values of a metric's labels, in the order of their names."""
SETTLED = timedelta(seconds=30)
"""The age from which the positions of the outbox have no gaps.

A transaction may commit an event after events with higher positions are committed. A statement ends after
`connection.BUSY_SECONDS`, and a transaction soon after its last statement.
"""
PAGE = 20_000
"""How many positions of the outbox one transaction reads."""
PAUSED_BY = ("carrier", "database", "operator")
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


class Answers:
    """Counts this process's answers: to callbacks by account, to requests about orders by path, and by HTTP status."""

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


@dataclass
class OrderCounts:
    """Counts what the outbox gained since this process started. Each event is read once, by its position.

    A counter in the database would make every transaction wait for one row. The counts are `SETTLED` behind.
    """

    database: Database
    received: int = 0
    ended: Counter[tuple[DeliveryStatus, str]] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    _counted: int | None = None
    """The last position that is counted; None before the first update."""
    _newest: deque[tuple[datetime, int]] = field(default_factory=deque)
    """When each position was the newest one, the oldest first."""

    def update(self, now: datetime) -> None:
        """Count the new events that are old enough. Raises DatabaseError."""
        newest = self.database.read(measurements.newest_event)
        if self._counted is None or newest < self._counted:  # the first update, or another database
            self._counted = newest
            self._newest.clear()
        self._newest.append((now, newest))
        while self._newest and self._newest[0][0] <= now - SETTLED:
            self._count(self._counted, self._newest[0][1])
            self._newest.popleft()

    def _count(self, after: int, until: int) -> None:
        for start in range(after, until, PAGE):
            changes = self.database.read(measurements.order_changes, start, min(start + PAGE, until))
            self._counted = min(start + PAGE, until)
            self.received += changes.received
            self.ended.update(changes.ended)
            self.rejected.update(changes.rejected)


@dataclass(frozen=True)
class Parts:
    """The metrics of each part of a deployment, with the servers from which they are measured."""

    database: Database
    bus: Bus
    breaker: CircuitBreaker
    rate_limiter: RateLimiter
    queue: TaskQueue
    accounts: Mapping[str, ApiAccount]
    """Every account that is called, including the platform's."""
    carriers: Sequence[str]
    """The carrier accounts."""
    callers: Sequence[str]
    """The carrier accounts whose carriers send callbacks."""
    queues: Sequence[str]
    clock: Callable[[], datetime]
    orders: OrderCounts

    def measure_database(self) -> list[Metric]:
        """Return the metrics of the deliveries, the outbox, the callbacks and the sweep. Raises DatabaseError."""
        now = self.clock()
        found = self.database.read(measurements.measure, self.callers, now, sweep.LEASE)
        self.orders.update(now)
        return [*self._orders(), *self._deliveries(found, now), *self._work(found, now), *self._carriers(found, now)]

    def _orders(self) -> Iterator[Metric]:
        yield CounterMetricFamily("order_sync_orders_received", "Orders received", self.orders.received)
        ended: dict[Labels, float] = {
            (carrier, status): 0 for carrier in (*self.carriers, NO_CARRIER) for status in sorted(FINAL)
        }
        ended |= {(carrier, status): count for (status, carrier), count in self.orders.ended.items()}
        yield _counter("orders_ended", "Deliveries that ended, by carrier and final status", "carrier status", ended)
        rejected: dict[Labels, float] = {(reason,): 0 for reason in Reason}
        rejected |= {(reason,): count for reason, count in self.orders.rejected.items()}
        yield _counter("orders_rejected", "Deliveries that ended rejected, by reason", "reason", rejected)

    def _deliveries(self, found: Measurements, now: datetime) -> Iterator[Metric]:
        open_: dict[Labels, float] = {(status,): 0 for status in DeliveryStatus if status not in FINAL}
        open_ |= {(status,): count for status, count in found.deliveries.items()}
        yield _gauge("deliveries", "Deliveries that are not final, by status", "status", open_)
        asking: dict[Labels, float] = {(reason,): 0 for reason in AttentionReason}
        asking |= {(reason,): count for reason, count in found.attention.items()}
        yield _gauge("attention", "Deliveries that need an operator, by reason", "reason", asking)
        unknown = {(name,): _age(found.unknown_since.get(name), now) for name in self.carriers}
        text = "Age of the oldest create whose outcome is unknown"
        yield _gauge("unknown_outcome_age_seconds", text, "carrier", unknown)
        read = {(name,): _age(found.read_at.get(name), now) for name in self.carriers}
        text = "Longest time since an active delivery was heard of"
        yield _gauge("read_age_seconds", text, "carrier", read)

    def _work(self, found: Measurements, now: datetime) -> Iterator[Metric]:
        overdue: dict[Labels, float] = {
            (step, name): 0.0 for step in Step if step is not Step.ROUTE for name in self.carriers
        }
        overdue[Step.ROUTE, NO_CARRIER] = 0.0
        overdue |= {(step, name or NO_CARRIER): _age(since, now) for (step, name), since in found.due_since.items()}
        yield _gauge("step_overdue_seconds", "How long the oldest due step has waited", "step carrier", overdue)
        swept_at = found.sweep_lease and sweep.swept_at(*found.sweep_lease)
        yield _value("sweep_age_seconds", "Time since the last sweep", _age(swept_at, now) if swept_at else inf)
        yield _value("events_unsent", "Events that are not yet on the bus", found.unsent_events)
        yield _value("outbox_age_seconds", "Age of the oldest event not on the bus", _age(found.unsent_since, now))
        text = "Deliveries whose write-back to the platform is overdue or has failed"
        yield _value("write_backs_waiting", text, found.write_backs)
        yield _value("dead_letters", "Messages that could not be read and wait for an operator", found.dead_letters)

    def _carriers(self, found: Measurements, now: datetime) -> Iterator[Metric]:
        names = (*self.accounts, EVERY_ACCOUNT)
        paused = {(name, by): 0 for name in names for by in PAUSED_BY} | _paused(found.paused)
        yield _gauge("carrier_paused", "Paused accounts, by who paused them", "carrier by", paused)
        text = "Stored callbacks that are not yet applied"
        yield _value("callbacks_waiting", text, found.waiting_callbacks)
        silent = {(name,): _age(found.callbacks_at.get(name), now, never=inf) for name in self.callers}
        yield _gauge("callback_age_seconds", "Time since an account's last callback", "carrier", silent)

    def measure_bus(self) -> list[Metric]:
        """Return the lag of each consumer group. Raises an error of Redis."""
        lags = {(self.bus.orders, GROUP): 0.0} | self.bus.lags(self.clock())
        text = "Age of the oldest entry that a group has not acknowledged"
        return [_gauge("stream_lag_seconds", text, "stream group", lags)]

    def measure_limits(self) -> list[Metric]:
        """Return the state of the breakers and what is left of the rate limits. Raises ConnectionError."""
        breakers = {name: self.breaker.statuses(name) for name in self.accounts}
        used = {name: self.rate_limiter.used(name, account.rate) for name, account in self.accounts.items()}
        open_ = {
            (name, kind.value): float(status.state is not BreakerState.CLOSED)
            for name, statuses in breakers.items()
            for kind, status in _answered(statuses).items()
        }
        left = {
            (name, f"{window.seconds:.0f}s"): max(0, window.limit - count)
            for name, windows in used.items()
            for window, count in _answered(windows).items()
        }
        held = "Whether calls of a class are held back because the account failed or asked for fewer"
        return [
            _gauge("breaker_open", held, "carrier kind", open_),
            _gauge("rate_left", "Calls left in each window of the rate limit", "carrier window", left),
        ]

    def measure_queues(self) -> list[Metric]:
        """Return how many tasks wait in each queue. Raises OperationalError."""
        depths = {(name,): depth for name, depth in self.queue.depths(self.queues).items()}
        return [_gauge("queue_depth", "Tasks that wait in a queue of the broker", "queue", depths)]


class Metrics(Collector):
    """The collector of a deployment's metrics, and its registry."""

    def __init__(self, parts: Parts, answers: Answers) -> None:
        self._checks = {
            "database": Check(parts.measure_database),
            "bus": Check(parts.measure_bus),
            "limits": Check(parts.measure_limits),
            "queues": Check(parts.measure_queues),
        }
        self._registry, self._answers = CollectorRegistry(), answers
        self._registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that the registration measures nothing."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Measure all parts at the same time; yield the metrics of those that answer in time."""
        outcomes = run_all(self._checks)
        for part, outcome in outcomes.items():
            if isinstance(outcome, Exception):
                logger.warning("metrics.part_missing", part=part, error=type(outcome).__name__)
            else:
                yield from outcome
        up = {(part,): float(not isinstance(outcome, Exception)) for part, outcome in outcomes.items()}
        yield _gauge("metrics_up", "Whether a part of the metrics could be measured", "part", up)

    def text(self) -> bytes:
        """Return all metrics as text."""
        return generate_latest(self._registry) + generate_latest(self._answers.registry)


def _age(since: datetime | None, now: datetime, never: float = 0.0) -> float:
    """Return the seconds since a time; 0 for a time in the future."""
    return never if since is None else max(0.0, (now - since).total_seconds())


def _paused(pauses: Mapping[str, Pause]) -> dict[tuple[str, str], int]:
    return {(name, pause.by): 1 for name, pause in pauses.items()}


def _answered(found: Mapping[K, V] | None) -> Mapping[K, V]:
    """Return what Redis answered. Raises ConnectionError if it did not answer."""
    if found is None:
        raise ConnectionError("Redis is unreachable")
    return found


def _gauge(name: str, description: str, labels: str, values: Mapping[Any, float]) -> Metric:
    """Return a gauge with a value for each combination of its labels; `labels` are names with a space in between."""
    family = GaugeMetricFamily(f"order_sync_{name}", description, labels=labels.split())
    return _filled(family, values)


def _counter(name: str, description: str, labels: str, values: Mapping[Any, float]) -> Metric:
    """Return a counter with a value for each combination of its labels."""
    family = CounterMetricFamily(f"order_sync_{name}", description, labels=labels.split())
    return _filled(family, values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[Any, float]) -> Metric:
    for labels, value in values.items():
        family.add_metric(list(map(str, labels)), value)
    return family


def _value(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(f"order_sync_{name}", description, value)
