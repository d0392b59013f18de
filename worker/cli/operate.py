"""Commands that look at deliveries and settle what a machine must not decide."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import typer

from schemas.status import Cause
from worker.cli.base import Json, app, console, fail, house, write_json

if TYPE_CHECKING:
    from worker.delivery import Change, Delivery
    from worker.wiring import House

FOLLOW_SECONDS = 0.5
LETTERS = 10_000
stores = typer.Typer(help="The store directory.", no_args_is_help=True)
letters = typer.Typer(help="Messages that could not be read.", invoke_without_command=True)
app.add_typer(stores, name="stores")
app.add_typer(letters, name="dead-letters")


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
        "next_run_at": _when(delivery.next_run_at),
        "attention": delivery.attention,
    }


def _when(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


@app.command()
def show(name: str = typer.Argument(metavar="ID"), *, as_json: bool = Json) -> None:
    """Show one delivery: its attempts and everything that was told of it."""
    made = house()
    delivery = _one(made, name)
    told = [json.loads(body) for _, body in made.store.events(order_id=delivery.order.order_id)]
    told = [event for event in told if event["partitionkey"] == delivery.id]
    attempts = [
        {
            "number": attempt.number,
            "carrier": attempt.carrier,
            "state": attempt.state,
            "ref": attempt.ref,
            "submitted_at": _when(attempt.submitted_at),
            "ended_at": _when(attempt.ended_at),
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
        told = made.store.events(order_id=order or None, after=position)
        for position, body in told:  # noqa: B007 - the last position is where to go on
            print(body, flush=True)  # noqa: T201 - rich would wrap it
        if told:
            continue
        if not follow:
            return
        time.sleep(FOLLOW_SECONDS)


@letters.callback()
def list_letters(context: typer.Context, *, as_json: bool = Json) -> None:
    """List the dead letters that wait for somebody."""
    if context.invoked_subcommand is not None:
        return
    for letter in house().store.dead_letters(200):
        if as_json:
            write_json({"id": letter["id"], "received_at": letter["received_at"], "reason": letter["reason"]})
        else:
            console.print(letter["id"], _when(letter["received_at"]), letter["reason"])


@letters.command("show")
def show_letter(letter_id: str) -> None:
    """Write a dead letter as it came."""
    sys.stdout.buffer.write(_letter(house(), letter_id) + b"\n")


@letters.command("replay")
def replay_letter(letter_id: str) -> None:
    """Put a dead letter on the bus again, for example once its store or schema is mended."""
    made = house()
    placed = made.bus.place(_letter(made, letter_id))
    made.store.settle_dead_letter(letter_id, made.now())  # afterwards: a letter must not be lost between the two
    console.print(placed)


@letters.command("discard")
def discard_letter(letter_id: str) -> None:
    """Take a dead letter off the list."""
    made = house()
    _letter(made, letter_id)
    made.store.settle_dead_letter(letter_id, made.now())


def _letter(made: "House", letter_id: str) -> bytes:
    found = [each for each in made.store.dead_letters(LETTERS) if each["id"] == letter_id]
    if not found:
        fail(f"there is no dead letter {letter_id}")
    return bytes(found[0]["raw"])


@stores.command("load")
def load_stores(file: Path) -> None:
    """Load a store directory into the database, and let the orders that wait for one go."""
    from worker.settings import read_stores

    made = house()
    shops = read_stores(file)
    waiting = made.store.put_shops(shops, made.now())
    console.print(f"{len(shops)} stores loaded, {waiting} waiting orders let go")


@stores.command("list")
def list_stores(*, as_json: bool = Json) -> None:
    """List the store directory: the file, overlaid with the database."""
    made = house()
    for key, shop in sorted({**made.file_shops, **made.store.shops()}.items()):
        if as_json:
            write_json(shop.model_dump(mode="json"))
        else:
            console.print(key, shop.name, shop.city, ", ".join(shop.carriers))
