"""`order-sync deliveries`: the list, and which deliveries count as open."""

import pytest

from schemas.status import AttentionReason, DeliveryStatus
from tests.cli.commands import CommandLine, Result, apply_create_outcome, find, request_attention
from worker.carriers.port import Booked, Observation, Raw
from worker.container import Container

SUMMARY = {
    "order_id": "2011",
    "store_id": "34",
    "status": "queued",
    "detail": None,
    "reason": None,
    "carrier": "cervo",
    "carrier_ref": None,
    "next_step": "book",
    "next_run_at": "2026-11-21T17:00:00Z",
    "attention": None,
}


def test_deliveries_are_listed_as_json_or_as_a_table(command_line: CommandLine, delivery: str) -> None:
    assert command_line("deliveries", "--json").documents == [{"delivery_id": delivery, **SUMMARY}]
    table = command_line("deliveries").out
    assert [text in table for text in ("2011", "queued", "cervo", "book")] == [True] * 4


def test_a_final_delivery_is_not_listed_as_open(command_line: CommandLine, container: Container, delivery: str) -> None:
    assert command_line("cancel", "2011") == Result(0, "2011: cancelled\n", "")
    listed = [
        [each["delivery_id"] for each in command_line("deliveries", "--json", *more).documents]
        for more in ([], ["--open"])
    ]
    assert (listed, find(container).final) == ([[delivery], []], True)


@pytest.mark.usefixtures("delivery")
def test_piped_output_is_never_cut_off(command_line: CommandLine, container: Container) -> None:
    apply_create_outcome(
        container, Booked(Observation(status=DeliveryStatus.CREATED, raw=Raw("reply", "1"), ref="9" * 60))
    )
    request_attention(container, AttentionReason.ORDER_CHANGED_AFTER_DISPATCH)
    heading, row = command_line("deliveries").lines
    assert heading.split() == ["order", "status", "detail", "attention", "carrier", "ref", "next", "at"]
    assert row.split()[:5] == ["2011", "created", "order_changed_after_dispatch", "cervo", "9" * 60]


def test_a_final_delivery_that_needs_an_operator_is_listed_as_open_until_it_is_attended(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    command_line("cancel", "2011")
    request_attention(container, AttentionReason.GOODS_WITH_COURIER)
    open_deliveries = command_line("deliveries", "--json", "--open").documents
    attended = [command_line("attended", "2011") for _ in range(2)]
    assert [(each["delivery_id"], each["attention"]) for each in open_deliveries] == [(delivery, "goods_with_courier")]
    assert attended == [
        Result(0, "2011: cancelled\n", ""),
        Result(1, "", "order-sync: nothing to do: the delivery is cancelled, its next step is none\n"),
    ]
    assert command_line("deliveries", "--json", "--open").documents == []
