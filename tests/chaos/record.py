"""The record of a run: what the carriers, the platform, the database, the bus and the logs say at its end."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.chaos.faults import STEP_AHEAD, Fault
from tests.chaos.history import History
from tests.chaos.load import CUSTOMER, STREET
from tests.chaos.processes import SECRETS
from worker.local.demo.orders import CUSTOMERS

if TYPE_CHECKING:
    from tests.chaos.environment import Run

DELIVERY_FIELDS = (
    "id", "order_id", "store_id", "status", "detail", "attention_reasons", "step", "sequence", "dispatch_at"
)  # fmt: skip
ATTEMPT_FIELDS = (
    "id", "delivery_id", "number", "carrier", "state", "ref", "submitted_at", "ended_at", "surplus", "awaiting_operator"
)  # fmt: skip
CALLBACK_FIELDS = ("carrier", "received_at", "result")
EVENT_FIELDS = ("key", "sequence")


def record(run: "Run") -> History:
    """Return the record of a run."""
    run.subscriber.read()
    attempts, deliveries = (
        [{**json.loads(row["document"]), **row} for row in run.rows(table)] for table in ("attempt", "delivery")
    )
    orders_of = {row["delivery_id"]: json.loads(row["order"]) for row in run.rows("placed_order")}
    places = {row["position"]: row["stream_id"] for row in run.rows("publication")}
    changes = _changes(run.rows("message"))
    tokens = [row["token"] for row in attempts]
    personal = [text for each in CUSTOMERS.values() for text in (each.phone, each.name)]
    ledger, orders = run.sandbox.ledger(), run.sandbox.orders()
    return History(
        ledger=[each for each in ledger if each["carrier"] != "ordering"],
        couriers=[each for each in orders if each["carrier"] != "ordering"],
        platform_ledger=[each for each in ledger if each["carrier"] == "ordering"],
        platform_orders=[each for each in orders if each["carrier"] == "ordering"],
        notes=run.sandbox.notes(),
        placed=list(run.load.placed),
        unannounced=sorted(run.load.unannounced),
        deliveries=[
            _plain(
                {**row, "changed_at": changes.get(row["order_id"])},
                *DELIVERY_FIELDS,
                "changed_at",
                notes=orders_of[row["id"]]["notes"],
            )
            for row in deliveries
        ],
        attempts=[_plain(row, *ATTEMPT_FIELDS) for row in attempts],
        outbox=[
            _plain(row, *EVENT_FIELDS, stream_id=places[row["position"]], event=json.loads(row["body"]))
            for row in sorted(run.rows("event"), key=lambda row: row["position"])
        ],
        bus=list(run.subscriber.received),
        on_bus=[event["id"] for event in run.load.bus.events()],
        logs={path.name: path.read_text(errors="replace") for path in sorted((run.folder / "log").glob("*.log"))},
        private=[CUSTOMER, STREET, *personal, *SECRETS, *tokens],
        troubles=[_trouble(run, *each) for each in run.injector.past],
        callbacks=[_plain(row, *CALLBACK_FIELDS, body=row["body"].decode()) for row in run.rows("callback")],
        slowness=run.slowness,
    )


def _changes(messages: Iterable[dict[str, Any]]) -> dict[str, datetime]:
    """Return when the last change of each order was stored. The id of its message ends with the revision."""
    found: dict[str, datetime] = {}
    for row in messages:
        order_id, _, revision = row["message_id"].rpartition("-")
        if revision.isdigit():
            found[order_id] = max(row["received_at"], found.get(order_id, row["received_at"]))
    return found


def _trouble(run: "Run", fault: Fault, since: float, until: float) -> dict[str, Any]:
    """Return a fault and its time on the fast clock."""
    began, ended = (run.clock.at(run.began_at + at).isoformat() for at in (since, until))
    delayed = {"creates": sorted(fault.delays_creates), "statuses": sorted(fault.delays_statuses)}
    ahead = STEP_AHEAD if fault.target == "clock" else 0.0
    return {"name": fault.name, **delayed, "began": began, "ended": ended, "clock_ahead": ahead}


def _plain(row: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: row.get(name) for name in names
    }  # a document lacks the fields that have their default
    plain = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}
    return {**plain, **more}
