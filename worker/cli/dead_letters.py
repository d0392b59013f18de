"""Commands about dead letters and about the store directory."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.base import (
    LOOK,
    RUN,
    By,
    Json,
    Why,
    age,
    app,
    complain,
    console,
    fail,
    open_container,
    operator,
    progress,
    report,
    table,
    when,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from worker.container import Container
    from worker.database.inbox import DeadLetter

stores = typer.Typer(help="The store directory.", no_args_is_help=True)
dead_letters = typer.Typer(help="Messages that could not be read.", invoke_without_command=True)
app.add_typer(stores, name="stores", rich_help_panel=RUN)
app.add_typer(dead_letters, name="dead-letters", rich_help_panel=LOOK)
LIST_LIMIT = 200
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="The ids that `dead-letters` lists.")]


@dead_letters.callback()
def list_letters(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the 200 newest dead letters, newest first."""
    if context.invoked_subcommand is not None:
        return
    from worker.database import inbox

    services = open_container()
    rows, letters = table("id", "age", "reason"), services.database.read(inbox.dead_letters, LIST_LIMIT)
    for letter in letters:
        if as_json:
            write_json({"id": letter["id"], "received_at": when(letter["received_at"]), "reason": letter["reason"]})
        else:
            rows.add_row(letter["id"], age(letter["received_at"], services.clock()), letter["reason"])
    if letters and not as_json:
        console.print(rows, soft_wrap=False)


@dead_letters.command("show")
def show_letter(letter_id: str, *, as_json: bool = Json) -> None:
    """Write the original message of a dead letter."""
    letter = _waiting(open_container(), letter_id)
    original = letter.raw.decode("utf-8", "backslashreplace")
    if as_json:
        write_json({"id": letter_id, "reason": letter.reason, "message": original})
    else:
        write_text(original)


@dead_letters.command("replay")
def replay_letters(letter_ids: Ids, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Put the messages of dead letters on the bus again, for example after a missing setting was added."""
    services, who = open_container(), operator(by, reason)
    with progress("replaying", len(letter_ids)) as advance:
        for letter_id in letter_ids:
            entry = services.operations.replay(letter_id, who)
            if entry is None:
                fail(f"there is no dead letter {letter_id}")
            report(entry, {"id": letter_id, "entry": entry}, as_json=as_json)
            advance()


@dead_letters.command("correct")
def correct_letter(letter_id: str, file: Path, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Put the corrected message of a file on the bus in place of a dead letter."""
    from schemas.json_reader import MalformedError

    try:
        corrected = file.read_text(encoding="utf-8-sig")
        entry = open_container().operations.correct(letter_id, corrected, operator(by, reason))
    except (MalformedError, OSError, UnicodeError) as error:
        fail(f"{file}: {error}")
    if entry is None:
        fail(f"there is no dead letter {letter_id}")
    report(entry, {"id": letter_id, "entry": entry}, as_json=as_json)


@dead_letters.command("discard")
def discard_letters(letter_ids: Ids, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Remove dead letters from the list."""
    services, who = open_container(), operator(by, reason)
    with progress("discarding", len(letter_ids)) as advance:
        for letter_id in letter_ids:
            if not services.operations.discard(letter_id, who):
                fail(f"there is no dead letter {letter_id}")
            if as_json:
                write_json({"id": letter_id, "discarded": True})
            advance()


def _waiting(services: "Container", letter_id: str) -> "DeadLetter":
    from worker.database import inbox

    letter = services.database.read(inbox.dead_letter, letter_id)
    if letter is None:
        fail(f"there is no dead letter {letter_id}")
    return letter


@stores.command("load")
def load_stores(file: Path, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Load a store directory into the database, and continue the orders that wait for a store."""
    from worker.config.settings import read_stores
    from worker.domain.setup import without_account

    services, loaded = open_container(), read_stores(file)
    waiting = services.operations.load_stores(loaded, operator(by, reason))
    text = f"{len(loaded)} stores loaded, {waiting} waiting orders continue"
    report(text, {"loaded": len(loaded), "continued": waiting}, as_json=as_json)
    for line in without_account(loaded, services.settings.accounts):
        complain(line)


@stores.command("list")
def list_stores(*, as_json: bool = Json) -> None:
    """List the stores of the file and of the database. A store that is in both is shown as in the database."""
    from worker.database import shops

    services = open_container()
    rows = table("store", "name", "city", "carriers")
    for key, shop in sorted({**services.file_shops, **services.database.read(shops.load_shops)}.items()):
        if as_json:
            write_json(shop.model_dump(mode="json"))
        else:
            rows.add_row(key, shop.name, shop.city, ", ".join(shop.carriers))
    if not as_json:
        console.print(rows, soft_wrap=False)
