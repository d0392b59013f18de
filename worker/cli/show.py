"""The command that shows one delivery, and what an operator can do about it."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import json
import re
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer

from worker.cli.base import LOOK, Json, app, console, open_container, when, write_json
from worker.cli.deliveries import Anything, one_delivery, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.container import Container
    from worker.database.accounts import Pause
    from worker.domain.carrier_terms import CarrierTerms
    from worker.domain.delivery import Attempt, Delivery
    from worker.ordering_api.write_policy import WriteBackState
    from worker.services.timeline import Entry


UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


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
    from worker.cli.candidates import print_search, search_document

    services = open_container()
    delivery = one_delivery(services, name, by_phone=True)
    state = _state(delivery, services)
    attempts = [_attempt(delivery, each, services.terms.get(each.carrier)) for each in delivery.attempts]
    timeline = services.timelines.of(delivery)
    if as_json:
        found = {"attempts": attempts, **_stored(delivery, services), "timeline": [asdict(each) for each in timeline]}
        search = services.candidates.search(delivery, calls=not no_calls)
        write_json({**state, **found, **({"at_carrier": search_document(search)} if search else {})})
        return
    zone = services.timelines.zone_of(delivery)
    _print_state(state, zone)
    for attempt in attempts:
        console.print("attempt", *(f"{key}={_in_zone(value, zone)}" for key, value in attempt.items() if value))
    _print_timeline(timeline)
    search = services.candidates.search(delivery, calls=not no_calls)  # last, because a carrier may be slow
    if search is not None:
        print_search(delivery, search)


def _state(delivery: "Delivery", services: "Container") -> dict[str, Any]:
    from worker.cli.advice import advice
    from worker.database import accounts, write_backs

    fields, read = summary(delivery), services.database.read
    paused = read(accounts.paused)
    held = paused.get(accounts.EVERY_ACCOUNT) if delivery.active is None and not delivery.final else None
    return {
        **fields,
        **_blockers(delivery, paused.get(fields["carrier"]) or held),
        "passed_over": _passed_over(delivery, services),
        "to_do": advice(delivery, services.clock()),
        "trace_id": delivery.trace.trace_id if delivery.trace else None,
        **_on_the_platform(read(write_backs.write_back_state, delivery.id)),
    }


def _stored(delivery: "Delivery", services: "Container") -> dict[str, Any]:
    """Return the published events of a delivery, and the actions of operators about it."""
    from worker.database import operator_actions, outbox

    read = services.database.read
    return {
        "events": [json.loads(body) for _, body in read(outbox.events, keys=[delivery.id])],
        "operators": [asdict(each) for each in read(operator_actions.of_delivery, delivery.id)],
    }


def _in_zone(value: object, zone: ZoneInfo) -> str:
    """Return a value as people read it: the times in it are those of the store's zone."""
    return UTC_TIME.sub(lambda found: datetime.fromisoformat(found[0]).astimezone(zone).isoformat(" "), str(value))


def _print_state(state: dict[str, Any], zone: ZoneInfo) -> None:
    """Print a line for each field that has a value; the fields with several values come last."""
    lists = {key: value for key, value in state.items() if isinstance(value, list)}
    lines = [(key, value) for key, value in state.items() if key not in lists and value is not None]
    for key, value in lines + [(key, each) for key, values in lists.items() for each in values]:
        console.print(f"{key:16}", _in_zone(value, zone))


def _print_timeline(timeline: "Sequence[Entry]") -> None:
    from worker.services.timeline import Kind

    for entry in timeline:
        style = "red" if entry.trouble else ""
        console.print(f"{entry.at.isoformat(' ', 'milliseconds')} {entry.kind.value:8}", entry.text, style=style)
        if entry.kind is Kind.CALL and entry.trouble:
            for line in (entry.detail or "").split("\n"):
                console.print(f"    {line}", style="dim")


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
