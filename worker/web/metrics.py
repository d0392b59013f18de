"""Metrics in Prometheus's text format, measured at each request."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from worker.bus.streams import OUTAGES, Bus
from worker.database import accounts, deliveries, outbox, write_backs
from worker.database.database import Database
from worker.domain import schedule
from worker.resilience.circuit_breaker import BreakerState, CircuitBreaker


class Metrics:
    """The metrics of a deployment, and a count of this process's answers to callbacks."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        breaker: CircuitBreaker,
        accounts: Sequence[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._bus, self._breaker = database, bus, breaker
        self._accounts, self._clock = accounts, clock
        self._registry = CollectorRegistry()
        self._callbacks = Counter(
            "order_sync_callbacks",
            "Callbacks by account and HTTP status of the answer",
            ["carrier", "answer"],
            registry=self._registry,
        )
        self._deliveries = self._gauge("deliveries", "Deliveries that are not final, by status", "status")
        self._attention = self._gauge("attention", "Deliveries that need an operator, by reason", "reason")
        self._rejected = self._gauge("rejected", "Deliveries of the last day that ended rejected, by reason", "reason")
        self._unsent = self._gauge("events_unsent", "Events that are not yet on the bus")
        self._write_backs = self._gauge("write_backs_waiting", "Deliveries whose write-back to the platform is overdue")
        self._lag = self._gauge(
            "stream_lag", "Age in seconds of the oldest entry that a group has not acknowledged", "stream", "group"
        )
        self._paused = self._gauge("carrier_paused", "Paused accounts, by who paused them", "carrier", "by")
        self._open = self._gauge(
            "breaker_open",
            "Whether calls of a class are held back because the account failed or asked for fewer",
            "carrier",
            "kind",
        )

    def _gauge(self, name: str, description: str, *labels: str) -> Gauge:
        return Gauge(f"order_sync_{name}", description, labels, registry=self._registry)

    def count_callback(self, account: str, status: int) -> None:
        """Count an answer to a callback."""
        self._callbacks.labels(account, status).inc()

    def measure(self) -> bytes:
        """Return all metrics. Raises DatabaseError.

        While the bus is unreachable, the metrics of the streams are missing.
        """
        read, now = self._database.read, self._clock()
        self._unsent.set(read(outbox.count_unpublished))
        self._write_backs.set(read(write_backs.count_waiting, now))
        _fill(self._deliveries, {(status,): count for status, count in read(deliveries.status_counts).items()})
        _fill(self._attention, {(reason,): count for reason, count in read(deliveries.attention_counts).items()})
        rejected = read(deliveries.rejected_counts, now - schedule.DAY)
        _fill(self._rejected, {(reason,): count for reason, count in rejected.items()})
        _fill(self._paused, {(account, pause.by): 1 for account, pause in read(accounts.paused).items()})
        _fill(self._open, self._open_breakers())
        self._lag.clear()
        with suppress(*OUTAGES):
            _fill(self._lag, self._bus.lags(now))
        return generate_latest(self._registry)

    def _open_breakers(self) -> dict[tuple[str, str], bool]:
        """Return whether each breaker holds calls back; empty while Redis is unreachable."""
        return {
            (account, call_class.value): status.state is not BreakerState.CLOSED
            for account in self._accounts
            for call_class, status in (self._breaker.statuses(account) or {}).items()
        }


def _fill(gauge: Gauge, values: Mapping[Any, float]) -> None:
    """Set the values of a gauge by their labels, and remove its values for all other labels."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
