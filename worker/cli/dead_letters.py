"""Commands about dead letters and the store directory, which an operator corrects."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from worker.cli.base import LOOK, RUN, Json, app, console, fail, open_container, when, write_json

if TYPE_CHECKING:
    from worker.container import Container

stores = typer.Typer(help="The store directory.", no_args_is_help=True)
dead_letters = typer.Typer(help="Messages that could not be read.", invoke_without_command=True)
app.add_typer(stores, name="stores", rich_help_panel=RUN)
app.add_typer(dead_letters, name="dead-letters", rich_help_panel=LOOK)
LIST_LIMIT = 200


@dead_letters.callback()
def list_letters(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the dead letters, newest first."""
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
    sys.stdout.buffer.write(_message_of(open_container(), letter_id) + b"\n")


@dead_letters.command("replay")
def replay_letter(letter_id: str) -> None:
    """Put the message of a dead letter on the bus again, for example after its store was added."""
    services = open_container()
    stream_id = services.bus.add_order(_message_of(services, letter_id))
    _settle(services, letter_id)  # afterwards, so that a crash between the two loses nothing
    console.print(stream_id)


@dead_letters.command("discard")
def discard_letter(letter_id: str) -> None:
    """Remove a dead letter from the list."""
    services = open_container()
    _message_of(services, letter_id)
    _settle(services, letter_id)


def _message_of(services: "Container", letter_id: str) -> bytes:
    from worker.database import inbox

    raw = services.database.read(inbox.dead_letter, letter_id)
    if raw is None:
        fail(f"there is no dead letter {letter_id}")
    return raw


def _settle(services: "Container", letter_id: str) -> None:
    from worker.database import inbox

    services.database.write(inbox.settle_dead_letter, letter_id, services.clock())


@stores.command("load")
def load_stores(file: Path) -> None:
    """Load a store directory into the database, and continue the orders that wait for a store."""
    from worker.config.settings import read_stores
    from worker.database import shops

    services, loaded = open_container(), read_stores(file)
    waiting = services.database.write(shops.save_shops, loaded, services.clock())
    console.print(f"{len(loaded)} stores loaded, {waiting} waiting orders continue")


@stores.command("list")
def list_stores(*, as_json: bool = Json) -> None:
    """List the stores of the file and of the database; a store in both is shown as in the database."""
    from worker.database import shops

    services = open_container()
    for key, shop in sorted({**services.file_shops, **services.database.read(shops.load_shops)}.items()):
        if as_json:
            write_json(shop.model_dump(mode="json"))
        else:
            console.print(key, shop.name, shop.city, ", ".join(shop.carriers))
