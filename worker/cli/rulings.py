"""Commands that decide about one delivery what a machine must not: each is a person's word, and told as one."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from schemas.status import Cause, DeliveryStatus
from worker.cli.base import DECIDE, Json, app, console, fail, hint, house, write_json
from worker.cli.deliveries import one_delivery, summary

if TYPE_CHECKING:
    from worker.container import Container
    from worker.domain.delivery import Change, Delivery

Name = typer.Argument(metavar="ID", help="The delivery's id, or its order's.")


@app.command(rich_help_panel=DECIDE)
def cancel(
    name: str = Name,
    *,
    reason: str = typer.Option("", help="Kept with the wish."),
    allow_paid: bool = typer.Option(False, "--allow-paid", help="Also where the carrier charges for it."),
    as_json: bool = Json,
) -> None:
    """Ask for a delivery to be cancelled; events tell how that ends."""
    from schemas.messages import Cancellation
    from worker.domain import lifecycle

    made = house()
    delivery = one_delivery(made, name)
    wish = Cancellation(order_id=delivery.order.order_id, reason=reason, allow_paid=allow_paid)

    def decide(each: "Delivery") -> "Change | None":
        return lifecycle.apply_cancel_request(each, wish, made.terms, made.clock(), Cause.OPERATOR)

    _decide(made, delivery, decide, as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def refresh(name: str = Name, *, as_json: bool = Json) -> None:
    """Read a delivery's status at its carrier now, be it over or not."""
    from worker.domain import lifecycle

    made = house()

    def decide(delivery: "Delivery") -> "Change | None":
        attempt = delivery.active or delivery.step_attempt or (delivery.attempts[-1] if delivery.attempts else None)
        return lifecycle.schedule_read_now(delivery, made.terms, made.clock(), attempt.id) if attempt else None

    _decide(made, one_delivery(made, name), decide, as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def accept(name: str = Name, *, as_json: bool = Json) -> None:
    """Accept the pickup time that the carrier offers; `show ID` says which, and until when."""
    _rule(name, "accept", as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def deny(name: str = Name, *, as_json: bool = Json) -> None:
    """Deny the pickup time that the carrier offers: the next carrier is asked, if there is one."""
    _rule(name, "deny", as_json=as_json)


def _rule(name: str, word: str, *, as_json: bool) -> None:
    from worker.domain import lifecycle
    from worker.domain.delivery import OfferDecision

    made = house()
    delivery = one_delivery(made, name)
    if delivery.active is None or delivery.active.offered_at is None:
        fail(f"no carrier offers another time: the delivery is {delivery.status.value}")
    _decide(
        made,
        delivery,
        lambda each: lifecycle.decide_offer(each, OfferDecision(word), made.terms, made.clock()),
        as_json=as_json,
    )


@app.command(rich_help_panel=DECIDE)
def retry(name: str = Name, *, as_json: bool = Json) -> None:
    """Ask for a courier again, now: for a delivery that waits, or has ended with nobody sent."""
    from worker.domain import lifecycle

    made = house()
    delivery = one_delivery(made, name)
    kept = lifecycle.retry_blocker(delivery, made.clock())
    if kept is not None:
        fail(kept)
    _decide(made, delivery, lambda each: lifecycle.retry(each, made.terms, made.clock()), as_json=as_json)


@app.command(rich_help_panel=DECIDE)
def resolve(
    name: str = Name,
    outcome: str = typer.Argument(help="exists (with the carrier's reference) or absent"),
    ref: str = typer.Argument("", metavar="[REF]"),
    *,
    as_json: bool = Json,
) -> None:
    """Settle a create whose outcome nobody knows: it exists at the carrier, or it does not."""
    if outcome not in {"exists", "absent"} or (outcome == "exists") != bool(ref):
        fail("say `resolve ID exists REF` or `resolve ID absent`", code=2)
    from worker.domain import lifecycle

    made = house()
    delivery = one_delivery(made, name)
    _decide(
        made,
        delivery,
        lambda each: lifecycle.resolve_unknown_outcome(each, ref or None, made.terms, made.clock()),
        as_json=as_json,
    )


@app.command(rich_help_panel=DECIDE)
def attended(name: str = Name, *, as_json: bool = Json) -> None:
    """Take a delivery off the list of those that wait for a person: what it asked for is done."""
    from worker.domain import lifecycle

    made = house()
    delivery = one_delivery(made, name)
    if delivery.active is not None and delivery.active.awaiting_operator:
        fail("a doubt is not attended but settled: `order-sync resolve ID exists REF`, or `absent`")
    _decide(made, delivery, lambda each: lifecycle.resolve_attention(each, made.terms, made.clock()), as_json=as_json)


def _decide(
    made: "Container", delivery: "Delivery", decide: "Callable[[Delivery], Change | None]", *, as_json: bool
) -> None:
    changed = made.database.update([delivery.id], decide)
    if not changed:
        fail(f"nothing to do: the delivery is {delivery.status.value}, its next step is {delivery.step or 'none'}")
    hint(changed, made.clock())
    now = changed[0]
    if as_json:
        write_json(summary(now))
        return
    wished = "a cancel is wished" if now.cancel_request and not now.final else ""
    paused = f"({now.step_carrier} is paused)" if now.step_carrier in made.database.paused() else ""
    offers = now.active if now.status is DeliveryStatus.AWAITING_CONFIRMATION else None
    ruled = f"the answer is {offers.offer_decision}" if offers and offers.offer_decision else ""
    console.print(
        " ".join(filter(None, (f"{now.order.order_id}: {now.status.value}", now.detail, wished, ruled, paused)))
    )
