"""Metrics in Prometheus's text format, measured when they are asked for."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from redis.exceptions import RedisError

from worker.container import Container
from worker.resilience.circuit_breaker import BreakerState


class Metrics:
    """What can be measured of a house, and what was answered to callbacks here."""

    def __init__(self, made: Container) -> None:
        self._house, self._registry = made, CollectorRegistry()
        self._answered = Counter(
            "order_sync_callbacks", "Callbacks by carrier and answer", ["carrier", "answer"], registry=self._registry
        )
        self._deliveries = self._gauge("deliveries", "Deliveries that are not over, by status", "status")
        self._attention = self._gauge("attention", "Deliveries that wait for a person, by what they ask for", "word")
        self._unsent = self._gauge("events_unsent", "Events not yet on the bus")
        self._untold = self._gauge("write_backs_waiting", "Deliveries that the platform should have been told of")
        self._lag = self._gauge(
            "stream_lag", "Age in seconds of the oldest entry that a group has not acknowledged", "stream", "group"
        )
        self._paused = self._gauge("carrier_paused", "Paused accounts, by who paused them", "carrier", "by")
        self._open = self._gauge(
            "breaker_open",
            "Whether calls of a kind are held back because the carrier failed or had too many",
            "carrier",
            "kind",
        )

    def _gauge(self, name: str, tells: str, *labels: str) -> Gauge:
        return Gauge(f"order_sync_{name}", tells, labels, registry=self._registry)

    def answered(self, carrier: str, status: int) -> None:
        """Count an answer to a callback."""
        self._answered.labels(carrier, status).inc()

    def measure(self) -> bytes:
        """Measure everything. Raises what the database raises; a bus that is away leaves its own out."""
        self._unsent.set(self._house.database.unsent_count())
        self._untold.set(self._house.database.write_backs_waiting(self._house.clock()))
        _fill(self._deliveries, {(status,): count for status, count in self._house.database.counts().items()})
        _fill(self._attention, {(word,): count for word, count in self._house.database.asked().items()})
        _fill(self._paused, {(name, pause.by): 1 for name, pause in self._house.database.paused().items()})
        _fill(self._open, self._held())
        self._lag.clear()
        with suppress(RedisError):
            _fill(self._lag, self._house.bus.lags(self._house.clock()))
        return generate_latest(self._registry)

    def _held(self) -> dict[tuple[str, str], bool]:
        """Tell which breakers let no call through; empty when Redis is away."""
        states = {name: self._house.breaker.statuses(name) or {} for name in self._house.codecs}
        kinds = ((name, kind, word) for name, known in states.items() for kind, word in known.items())
        return {(name, kind.value): word.state is not BreakerState.CLOSED for name, kind, word in kinds}


def _fill(gauge: Gauge, values: Mapping[Any, float]) -> None:
    """Set a gauge for each group of labels, and forget the others."""
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
