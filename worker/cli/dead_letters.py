"""Commands about dead letters and about the store directory."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from worker.cli.base import (
    LOOK,
    RUN,
    By,
    Json,
    Why,
    app,
    complain,
    console,
    fail,
    open_container,
    operator,
    when,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from schemas.stores import Store
    from worker.container import Container
    from worker.database.inbox import DeadLetter

stores = typer.Typer(help="The store directory.", no_args_is_help=True)
dead_letters = typer.Typer(help="Messages that could not be read.", invoke_without_command=True)
app.add_typer(stores, name="stores", rich_help_panel=RUN)
app.add_typer(dead_letters, name="dead-letters", rich_help_panel=LOOK)
LIST_LIMIT = 200


@dead_letters.callback()
def list_letters(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the 200 newest dead letters, newest first."""
    if context.invoked_subcommand is not None:
        return
    from worker.database import inbox

    for letter in open_container().database.read(inbox.dead_letters, LIST_LIMIT):
        if as_json:
            write_json({"id": letter["id"], "received_at": when(letter["received_at"]), "reason": letter["reason"]})
        else:
            console.print(letter["id"], when(letter["received_at"]), letter["reason"])


@dead_letters.command("show")
def show_letter(letter_id: str) -> None:
    """Write the original message of a dead letter."""
    write_text(_waiting(open_container(), letter_id).raw.decode("utf-8", "backslashreplace"))


@dead_letters.command("replay")
def replay_letter(letter_id: str, *, by: str = By, reason: str = Why) -> None:
    """Put the message of a dead letter on the bus again, for example after a missing setting was added."""
    entry = open_container().operations.replay(letter_id, operator(by, reason))
    if entry is None:
        fail(f"there is no dead letter {letter_id}")
    console.print(entry)


@dead_letters.command("discard")
def discard_letter(letter_id: str, *, by: str = By, reason: str = Why) -> None:
    """Remove a dead letter from the list."""
    if not open_container().operations.discard(letter_id, operator(by, reason)):
        fail(f"there is no dead letter {letter_id}")


def _waiting(services: "Container", letter_id: str) -> "DeadLetter":
    from worker.database import inbox

    letter = services.database.read(inbox.dead_letter, letter_id)
    if letter is None:
        fail(f"there is no dead letter {letter_id}")
    return letter


@stores.command("load")
def load_stores(file: Path, *, by: str = By, reason: str = Why) -> None:
    """Load a store directory into the database, and continue the orders that wait for a store."""
    from worker.config.settings import read_stores

    services, loaded = open_container(), read_stores(file)
    waiting = services.operations.load_stores(loaded, operator(by, reason))
    console.print(f"{len(loaded)} stores loaded, {waiting} waiting orders continue")
    for line in without_account(loaded, services.settings.accounts):
        complain(line)


def without_account(known: "Mapping[str, Store]", accounts: "Collection[str]") -> list[str]:
    """Return one line for each store that lists a carrier for which no account is configured."""
    missing = {key: [name for name in shop.carriers if name not in accounts] for key, shop in sorted(known.items())}
    return [
        f"store {key} names carriers without an account: {', '.join(names)}" for key, names in missing.items() if names
    ]


@stores.command("list")
def list_stores(*, as_json: bool = Json) -> None:
    """List the stores of the file and of the database. A store that is in both is shown as in the database."""
    from worker.database import shops

    services = open_container()
    for key, shop in sorted({**services.file_shops, **services.database.read(shops.load_shops)}.items()):
        if as_json:
            write_json(shop.model_dump(mode="json"))
        else:
            console.print(key, shop.name, shop.city, ", ".join(shop.carriers))
