"""Spans that a test can read, and the simulation whose spans they are."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.services.simulation import Simulation
from worker import tracing
from worker.tracing.spans import Spans


class Recorded:
    """The spans that have ended since the last look."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def take(self) -> list[ReadableSpan]:
        found = list(self._exporter.get_finished_spans())
        self._exporter.clear()
        return found


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(Spans(provider.get_tracer("tests")))
    yield Recorded(exporter)
    tracing.use(None)


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with closing(Simulation(tmp_path, ORDERING__SOURCE="demo")) as running:
        running.work()  # the broker is shared with other tests, whose tasks would be spans here
        yield running
