"""What every command shares: the app, the house and the two consoles.

A command imports what it needs when it runs: asking for help must not cost the seconds that Celery and SQLAlchemy take.
"""

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import click
import typer
from rich.console import Console

if TYPE_CHECKING:
    from worker.wiring import House

app = typer.Typer(
    name="order-sync",
    help="Order Sync: exactly one courier for each order, and everybody knows where the food is.",
    epilog="An error is one line; --debug shows where it came from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PIPED_WIDTH = 1000
# No markup: what is shown comes from platforms and carriers. No wrapping: a line that is piped stays a line, and a
# table's row too.
console = Console(markup=False, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPED_WIDTH)
Json = typer.Option(False, "--json", help="Write JSON, one document a line.")


def house() -> "House":
    """Make the house of this command from the settings."""
    from worker.settings import load  # noqa: PLC0415
    from worker.wiring import House, use  # noqa: PLC0415

    made = House(load())
    use(made)
    typer_context = click.get_current_context(silent=True)
    if typer_context is not None:
        typer_context.call_on_close(made.close)
    return made


def when(moment: datetime | None) -> str | None:
    """Write a time in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def complain(text: str) -> None:
    """Write one readable line to standard error."""
    Console(stderr=True, soft_wrap=True).print(f"order-sync: {text}", style="red", markup=False, highlight=False)


def fail(text: str, code: int = 1) -> NoReturn:
    """End with one readable line; the code is 2 when the command was used wrongly."""
    complain(text)
    raise typer.Exit(code)


def write_json(document: Any) -> None:
    """Write one document as a line of JSON."""
    print(json.dumps(document, ensure_ascii=False, default=str))  # noqa: T201 - rich would wrap it
