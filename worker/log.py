"""Logs: one line for each event, with the name `noun.past_participle` and the event's data as keys with values.

By default, lines are plain text on a terminal and JSON elsewhere. The values of the keys in `PRIVATE` are replaced
before anything is written, because they may be credentials or personal data.
"""

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import structlog

from worker import tracing

PRIVATE = frozenset(
    {"authorization", "token", "password", "secret", "api_key", "x-dv-auth-token", "x-dv-signature"}
    | {"customer", "phone", "address", "street", "dropoff", "recipient", "body", "raw_body", "headers"}
)


CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""The characters that control a terminal or the direction of its text."""


def printable(text: str, keep: str = "") -> str:
    """Return a text that is safe to show on a terminal: each character in `CONTROLS` becomes a JSON escape.

    The characters in `keep` are not changed.
    """
    return CONTROLS.sub(lambda found: found[0] if found[0] in keep else f"\\u{ord(found[0]):04x}", text)


def make_printable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make every text of a log line printable. Line breaks stay only in a traceback."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value, "\n" if name == "exception" else "")
    return event


def drop_private(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of the keys in `PRIVATE`."""
    for name in event:
        if name.lower() in PRIVATE:
            event[name] = "<dropped>"
    return event


def setup(level: str, form: Literal["console", "json", ""]) -> None:
    """Write the logs of structlog and of the standard library to standard error.

    An empty `form` means `console` on a terminal, and `json` anywhere else.
    """
    console = form == "console" or (not form and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        tracing.add_ids,
        drop_private,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    # The traceback is plain, because a coloured one prints local variables, which may be secrets and addresses.
    coloured = structlog.dev.ConsoleRenderer(pad_event_to=28, exception_formatter=structlog.dev.plain_traceback)
    last: Any = coloured if console else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *([make_printable] if console else []),
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These loggers log every task or request; our own lines contain more.
    for chatty in ("celery.worker.strategy", "celery.app.trace", "celery.beat", "httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def get(name: str) -> Any:
    """Return a logger."""
    return structlog.get_logger(name)


def about(**fields: Any) -> AbstractContextManager[None]:
    """Return a context in which every log line of this thread has these fields."""
    return structlog.contextvars.bound_contextvars(**fields)


@contextmanager
def only_errors() -> Iterator[None]:
    """Log nothing but errors in this context."""
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(wrapper_class=before)


# Commands never call `setup`. Their logs go to standard error as well, so that standard output has only their output.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        drop_private,
        structlog.processors.format_exc_info,
        make_printable,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ],
    logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
)
