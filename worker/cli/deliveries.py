"""The command that lists deliveries, and the search for the delivery that a command is about."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.base import (
    LOOK,
    Json,
    age,
    app,
    complain,
    console,
    fail,
    moment,
    open_container,
    table,
    time_left,
    when,
    write_json,
)

if TYPE_CHECKING:
    from schemas.status import DeliveryStatus
    from worker.container import Container
    from worker.domain.carrier_terms import TermsByAccount
    from worker.domain.delivery import Delivery

Name = typer.Argument(
    metavar="ID", help="The id of the delivery or of its order, the carrier's id of it, or our number or tag."
)
Anything = typer.Argument(
    metavar="ID", help="Any of these ids, or the last four or more digits of the customer's phone number."
)
HEADINGS = ("order", "store", "carrier", "ref", "status", "since", "seen", "due", "next", "needs")


@app.command("deliveries", rich_help_panel=LOOK)
def list_deliveries(
    *,
    limit: int = typer.Option(50, min=1),
    unfinished: bool = typer.Option(False, "--open", help="Only deliveries that are not final or need an operator."),
    attention: str = typer.Option("", help="Only those that need an operator: `any`, or one attention reason."),
    status: str = typer.Option(
        "", help="Only those with this status; a final one is searched among the newest 200,000."
    ),
    carrier: str = typer.Option("", help="Only those at this account, among the newest 200,000."),
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
        f"{_step(delivery)} {time_left(delivery.next_run_at, now)}" if delivery.step else "",
        row["attention"] or "",
    ]


def _step(delivery: "Delivery") -> str:
    """Return what happens next. The carrier of an ended delivery is asked again, because it may revive its order."""
    from worker.domain.delivery import Step

    return "last look" if delivery.final and delivery.step is Step.TRACK else str(delivery.step)


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


def one_delivery(services: "Container", name: str, *, by_phone: bool = False) -> "Delivery":
    """Return the delivery with an id or a number; end the command when there is none, or more than one.

    With `by_phone`, the last digits of the customer's phone number are searched for, too.
    """
    from worker.database import archive, search

    read = services.database.read
    found = read(search.find, name, list(services.codecs))
    if not found and by_phone:
        found = read(search.find_by_phone, name, services.clock())
    if not found:
        fail(
            f"{name} is archived: order-sync archived {name}"
            if read(archive.find, name)
            else f"there is no delivery {name}"
        )
    if len(found) > 1:
        complain(f"{len(found)} deliveries have {name}; use the id of one of them:")
        for each in found:
            complain(f"{each.id}  order {each.order.order_id}  from {each.source}  {each.status.value}")
        raise typer.Exit(1)
    return found[0]
