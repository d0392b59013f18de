"""Commands for what an operator mends: messages that could not be read, and the store directory."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from worker.cli.base import LOOK, RUN, Json, app, console, fail, house, when, write_json

if TYPE_CHECKING:
    from worker.container import Container

stores = typer.Typer(help="The store directory.", no_args_is_help=True)
letters = typer.Typer(help="Messages that could not be read.", invoke_without_command=True)
app.add_typer(stores, name="stores", rich_help_panel=RUN)
app.add_typer(letters, name="dead-letters", rich_help_panel=LOOK)


@letters.callback()
def list_letters(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the dead letters that wait for somebody."""
    if context.invoked_subcommand is not None:
        return
    for letter in house().database.dead_letters(200):
        if as_json:
            write_json({"id": letter["id"], "received_at": when(letter["received_at"]), "reason": letter["reason"]})
        else:
            console.print(letter["id"], when(letter["received_at"]), letter["reason"])


@letters.command("show")
def show_letter(letter_id: str) -> None:
    """Write a dead letter as it came."""
    sys.stdout.buffer.write(_letter(house(), letter_id) + b"\n")


@letters.command("replay")
def replay_letter(letter_id: str) -> None:
    """Put a dead letter on the bus again, for example once its store or schema is mended."""
    made = house()
    placed = made.bus.add_order(_letter(made, letter_id))
    made.database.settle_dead_letter(letter_id, made.clock())  # afterwards: a letter must not be lost between the two
    console.print(placed)


@letters.command("discard")
def discard_letter(letter_id: str) -> None:
    """Take a dead letter off the list."""
    made = house()
    _letter(made, letter_id)
    made.database.settle_dead_letter(letter_id, made.clock())


def _letter(made: "Container", letter_id: str) -> bytes:
    raw = made.database.dead_letter(letter_id)
    if raw is None:
        fail(f"there is no dead letter {letter_id}")
    return raw


@stores.command("load")
def load_stores(file: Path) -> None:
    """Load a store directory into the database, and let the orders that wait for one go."""
    from worker.config.settings import read_stores

    made = house()
    shops = read_stores(file)
    waiting = made.database.put_shops(shops, made.clock())
    console.print(f"{len(shops)} stores loaded, {waiting} waiting orders let go")


@stores.command("list")
def list_stores(*, as_json: bool = Json) -> None:
    """List the store directory: the file, overlaid with the database."""
    made = house()
    for key, shop in sorted({**made.file_shops, **made.database.shops()}.items()):
        if as_json:
            write_json(shop.model_dump(mode="json"))
        else:
            console.print(key, shop.name, shop.city, ", ".join(shop.carriers))
