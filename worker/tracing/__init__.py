"""Traces: spans of messages, tasks, calls, transactions, events and callbacks, exported with OpenTelemetry.

Without the extra `otel`, or without an address to export to, nothing here does anything, and OpenTelemetry is not
imported. The names and attributes of spans are ids, names of ours and numbers: never a text of a message, a query, a
body or an error.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import IntEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from schemas.messages import Message
from schemas.trace import Trace

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from worker.tracing.spans import CallSpans, Spans

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
Value = str | int
Attributes = Mapping[str, Value | None]
"""The attributes of a span; those with None are left out."""
NO_SPAN: AbstractContextManager[None] = nullcontext()
_spans: "Spans | None" = None


class Kind(IntEnum):
    """The kinds of spans, with OpenTelemetry's numbers."""

    INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(5)


def start(environ: Mapping[str, str] = os.environ) -> None:
    """Export the traces of this process if an address is set in `OTEL_EXPORTER_OTLP_ENDPOINT`.

    The other variables of OpenTelemetry's SDK, such as `OTEL_TRACES_SAMPLER`, have their usual meaning.
    """
    wanted = any(environ.get(name) for name in ENDPOINTS) and environ.get("OTEL_TRACES_EXPORTER") != "none"
    if _spans is not None or not wanted or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    if find_spec("opentelemetry") is None:
        logging.getLogger(__name__).warning("traces are not exported, because the extra `otel` is not installed")
        return
    from worker.tracing.spans import exporting  # noqa: PLC0415 - an extra, and half a second to import

    use(exporting())


def use(spans: "Spans | None") -> None:
    """Record spans in this process, or record none."""
    global _spans  # noqa: PLW0603 - like the logs, the traces belong to the process
    _spans = spans


def span(
    name: str, kind: Kind, attributes: Attributes, trace: Trace | None = None
) -> "AbstractContextManager[Span | None]":
    """Return a context that is a span. In the trace of an order, the span links to the present span."""
    return NO_SPAN if _spans is None else _spans.span(name, kind, attributes, trace)


def transaction(function: Callable[..., Any], system: str) -> AbstractContextManager[object]:
    """Return a context that is the span of a transaction within the present span; nothing without a present span.

    `function` is the one that runs in the transaction: its name is the span's, which has no statement and no value.
    """
    return NO_SPAN if _spans is None else _spans.transaction(function, system)


def received(messages: Sequence[Message]) -> AbstractContextManager[Sequence[Message]]:
    """Return a context that records a batch of messages until it is stored, and yields the messages.

    There is a span for the batch, and one for each message in the message's own trace. A message without a trace begins
    one, which is then that of its order.
    """
    return nullcontext(messages) if _spans is None or not messages else _spans.received(messages)


def calls(account: str, base_url: str, traces: Mapping[Any, Iterable[Trace | None]]) -> "CallSpans | None":
    """Return what records HTTP calls to an account from the present span; None while nothing is recorded.

    `traces` are those of the orders that each call is about, by the call's key. A call for a single trace is recorded
    in it, and links to the present span. A call for several is recorded in the present span, and links to their traces.
    """
    return None if _spans is None else _spans.calls(account, base_url, traces)


def record_sent(bodies: Iterable[str], began: float) -> None:
    """Record the publication of events that began at a time in seconds since 1970, each in the trace of its order."""
    if _spans is not None:
        _spans.record_sent(bodies, began)


def add_ids(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids of the present span to a log line."""
    if _spans is not None:
        event.update(_spans.ids())
    return event
