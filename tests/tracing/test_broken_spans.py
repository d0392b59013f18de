"""A span that cannot be recorded holds up neither a call nor the events."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from tests.services.simulation import Simulation
from worker import tracing
from worker.database import outbox
from worker.tracing.spans import CallSpans, Spans


class BrokenCalls(CallSpans):
    def record(self, *_: Any) -> None:
        raise RuntimeError("no span")


class BrokenSpans(Spans):
    """Spans of which only those of calls and of published events cannot be recorded."""

    def calls(self, account: str, base_url: str, traces: Any) -> CallSpans:
        made = super().calls(account, base_url, traces)
        return BrokenCalls(made.tracer, made.about, made.traces, made.present)

    def record_sent(self, *_: Any) -> None:
        raise RuntimeError("no span")


@pytest.fixture
def broken(simulation: Simulation) -> Iterator[Simulation]:
    tracing.use(BrokenSpans(TracerProvider(shutdown_on_exit=False).get_tracer("tests")))
    yield simulation
    tracing.use(None)
    simulation.work()  # no task is left to the next test


def test_a_call_whose_span_cannot_be_recorded_has_its_outcome(broken: Simulation) -> None:
    codec = broken.container.codecs["cervo"]
    assert broken.container.gateway.send_one("cervo", codec.probe()).status == 400


def test_events_whose_spans_cannot_be_recorded_are_published_once(broken: Simulation) -> None:
    broken.place()
    with pytest.raises(RuntimeError):
        broken.container.relay.publish()
    assert broken.published() == ["queued"]
    assert not broken.container.database.read(outbox.has_unpublished)
