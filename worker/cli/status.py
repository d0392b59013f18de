"""The command that shows whether anything is wrong."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.base import LOOK, Json, age, app, console, open_container, time_left, write_json
from worker.wording import counted

if TYPE_CHECKING:
    from worker.database.subscribers import SubscriberState
    from worker.domain.trouble import Action, CarrierQuestion, Trouble
    from worker.services.system_health import StoredState, SystemState

ORDERS_LISTED = 5
"""The most orders of a trouble that are named on the screen. `--json` names more."""
UNKNOWN = "unknown"
ARGUMENTS = {
    "retry": "{order}",
    "cancel": "{order}",
    "refresh": "{order}",
    "accept": "{order}",
    "deny": "{order}",
    "attended": "{order}",
    "carriers pause": "{account}",
    "carriers resume": "{account}",
    "carriers map": "{account} {subject} STATUS",
    "stores load": "FILE",
    "dead-letters replay": "{letter}",
    "dead-letters discard": "{letter}",
}
"""The arguments of the commands."""


@app.command(rich_help_panel=LOOK)
def status(*, as_json: bool = Json) -> None:
    """Show on one screen whether anything is wrong. The exit code is 1 when something needs an operator."""
    services = open_container()
    state = services.system_health.measure()
    troubles = services.troubles.find(state)
    if as_json:
        write_json({"at": state.at, **_parts(state), "troubles": [_document(each) for each in troubles]})
    else:
        for name, value in _lines(state):
            console.print(f"{name:13}", value)
        console.print()
        for each in troubles:
            _print(each, state.at)
        console.print(_summary(troubles), style="yellow" if troubles else "green")
    raise typer.Exit(1 if troubles else 0)


def _summary(troubles: "list[Trouble]") -> str:
    if not troubles:
        return "Nothing is wrong."
    return f"{counted(len(troubles), 'thing needs', 'things need')} an operator."


# --- the parts of the system ------------------------------------------------------------------------------------------


def _parts(state: "SystemState") -> dict[str, Any]:
    stored, overdue = state.stored, state.overdue
    return {
        "database": stored is not None,
        "bus": state.lags is not None,
        "workers": state.running_workers,
        "vanished_workers": state.vanished_workers,
        "last_sweep": stored and stored.last_sweep and asdict(stored.last_sweep),
        "oldest_overdue": overdue and asdict(overdue),
        "outbox": stored and asdict(stored.unpublished),
        "streams": None
        if state.lags is None
        else [
            {"stream": stream, "group": group, "lag_seconds": round(lag)} for (stream, group), lag in state.lags.items()
        ],
        "dead_letters": stored and sum(each.count for each in stored.dead_letters),
        "subscribers": stored and [_subscriber(each, state.at) for each in stored.subscribers],
    }


def _subscriber(state: "SubscriberState", now: datetime) -> dict[str, Any]:
    since = state.waiting_since
    return {
        "id": state.subscriber.id,
        "lag_seconds": round((now - since).total_seconds()) if since else 0,
        "blocked": state.blocked,
        "disabled": state.subscriber.disabled_at is not None,
    }


def _lines(state: "SystemState") -> Iterator[tuple[str, str]]:
    stored, now = state.stored, state.at
    if stored is None:
        yield "database", "does not answer"
    else:
        yield from _stored_lines(state, stored)
    if state.lags is None:
        yield "streams", f"{UNKNOWN} ({state.bus_server} is unavailable)"
    for (stream, group), lag in (state.lags or {}).items():
        yield "stream", f"{stream}, group {group}: {f'behind by {lag:.0f} s' if lag else 'up to date'}"
    for each in stored.subscribers if stored else ():
        yield "webhooks", f"{each.subscriber.id}: {subscriber_state(each, now)}"
    yield "time", f"{now:%Y-%m-%d %H:%M:%S} UTC"


def _stored_lines(state: "SystemState", stored: "StoredState") -> Iterator[tuple[str, str]]:
    now, sweep, overdue, outbox = state.at, stored.last_sweep, state.overdue, stored.unpublished
    running = state.running_workers
    vanished = [f"{name} vanished {age(seen_at, now)} ago" for name, seen_at in state.vanished_workers.items()]
    yield "workers", "; ".join([f"{len(running)} running ({', '.join(running)})" if running else "none", *vanished])
    yield "beat", "unknown" if sweep is None else "sends sweeps" if sweep.by_beat else "away: the workers sweep"
    yield "last sweep", f"{age(sweep.at, now)} ago" if sweep else "never"
    place = f"{overdue.step.value} at {overdue.carrier or 'no carrier'}" if overdue else ""
    yield "due", f"{place} for {age(overdue.at, now)}" if overdue else "nothing"
    yield "outbox", f"{outbox.count} unpublished for {age(outbox.oldest, now)}" if outbox.oldest else "empty"
    yield "dead letters", str(sum(each.count for each in stored.dead_letters) or "none")


def subscriber_state(state: "SubscriberState", now: datetime) -> str:
    """Return how far a subscriber over HTTP is, in a few words."""
    subscriber, since = state.subscriber, state.waiting_since
    if subscriber.disabled_at is not None:
        return f"disabled {age(subscriber.disabled_at, now)} ago ({subscriber.disabled_because or 'by an operator'})"
    behind = f"behind by {age(since, now)}" if since else "up to date"
    return f"{behind}, {counted(state.blocked, 'delivery', 'deliveries')} blocked" if state.blocked else behind


# --- the troubles -----------------------------------------------------------------------------------------------------


def _document(trouble: "Trouble") -> dict[str, Any]:
    return {**asdict(trouble), "commands": list(commands(trouble))}


def _print(trouble: "Trouble", now: datetime) -> None:
    facts = [
        trouble.severity.replace("_", " "),
        counted(trouble.count, "order", "orders") if trouble.count else "",
        f"deadline {time_left(trouble.deadline, now)}" if trouble.deadline else "",
        f"since {age(trouble.since, now)}" if trouble.since else "",
    ]
    console.print(trouble.title, style="bold red" if trouble.count else "bold yellow")
    console.print(f"  {', '.join(filter(None, facts))}")
    console.print(f"  {trouble.explanation}")
    if trouble.orders:
        named = ", ".join(each.order_id for each in trouble.orders[:ORDERS_LISTED])
        console.print(f"  orders: {named}{', ...' if trouble.count > ORDERS_LISTED else ''}")
    for question in trouble.questions[:ORDERS_LISTED]:
        console.print(f"  ask {question.account}: {question.question} ({_recognised_by(question)})")
    for command in commands(trouble):
        console.print(f"  {command}")
    console.print()


def _recognised_by(question: "CarrierQuestion") -> str:
    """Return how a carrier can recognise an order, whatever its screen shows."""
    return f"number {question.our_id}, {question.our_tag}, {question.amount} {question.currency}"


def commands(trouble: "Trouble") -> Iterator[str]:
    """Yield the commands that an operator may use about a trouble."""
    names = {
        "order": quote(trouble.orders[0].order_id) if trouble.count == 1 and trouble.orders else "ID",
        "account": quote(trouble.account or "NAME"),
        "subject": quote(trouble.subject or "RAW"),
        "letter": trouble.letter_id or "ID",
    }
    if trouble.letter_id:
        yield f"order-sync dead-letters correct {trouble.letter_id} FILE"
    for action in trouble.actions:
        yield f"order-sync {_command(action, names)}"


def _command(action: "Action", names: dict[str, str]) -> str:
    if action.startswith("resolve "):
        outcome = action.removeprefix("resolve ")
        return f"resolve {names['order']} {outcome}{' REF' if outcome == 'exists' else ''}"
    return f"{action} {ARGUMENTS.get(action, '').format(**names)}".rstrip()
