"""Commands about carrier accounts: how each stands, pausing one by hand, and explaining its words."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from schemas.status import DeliveryStatus
from worker.cli.base import LOOK, Json, app, console, fail, hint, house, when, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.container import Container
    from worker.database.accounts import Pause
    from worker.http.account import ApiAccount

carriers = typer.Typer(help="Carrier accounts: how they stand, and pausing one.", invoke_without_command=True)
app.add_typer(carriers, name="carriers", rich_help_panel=LOOK)
UNKNOWN = "unknown (Redis is away)"
MEANINGS = tuple(each.value for each in DeliveryStatus if each not in {"queued", "submit_unknown"})
"""What a word of a carrier's may mean."""


@carriers.callback()
def list_carriers(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the accounts, also the platform's: pauses, breakers, budgets, and words nobody knew or you explained."""
    if context.invoked_subcommand is not None:
        return
    made = house()
    paused, words, explained = made.database.paused(), made.database.odd_words(), made.database.words()
    for name, account in sorted(made.api_accounts.items()):
        row = _row(made, account, paused.get(name)) | _words(words.get(name, []), explained.get(name, {}))
        if as_json:
            write_json(row)
        else:
            console.print(_line(row))


@carriers.command("pause")
def pause(name: str, *, reason: str = typer.Option("", help="Told with the event, and shown in the list.")) -> None:
    """Call an account no more, until `carriers resume`; its orders wait."""
    made = _with(name)
    if not made.database.pause(name, "operator", reason, made.clock()):
        fail(f"{name} is paused already")
    console.print(f"{name}: paused")


@carriers.command("resume")
def resume(name: str) -> None:
    """Let a paused account go again, whoever paused it."""
    made = _with(name)
    if not made.database.resume(name, "operator", made.clock()):
        fail(f"{name} is not paused")
    console.print(f"{name}: resumed")


@carriers.command("map")
def explain(
    name: str,
    raw: str = typer.Argument(help="The word as `carriers` shows it: what it was said of, a colon, the word."),
    status: str = typer.Argument("", help="What it means, in our words."),
    *,
    remove: bool = typer.Option(False, "--remove", help="Take its meaning back."),
) -> None:
    """Say what a carrier's unknown word means, from now on and for whoever it was said of last."""
    made = _with(name)
    if bool(status) is remove:
        fail("say what the word means, or --remove", 2)
    if remove:
        _forget(made, name, raw)
        return
    meaning = _meaning(raw, status)
    now = made.clock()
    changed = made.database.explain_word(name, raw, meaning, made.terms, now)
    hint(changed, now)
    console.print(f"{name}: {raw} means {meaning}, deliveries changed: {len(changed)}")


def _forget(made: "Container", name: str, raw: str) -> None:
    if not made.database.forget_word(name, raw):
        fail(f"{name}: {raw} has no meaning")
    console.print(f"{name}: {raw} means nothing any more")


def _meaning(raw: str, status: str) -> DeliveryStatus:
    if not all(raw.partition(":")):
        fail(f"{raw} is no word of a carrier's: write it as `order-sync carriers` shows it, such as order:6", 2)
    if status not in MEANINGS:
        fail(f"{status} is no status that a carrier can tell; there are {', '.join(MEANINGS)}", 2)
    return DeliveryStatus(status)


def _with(name: str) -> "Container":
    made = house()
    if name not in made.api_accounts:
        fail(f"there is no account {name}; there are {', '.join(sorted(made.api_accounts)) or 'none'}")
    return made


def _row(made: "Container", account: "ApiAccount", paused: "Pause | None") -> dict[str, Any]:
    states = made.breaker.statuses(account.name)
    used = made.rate_limiter.used(account.name, account.rate)
    return {
        "carrier": account.name,
        "kind": account.kind,
        "paused": {**asdict(paused), "since": when(paused.since)} if paused else None,
        "breakers": states
        and {kind.value: {"state": word.state.value, "wait": round(word.wait)} for kind, word in states.items()},
        "budget": None
        if used is None
        else [{"limit": each.limit, "seconds": each.seconds, "used": count} for each, count in used.items()],
    }


def _words(odd: list[str], explained: "Mapping[str, DeliveryStatus]") -> dict[str, Any]:
    return {
        "unknown_words": [word for word in odd if word not in explained],
        "explained_words": {word: status.value for word, status in explained.items()},
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
    if row["unknown_words"]:
        parts.append(f"unknown words {', '.join(row['unknown_words'])}")
    if row["explained_words"]:
        said = (f"{word} = {status}" for word, status in row["explained_words"].items())
        parts.append(f"explained words {', '.join(said)}")
    return "  ".join(parts)


def _breakers(breakers: dict[str, dict[str, Any]]) -> str:
    words = [f"{kind} {word['state']} {word['wait']} s" for kind, word in breakers.items() if word["state"] != "closed"]
    return ", ".join(words) or "closed"


def _budget(budget: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['used']} of {each['limit']} in {each['seconds']:g} s" for each in budget) or "none"
