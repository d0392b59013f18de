"""The parts that all commands share: the app, the container, and the output of results and errors.

A command imports other modules only when it runs, so that `--help` does not wait seconds for Celery and SQLAlchemy.
"""

import getpass
import json
import os
import re
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import click
import typer
from rich.console import Console
from rich.text import Text

from worker.wording import age as age  # noqa: PLC0414 - the commands import these three from here
from worker.wording import duration as duration  # noqa: PLC0414
from worker.wording import time_left as time_left  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from worker.container import Container
    from worker.domain.operator import Operator

app = typer.Typer(
    name="order-sync",
    help="Order Sync: exactly one courier for each order, and everybody knows where the food is.",
    epilog="Begin with `order-sync demo` or `order-sync init`. An error is one line; --debug shows the traceback. "
    "Documentation: https://github.com/order-sync/order-sync/tree/main/docs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PIPED_WIDTH = 1000


class ForeignTextConsole(Console):
    """A console for texts from platforms and carriers. It interprets neither markup nor control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text on one line. Control characters are shown as escapes."""
        from worker.log import printable  # noqa: PLC0415

        return super().render_str(printable(text), **options)


# When the output is piped, the width is large, so that each line or row stays one line.
console = ForeignTextConsole(width=None if sys.stdout.isatty() else PIPED_WIDTH)
LOOK, DECIDE, ASK, RUN = "Look", "Decide about one delivery", "Ask a carrier", "Run and set up"
"""The sections of the help."""

By = typer.Option("", "--by", help="Your name, recorded with the action; by default your login name.")
Why = typer.Option("", "--reason", help="Your reason, recorded with the action.")
Yes = typer.Option(False, "--yes", help="Do not ask whether you are sure.")
Json = typer.Option(False, "--json", help="Write JSON, one document a line.")


def _show_version(requested: bool) -> None:  # noqa: FBT001 - typer's signature
    if requested:
        from importlib.metadata import version  # noqa: PLC0415

        print(f"order-sync {version('order-sync')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def common(
    *,
    _version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Accept the options of `order-sync` itself, which come before the name of a command."""


def open_container(*, creates_database: bool = False) -> "Container":
    """Build this command's container from the settings. The container is closed when the command ends.

    In a wrong folder, the commands of an operator must not begin a second, empty database.
    """
    from worker.app import create_app  # noqa: PLC0415
    from worker.config.settings import load  # noqa: PLC0415
    from worker.container import Container, override  # noqa: PLC0415

    settings = load()
    services = Container(settings, app=create_app(settings), creates_database=creates_database)
    override(services)
    typer_context = click.get_current_context(silent=True)
    if typer_context is not None:
        typer_context.call_on_close(services.close)
    return services


def operator(by: str, reason: str) -> "Operator":
    """Return who acts, by default the user who is logged in, and why."""
    from worker.domain.operator import Operator  # noqa: PLC0415

    return Operator(by or _login(), reason)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"user {os.getuid()}"


def confirm(question: str, *, yes: bool) -> None:
    """Ask whether the operator is sure, unless `yes` is true; end the command if they are not, or cannot be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Write --yes if you are sure", 2)
    if not typer.confirm(f"{question} Continue?"):
        raise typer.Exit(1)


def when(moment: datetime | None) -> str | None:
    """Return a time as text in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def table(*headings: str) -> "Table":
    """Return an empty table for `console`. Long values are folded, because a value that is cut cannot be searched."""
    from rich.table import Table  # noqa: PLC0415

    empty = Table(box=None, pad_edge=False)
    for heading in headings:
        empty.add_column(heading, overflow="fold")
    return empty


ADVICE = {
    "sqlalchemy": "check ORDER_SYNC_DATABASE_URL, or run `order-sync db upgrade`",
    "alembic": "check ORDER_SYNC_DATABASE_URL",
    "redis": "check ORDER_SYNC_REDIS_URL and ORDER_SYNC_BUS_URL",
    "amqp": "check ORDER_SYNC_BUS_URL, and the permissions of its user",
    "kombu": "check ORDER_SYNC_BROKER_URL, or ORDER_SYNC_REDIS_URL without it",
}
"""Advice for errors. The key is the library that raises the error."""


def advice_on(error: Exception) -> str | None:
    """Return the advice for an error; None when `ADVICE` does not list the library that raised the error."""
    return ADVICE.get(type(error).__module__.partition(".")[0])


def moment(text: str, now: datetime, option: str = "--since") -> datetime:
    """Return the time that a text gives: a time in RFC 3339, or an age such as 30m, counted back from `now`.

    End the command with an error when the text is neither, or when the time has no offset from UTC.
    """
    from worker.clock import AGE, parse_age  # noqa: PLC0415

    if re.fullmatch(AGE, text, re.ASCII):
        return now - parse_age(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text} is neither a time nor an age such as 30m, 2h or 1d", 2)
    if found.tzinfo is None:
        fail(f"{option} {text} has no offset from UTC", 2)
    return found


def complain(text: str) -> None:
    """Write an error message of one or more lines to standard error."""
    errors = ForeignTextConsole(stderr=True)
    for line in f"order-sync: {text}".splitlines():
        errors.print(line, style="red")


def fail(text: str, code: int = 1) -> NoReturn:
    """Write an error message and end the command. Exit code 2 means wrong usage."""
    complain(text)
    raise typer.Exit(code)


def write_json(document: Any) -> None:
    """Write a document as one line of JSON."""
    write_text(json.dumps(document, ensure_ascii=False, default=_as_text))


def _as_text(value: object) -> str:
    return str(when(value)) if isinstance(value, datetime) else str(value)


@contextmanager
def progress(what: str, total: int) -> "Iterator[Callable[[], None]]":
    """Show a progress bar on standard error, if it is a terminal; yield a function to call after each piece of work."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def report(text: str, document: dict[str, Any], *, as_json: bool) -> None:
    """Write what a command has done, as a text or as JSON."""
    if as_json:
        write_json(document)
    else:
        console.print(text)


def write_text(text: str) -> None:
    """Write a text. Control characters are written as JSON escapes, except line breaks and tabs."""
    from worker.log import printable  # noqa: PLC0415

    print(printable(text, "\n\t"), flush=True)  # noqa: T201 - rich would wrap it
