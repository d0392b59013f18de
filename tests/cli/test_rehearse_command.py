"""`order-sync rehearse`: the deployment's own orders, with a Redis of its own and without a call to anybody."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import CommandLine, find
from worker.container import Container

DAY = ("--since", "2026-11-21T16:00:00Z", "--until", "2026-11-21T18:00:00Z")
"""A time span with the order of the fixture."""


@pytest.mark.long
@pytest.mark.usefixtures("delivery")
def test_the_orders_of_a_time_span_are_rehearsed_and_the_report_is_written(
    command_line: CommandLine, container: Container, tmp_path: Path
) -> None:
    before = find(container)
    result = command_line("rehearse", *DAY, "--calm", "--json")
    (figures,) = result.documents
    assert (result.code, figures["orders"], figures["ends"], figures["correct"]) == (0, 1, {"delivered": 1}, True)
    assert figures["carriers"]["cervo"]["requests"]["create"] == 1
    assert json.loads((tmp_path / "var/rehearsal/report.json").read_text()) == figures
    assert sorted(each.name for each in (tmp_path / "var/rehearsal").iterdir()) == ["report.html", "report.json"]
    assert find(container) == before


def test_a_time_span_without_orders_is_an_error(command_line: CommandLine, container: Container) -> None:
    assert container.database.identity
    result = command_line("rehearse", *DAY)
    assert (result.code, result.err) == (
        1,
        "order-sync: no order was placed from 2026-11-21 16:00 to 2026-11-21 18:00 UTC\n",
    )


def test_a_time_span_that_ends_before_it_begins_is_wrong_usage(command_line: CommandLine) -> None:
    result = command_line("rehearse", "--since", "1h", "--until", "2h")
    assert (result.code, result.err) == (2, "order-sync: --since 1h is not before --until 2h\n")
