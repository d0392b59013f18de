"""Commands that place an order, and show deliveries and events."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import json
import sys
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import typer

from worker.cli.base import (
    LOOK,
    RUN,
    Json,
    age,
    app,
    complain,
    console,
    fail,
    moment,
    open_container,
    report,
    table,
    time_left,
    when,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from schemas.messages import Message
    from schemas.status import DeliveryStatus
    from worker.container import Container
    from worker.database.accounts import Pause
    from worker.domain.carrier_terms import CarrierTerms, TermsByAccount
    from worker.domain.delivery import Attempt, Delivery
    from worker.ordering_api.write_policy import WriteBackState

FOLLOW_SECONDS = 0.5
Name = typer.Argument(
    metavar="ID", help="The id of the delivery or of its order, the carrier's id of it, or our number or tag."
)
Anything = typer.Argument(
    metavar="ID", help="Any of these ids, or the last four or more digits of the customer's phone number."
)
HEADINGS = ("order", "store", "carrier", "ref", "status", "since", "seen", "due", "next", "needs")


@app.command(rich_help_panel=RUN)
def place(
    file: str = typer.Argument(help="A CloudEvent or an order as JSON; - reads standard input."),
    *,
    as_json: bool = Json,
) -> None:
    """Put an order on the bus."""
    found, services = message_in(file), open_container()
    read(found, file, services)  # a fault is reported here, before the message can become a dead letter
    entry = services.bus.add_order(json.dumps(found, ensure_ascii=False))
    report(entry, {"entry": entry, "message_id": found.get("id")}, as_json=as_json)


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


def read(document: dict[str, Any], file: str, services: "Container") -> "Message":
    """Parse a message as the worker does. If it cannot be read, end the command and show the fault."""
    from schemas.json_reader import MalformedError
    from schemas.messages import read_message

    try:
        return read_message(document, services.settings.ordering.project)
    except MalformedError as error:
        fail(f"{_source(file)} cannot be read: {error}")


def _source(file: str) -> str:
    return "standard input" if file == "-" else file


@app.command("deliveries", rich_help_panel=LOOK)
def list_deliveries(
    *,
    limit: int = typer.Option(50, min=1),
    unfinished: bool = typer.Option(False, "--open", help="Only deliveries that are not final or need an operator."),
    attention: str = typer.Option("", help="Only those that need an operator: `any`, or one attention reason."),
    status: str = typer.Option("", help="Only those with this status."),
    carrier: str = typer.Option("", help="Only those at this account."),
    store: str = typer.Option("", help="Only those of this store."),
    older_than: str = typer.Option("", help="Only those placed before: an age such as 30m, 2h or 1d, or a time."),
    as_json: bool = Json,
) -> None:
    """List deliveries: first those that need an operator, then the newest."""
    from worker.database import search

    services = open_container()
    now = services.clock()
    wanted = search.Filter(
        unfinished,
        _attention_reason(attention),
        _status(status),
        carrier or None,
        store or None,
        moment(older_than, now, "--older-than") if older_than else None,
    )
    found = services.database.read(search.search, wanted, limit)
    if as_json:
        for each in found:
            write_json(summary(each))
        return
    rows = table(*HEADINGS)
    for each in found:
        rows.add_row(*_cells(each, services.terms, now), style="red" if each.attention_reasons else "")
    console.print(rows, soft_wrap=False)


def _attention_reason(text: str) -> str | None:
    from schemas.status import AttentionReason
    from worker.database.search import ANY

    reasons = [ANY, *AttentionReason]
    if text and text not in reasons:
        fail(f"{text} is no attention reason; these are: {', '.join(reasons)}", 2)
    return text or None


def _status(text: str) -> "DeliveryStatus | None":
    from schemas.status import DeliveryStatus

    if text and text not in list(DeliveryStatus):
        fail(f"{text} is no status; these are: {', '.join(DeliveryStatus)}", 2)
    return DeliveryStatus(text) if text else None


def _cells(delivery: "Delivery", terms: "TermsByAccount", now: datetime) -> list[str]:
    """Return a row of the table. `seen` is the age of the carrier's last report, `due` the deadline of the pickup."""
    from worker.domain.trouble import deadline_of

    row, attempt = summary(delivery), delivery.active
    return [
        delivery.order.order_id,
        delivery.order.store_id,
        row["carrier"] or "",
        row["carrier_ref"] or "",
        f"{row['status']} ({row['detail']})" if row["detail"] else row["status"],
        age(delivery.changed_at, now),
        age(attempt.last_report_at, now) if attempt else "",
        time_left(deadline_of(delivery, terms), now),
        f"{delivery.step.value} {time_left(delivery.next_run_at, now)}" if delivery.step else "",
        row["attention"] or "",
    ]


def summary(delivery: "Delivery") -> dict[str, Any]:
    """Return the state of a delivery as a row of the list."""
    from schemas.status import DeliveryStatus

    last = delivery.attempts[-1] if delivery.attempts and delivery.status is not DeliveryStatus.QUEUED else None
    attempt = delivery.active or last  # a queued delivery shows the carrier to ask next
    return {
        "delivery_id": delivery.id,
        "order_id": delivery.order.order_id,
        "source": delivery.source,
        "store_id": delivery.order.store_id,
        "status": delivery.status.value,
        "detail": delivery.detail,
        "reason": delivery.reason,
        "carrier": attempt.carrier if attempt else delivery.carrier,
        "carrier_ref": attempt.ref if attempt else None,
        "created_at": when(delivery.created_at),
        "changed_at": when(delivery.changed_at),
        "next_step": delivery.step,
        "next_run_at": when(delivery.next_run_at),
        "attention": delivery.attention,
    }


@app.command(rich_help_panel=LOOK)
def show(
    name: str = Anything,
    *,
    no_calls: bool = typer.Option(False, "--no-calls", help="Never ask the carrier, as below."),
    as_json: bool = Json,
) -> None:
    """Show a delivery, what you can do about it, its attempts and its events.

    If the carrier may have the order under an id that is not known, ask the carrier for its orders near the create, and
    show how well each fits. This uses up to ten calls of the account's rate limit.
    """
    from worker.cli.advice import advice
    from worker.cli.candidates import print_search, search_document
    from worker.database import accounts, operator_actions, outbox, write_backs
    from worker.services.timeline import Kind

    services = open_container()
    delivery, read = one_delivery(services, name, by_phone=True), services.database.read
    published = [json.loads(body) for _, body in read(outbox.events, keys=[delivery.id])]
    fields = summary(delivery)
    paused = read(accounts.paused)
    held = paused.get(accounts.EVERY_ACCOUNT) if delivery.active is None and not delivery.final else None
    fields |= _blockers(delivery, paused.get(fields["carrier"]) or held)
    fields["passed_over"] = _passed_over(delivery, services)
    fields["to_do"] = advice(delivery)
    fields["trace_id"] = delivery.trace.trace_id if delivery.trace else None
    fields |= _on_the_platform(read(write_backs.write_back_state, delivery.id))
    attempts = [_attempt(delivery, each, services.terms.get(each.carrier)) for each in delivery.attempts]
    timeline = services.timelines.of(delivery)
    if as_json:
        search = services.candidates.search(delivery, calls=not no_calls)
        operators = [asdict(each) for each in read(operator_actions.of_delivery, delivery.id)]
        history = {"events": published, "operators": operators, "timeline": [asdict(each) for each in timeline]}
        at_carrier = {"at_carrier": search_document(search)} if search else {}
        write_json({**fields, "attempts": attempts, **history, **at_carrier})
        return
    several = {key: fields.pop(key) for key in ("passed_over", "to_do")}
    lines = [(key, value) for key, value in fields.items() if value is not None]
    for key, value in lines + [(key, each) for key, found in several.items() for each in found]:
        console.print(f"{key:16}", str(value))
    for attempt in attempts:
        console.print("attempt", *(f"{key}={value}" for key, value in attempt.items() if value))
    for entry in timeline:
        style = "red" if entry.trouble else ""
        console.print(f"{entry.at.isoformat(' ', 'milliseconds')} {entry.kind.value:8}", entry.text, style=style)
        if entry.kind is Kind.CALL and entry.trouble:
            console.print(entry.detail, style="dim")
    search = services.candidates.search(delivery, calls=not no_calls)  # last, because a carrier may be slow
    if search is not None:
        print_search(delivery, search)


def _blockers(delivery: "Delivery", pause: "Pause | None") -> dict[str, Any]:
    """Return why a delivery waits or has ended: the reason, a cancel request, a paused account."""
    return {
        "reason_text": delivery.reason_text,
        "cancel_wish": delivery.cancel_request.cancelled_by if delivery.cancel_request else None,
        "paused": f"by {pause.by} since {when(pause.since)}: {pause.because}" if pause else None,
    }


def _passed_over(delivery: "Delivery", services: "Container") -> list[str]:
    """Return the carriers that cannot take the order, each with the reason."""
    from worker.domain import lifecycle

    return [f"{each.carrier}: {each.text}" for each in lifecycle.unable_carriers(delivery, services.terms)]


def _on_the_platform(known: "WriteBackState | None") -> dict[str, Any]:
    """Return the platform's status at the last read, and our status if the platform has accepted it.

    Our status is left out after a conflict was published, because the platform has refused or replaced it.
    """
    if known is None:
        return {}
    accepted = known.written and not known.reported
    return {"platform_seen": known.seen, "platform_written": known.status if accepted else None}


def _attempt(delivery: "Delivery", attempt: "Attempt", terms: "CarrierTerms | None") -> dict[str, Any]:
    from worker.carriers.port import reference_of
    from worker.cli.advice import cancel_of, change_of

    return {
        "number": attempt.number,
        "carrier": attempt.carrier,
        "state": attempt.state,
        "ref": attempt.ref,
        # The carrier's website shows one of these two.
        "our_id": attempt.id,
        "our_tag": reference_of(attempt.id),
        "surplus": attempt.surplus,
        "cancel": cancel_of(attempt),
        "change": change_of(delivery, attempt),
        **_offer(attempt, terms),
        "submitted_at": when(attempt.submitted_at),
        "ended_at": when(attempt.ended_at),
        "reason": attempt.reason,
        "reason_text": attempt.reason_text,
        "last_error": attempt.last_error,
    }


def _offer(attempt: "Attempt", terms: "CarrierTerms | None") -> dict[str, Any]:
    """Return the requested and the offered pickup time, the deadline for a decision on the offer, and the decision."""
    from schemas.status import AttemptState
    from worker.domain.planner import offer_ends

    offered = attempt.offered_at is not None and attempt.state == AttemptState.AWAITING_CONFIRMATION
    undecided = offered and attempt.offer_decision is None
    return {
        "pickup_at": when(attempt.pickup_at),
        "offered_at": when(attempt.offered_at),
        "rule_until": when(offer_ends(attempt, terms)) if undecided and terms else None,
        "ruling": attempt.offer_decision,
    }


def one_delivery(services: "Container", name: str, *, by_phone: bool = False) -> "Delivery":
    """Return the delivery with an id or a number; end the command when there is none, or more than one.

    With `by_phone`, the last digits of the customer's phone number are searched for, too.
    """
    from worker.database import search

    read = services.database.read
    found = read(search.find, name, list(services.codecs))
    if not found and by_phone:
        found = read(search.find_by_phone, name, services.clock())
    if not found:
        fail(f"there is no delivery {name}")
    if len(found) > 1:
        complain(f"{len(found)} deliveries have {name}; use the id of one of them:")
        for each in found:
            complain(f"{each.id}  order {each.order.order_id}  from {each.source}  {each.status.value}")
        raise typer.Exit(1)
    return found[0]


@app.command(rich_help_panel=LOOK)
def events(
    *,
    follow: bool = typer.Option(False, "--follow", help="Keep writing new events."),
    order: str = typer.Option("", help="Only events of this order."),
    since: str = typer.Option("", help="Only events since this time: RFC 3339, or an age such as 30m, 2h or 1d."),
) -> None:
    """Write the recorded events, one JSON document a line."""
    from worker.database import outbox

    services = open_container()
    database = services.database
    earliest = moment(since, services.clock()) if since else None
    position = 0
    while True:
        keys = database.read(outbox.event_keys, order) if order else None
        found = database.read(outbox.events, keys=keys, after=position)
        for position, body in found:  # noqa: B007 - the next read starts at the last position
            if earliest is None or datetime.fromisoformat(json.loads(body)["time"]) >= earliest:
                write_text(body)
        if found:
            continue
        if not follow:
            return
        time.sleep(FOLLOW_SECONDS)
