"""Logs: one line an event, `noun.past`, everything else a key; on a terminal in colour, elsewhere JSON.

Whatever could be a credential or a person is dropped by name before anything is written.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

PRIVATE = frozenset(
    {"authorization", "token", "password", "secret", "api_key", "x-dv-auth-token", "x-dv-signature"}
    | {"customer", "phone", "address", "street", "dropoff", "recipient", "body", "raw_body", "headers"}
)


def drop_private(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what nobody should find in a log."""
    for name in event:
        if name.lower() in PRIVATE:
            event[name] = "<dropped>"
    return event


def setup(level: str, form: Literal["console", "json", ""]) -> None:
    """Send structlog and the standard library's logging to standard error in one form."""
    console = form == "console" or (not form and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_private,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    # A plain traceback: the coloured one prints local variables, and so secrets and addresses.
    coloured = structlog.dev.ConsoleRenderer(pad_event_to=28, exception_formatter=structlog.dev.plain_traceback)
    last: Any = coloured if console else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if console else [structlog.processors.format_exc_info]),
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These write a line for every task or request; ours say more.
    for chatty in ("celery.worker.strategy", "celery.app.trace", "celery.beat", "httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def get(name: str) -> Any:
    """Give a logger."""
    return structlog.get_logger(name)


# A command never sets its logs up: what it has to say beside its output goes to standard error, as `setup` would.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        drop_private,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ],
    logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
)
