"""Commands about accounts: show their state, pause and resume an account, and map carrier statuses."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from schemas.status import DeliveryStatus
from worker.cli.base import (
    LOOK,
    By,
    Json,
    Why,
    Yes,
    age,
    app,
    confirm,
    console,
    fail,
    open_container,
    operator,
    report,
    table,
    when,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.container import Container
    from worker.database.accounts import Pause
    from worker.http.account import ApiAccount

carriers = typer.Typer(
    help="Accounts: their state, pausing one, and mapping its statuses.", invoke_without_command=True
)
app.add_typer(carriers, name="carriers", rich_help_panel=LOOK)
Published = typer.Option("", "--reason", help="Recorded, published with the event and shown by `carriers`.")
ENDS = frozenset({DeliveryStatus.CANCELLED, DeliveryStatus.REJECTED, DeliveryStatus.FAILED})
"""Ends of an attempt after which another carrier may be asked."""
UNKNOWN = "unknown (Redis is unavailable)"
MEANINGS = tuple(each.value for each in DeliveryStatus if each not in {"queued", "submit_unknown"})
"""Our statuses to which a carrier status can be mapped: all except `queued` and `submit_unknown`.

These two describe our own work, not what a carrier reports.
"""


@carriers.callback()
def list_carriers(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the accounts, with pauses, circuit breakers, rate limits, unmapped and mapped statuses."""
    if context.invoked_subcommand is not None:
        return
    from worker.database import accounts

    services = open_container()
    read = services.database.read
    paused, unmapped, mapped = read(accounts.paused), read(accounts.unmapped_statuses), read(accounts.status_mappings)
    rows = table("account", "kind", "calls", "breakers", "budget", "statuses")
    for name, account in sorted(services.api_accounts.items()):
        row = _row(services, account, paused) | _statuses(unmapped.get(name, []), mapped.get(name, {}))
        if as_json:
            write_json(row)
        else:
            rows.add_row(*_cells(row, paused, services.clock()))
    if not as_json:
        console.print(rows, soft_wrap=False)


@carriers.command("pause")
def pause(name: str, *, by: str = By, reason: str = Published, as_json: bool = Json) -> None:
    """Stop calling an account until `carriers resume`."""
    services = _with_account(name)
    if not services.operations.pause(name, operator(by, reason)):
        fail(f"{name} is already paused")
    report(f"{name}: paused", {"carrier": name, "paused": True}, as_json=as_json)


@carriers.command("resume")
def resume(name: str, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Resume a paused account, even if it was paused because the carrier rejected our credentials."""
    services = _with_account(name)
    if not services.operations.resume(name, operator(by, reason)):
        fail(f"{name} is not paused")
    report(f"{name}: resumed", {"carrier": name, "paused": False}, as_json=as_json)


@carriers.command("hold")
def hold(*, by: str = By, reason: str = Published, as_json: bool = Json) -> None:
    """Send no creates to any account until `carriers release`; reads, cancels and callbacks go on."""
    if not open_container().operations.hold(operator(by, reason)):
        fail("creates are already held")
    report("creates are held", {"creates_held": True}, as_json=as_json)


@carriers.command("release")
def release(*, by: str = By, reason: str = Why, yes: bool = Yes, as_json: bool = Json) -> None:
    """Send creates again. If the database has lost commits, look for lost couriers first."""
    from worker.database import accounts

    services = open_container()
    held = services.database.read(accounts.paused).get(accounts.EVERY_ACCOUNT)
    if held is not None and held.by == "database":
        confirm("If the database has lost a create, a second courier will come for its order.", yes=yes)
    if not services.operations.release(operator(by, reason)):
        fail("creates are not held")
    report("creates are sent again", {"creates_held": False}, as_json=as_json)


@carriers.command("map")
def map_status(
    name: str,
    raw: str = typer.Argument(help="The status as `carriers` shows it: its entity, a colon, its code."),
    status: str = typer.Argument("", help="The status of ours that the word means."),
    *,
    remove: bool = typer.Option(False, "--remove", help="Remove the mapping."),
    by: str = By,
    reason: str = Why,
    yes: bool = Yes,
    as_json: bool = Json,
) -> None:
    """Map a carrier status to one of ours, and apply the mapping to deliveries that now have that carrier status."""
    services = _with_account(name)
    if bool(status) is remove:
        fail("give one of our statuses or --remove", 2)
    if remove:
        if not services.operations.remove_mapping(name, raw, operator(by, reason)):
            fail(f"{name}: {raw} is not mapped")
        report(f"{name}: {raw} is no longer mapped", {"carrier": name, "status": raw, "mapped": None}, as_json=as_json)
        return
    meaning = _parse_mapping(raw, status)
    if meaning in ENDS:
        confirm(f"Deliveries with {raw} end as {meaning}, and another courier may be requested for them.", yes=yes)
    changed = services.decisions.map_status(name, raw, meaning, operator(by, reason))
    document = {"carrier": name, "status": raw, "mapped": meaning.value, "changed": len(changed)}
    report(f"{name}: {raw} is mapped to {meaning}; deliveries changed: {len(changed)}", document, as_json=as_json)


def _parse_mapping(raw: str, status: str) -> DeliveryStatus:
    if not all(raw.partition(":")):
        fail(f"{raw} is not a carrier status: write it as `order-sync carriers` does, such as order:6", 2)
    if status not in MEANINGS:
        fail(f"{status} is not a status that a carrier can report; these are: {', '.join(MEANINGS)}", 2)
    return DeliveryStatus(status)


def _with_account(name: str) -> "Container":
    services = open_container()
    if name not in services.api_accounts:
        fail(f"there is no account {name}; the accounts are: {', '.join(sorted(services.api_accounts)) or 'none'}")
    return services


def _row(services: "Container", account: "ApiAccount", paused: "Mapping[str, Pause]") -> dict[str, Any]:
    from worker.database.accounts import EVERY_ACCOUNT

    breakers = services.breaker.statuses(account.name)
    used = services.rate_limiter.used(account.name, account.rate)
    return {
        "carrier": account.name,
        "kind": account.kind,
        "paused": _pause(paused.get(account.name)),
        "creates_held": _pause(paused.get(EVERY_ACCOUNT)),
        "breakers": breakers
        and {kind.value: {"state": each.state.value, "wait": round(each.wait)} for kind, each in breakers.items()},
        "budget": None
        if used is None
        else [{"limit": each.limit, "seconds": each.seconds, "used": count} for each, count in used.items()],
    }


def _pause(pause: "Pause | None") -> dict[str, Any] | None:
    return {**asdict(pause), "since": when(pause.since)} if pause else None


def _statuses(unmapped: list[str], mapped: "Mapping[str, DeliveryStatus]") -> dict[str, Any]:
    return {
        "unknown_words": [each for each in unmapped if each not in mapped],
        "explained_words": {each: status.value for each, status in mapped.items()},
    }


def _cells(row: dict[str, Any], paused: "Mapping[str, Pause]", now: datetime) -> list[str]:
    """Return a row of the table."""
    from worker.database.accounts import EVERY_ACCOUNT

    pause, held = paused.get(row["carrier"]), paused.get(EVERY_ACCOUNT)
    calls = [
        f"paused by {pause.by} for {age(pause.since, now)}: {pause.because}" if pause else "active",
        f"creates held by {held.by} for {age(held.since, now)}: {held.because}" if held else "",
    ]
    mapped = ", ".join(f"{raw} = {status}" for raw, status in row["explained_words"].items())
    statuses = [
        f"unmapped {', '.join(row['unknown_words'])}" if row["unknown_words"] else "",
        f"mapped {mapped}" if mapped else "",
    ]
    return [
        row["carrier"],
        row["kind"],
        "; ".join(filter(None, calls)),
        UNKNOWN if row["breakers"] is None else _breakers(row["breakers"]),
        UNKNOWN if row["budget"] is None else _budget(row["budget"]),
        "; ".join(filter(None, statuses)),
    ]


def _breakers(breakers: dict[str, dict[str, Any]]) -> str:
    texts = [f"{kind} {each['state']} {each['wait']} s" for kind, each in breakers.items() if each["state"] != "closed"]
    return ", ".join(texts) or "closed"


def _budget(budget: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['used']} of {each['limit']} in {each['seconds']:g} s" for each in budget) or "none"
