"""Traces are exported only if that is installed and configured; otherwise OpenTelemetry is not even imported."""

import os
import subprocess
import sys

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.receiver import receiving
from worker.tracing import ENDPOINTS

STARTS = (
    "import os, sys; import tasks.orders, tasks.deliveries, worker.app, worker.web.operators\n"
    "from worker import tracing\n"
    "for environ in {}: tracing.start(environ); print('worker.tracing.spans' in sys.modules)"
)
NO_TRACES: tuple[dict[str, str], ...] = (
    {},
    {"OTEL_SERVICE_NAME": "orders"},
    {ENDPOINTS[0]: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "TRUE"},
    {ENDPOINTS[1]: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
)


def run(script: str, **environ: str) -> tuple[int, str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**clean, **environ}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_a_process_that_exports_no_traces_does_not_import_opentelemetry() -> None:
    assert run(STARTS.format(NO_TRACES)) == (0, "False\n" * len(NO_TRACES), "")


def test_without_the_extra_a_process_starts_and_logs_that_it_exports_no_traces() -> None:
    starts = STARTS.format("(os.environ,)")
    code, output, errors = run(
        f"import sys; sys.modules['opentelemetry'] = None; {starts}", **{ENDPOINTS[1]: "http://x"}
    )
    assert (code, output) == (0, "False\n")
    assert errors == "traces are not exported, because the extra `otel` is not installed\n"


@pytest.mark.parametrize(("environ", "name"), [({}, "order-sync"), ({"OTEL_SERVICE_NAME": "orders"}, "orders")])
def test_a_configured_process_exports_its_spans_at_its_end(environ: dict[str, str], name: str) -> None:
    script = (
        "from worker import tracing; tracing.start()\n"
        "with tracing.span('a task', tracing.Kind.CONSUMER, {'order_sync.account': 'borzo'}): pass"
    )
    with receiving() as collector:
        address = f"http://127.0.0.1:{collector.server_port}"
        assert run(script, OTEL_EXPORTER_OTLP_ENDPOINT=address, **environ)[0] == 0
    ((path, body),) = collector.received
    (found,) = ExportTraceServiceRequest.FromString(body).resource_spans
    resource = {each.key: each.value.string_value for each in found.resource.attributes}
    (span,) = found.scope_spans[0].spans
    assert (path, resource["service.name"], span.name) == ("/v1/traces", name, "a task")
    assert {each.key: each.value.string_value for each in span.attributes} == {"order_sync.account": "borzo"}


def test_no_text_of_a_message_that_is_no_trace_state_is_logged() -> None:
    script = (
        "from schemas.trace import Trace; from worker import tracing; tracing.start()\n"
        f"trace = Trace.read('00-{'a' * 32}-{'b' * 16}-01', 'Maria Silva, 4711')\n"
        "with tracing.span('a task', tracing.Kind.CONSUMER, {}, trace): pass"
    )
    with receiving() as collector:
        address = f"http://127.0.0.1:{collector.server_port}"
        assert run(script, OTEL_EXPORTER_OTLP_ENDPOINT=address) == (0, "", "")
