"""What `order-sync show` advises an operator to do, and how it shows a change of the order."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.status import AttentionReason, Cause, DeliveryStatus, Reason
from tests.cli.commands import CommandLine, apply_create_outcome, change, find, request_attention
from tests.web.edge import NOW, sample
from worker.carriers.port import Booked, Observation, Raw
from worker.cli.advice import ADVICE, change_of
from worker.config.settings import load
from worker.container import Container
from worker.database import accounts
from worker.domain import lifecycle
from worker.domain.delivery import Change
from worker.errors import Refused
from worker.local.demo.orders import placed

RELIABILITY = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
CREATED = Booked(Observation(DeliveryStatus.CREATED, Raw("reply", "1"), ref="99"))


def documented_reasons() -> set[str]:
    """Read the attention reasons of the table in docs/reliability.md."""
    _, _, rest = RELIABILITY.read_text().partition("## When an operator is needed")
    rows = [line.split("|")[1] for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    return {reason for row in rows for reason in re.findall(r"`(\w+)`", row)}


def test_every_documented_attention_reason_has_advice() -> None:
    assert set(ADVICE) == documented_reasons()


def test_advice_names_only_commands_that_exist() -> None:
    named = {command for text in ADVICE.values() for command in re.findall(r"`order-sync ([a-z-]+)", text)}
    assert named <= {"accept", "cancel", "carriers", "check", "deny", "resolve", "stores"}


@pytest.mark.usefixtures("delivery")
def test_attention_reasons_are_shown_with_the_commands_to_use(command_line: CommandLine, container: Container) -> None:
    request_attention(container, AttentionReason.OFFER_WAITS, AttentionReason.WENT_BACKWARDS)
    advice = [
        "offer_waits: `order-sync accept 2011`, or `order-sync deny 2011`",
        "went_backwards: look at the carrier's own screen; then `order-sync attended 2011`",
    ]
    (shown,) = command_line("show", "2011", "--json").documents
    lines = [line.split(maxsplit=1)[1] for line in command_line("show", "2011").lines if line.startswith("to_do")]
    assert (shown["to_do"], lines) == (advice, advice)


@pytest.mark.usefixtures("delivery")
def test_an_unmapped_status_is_shown_with_the_command_that_maps_it(
    command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, CREATED)
    seen = [Observation(None, Raw("order", "6"))]
    change(container, lambda each: lifecycle.apply_observations(each, 7, seen, container.terms, NOW, Cause.POLL))
    (shown,) = command_line("show", "2011", "--json").documents
    assert shown["to_do"] == ["order:6 is an unmapped status: `order-sync carriers map cervo order:6 STATUS`"]
    assert command_line("show", "2011").lines[-1].endswith("status_unrecognized: created, carrier cervo, order:6")


def test_an_order_that_waits_for_its_shop_shows_the_awaited_status(command_line: CommandLine) -> None:
    command_line.set(ORDERING__BASE_URL="http://127.0.0.1:9", ORDERING__API_KEY="a-key", ORDERING__GATE="accepted")
    gated = Container(load(), clock=lambda: NOW)
    gated.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    gated.database.close()
    (shown,) = command_line("show", "2011", "--json").documents
    assert shown["to_do"] == [
        "the shop must set it to accepted, on the platform or by an `order.updated` with that status"
    ]


def test_an_order_between_two_carriers_is_shown_with_the_next_carrier_and_its_pause(
    command_line: CommandLine, container: Container
) -> None:
    container.ingest.store_documents([("1-0", placed(sample("2011", "17")).encode())])
    container.database.write(accounts.pause, "borzo", "operator", "a holiday", NOW)
    apply_create_outcome(container, Refused(Reason.VALIDATION, "no street"))
    (shown,) = command_line("show", "2011", "--json").documents
    assert (shown["status"], shown["detail"], shown["carrier"], shown["carrier_ref"], shown["paused"]) == (
        "queued",
        "fallback",
        "borzo",
        None,
        "by operator since 2026-11-21T17:00:00Z: a holiday",
    )
    assert command_line("retry", "2011").out == "2011: queued (fallback), borzo is paused\n"


@pytest.mark.usefixtures("delivery")
def test_a_change_of_the_order_is_shown_with_its_state_at_the_carrier(container: Container) -> None:
    apply_create_outcome(container, CREATED)
    found = find(container)
    (attempt,) = found.attempts
    other = replace(attempt, sent_fingerprint="another")
    states = [
        attempt,
        replace(other, sent_fingerprint="", pending_fingerprint=found.fingerprint),
        other,
        replace(other, amend_refused=True),
        replace(other, ended_at=NOW),
    ]
    assert [change_of(found, each) for each in states] == [None, "asked", "waits", "refused", None]


@pytest.mark.usefixtures("delivery")
def test_a_rejected_order_is_shown_with_the_command_that_asks_again(
    command_line: CommandLine, container: Container
) -> None:
    change(container, lambda each: Change(replace(each, status=DeliveryStatus.REJECTED, step=None)))
    advice = (
        "if the order is still wanted: `order-sync retry 2011` asks every carrier again; "
        "if the order is wrong, send it with a greater revision first"
    )
    assert command_line("show", "2011", "--json").documents[0]["to_do"] == [advice]
