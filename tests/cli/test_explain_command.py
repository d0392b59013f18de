"""The command that decides a delivery again: exit code 1 says that something is decided differently today."""

from dataclasses import replace

from schemas.status import DeliveryStatus
from tests.cli.commands import CommandLine, apply_create_outcome, change, find
from tests.web.edge import NOW
from worker.carriers.port import Booked, Observation, Raw
from worker.container import Container
from worker.domain.delivery import Change

CREATED = Booked(Observation(DeliveryStatus.CREATED, Raw("response", "200"), ref="4711"))


def test_a_delivery_that_is_decided_in_the_same_way_ends_with_0(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    apply_create_outcome(container, CREATED)
    result = command_line("explain", "4711")
    assert (result.code, result.lines[-1], result.err) == (0, "4 inputs: 0 differ, 0 cannot be decided again", "")
    assert result.lines[0].endswith(" carrier  cervo: then asked (attempt 1); today choice 1")
    found = command_line("explain", delivery, "--json").documents
    assert [(each["input"], each["differs"]) for each in found] == [
        (kind, False) for kind in ("carrier", "status", "step", "alarm")
    ]


def test_a_difference_ends_with_1_and_is_shown_with_both_decisions(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    apply_create_outcome(container, CREATED)
    change(container, lambda each: Change(replace(each, alarm_at=NOW)))
    result = command_line("explain", "2011")
    (alarm,) = [line for line in result.lines if "next alarm" in line]
    assert (result.code, result.lines[-1]) == (1, "4 inputs: 1 differ, 0 cannot be decided again")
    assert alarm.endswith("then 2026-11-21T17:00:00Z; today 2026-11-22T17:00:00Z (still_open_after_a_day)")
    found = command_line("explain", "2011", "--json")
    assert (found.code, [each["subject"] for each in found.documents if each["differs"]]) == (1, ["next alarm"])
    assert find(container).id == delivery


def test_a_delivery_that_does_not_exist_is_an_error(command_line: CommandLine, container: Container) -> None:
    assert container.database.identity
    result = command_line("explain", "nobody")
    assert (result.code, result.err) == (1, "order-sync: there is no delivery nobody\n")
