"""`order-sync show`: a delivery, its attempts and its events."""

import pytest

from schemas.status import Cause, DeliveryStatus, Reason
from tests.cli.commands import CommandLine, apply_create_outcome, change
from tests.web.edge import NOW
from worker.carriers.port import Booked, Observation, Raw, reference_of
from worker.container import Container
from worker.database import accounts
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.domain.lifecycle.reopening import duplicate_id
from worker.errors import Refused, Uncertain


def test_a_delivery_is_shown_by_its_order_id_or_its_own_id(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    apply_create_outcome(container, Uncertain("no answer"))
    (by_order,), (by_id,) = (command_line("show", name, "--json").documents for name in ("2011", delivery))
    assert by_order == by_id
    assert [(each["number"], each["carrier"], each["state"]) for each in by_order["attempts"]] == [
        (1, "cervo", "submit_unknown")
    ]
    assert [each["data"]["status"] for each in by_order["events"]] == ["queued", "submit_unknown"]
    lines = command_line("show", "2011").lines
    assert lines[0].split() == ["delivery_id", delivery]
    assert lines[-1].split()[0] == "2"


@pytest.mark.usefixtures("delivery")
def test_a_surplus_courier_is_shown_with_the_state_of_its_cancel(
    command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, Booked(Observation(status=DeliveryStatus.CREATED, raw=Raw("reply", "1"), ref="99")))
    surplus_id = duplicate_id("cervo", "100")
    for decide in (
        lambda each: lifecycle.record_duplicates(each, 7, ["100"], container.terms, NOW, Cause.RECONCILE),
        lambda each: lifecycle.begin_call(each, Step.CANCEL, container.terms, NOW),
        lambda each: lifecycle.apply_cancel_outcome(each, surplus_id, Refused(Reason.UNKNOWN), container.terms, NOW),
    ):
        change(container, decide)
    (shown,) = command_line("show", "2011", "--json").documents
    assert [(each["ref"], each["our_tag"], each["surplus"], each["cancel"]) for each in shown["attempts"]] == [
        ("99", "00000000007", False, None),
        ("100", reference_of(surplus_id), True, "refused"),
    ]
    lines = command_line("show", "2011").lines
    assert [line.split(" ", 4)[-1] for line in lines[-2:]] == [
        "delivery.conflict created duplicate",
        "delivery.attention_required created surplus_courier",
    ]


@pytest.mark.usefixtures("delivery")
def test_a_cancel_request_and_a_paused_account_are_shown(command_line: CommandLine, container: Container) -> None:
    container.database.write(accounts.pause, "cervo", "operator", "a holiday", NOW)
    apply_create_outcome(container, Uncertain("no answer"))
    answer = command_line("cancel", "2011", "--reason", "closed").out
    (shown,) = command_line("show", "2011", "--json").documents
    assert answer == "2011: submit_unknown a cancel is requested (cervo is paused)\n"
    assert (shown["cancel_wish"], shown["paused"]) == (
        "merchant",
        "by operator since 2026-11-21T17:00:00Z: a holiday",
    )


@pytest.mark.fault("F-50")
@pytest.mark.usefixtures("delivery")
def test_texts_of_platforms_and_carriers_are_never_read_as_markup(
    command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, Uncertain("[/red] [bold]no[/bold] answer"))
    result = command_line("show", "2011")
    assert (result.code, result.err) == (0, "")
