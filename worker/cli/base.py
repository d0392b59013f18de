"""What every command shares: the app, the house and the two consoles.

A command imports what it needs when it runs: asking for help must not cost the seconds that Celery and SQLAlchemy take.
"""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import click
import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.container import Container
    from worker.domain.delivery import Delivery

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
LOOK, DECIDE, ASK, RUN = "Look", "Decide about one delivery", "Ask a carrier", "Run and set up"
"""The parts of the help."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Json = typer.Option(False, "--json", help="Write JSON, one document a line.")


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer's signature
    if asked:
        from importlib.metadata import version  # noqa: PLC0415

        print(f"order-sync {version('order-sync')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def common(
    *,
    _version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Accept the options that belong to no command."""


def house() -> "Container":
    """Make the house of this command from the settings."""
    from worker.app import create_app  # noqa: PLC0415
    from worker.config.settings import load  # noqa: PLC0415
    from worker.container import Container, override  # noqa: PLC0415

    settings = load()
    made = Container(settings, app=create_app(settings))
    override(made)
    typer_context = click.get_current_context(silent=True)
    if typer_context is not None:
        typer_context.call_on_close(made.close)
    return made


def when(moment: datetime | None) -> str | None:
    """Write a time in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


ADVICE = {
    "sqlalchemy": "look at ORDER_SYNC_DATABASE_URL, or run `order-sync db upgrade`",
    "alembic": "look at ORDER_SYNC_DATABASE_URL",
    "redis": "look at ORDER_SYNC_REDIS_URL and ORDER_SYNC_BUS_URL",
}
"""What to do about an error, by the library it comes from."""


def advice_on(error: Exception) -> str | None:
    """Say what to do about an error, if its library is one whose errors have a usual cause."""
    return ADVICE.get(type(error).__module__.partition(".")[0])


def moment(text: str, now: datetime) -> datetime:
    """Read an option that names a time: RFC 3339, or how long ago it was; end when it is neither."""
    ago = re.fullmatch(r"(\d{1,5})([smhd])", text, re.ASCII)
    if ago:
        return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--since {text} is neither a time nor something like 30m, 2h or 1d", 2)
    if found.tzinfo is None:
        fail(f"--since {text} has no offset from UTC", 2)
    return found


def hint(changed: "Sequence[Delivery]", now: datetime) -> None:
    """Hint what follows at once from what a command changed."""
    from worker import enqueue  # noqa: PLC0415

    enqueue.enqueue_next_steps(changed, now)


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
