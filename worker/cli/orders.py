"""The commands that put an order or a test event on the bus, and the reading of an order from a file."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import typer

from schemas.events import TEST_SOURCE, TEST_SUBJECT, EventType
from schemas.status import DeliveryStatus
from worker.cli.base import RUN, Json, app, complain, fail, open_container, report, write_text

if TYPE_CHECKING:
    from schemas.messages import Message
    from worker.container import Container

CANNOT_BE_FETCHED = (
    "the message only names an order, which a worker fetches from the platform. ORDER_SYNC_ORDERING__BASE_URL is not "
    "set here; if the workers lack it, too, the message becomes a dead letter"
)
Kind = typer.Option(EventType.STATUS_CHANGED, "--type", help="The type of the event.")
Status = typer.Option(None, help="The status of the delivery; by default that of a sample.")
Source = typer.Option("platform", help="The platform of the order.")


@app.command(rich_help_panel=RUN)
def place(
    file: str = typer.Argument(help="A CloudEvent or an order as JSON; - reads standard input."),
    *,
    as_json: bool = Json,
) -> None:
    """Put an order on the bus."""
    from schemas.messages import OrderRef

    found, services = message_in(file), open_container()
    message = parse(found, file, services)  # a fault is reported here, before the message can become a dead letter
    entry = services.bus.add_order(json.dumps(found, ensure_ascii=False))
    report(entry, {"entry": entry, "message_id": found.get("id")}, as_json=as_json)
    if isinstance(message.data, OrderRef) and not services.settings.ordering.base_url:
        complain(CANNOT_BE_FETCHED)


@app.command(rich_help_panel=RUN)
def send_test_event(
    *,
    kind: EventType = Kind,
    status: DeliveryStatus | None = Status,
    source: str = Source,
    as_json: bool = Json,
) -> None:
    """Send a test event to every subscriber, about an order `test` that does not exist."""
    if status is not None and not kind.startswith("delivery."):
        fail(f"an event {kind} has no status")
    identity = open_container().sample_events.send(kind, status, source)
    about = {"id": identity, "type": kind, "source": TEST_SOURCE, "subject": TEST_SUBJECT}
    report(f"{identity} {kind} from {TEST_SOURCE}", about, as_json=as_json)


@app.command("sample-order", rich_help_panel=RUN)
def write_sample_order(
    *,
    order_id: str = typer.Option("2011", "--id", help="The order's id; each id is one order."),
    store: str = typer.Option("17", help="A store of the sample stores.toml: 17, 21 or 34."),
    notes: str = typer.Option("", help="The customer's notes; at the sandbox, sandbox:SCRIPT chooses what happens."),
) -> None:
    """Write a sample order, for `order-sync place -`, or for a file to send from your platform."""
    from worker.local.demo.orders import CUSTOMERS, sample_order

    if store not in CUSTOMERS:
        fail(f"there is no sample customer near the store {store}, only near {', '.join(CUSTOMERS)}", 2)
    write_text(json.dumps(sample_order(order_id, store, notes), indent=2, ensure_ascii=False))


def message_in(file: str) -> dict[str, Any]:
    """Return the CloudEvent in a file. If the file has an order instead, wrap the order in a CloudEvent.

    End the command with an error if the file is no JSON object.
    """
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        fail(f"{_source(file)} is not JSON: {error}")
    if not isinstance(document, dict):
        fail(f"{_source(file)} is not a JSON object")
    if "specversion" in document:
        return document
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "platform",
        "type": "order.placed",
        "data": document,
    }


def parse(document: dict[str, Any], file: str, services: "Container") -> "Message":
    """Parse a message as the worker does. If it cannot be read, end the command and show the fault."""
    from schemas.json_reader import MalformedError
    from schemas.messages import read_message

    try:
        return read_message(document, services.settings.ordering.project)
    except MalformedError as error:
        fail(f"{_source(file)} is no order: {error}")


def _source(file: str) -> str:
    return "standard input" if file == "-" else file
