"""The operator's command line, `order-sync`.

Exit codes: 0 success, 1 failure, 2 wrong usage or settings. An error is one readable line; `--debug` shows a traceback.
"""

import sys
from collections.abc import Sequence

from worker.cli import (
    archive,
    carrier_report,
    carriers,
    check,
    dead_letters,
    decisions,
    deliveries,
    desk,
    events,
    explain,
    init,
    listen,
    orders,
    platform,
    privacy,
    queries,
    rehearse,
    restored,
    run,
    show,
    status,
    subscribers,
)
from worker.cli.base import advice_on, app, complain
from worker.errors import SettingsError

__all__ = [
    "app",
    "archive",
    "carrier_report",
    "carriers",
    "check",
    "dead_letters",
    "decisions",
    "deliveries",
    "desk",
    "events",
    "explain",
    "init",
    "listen",
    "main",
    "orders",
    "platform",
    "privacy",
    "queries",
    "rehearse",
    "restored",
    "run",
    "show",
    "status",
    "subscribers",
]

FAILED, WRONG_USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with these arguments, by default those of the process, and exit."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        app([argument for argument in given if argument != "--debug"])
    except SettingsError as error:
        complain(f"the settings cannot work:\n{error}")
        sys.exit(WRONG_USAGE)
    except Exception as error:
        if debug:
            raise
        complain(_explain(error))
        sys.exit(FAILED)


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror} (--debug shows the traceback)"
    first_line = (str(error).splitlines() or [""])[0]
    advice = advice_on(error)
    return f"{type(error).__name__}: {first_line} ({f'{advice}; ' if advice else ''}--debug shows the traceback)"
