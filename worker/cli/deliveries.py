"""Commands that place orders, look at deliveries and settle what a machine must not decide."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import typer

from schemas.status import Cause
from worker.cli.base import Json, app, console, fail, house, when, write_json

if TYPE_CHECKING:
    from worker.delivery import Attempt, Change, Delivery
    from worker.store.accounts import Pause
    from worker.wiring import House

FOLLOW_SECONDS = 0.5
COLUMNS = {
    "order": "order_id",
    "status": "status",
    "detail": "detail",
    "attention": "attention",
    "carrier": "carrier",
    "ref": "carrier_ref",
    "next": "next_step",
    "at": "next_run_at",
}


@app.command()
def place(file: str = typer.Argument(help="A CloudEvent or an order as JSON; - reads standard input.")) -> None:
    """Put an order on the bus."""
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        fail(f"{file} is not JSON: {error}")
    if not isinstance(document, dict):
        fail(f"{file} holds no JSON object")
    if "specversion" not in document:
        document = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "platform",
            "type": "order.placed",
            "data": document,
        }
    console.print(house().bus.place(json.dumps(document, ensure_ascii=False)))


@app.command("deliveries")
def list_deliveries(
    *,
    limit: int = typer.Option(50, min=1),
    unfinished: bool = typer.Option(False, "--open", help="Only those that are not over, or wait for a person."),
    as_json: bool = Json,
) -> None:
    """List deliveries, newest first."""
    found = house().store.recent(limit, unfinished=unfinished)
    if as_json:
        for each in found:
            write_json(_summary(each))
        return
    from rich.table import Table

    table = Table(box=None)
    for heading in COLUMNS:
        table.add_column(heading, overflow="fold")  # what is cut off can be neither read nor searched for
    for each in found:
        row = _summary(each)
        table.add_row(*(str(row[name] or "") for name in COLUMNS.values()))
    console.print(table, soft_wrap=False)


def _summary(delivery: "Delivery") -> dict[str, Any]:
    attempt = delivery.active or (delivery.attempts[-1] if delivery.attempts else None)
    return {
        "delivery_id": delivery.id,
        "order_id": delivery.order.order_id,
        "store_id": delivery.order.store_id,
        "status": delivery.status.value,
        "detail": delivery.detail,
        "reason": delivery.reason,
        "carrier": attempt.carrier if attempt else delivery.carrier,
        "carrier_ref": attempt.ref if attempt else None,
        "next_step": delivery.step,
        "next_run_at": when(delivery.next_run_at),
        "attention": delivery.attention,
    }


@app.command()
def show(name: str = typer.Argument(metavar="ID"), *, as_json: bool = Json) -> None:
    """Show one delivery: its attempts and everything that was told of it."""
    made = house()
    delivery = _one(made, name)
    told = [json.loads(body) for _, body in made.store.events(keys=[delivery.id])]
    about = _summary(delivery)
    about |= _held(delivery, made.store.paused().get(about["carrier"]))
    attempts = [_attempt(attempt) for attempt in delivery.attempts]
    if as_json:
        write_json({**about, "attempts": attempts, "events": told})
        return
    for key, value in about.items():
        console.print(f"{key:14}", "" if value is None else str(value))
    for attempt in attempts:
        console.print("attempt", *(f"{key}={value}" for key, value in attempt.items() if value))
    for event in told:
        data = event["data"]
        why = (data[key] for key in ("detail", "reason", "reason_text") if data[key])
        console.print(f"{event['sequence']:>3} {event['time']} {event['type']} {data['status']}", *why)


def _held(delivery: "Delivery", pause: "Pause | None") -> dict[str, Any]:
    """Tell what else decides how it goes on: why it stands as it does, a wish to cancel, an account that is paused."""
    return {
        "reason_text": delivery.reason_text,
        "cancel_wish": delivery.cancel.cancelled_by if delivery.cancel else None,
        "paused": f"by {pause.by} since {when(pause.since)}: {pause.because}" if pause else None,
    }


def _attempt(attempt: "Attempt") -> dict[str, Any]:
    from worker.carriers.port import tag_of

    return {
        "number": attempt.number,
        "carrier": attempt.carrier,
        "state": attempt.state,
        "ref": attempt.ref,
        # How its carrier's own screen names it: one of the two, whichever the carrier takes.
        "our_id": attempt.id,
        "our_tag": tag_of(attempt.id),
        "surplus": attempt.surplus,
        "cancel": _cancelling(attempt),
        "submitted_at": when(attempt.submitted_at),
        "ended_at": when(attempt.ended_at),
        "reason": attempt.reason,
        "reason_text": attempt.reason_text,
        "last_error": attempt.last_error,
    }


def _cancelling(attempt: "Attempt") -> str | None:
    if attempt.cancel_refused:
        return "refused"
    if attempt.cancel_taken:
        return "taken"
    return "asked" if attempt.cancelling else None


@app.command()
def cancel(
    name: str = typer.Argument(metavar="ID"),
    *,
    reason: str = typer.Option("", help="Kept with the wish."),
    allow_paid: bool = typer.Option(False, "--allow-paid", help="Also where the carrier charges for it."),
) -> None:
    """Ask for a delivery to be cancelled; events tell how that ends."""
    from schemas.orders import Cancellation
    from worker import lifecycle

    made = house()
    delivery = _one(made, name)
    wish = Cancellation(order_id=delivery.order.order_id, reason=reason, allow_paid=allow_paid)
    _decide(made, delivery, lambda each: lifecycle.ask_cancel(each, wish, made.rules, made.now(), Cause.OPERATOR))


@app.command()
def refresh(name: str = typer.Argument(metavar="ID")) -> None:
    """Read a delivery's status at its carrier now, be it over or not."""
    from worker import lifecycle

    made = house()

    def decide(delivery: "Delivery") -> "Change | None":
        attempt = delivery.active or delivery.on_turn or (delivery.attempts[-1] if delivery.attempts else None)
        return lifecycle.look_now(delivery, made.rules, made.now(), attempt.id) if attempt else None

    _decide(made, _one(made, name), decide)


@app.command()
def resolve(
    name: str = typer.Argument(metavar="ID"),
    outcome: str = typer.Argument(help="exists (with the carrier's reference) or absent"),
    ref: str = typer.Argument("", metavar="[REF]"),
) -> None:
    """Settle a create whose outcome nobody knows: it exists at the carrier, or it does not."""
    if outcome not in {"exists", "absent"} or (outcome == "exists") != bool(ref):
        fail("say `resolve ID exists REF` or `resolve ID absent`", code=2)
    from worker import lifecycle

    made = house()
    _decide(made, _one(made, name), lambda each: lifecycle.resolve(each, ref or None, made.rules, made.now()))


@app.command()
def attended(name: str = typer.Argument(metavar="ID")) -> None:
    """Take a delivery off the list of those that wait for a person: what it asked for is done."""
    from worker import lifecycle

    made = house()
    _decide(made, _one(made, name), lambda each: lifecycle.attended(each, made.rules, made.now()))


def _one(made: "House", name: str) -> "Delivery":
    found = made.store.find(name)
    if not found:
        fail(f"there is no delivery {name}")
    if len(found) > 1:
        fail(f"{name} is the order of several platforms; use one of {', '.join(each.id for each in found)}")
    return found[0]


def _decide(made: "House", delivery: "Delivery", decide: "Callable[[Delivery], Change | None]") -> None:
    changed = made.store.update([delivery.id], decide)
    if not changed:
        fail(f"nothing to do: the delivery is {delivery.status.value}, its next step is {delivery.step or 'none'}")
    from worker import hints
    from worker.app import app as _hints_go_through  # noqa: F401

    hints.after(changed, made.now())
    now = changed[0]
    wished = "a cancel is wished" if now.cancel and not now.final else ""
    console.print(" ".join(filter(None, (f"{now.order.order_id}: {now.status.value}", now.detail, wished))))


@app.command()
def events(
    *,
    follow: bool = typer.Option(False, "--follow", help="Go on as new events are told."),
    order: str = typer.Option("", help="Only those of one order."),
    since: int = typer.Option(0, help="From this position of the outbox on."),
) -> None:
    """Write events as they were told, one JSON document a line, from the database."""
    made = house()
    position = since
    while True:
        told = made.store.events(keys=made.store.keys(order) if order else None, after=position)
        for position, body in told:  # noqa: B007 - the last position is where to go on
            print(body, flush=True)  # noqa: T201 - rich would wrap it
        if told:
            continue
        if not follow:
            return
        time.sleep(FOLLOW_SECONDS)
