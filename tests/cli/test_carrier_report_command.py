"""`carriers report` shows what each account accepted, how fast its couriers were, and what went wrong."""

from datetime import timedelta
from decimal import Decimal

import pytest

from schemas.status import Cause
from tests.cli.commands import CommandLine, apply_create_outcome, change
from tests.domain.scenario import observed
from tests.web.edge import NOW
from worker.carriers.port import Booked, Price
from worker.container import Container
from worker.domain import lifecycle

SINCE = ("--since", "2026-11-21T00:00:00Z")


def of_one(minutes: int) -> dict[str, int]:
    return {"count": 1, "median": minutes, "p90": minutes}


def cells(line: str) -> list[str]:
    return [each.strip() for each in line.split("  ") if each.strip()]


@pytest.fixture
def delivered(container: Container, delivery: str) -> str:
    """Deliver the order at Cervo: a courier after 5 minutes, the goods after 20, the door after 35."""
    apply_create_outcome(container, Booked(observed("created", ref="99999", price=Price(Decimal("89.50"), "DKK"))))
    for minutes, status in ((5, "courier_assigned"), (20, "picked_up"), (35, "delivered")):
        at, seen = NOW + timedelta(minutes=minutes), [observed(status, occurred_at=NOW + timedelta(minutes=minutes))]
        change(
            container,
            lambda each, at=at, seen=seen: lifecycle.apply_observations(  # type: ignore[misc]
                each, 7, seen, container.terms, at, Cause.POLL
            ),
        )
    return delivery


@pytest.mark.usefixtures("delivered")
def test_the_carriers_are_reported_in_a_table_of_80_columns(command_line: CommandLine) -> None:
    command_line.set(PUBLIC_URL="https://callbacks.example.org")
    lines = command_line("carriers", "report", *SINCE).lines
    assert lines[0].startswith("Orders offered from 2026-11-21T00:00:00Z to 20")
    assert [cells(line) for line in lines[1:3]] == [
        ["carrier", "orders", "accepted", "courier", "pickup", "door", "late", "unknown"],
        ["cervo", "1", "100%", "5 (1)", "20 (1)", "35 (1)", "5 (1)", "0"],
    ]
    assert lines[4:8] == [
        "cervo: ended delivered 1",
        "cervo: late callbacks 0 of 0",
        "cervo: statuses without a callback 3 of 3",
        "cervo: median price 89.50 DKK of 1 order",
    ]
    assert max(map(len, lines[1:3])) <= 80


@pytest.mark.usefixtures("delivered")
@pytest.mark.parametrize(("by", "name"), [("store", "34"), ("hour", "20")])
def test_the_figures_are_divided_by_store_and_by_local_hour(command_line: CommandLine, by: str, name: str) -> None:
    lines = command_line("carriers", "report", *SINCE, "--by", by).lines
    assert [cells(line)[:3] for line in lines[1:3]] == [[by, "carrier", "orders"], [name, "cervo", "1"]]


@pytest.mark.usefixtures("delivered")
def test_the_report_is_written_as_json(command_line: CommandLine) -> None:
    until = ("--until", "2026-11-22T00:00:00Z")
    (document,) = command_line("carriers", "report", *SINCE, *until, "--json").documents
    assert document == {
        "carrier": "cervo",
        "store": None,
        "hour": None,
        "since": "2026-11-21T00:00:00Z",
        "until": "2026-11-22T00:00:00Z",
        "offered": 1,
        "accepted": 1,
        "unknown": 0,
        "ended": {"delivered": 1},
        "refused": {},
        "cancelled_by": {},
        "minutes": {"courier": of_one(5), "pickup": of_one(20), "door": of_one(35)},
        "minutes_late": of_one(5),
        "times": 3,
        "estimated_times": 0,
        "callbacks_expected": False,
        "statuses_by_callback": 0,
        "statuses_by_read": 3,
        "late_callbacks": 0,
        "unmapped": {},
        "prices": [{"currency": "DKK", "median": "89.50", "orders": 1}],
    }


@pytest.mark.usefixtures("delivered")
def test_only_the_orders_of_the_span_and_the_store_are_reported(command_line: CommandLine) -> None:
    for only in (("--store", "21"), ("--until", "2026-11-21T12:00:00Z")):
        assert command_line("carriers", "report", *SINCE, *only).lines[1:] == ["No carrier was asked in this time."]


def test_a_span_that_ends_before_it_begins_is_wrong_usage(command_line: CommandLine) -> None:
    result = command_line("carriers", "report", "--since", "1d", "--until", "2d")
    assert (result.code, result.err) == (2, "order-sync: --since 1d is not before --until 2d\n")
