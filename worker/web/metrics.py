"""Metrics in Prometheus's text format, measured at each scrape.

The collector measures five parts separately: the database, the bus, the limits (breakers and rate limits), the queues
and the troubles. If a part does not answer within two seconds, its series are missing and `order_sync_metrics_up` is 0
for it. Every other series exists from the start, at zero.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.status import FINAL, AttentionReason, DeliveryStatus, Reason
from worker import log
from worker.bus.port import GROUP, Bus
from worker.database import measurements
from worker.database.accounts import EVERY_ACCOUNT, Pause
from worker.database.carrier_calls import BOUNDS, CallTimes
from worker.database.database import Database
from worker.database.measurements import Measurements
from worker.domain.delivery import Step
from worker.domain.report import OUTCOMES, By, Figures, Milestone
from worker.enqueue import PLATFORM, TaskQueue, queue_of
from worker.http.account import ApiAccount
from worker.http.call import Operation, Verdict
from worker.resilience.circuit_breaker import BreakerState, CircuitBreaker
from worker.resilience.rate_limiter import RateLimiter
from worker.services.system_health import StoredState, stored_state
from worker.services.system_troubles import SystemTrouble
from worker.services.troubles import Troubles
from worker.services.worker_heartbeats import GONE
from worker.web.checks import Check, run_all
from worker.web.counters import NO_CARRIER, Answers, CallCounts, OrderCounts

logger = log.get(__name__)
K = TypeVar("K")
V = TypeVar("V")
Labels = tuple[str, ...]
"""The values of a metric's labels, in the order of their names."""
MINUTES = (5, 10, 15, 20, 30, 45, 60, 90, 120)
"""The limits of the buckets of the histograms of times to the pickup and to the door."""
NOT_DUE = frozenset({"orders", "webhooks"})
"""The queues whose work has no due time: orders are due at once, and subscribers decide when they accept an event."""
PAUSED_BY = ("carrier", "database", "operator")


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
    operations: Mapping[str, Sequence[Operation]]
    """The operations of each carrier account."""
    troubles: Troubles
    callback_accounts: Sequence[str]
    """The accounts whose carriers can send callbacks."""
    queues: Sequence[str]
    clock: Callable[[], datetime]
    orders: OrderCounts
    calls: CallCounts

    @property
    def carriers(self) -> Iterable[str]:
        """The carrier accounts."""
        return self.operations.keys()

    def measure_database(self) -> list[Metric]:
        """Return the metrics of the deliveries, the outbox, the callbacks and the sweep. Raises DatabaseError."""
        now = self.clock()
        stored = self.database.read(stored_state)
        found = self.database.read(measurements.measure, self.callback_accounts, now)
        self.orders.update(now)
        self.calls.update(now)
        return [
            *self._orders(),
            *self._attempts(),
            *self._deliveries(found, now),
            *self._work(stored, found, now),
            *self._subscribers(stored, now),
            *self._carriers(stored, found, now),
            self._calls(),
        ]

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

    def _attempts(self) -> Iterator[Metric]:
        counted = {group.carrier: figures for group, figures in self.orders.attempts.build().by(By.CARRIER)}
        figures = {name: Figures() for name in self.carriers} | counted
        ended = {(name, outcome): each.ended[outcome] for name, each in figures.items() for outcome in OUTCOMES}
        yield _counter("attempts_ended", "Orders that ended at a carrier, by outcome", "carrier outcome", ended)
        for milestone in (Milestone.PICKUP, Milestone.DOOR):
            text = f"Time from the carrier's answer to the {milestone}, of orders that ended"
            minutes = {name: each.minutes[milestone] for name, each in figures.items()}
            yield _histogram(f"time_to_{milestone}_seconds", text, minutes)

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
        text = "Longest time since the carrier last reported on an active delivery"
        yield _gauge("read_age_seconds", text, "carrier", read)

    def _work(self, stored: StoredState, found: Measurements, now: datetime) -> Iterator[Metric]:
        overdue: dict[Labels, float] = {
            (step, name): 0.0 for step in Step if step is not Step.ROUTE for name in self.carriers
        }
        overdue[Step.ROUTE, NO_CARRIER] = 0.0
        overdue |= {(each.step, each.carrier or NO_CARRIER): _age(each.at, now) for each in stored.oldest_steps}
        overdue |= {(step, NO_CARRIER): _age(at, now) for step, at in stored.unknown_steps.items()}
        yield _gauge("step_overdue_seconds", "How long the oldest due step has waited", "step carrier", overdue)
        yield _gauge(
            "queue_wait_seconds",
            "How long the oldest due work of a queue has waited",
            "queue",
            self._waits(stored, found, now),
        )
        yield _value("workers", "Workers that run", sum(now - seen_at < GONE for seen_at in stored.workers.values()))
        sweep, outbox = stored.last_sweep, stored.unpublished
        yield _value("sweep_age_seconds", "Time since the last sweep", _age(sweep.at if sweep else None, now, inf))
        yield _value("events_unsent", "Events that are not yet on the bus", outbox.count)
        yield _value("outbox_age_seconds", "Age of the oldest event not on the bus", _age(outbox.oldest, now))
        text = "Deliveries whose write-back to the platform is overdue or has failed"
        yield _value("write_backs_waiting", text, found.write_backs)
        letters = sum(each.count for each in stored.dead_letters)
        yield _value("dead_letters", "Messages that could not be read and wait for an operator", letters)

    def _waits(self, stored: StoredState, found: Measurements, now: datetime) -> dict[Labels, float]:
        """Return how long the oldest due work of each queue has waited; what was postponed is not due."""
        since = [(queue_of(each.step, each.carrier), each.at) for each in stored.oldest_steps]
        others = {"callbacks": found.callback_since, "events": stored.unpublished.oldest, PLATFORM: found.platform_due}
        waits: dict[Labels, float] = {(name,): 0.0 for name in self.queues if name not in NOT_DUE}
        for queue, at in (*since, *others.items()):
            if (queue,) in waits:  # not that of an account that is no longer in the settings
                waits[queue,] = max(waits[queue,], _age(at, now))
        return waits

    def _subscribers(self, stored: StoredState, now: datetime) -> Iterator[Metric]:
        lags: dict[Labels, float] = {}
        blocked: dict[Labels, float] = {}
        disabled: dict[Labels, float] = {}
        answers: dict[Labels, float] = {}
        for each in stored.subscribers:
            subscriber, name = each.subscriber, (each.subscriber.id,)
            lags[name], blocked[name] = _age(each.waiting_since, now), each.blocked
            disabled[name] = subscriber.disabled_at is not None
            answers |= {(*name, "accepted"): subscriber.accepted, (*name, "failed"): subscriber.failed}
        yield _gauge("subscriber_lag_seconds", "Age of the oldest event not accepted over HTTP", "subscriber", lags)
        yield _gauge("subscriber_blocked", "Deliveries with an event that is not accepted", "subscriber", blocked)
        yield _gauge("subscriber_disabled", "Whether a subscriber gets no events", "subscriber", disabled)
        yield _counter("subscriber_requests", "Events sent over HTTP, by result", "subscriber result", answers)

    def _carriers(self, stored: StoredState, found: Measurements, now: datetime) -> Iterator[Metric]:
        names = (*self.accounts, EVERY_ACCOUNT)
        paused = {(name, by): 0 for name in names for by in PAUSED_BY} | _paused(stored.pauses)
        yield _gauge("carrier_paused", "Paused accounts, by who paused them", "carrier by", paused)
        text = "Stored callbacks that are not yet applied"
        yield _value("callbacks_waiting", text, found.waiting_callbacks)
        silent = {(name,): _age(found.callbacks_at.get(name), now, never=inf) for name in self.callback_accounts}
        yield _gauge("callback_age_seconds", "Time since an account's last callback", "carrier", silent)

    def _calls(self) -> Metric:
        text = "Duration of recorded calls; an answered read that led to no event is not recorded"
        labels = ["carrier", "operation", "verdict"]
        family = HistogramMetricFamily("order_sync_carrier_call_seconds", text, labels=labels)
        series = (
            (name, each, verdict) for name, kinds in self.operations.items() for each in kinds for verdict in Verdict
        )
        times: dict[Labels, CallTimes] = dict.fromkeys(series, CallTimes(0, 0, (0,) * len(BOUNDS)))
        for key, found in (times | self.calls.times).items():
            buckets = zip((str(bound / 1000) for bound in BOUNDS), found.within, strict=True)
            family.add_metric(list(map(str, key)), [*buckets, ("+Inf", found.count)], found.milliseconds / 1000)
        return family

    def measure_bus(self) -> list[Metric]:
        """Return the lag of each consumer group. Raises an error of Redis."""
        groups, ours = self.bus.groups(self.clock()), (self.bus.orders, GROUP)
        lags = {ours: 0.0} | {(each.stream, each.name): each.lag for each in groups}
        waiting: dict[Labels, float] = {ours: 0.0}
        for each in groups:
            if each.unread is not None:
                waiting[each.stream, each.name] = each.unread + (each.pending or 0)
        text = "Age of the oldest entry that a group has not acknowledged"
        return [
            _gauge("stream_lag_seconds", text, "stream group", lags),
            _gauge("stream_waiting", "Entries that a group has not acknowledged", "stream group", waiting),
        ]

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

    def measure_troubles(self) -> list[Metric]:
        """Return how many causes need an operator. Raises DatabaseError."""
        found: dict[Labels, float] = {(kind,): 0 for kind in (*AttentionReason, *SystemTrouble)}
        found |= {(kind,): count for kind, count in Counter(each.kind for each in self.troubles.find()).items()}
        return [_gauge("troubles", "Causes that need an operator, by kind", "kind", found)]


class Metrics(Collector):
    """The collector of a deployment's metrics, and its registry."""

    def __init__(self, parts: Parts, answers: Answers) -> None:
        self._checks = {
            "database": Check(parts.measure_database),
            "bus": Check(parts.measure_bus),
            "limits": Check(parts.measure_limits),
            "queues": Check(parts.measure_queues),
            "troubles": Check(parts.measure_troubles),
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


def _histogram(name: str, description: str, minutes: Mapping[str, Counter[int]]) -> Metric:
    """Return the histogram of durations for each carrier. `minutes` says how often each duration occurred."""
    family = HistogramMetricFamily(f"order_sync_{name}", description, labels=["carrier"])
    for carrier, counts in minutes.items():
        buckets = [(f"{60.0 * limit}", sum(counts[each] for each in counts if each <= limit)) for limit in MINUTES]
        total = 60 * sum(each * count for each, count in counts.items())
        family.add_metric([carrier], [*buckets, ("+Inf", counts.total())], total)
    return family


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[Any, float]) -> Metric:
    for labels, value in values.items():
        family.add_metric(list(map(str, labels)), value)
    return family


def _value(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(f"order_sync_{name}", description, value)
