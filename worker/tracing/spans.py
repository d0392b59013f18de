"""The spans of OpenTelemetry. Only a process that exports traces imports this module."""

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.context import Context, get_current
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from schemas.events import delivery_id
from schemas.messages import Message
from schemas.trace import Trace
from worker.tracing import NO_SPAN, Attributes, Kind, Value

SERVICE = "order-sync"
PLAIN = re.compile(r"[a-z_-]{1,20}|v\d{1,3}|\d\.\d")
"""A part of a path that is the same for all orders. Any other part may be an id or a token."""
PORTS = {"http": 80, "https": 443}
ERRORS = 400
NO_PARENT = Context()


def exporting() -> "Spans":
    """Return spans that are exported, in batches, to the address in the environment."""
    # Without its warnings, a collector that is away is one line for each batch that is lost, and not one for each try.
    logging.getLogger(OTLPSpanExporter.__module__).setLevel(logging.ERROR)
    # Its warnings contain an unreadable `tracestate`, which is a text of a message, once for each span.
    logging.getLogger(TraceState.__module__).setLevel(logging.ERROR)
    resource = Resource({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=Resource.create().merge(resource))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider.get_tracer(SERVICE))


@dataclass(frozen=True)
class Spans:
    """Record spans."""

    tracer: Tracer

    def present(self) -> Context | None:
        """Return the context of this thread if it has a span."""
        context = get_current()
        return context if get_current_span(context).get_span_context().is_valid else None

    @contextmanager
    def span(self, name: str, kind: Kind, attributes: Attributes, trace: Trace | None = None) -> Iterator[Span]:
        """See `tracing.span`. An error is recorded by its name alone, because its text may contain anything."""
        parent, links = (_context(trace), _links([self.present()])) if trace else (None, [])
        options: Any = {"record_exception": False, "set_status_on_exception": False}
        with self.tracer.start_as_current_span(name, parent, _kind(kind), _set(attributes), links, **options) as span:
            try:
                yield span
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise

    def transaction(self, function: Callable[..., Any], system: str) -> AbstractContextManager[object]:
        """See `tracing.transaction`."""
        if self.present() is None:
            return NO_SPAN
        name = f"db {function.__module__.rpartition('.')[2]}.{function.__name__.lstrip('_')}"
        return self.span(name, Kind.CLIENT, {"db.system.name": system})

    @contextmanager
    def received(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """See `tracing.received`."""
        with self.span("receive orders", Kind.CONSUMER, {"messaging.operation.type": "receive"}):
            spans = [self._message(each) for each in messages]
            try:
                pairs = zip(messages, spans, strict=True)
                yield [each if each.trace else replace(each, trace=_trace(its)) for each, its in pairs]
            finally:
                for each in spans:
                    each.end()

    def _message(self, message: Message) -> Span:
        attributes: dict[str, Value] = {
            "messaging.operation.type": "process",
            "messaging.message.id": message.id,
            "cloudevents.event_source": message.source,
            "order_sync.order_id": message.data.order_id,
            "order_sync.delivery_id": delivery_id(message.source, message.data.order_id),
        }
        parent = _context(message.trace) if message.trace else NO_PARENT
        links = _links([self.present()])
        return self.tracer.start_span(f"process {message.type}", parent, SpanKind.CONSUMER, attributes, links)

    def calls(self, account: str, base_url: str, traces: Mapping[Any, Iterable[Trace | None]]) -> "CallSpans":
        """See `tracing.calls`."""
        url = urlsplit(base_url)
        port = url.port or PORTS[url.scheme]
        about: dict[str, Value] = {
            "order_sync.account": account,
            "server.address": url.hostname or "",
            "server.port": port,
        }
        return CallSpans(self.tracer, about, traces, self.present())

    def record_sent(self, bodies: Iterable[str], began: float) -> None:
        """See `tracing.record_sent`."""
        links, began_ns = _links([self.present()]), int(began * 1e9)
        for event in map(json.loads, bodies):
            trace = Trace.read(event["traceparent"], event["tracestate"])
            attributes = {
                "messaging.operation.type": "send",
                "messaging.message.id": event["id"],
                "cloudevents.event_type": event["type"],
                "order_sync.key": event["partitionkey"],
            }
            parent = _context(trace) if trace else NO_PARENT
            self.tracer.start_span(
                f"send {event['type']}", parent, SpanKind.PRODUCER, attributes, links, start_time=began_ns
            ).end()

    def ids(self) -> dict[str, str]:
        """Return the ids of the present span, by the names that they have in a log line."""
        context = get_current_span().get_span_context()
        return (
            {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context.is_valid else {}
        )


@dataclass(frozen=True)
class CallSpans:
    """Record HTTP calls that have ended, in another thread than the present span."""

    tracer: Tracer
    about: Mapping[str, Value]
    traces: Mapping[Any, Iterable[Trace | None]]
    present: Context | None

    def record(self, key: Any, method: str, path: str, outcome: int | str, seconds: float) -> None:
        """Record a call; `outcome` is the HTTP status or the name of an error."""
        orders = [each for each in dict.fromkeys(self.traces.get(key, ())) if each is not None]
        single = len(orders) == 1
        parent = _context(orders[0]) if single else self.present or NO_PARENT
        links = _links([self.present] if single else map(_context, orders))
        template = "/".join(part if not part or PLAIN.fullmatch(part) else "{id}" for part in path.split("/"))
        attributes = {**self.about, "http.request.method": method, "url.template": template}
        if isinstance(outcome, int):
            attributes["http.response.status_code"] = outcome
        ended = time.time_ns()
        span = self.tracer.start_span(
            f"{method} {template}", parent, SpanKind.CLIENT, attributes, links, start_time=ended - int(seconds * 1e9)
        )
        if isinstance(outcome, str) or outcome >= ERRORS:
            _fail(span, str(outcome))
        span.end(ended)


def _context(trace: Trace) -> Context:
    """Return the context of a span of another process."""
    _, trace_id, span_id, flags = trace.traceparent.split("-")
    state = TraceState.from_header([trace.tracestate] if trace.tracestate else [])
    remote = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)), state)
    return set_span_in_context(NonRecordingSpan(remote), NO_PARENT)


def _trace(of: Span) -> Trace:
    context = of.get_span_context()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    return Trace(parent, context.trace_state.to_header() or None)


def _links(contexts: Iterable[Context | None]) -> list[Link]:
    return [Link(get_current_span(each).get_span_context()) for each in contexts if each is not None]


def _kind(kind: Kind) -> SpanKind:
    return SpanKind(kind.value)


def _set(attributes: Attributes) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR)
