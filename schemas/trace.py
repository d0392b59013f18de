"""The W3C trace context of a message (`traceparent` and `tracestate`, the CloudEvents extension for tracing)."""

import re
from dataclasses import dataclass
from typing import Self

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace that an order belongs to. Every event of the order carries it unchanged."""

    traceparent: str
    tracestate: str | None = None

    @classmethod
    def read(cls, traceparent: object, tracestate: object) -> Self | None:
        """Return the trace of two attributes; None if the first is absent or invalid (W3C Trace Context 3.2).

        An invalid `tracestate` alone counts as absent. Neither ever makes a message unreadable.
        """
        if not isinstance(traceparent, str) or not _TRACEPARENT.fullmatch(traceparent):
            return None
        is_state = isinstance(tracestate, str) and _TRACESTATE.fullmatch(tracestate)
        return cls(traceparent, str(tracestate) if is_state else None)

    @property
    def trace_id(self) -> str:
        """The id of the trace: 32 hexadecimal digits."""
        return self.traceparent.split("-")[1]
