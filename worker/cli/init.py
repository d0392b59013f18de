"""The command that writes the files to start with."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.base import RUN, Json, app, console, fail, report

CARRIERS = ("borzo", "cervo", "deliverit")
PRIVATE = frozenset({".env"})
SANDBOX = "order-sync sandbox --borzo-callback http://127.0.0.1:8000/callbacks/borzo"
SANDBOX_NEXT = (
    (SANDBOX, "the simulated carriers, in another shell"),
    ("order-sync up", "everything else; Ctrl-C stops it"),
    ("order-sync sample-order | order-sync place -", "in a third shell; then `order-sync show 2011`"),
)
NEXT = (
    ("order-sync up", "starts everything; Ctrl-C stops it"),
    ("order-sync check", "in another shell: checks what you wrote, and logs in at the carriers"),
)


@app.command("init", rich_help_panel=RUN)
def write_starting_files(
    *,
    carrier: Annotated[
        list[str] | None,
        typer.Option(help=f"A carrier with which you have an account: {', '.join(CARRIERS)}. May be repeated."),
    ] = None,
    as_json: bool = Json,
    database: str = typer.Option("", help="The address of a PostgreSQL database; by default, SQLite in var/."),
) -> None:
    """Write order-sync.toml, stores.toml and .env into this folder. Without --carrier, the carriers are simulated."""
    from worker.local.samples import starting_files, to_fill_in

    chosen = carrier or []
    if unknown := sorted(set(chosen) - set(CARRIERS)):
        fail(f"--carrier {unknown[0]} must be one of {', '.join(CARRIERS)}", 2)
    for name, text in starting_files(chosen, database).items():
        written = _write(name, text)
        outcome = f"{name} is written" if written else f"{name} exists already and was left as it is"
        report(outcome, {"file": name, "written": written}, as_json=as_json)
    if not as_json:
        _advise(chosen, to_fill_in(chosen))


def _advise(carriers: Collection[str], to_fill_in: Collection[str]) -> None:
    console.print(
        "Write your own stores into stores.toml. Keep .env out of version control: it has your secrets. Next:"
    )
    if carriers:
        console.print(f"  $EDITOR .env stores.toml    # to fill in: {', '.join(to_fill_in)}")
    for command, purpose in NEXT if carriers else SANDBOX_NEXT:
        console.print(f"  {command:<78}# {purpose}")


def _write(name: str, text: str) -> bool:
    """Write a new file; return False if there is one already."""
    try:
        descriptor = os.open(Path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if name in PRIVATE else 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:  # for example on a full disk: the next run must not take a part of the file for the whole
        Path(name).unlink()
        raise
    return True
