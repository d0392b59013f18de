"""One real sample of each message and of each event, from runs of the simulation.

`docs/write_messages.py` writes them to `schemas/samples.json`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from schemas.events import EventType
from schemas.ordering import ORDERING_SCHEMA
from tests.services.simulation import Simulation
from worker.database import accounts
from worker.domain import lifecycle
from worker.local.demo.orders import MALFORMED, message, order

Sample = dict[str, Any]
"""What it shows (`summary`) and the document itself (`document`)."""
Run = Callable[[Simulation], None]

ORDER_ID = "2011"
SOURCE = "platform"
STORES = {"deliverit": "17", "borzo": "21", "cervo": "34"}
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "shop=2011"}
PAID: dict[str, Any] = {"prepaid": True, "amount": "125.00", "currency": "DKK", "method": "card", "change_for": None}
SOON: dict[str, Any] = {"deliver_at": None, "ready_at": None}


# --- messages in ------------------------------------------------------------------------------------------------------


def full_order(carrier: str, script: str = "happy") -> Sample:
    """Return an order with every field; its notes name the script of the sandbox, unless that is the usual one."""
    known = order(ORDER_ID, STORES[carrier], "No onions" if script == "happy" else f"sandbox:{script}", prepaid=False)
    return {
        **known,
        "order_number": "A-11",
        "revision": 1,
        "status": 7,
        "deliver_at": "2026-11-21T18:00:00Z",
        "ready_at": "2026-11-21T17:20:00Z",
        "dropoff": {**known["dropoff"], "unit": "ap. 42", "notes": "Ring twice"},
        "payment": {**known["payment"], "change_for": "200.00"},
        "carriers": [carrier],
    }


def placed(data: Sample, **more: str) -> str:
    return _message("order.placed", data, time="2026-11-21T16:59:58Z", **TRACE, **more)


def updated(data: Sample) -> str:
    return _message("order.updated", {**data, "revision": 2, "notes": "No onions. The bell is broken"}, **TRACE)


def cancelled(*, allow_paid: bool = False) -> str:
    data = {"order_id": ORDER_ID, "reason": "changed my mind", "cancelled_by": "customer", "allow_paid": allow_paid}
    return _message("order.cancelled", data)


def _message(kind: str, data: Sample, **attributes: str) -> str:
    return message(kind, f"{ORDER_ID}-{kind.removeprefix('order.')}", data, source=SOURCE, **attributes)


# --- events out -------------------------------------------------------------------------------------------------------


def place(simulation: Simulation, carrier: str, script: str = "happy", **more: Any) -> None:
    """Place an order at a carrier, and run the tasks that follow."""
    simulation.put(placed(full_order(carrier, script) | more))
    simulation.work()


def until(simulation: Simulation, *statuses: str, step: float = 10) -> None:
    """Let time pass until the delivery has one of these statuses, or an event of one of these types."""
    simulation.until(lambda it: not set(statuses).isdisjoint([it.status(), *it.published()]), step=step)


def set_state(simulation: Simulation, carrier: str, state: object) -> None:
    """Set the status of the order at its carrier."""
    ref = simulation.delivery().attempts[0].ref
    simulation.ask("POST", f"/sandbox/orders/{carrier}/{ref}/step", {"state": state})


def deliver(simulation: Simulation) -> None:
    place(simulation, "borzo", **SOON)
    simulation.put(updated(full_order("borzo") | SOON))
    until(simulation, "delivered")


def refuse_then_retry(simulation: Simulation) -> None:
    simulation.inject_fault("refused", "borzo", operation="create", body="address_not_found")
    place(simulation, "borzo", **SOON)
    simulation.pass_time(600)
    simulation.decide(lambda each: lifecycle.retry(each, simulation.container.terms, simulation.now))
    _relay(simulation)


def fall_back(simulation: Simulation) -> None:
    place(simulation, "deliverit", "deliverit=closed", carriers=["deliverit", "borzo"], payment=PAID, **SOON)


def cancel(simulation: Simulation) -> None:
    place(simulation, "cervo", **SOON)
    simulation.put(cancelled())
    until(simulation, "cancelled")


def lose_the_carrier(simulation: Simulation) -> None:
    place(simulation, "borzo", "cancelled", **SOON)
    until(simulation, "delivery.dispatch_failed")


def close_on_the_platform(simulation: Simulation) -> None:
    place(simulation, "cervo", **SOON)
    simulation.put(updated(full_order("cervo") | SOON | {"status": 1}))
    simulation.work()


def report_an_unknown_status(simulation: Simulation) -> None:
    place(simulation, "cervo", "unknown_word", **SOON)
    until(simulation, "delivery.status_unrecognized")
    set_state(simulation, "cervo", 2)
    until(simulation, "delivery.regression_seen")


def stall(simulation: Simulation) -> None:
    place(simulation, "borzo", **SOON)
    until(simulation, "picked_up")
    set_state(simulation, "borzo", "active/active")
    until(simulation, "delivery.stalled", step=600)


def lose_tracking(simulation: Simulation) -> None:
    place(simulation, "cervo", **SOON)
    simulation.inject_fault("error_before", "cervo", times=None)
    until(simulation, "delivery.tracking_lost", step=60)


def refuse_the_cancel(simulation: Simulation) -> None:
    place(simulation, "deliverit", deliver_at=None, ready_at="2026-11-21T17:18:00Z", payment=PAID)
    simulation.put(cancelled())
    until(simulation, "delivery.cancel_refused")


def ignore_the_cancel(simulation: Simulation) -> None:
    place(simulation, "cervo", **SOON)
    simulation.put(cancelled())
    simulation.work()
    set_state(simulation, "cervo", 2)
    until(simulation, "delivery.cancel_unconfirmed")


def skip(simulation: Simulation) -> None:
    place(simulation, "borzo", delivery_type="pickup")
    _relay(simulation)


def quarantine(simulation: Simulation) -> None:
    simulation.put(MALFORMED)
    _relay(simulation)


def pause_and_resume(simulation: Simulation) -> None:
    write = simulation.container.database.write
    write(accounts.pause, "borzo", "operator", "The contract is being renewed", simulation.now)
    simulation.now = simulation.now.replace(hour=18)
    write(accounts.resume, "borzo", "operator", simulation.now)
    _relay(simulation)


def _relay(simulation: Simulation) -> None:
    simulation.container.relay.publish()


T = EventType
RUNS: tuple[tuple[Run, dict[str, tuple[EventType, Sample]]], ...] = (
    (
        deliver,
        {
            "The courier has the goods": (T.STATUS_CHANGED, {"status": "picked_up"}),
            "The customer has the goods, with a proof of delivery": (T.STATUS_CHANGED, {"status": "delivered"}),
            "The carrier has the order as the platform changed it": (T.UPDATED, {}),
        },
    ),
    (cancel, {"The customer cancelled the order": (T.STATUS_CHANGED, {"status": "cancelled"})}),
    (
        fall_back,
        {
            "The carrier is closed": (T.ATTEMPT_ENDED, {}),
            "The next carrier is asked": (T.UPDATED, {"detail": "fallback"}),
        },
    ),
    (lose_the_carrier, {"The only carrier cancelled the order": (T.DISPATCH_FAILED, {})}),
    (refuse_then_retry, {"An operator retries an order that its only carrier refused": (T.REOPENED, {})}),
    (close_on_the_platform, {"The platform closed an order that a courier still brings": (T.CONFLICT, {})}),
    (
        report_an_unknown_status,
        {
            "Cervo reports a status that its documents do not list": (T.STATUS_UNRECOGNIZED, {}),
            "Cervo reports an earlier status again": (T.REGRESSION_SEEN, {}),
        },
    ),
    (stall, {"For three hours the courier has been on the way to the customer": (T.STALLED, {})}),
    (lose_tracking, {"The reads of the carrier's status keep failing": (T.TRACKING_LOST, {})}),
    (
        refuse_the_cancel,
        {
            "It is too late to cancel the courier without a fee": (T.CANCEL_REFUSED, {}),
            "An operator must decide about the refused cancel": (T.ATTENTION_REQUIRED, {}),
        },
    ),
    (ignore_the_cancel, {"The courier goes on after an accepted cancel": (T.CANCEL_UNCONFIRMED, {})}),
    (skip, {"The customer collects the order": (T.SKIPPED, {})}),
    (quarantine, {"An order lacks its required fields": (T.QUARANTINED, {})}),
    (
        pause_and_resume,
        {
            "An operator pauses an account": (T.CARRIER_PAUSED, {}),
            "An operator resumes the account": (T.CARRIER_RESUMED, {}),
        },
    ),
)
"""The runs, and for each sample what it shows, its type and some of its data."""


# --- samples ----------------------------------------------------------------------------------------------------------


def real_samples() -> dict[str, list[Sample]]:
    """Run everything; return the samples of the messages and of the events, these in the order of their types."""
    kinds = list(EventType)
    events = [sample for run, wanted in RUNS for sample in _in_simulation(partial(_events, run, wanted))]
    return {
        "messages": _in_simulation(_messages),
        "events": sorted(events, key=lambda each: kinds.index(each["document"]["type"])),
    }


def _in_simulation(read: Callable[[Simulation], list[Sample]]) -> list[Sample]:
    with TemporaryDirectory() as folder, closing(Simulation(Path(folder), ORDERING__BASE_URL="")) as simulation:
        return read(simulation)


def _events(run: Run, wanted: dict[str, tuple[EventType, Sample]], simulation: Simulation) -> list[Sample]:
    run(simulation)
    published = [json.loads(fields[b"event"]) for _, fields in simulation.redis.xrange("deliveries")]
    return [{"summary": shows, "document": next(_matching(published, *which))} for shows, which in wanted.items()]


def _matching(events: list[Sample], kind: EventType, data: Sample) -> Iterator[Sample]:
    return (each for each in events if each["type"] == kind and data.items() <= each["data"].items())


def _messages(simulation: Simulation) -> list[Sample]:
    platforms = {"id": int(ORDER_ID), "business_id": int(STORES["deliverit"])}
    (platform_order,) = simulation.ask("POST", "/sandbox/ordering/orders", platforms)["orders"]
    documents = {
        "An order with every field": placed(full_order("borzo")),
        "An order as the Ordering platform's API returns it": placed(platform_order, dataschema=ORDERING_SCHEMA),
        "Only the id of an order, which is then fetched from the Ordering platform": placed({"order_id": ORDER_ID}),
        "The whole order again, with a greater revision": updated(full_order("borzo")),
        "The customer cancels the order": cancelled(),
    }
    return [{"summary": shows, "document": json.loads(document)} for shows, document in documents.items()]
