"""Commands about carrier accounts: how each stands, and pausing one by hand."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.base import Json, app, console, fail, house, when, write_json

if TYPE_CHECKING:
    from worker.carriers.account import Account
    from worker.store.accounts import Pause
    from worker.wiring import House

carriers = typer.Typer(help="Carrier accounts: how they stand, and pausing one.", invoke_without_command=True)
app.add_typer(carriers, name="carriers")
UNKNOWN = "unknown (Redis is away)"


@carriers.callback()
def list_carriers(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the accounts: paused or not, breakers, budgets, and words of theirs that nobody understood."""
    if context.invoked_subcommand is not None:
        return
    made = house()
    paused, words = made.store.paused(), made.store.odd_words()
    for name, account in sorted(made.settings.accounts.items()):
        row = _row(made, account, paused.get(name), words.get(name, []))
        if as_json:
            write_json(row)
        else:
            console.print(_line(row))


@carriers.command("pause")
def pause(name: str, *, reason: str = typer.Option("", help="Told with the event, and shown in the list.")) -> None:
    """Call an account no more, until `carriers resume`; its orders wait."""
    made = _with(name)
    if not made.store.pause(name, "operator", reason, made.now()):
        fail(f"{name} is paused already")
    console.print(f"{name}: paused")


@carriers.command("resume")
def resume(name: str) -> None:
    """Let a paused account go again, whoever paused it."""
    made = _with(name)
    if not made.store.resume(name, "operator", made.now()):
        fail(f"{name} is not paused")
    console.print(f"{name}: resumed")


def _with(name: str) -> "House":
    made = house()
    if name not in made.settings.accounts:
        fail(f"there is no account {name}; there are {', '.join(sorted(made.settings.accounts)) or 'none'}")
    return made


def _row(made: "House", account: "Account", paused: "Pause | None", words: list[str]) -> dict[str, Any]:
    states = made.breaker.states(account.name)
    used = made.budget.used(account.name, account.rate)
    return {
        "carrier": account.name,
        "kind": account.kind,
        "paused": {**asdict(paused), "since": when(paused.since)} if paused else None,
        "breakers": states
        and {kind.value: {"state": word.state.value, "wait": round(word.wait)} for kind, word in states.items()},
        "budget": None
        if used is None
        else [{"limit": each.limit, "seconds": each.seconds, "used": count} for each, count in used.items()],
        "unknown_words": words,
    }


def _line(row: dict[str, Any]) -> str:
    pause = row["paused"]
    parts = [
        row["carrier"],
        row["kind"],
        f"paused by {pause['by']} since {pause['since']}: {pause['because']}" if pause else "goes",
        f"breakers {UNKNOWN if row['breakers'] is None else _breakers(row['breakers'])}",
        f"budget {UNKNOWN if row['budget'] is None else _budget(row['budget'])}",
    ]
    return "  ".join([*parts, *([f"unknown words {', '.join(row['unknown_words'])}"] if row["unknown_words"] else [])])


def _breakers(breakers: dict[str, dict[str, Any]]) -> str:
    words = [f"{kind} {word['state']} {word['wait']} s" for kind, word in breakers.items() if word["state"] != "closed"]
    return ", ".join(words) or "closed"


def _budget(budget: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['used']} of {each['limit']} in {each['seconds']:g} s" for each in budget) or "none"
