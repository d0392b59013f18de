"""What every command shares: the app, the house and the two consoles."""

import json
from typing import Any, NoReturn

import typer
from rich.console import Console

from worker.settings import load
from worker.wiring import House, use

app = typer.Typer(
    name="order-sync",
    help="Order Sync: exactly one courier for each order, and everybody knows where the food is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
errors = Console(stderr=True)
Json = typer.Option(False, "--json", help="Write JSON, one document a line.")


def house() -> House:
    """Make the house of this command from the settings."""
    made = House(load())
    use(made)
    return made


def fail(text: str) -> NoReturn:
    """End with one readable line and exit code 1."""
    errors.print(f"order-sync: {text}", style="red", markup=False, highlight=False)
    raise typer.Exit(1)


def write_json(document: Any) -> None:
    """Write one document as a line of JSON."""
    print(json.dumps(document, ensure_ascii=False, default=str))  # noqa: T201 - rich would wrap it
