"""`order-sync purge` and `order-sync erase`."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events import delivery_id
from schemas.status import DeliveryStatus
from tests.cli.commands import CommandLine, Result, change, find
from tests.web.edge import NOW
from worker.container import Container
from worker.database import leases, operator_actions, outbox
from worker.domain.delivery import Change, Delivery
from worker.domain.operator import OperatorAction
from worker.services.retention import LEASE


@pytest.fixture
def ended(container: Container, delivery: str, orders_on_bus: object) -> str:  # noqa: ARG001 - it configures the bus
    """End the delivery, with all its events published."""

    def end(each: Delivery) -> Change:
        return Change(replace(each, status=DeliveryStatus.CANCELLED, step=None, next_run_at=None, alarm_at=None))

    change(container, end)
    published = [(each.position, "0000000000001-0000000000") for each in container.database.read(outbox.unpublished, 9)]
    container.database.write(outbox.mark_published, published)
    return delivery


def test_an_order_is_erased_and_the_action_recorded(
    command_line: CommandLine, container: Container, ended: str
) -> None:
    result = command_line("erase", "2011", "--yes", "--by", "ann", "--reason", "by mail")
    assert result == Result(0, "2011: erased\n", "")
    assert find(container).is_erased
    (action,) = container.database.read(operator_actions.of_delivery, ended)
    assert action == OperatorAction(action.at, "ann", "erase", "by mail", ended)


def test_an_order_is_chosen_by_its_source(command_line: CommandLine, ended: str) -> None:
    assert command_line("erase", "2011", "--source", "other", "--yes").err == (
        f"order-sync: there is no delivery {delivery_id('other', '2011')}\n"
    )
    (document,) = command_line("erase", "2011", "--source", "demo", "--yes", "--json").documents
    assert document == {
        "order_id": "2011", "delivery_id": ended,
        "dead_letters": 0, "orders_entries": 0, "events_entries": 0, "journal_files": 0,
    }  # fmt: skip


@pytest.mark.usefixtures("ended")
def test_without_yes_nothing_is_erased(command_line: CommandLine, container: Container) -> None:
    assert command_line("erase", "2011").code == 2
    assert not find(container).is_erased


@pytest.mark.usefixtures("delivery")
def test_an_order_that_has_not_ended_is_not_erased(command_line: CommandLine) -> None:
    assert command_line("erase", "2011", "--yes").err == (
        "order-sync: the delivery has not ended, it is queued: cancel it first\n"
    )


@pytest.mark.usefixtures("ended")
def test_an_order_with_an_unpublished_event_is_not_erased(command_line: CommandLine, container: Container) -> None:
    container.database.write(outbox.requeue_lost, "", "9", 100)
    assert "waits to be published" in command_line("erase", "2011", "--yes").err


@pytest.mark.usefixtures("ended")
def test_a_purge_reports_what_it_removed(command_line: CommandLine, container: Container) -> None:
    change(container, lambda each: Change(replace(each, changed_at=NOW - timedelta(days=3650))))
    assert command_line("purge", "--json").documents[0] == {"kind": "customers", "removed": 1}
    assert find(container).is_erased


def test_a_purge_that_leaves_something_says_why_and_ends_with_1(
    command_line: CommandLine, container: Container
) -> None:
    container.database.write(leases.take, LEASE, "another", NOW + timedelta(days=36500), 1)
    result = command_line("purge")
    assert (result.code, result.err) == (
        1,
        "order-sync: another process purges, or one died less than five minutes ago\n",
    )
