"""The operator's command line, `order-sync`.

Exit codes: 0 done, 1 it failed, 2 wrong usage or settings. An error is one readable line; `--debug` shows where.
"""

import sys

from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from worker.cli import operate, run
from worker.cli.base import app
from worker.errors import CarrierError, SettingsError

__all__ = ["app", "main", "operate", "run"]

FAILED, WRONG = 1, 2


def main() -> None:
    """Run the command line."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments, standalone_mode=True)
    except SettingsError as error:
        _say(f"the settings cannot work:\n{error}")
        sys.exit(WRONG)
    except (CarrierError, SQLAlchemyError, OSError) as error:
        if debug:
            raise
        _say(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} (--debug shows where)")
        sys.exit(FAILED)


def _say(text: str) -> None:
    Console(stderr=True).print(f"order-sync: {text}", style="red", markup=False, highlight=False)
