"""Commands about carrier accounts: their state, pausing one by hand, and mapping unknown statuses."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from schemas.status import DeliveryStatus
from worker.cli.base import LOOK, Json, app, console, fail, open_container, when, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.container import Container
    from worker.database.accounts import Pause
    from worker.http.account import ApiAccount

carriers = typer.Typer(help="Carrier accounts: their state, and pausing one.", invoke_without_command=True)
app.add_typer(carriers, name="carriers", rich_help_panel=LOOK)
UNKNOWN = "unknown (Redis is away)"
MEANINGS = tuple(each.value for each in DeliveryStatus if each not in {"queued", "submit_unknown"})
"""What a carrier status may mean."""


@carriers.callback()
def list_carriers(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the accounts and the platform: pauses, breakers, rate limits, unmapped and mapped statuses."""
    if context.invoked_subcommand is not None:
        return
    from worker.database import accounts

    services = open_container()
    read = services.database.read
    paused, unmapped, mapped = read(accounts.paused), read(accounts.unmapped_statuses), read(accounts.status_mappings)
    for name, account in sorted(services.api_accounts.items()):
        row = _row(services, account, paused.get(name)) | _statuses(unmapped.get(name, []), mapped.get(name, {}))
        if as_json:
            write_json(row)
        else:
            console.print(_line(row))


@carriers.command("pause")
def pause(
    name: str, *, reason: str = typer.Option("", help="Published with the event, and shown in the list.")
) -> None:
    """Stop calling an account until `carriers resume`; its orders wait."""
    from worker.database import accounts

    services = _with_account(name)
    if not services.database.write(accounts.pause, name, "operator", reason, services.clock()):
        fail(f"{name} is paused already")
    console.print(f"{name}: paused")


@carriers.command("resume")
def resume(name: str) -> None:
    """Resume a paused account, also one that shut us out."""
    from worker.database import accounts

    services = _with_account(name)
    if not services.database.write(accounts.resume, name, "operator", services.clock()):
        fail(f"{name} is not paused")
    console.print(f"{name}: resumed")


@carriers.command("map")
def map_status(
    name: str,
    raw: str = typer.Argument(help="The status as `carriers` shows it: its entity, a colon, its code."),
    status: str = typer.Argument("", help="What it means: one of our statuses."),
    *,
    remove: bool = typer.Option(False, "--remove", help="Remove its meaning."),
) -> None:
    """Say what an unmapped carrier status means, from now on and for the deliveries that have it now."""
    services = _with_account(name)
    if bool(status) is remove:
        fail("say what the status means, or --remove", 2)
    if remove:
        _remove_mapping(services, name, raw)
        return
    meaning = _meaning(raw, status)
    changed = services.decisions.map_status(name, raw, meaning)
    console.print(f"{name}: {raw} means {meaning}, deliveries changed: {len(changed)}")


def _remove_mapping(services: "Container", name: str, raw: str) -> None:
    from worker.database import accounts

    if not services.database.write(accounts.drop_mapping, name, raw):
        fail(f"{name}: {raw} has no meaning")
    console.print(f"{name}: {raw} means nothing any more")


def _meaning(raw: str, status: str) -> DeliveryStatus:
    if not all(raw.partition(":")):
        fail(f"{raw} is no carrier status: write it as `order-sync carriers` shows it, such as order:6", 2)
    if status not in MEANINGS:
        fail(f"{status} is no status that a carrier can report; there are {', '.join(MEANINGS)}", 2)
    return DeliveryStatus(status)


def _with_account(name: str) -> "Container":
    services = open_container()
    if name not in services.api_accounts:
        fail(f"there is no account {name}; there are {', '.join(sorted(services.api_accounts)) or 'none'}")
    return services


def _row(services: "Container", account: "ApiAccount", paused: "Pause | None") -> dict[str, Any]:
    states = services.breaker.statuses(account.name)
    used = services.rate_limiter.used(account.name, account.rate)
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


def _statuses(unmapped: list[str], mapped: "Mapping[str, DeliveryStatus]") -> dict[str, Any]:
    return {
        "unknown_words": [each for each in unmapped if each not in mapped],
        "explained_words": {each: status.value for each, status in mapped.items()},
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
