"""Commands with which an operator decides about one delivery."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from typing import TYPE_CHECKING

import typer

from schemas.status import DeliveryStatus
from worker.cli.base import (
    DECIDE,
    By,
    Json,
    Why,
    Yes,
    app,
    confirm,
    console,
    fail,
    open_container,
    operator,
    write_json,
)
from worker.cli.deliveries import Name, one_delivery, summary

if TYPE_CHECKING:
    from worker.container import Container
    from worker.domain.delivery import Delivery
    from worker.domain.operator import Operator


@app.command(rich_help_panel=DECIDE)
def cancel(
    name: str = Name,
    *,
    allow_paid: bool = typer.Option(False, "--allow-paid", help="Cancel even if the carrier charges for it."),
    by: str = By,
    reason: str = Why,
    as_json: bool = Json,
) -> None:
    """Request a cancel; events report the result."""
    from schemas.messages import Cancellation

    services = open_container()
    delivery = one_delivery(services, name)
    request = Cancellation(order_id=delivery.order.order_id, reason=reason, allow_paid=allow_paid)
    _show(services, delivery, services.decisions.cancel(delivery.id, request, operator(by, reason)), as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def refresh(name: str = Name, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Read a delivery's status at its carrier now, even if the delivery is final."""
    services = open_container()
    delivery = one_delivery(services, name)
    _show(services, delivery, services.decisions.refresh(delivery.id, operator(by, reason)), as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def accept(name: str = Name, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Accept the pickup time that the carrier offers. `show ID` shows this time and how long it can be accepted."""
    _decide_offer(name, "accept", operator(by, reason), as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def deny(name: str = Name, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Deny the pickup time that the carrier offers; the next carrier is then asked."""
    _decide_offer(name, "deny", operator(by, reason), as_json=as_json)


def _decide_offer(name: str, decision: str, by: "Operator", *, as_json: bool) -> None:
    from worker.domain.delivery import OfferDecision

    services = open_container()
    delivery = one_delivery(services, name)
    if delivery.active is None or delivery.active.offered_at is None:
        fail(f"no carrier offers another pickup time: the delivery is {delivery.status.value}")
    decided = services.decisions.decide_offer(delivery.id, OfferDecision(decision), by)
    _show(services, delivery, decided, as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def retry(name: str = Name, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Request a courier now for a delivery that waits, or that ended without a courier."""
    services = open_container()
    delivery = one_delivery(services, name)
    if (blocker := services.decisions.retry_blocker(delivery)) is not None:
        fail(blocker)
    _show(services, delivery, services.decisions.retry(delivery.id, operator(by, reason)), as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def resolve(
    name: str = Name,
    outcome: str = typer.Argument(help="`exists` with REF, or `absent`."),
    ref: str = typer.Argument("", metavar="[REF]", help="The carrier's id of the order."),
    *,
    by: str = By,
    reason: str = Why,
    yes: bool = Yes,
    as_json: bool = Json,
) -> None:
    """Resolve an unknown outcome: the order exists at the carrier, or it does not."""
    if outcome not in {"exists", "absent"} or (outcome == "exists") != bool(ref):
        fail("write `resolve ID exists REF` or `resolve ID absent`", code=2)
    from worker.database.connection import IntegrityError

    services = open_container()
    delivery = one_delivery(services, name)
    if outcome == "absent":
        haste = services.candidates.risk_of_haste(delivery)
        confirm(f"{haste} If the carrier does have the order, a second courier will come.".strip(), yes=yes)
    try:
        resolved = services.decisions.resolve(delivery.id, ref or None, operator(by, reason))
    except IntegrityError:
        fail(f"another delivery has the carrier's order {ref}: check the reference")
    _show(services, delivery, resolved, as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def attended(name: str = Name, *, by: str = By, reason: str = Why, as_json: bool = Json) -> None:
    """Clear a delivery's attention reasons after you have done what they ask for."""
    services = open_container()
    delivery = one_delivery(services, name)
    if delivery.active is not None and delivery.active.awaiting_operator:
        fail("an unknown outcome must be resolved: `order-sync resolve ID exists REF`, or `absent`")
    _show(services, delivery, services.decisions.resolve_attention(delivery.id, operator(by, reason)), as_json=as_json)


def _show(services: "Container", before: "Delivery", after: "Delivery | None", *, as_json: bool) -> None:
    """Print a delivery after an operator's decision. If the decision changed nothing, end the command with an error."""
    if after is None:
        fail(f"nothing to do: the delivery is {before.status.value}, its next step is {before.step or 'none'}")
    if as_json:
        write_json(summary(after))
        return
    from worker.database import accounts

    requested = "a cancel is requested" if after.cancel_request and not after.final else ""
    paused = f"{after.step_carrier} is paused" if after.step_carrier in services.database.read(accounts.paused) else ""
    gate = f"it waits until the shop says {after.gate}" if after.gate and not after.final else ""
    offer = after.active if after.status is DeliveryStatus.AWAITING_CONFIRMATION else None
    decided = f"the decision {offer.offer_decision} is sent next" if offer and offer.offer_decision else ""
    status = f"{after.order.order_id}: {after.status.value}" + (f" ({after.detail})" if after.detail else "")
    console.print(", ".join(filter(None, (status, requested, decided, paused, gate))))
