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
    from worker.delivery import Change, Delivery
    from worker.wiring import House

FOLLOW_SECONDS = 0.5


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
    unfinished: bool = typer.Option(False, "--open", help="Only those that are not over."),
    as_json: bool = Json,
) -> None:
    """List deliveries, newest first."""
    found = house().store.recent(limit, unfinished=unfinished)
    if as_json:
        for each in found:
            write_json(_summary(each))
        return
    from rich.table import Table

    table = Table()
    for heading in ("order", "status", "detail", "carrier", "ref", "next", "at", "attention"):
        table.add_column(heading)
    for each in found:
        table.add_row(*(str(value or "") for value in _columns(each)))
    console.print(table)


def _columns(delivery: "Delivery") -> list[Any]:
    row = _summary(delivery)
    names = ("order_id", "status", "detail", "carrier", "carrier_ref", "next_step", "next_run_at", "attention")
    return [row[name] for name in names]


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
    attempts = [
        {
            "number": attempt.number,
            "carrier": attempt.carrier,
            "state": attempt.state,
            "ref": attempt.ref,
            "submitted_at": when(attempt.submitted_at),
            "ended_at": when(attempt.ended_at),
            "reason": attempt.reason,
            "last_error": attempt.last_error,
        }
        for attempt in delivery.attempts
    ]
    if as_json:
        write_json({**_summary(delivery), "attempts": attempts, "events": told})
        return
    for key, value in _summary(delivery).items():
        console.print(f"{key:14}", "" if value is None else str(value))
    for attempt in attempts:
        console.print("attempt", *(f"{key}={value}" for key, value in attempt.items() if value is not None))
    for event in told:
        data = event["data"]
        console.print(f"{event['sequence']:>3} {event['time']} {event['type']} {data['status']}", data["detail"] or "")


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
    """Read a delivery's status at its carrier now."""
    from worker import lifecycle

    made = house()
    _decide(made, _one(made, name), lambda each: lifecycle.look_now(each, made.rules, made.now()))


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
        fail(f"nothing to do: the delivery is {delivery.status.value}, its next step is {delivery.step}")
    from worker import hints
    from worker.app import app as _hints_go_through  # noqa: F401

    hints.after(changed, made.now())
    console.print(f"{changed[0].order.order_id}: {changed[0].status.value}", changed[0].detail or "")


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
