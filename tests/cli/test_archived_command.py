"""`order-sync archived`, and what the other commands say about an archived order."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.status import DeliveryStatus
from tests.cli.commands import CommandLine, Result, change
from tests.web.edge import NOW, sample
from worker.container import Container
from worker.database import outbox, retention
from worker.domain.delivery import Change, Delivery
from worker.local.demo.orders import placed
from worker.services.archive import Archive


@pytest.fixture
def archived(command_line: CommandLine, container: Container, delivery: str, tmp_path: Path) -> str:
    """Archive the delivery of the order 2011; return its id."""

    def end(each: Delivery) -> Change:
        return Change(replace(each, status=DeliveryStatus.CANCELLED, step=None, next_run_at=None, alarm_at=None))

    change(container, end)
    container.ingest.store_documents([("2-0", placed(sample("2012", "34")).encode())])
    waiting = container.database.read(outbox.unpublished, 9)
    container.database.write(outbox.mark_published, [(each.position, f"{each.position}-0") for each in waiting])
    command_line.set(ARCHIVE_FOLDER=str(tmp_path / "archive"))
    archive = Archive(container.database, tmp_path / "archive")
    pages = [container.database.write(archive.move, NOW + timedelta(days=1)) for _ in range(3)]
    assert [page.count for page in pages] == [0, 1, 0]
    return delivery


def test_an_archived_delivery_is_printed(command_line: CommandLine, archived: str) -> None:
    (document,) = command_line("archived", "2011").documents
    assert (document["delivery_id"], document["delivery"]["status"]) == (archived, "cancelled")
    assert command_line("archived", archived).documents == [document]


@pytest.mark.usefixtures("archived")
def test_other_commands_name_the_command_that_shows_it(command_line: CommandLine) -> None:
    assert command_line("show", "2011") == Result(1, "", "order-sync: 2011 is archived: order-sync archived 2011\n")
    assert command_line("show", "2013") == Result(1, "", "order-sync: there is no delivery 2013\n")


@pytest.mark.usefixtures("archived")
def test_an_order_that_is_not_archived_is_named(command_line: CommandLine) -> None:
    assert command_line("archived", "2012") == Result(
        1, "", "order-sync: there is no archived delivery 2012; if its platform sends no more, use --source\n"
    )
    assert command_line("archived", "2012", "--source", "demo") == Result(
        1, "", "order-sync: there is no archived delivery 2012\n"
    )


def test_an_order_whose_platform_sends_no_more_is_found_by_its_source(
    command_line: CommandLine, container: Container, archived: str
) -> None:
    container.database.write(retention.delete_messages, NOW + timedelta(days=1), 0)
    assert command_line("archived", "2011").code == 1
    (document,) = command_line("archived", "2011", "--source", "demo").documents
    assert document["delivery_id"] == archived


def test_without_an_archive_the_setting_is_named(command_line: CommandLine) -> None:
    result = command_line("archived", "2011")
    assert result == Result(1, "", "order-sync: there is no archive: set ORDER_SYNC_ARCHIVE_FOLDER\n")


def test_a_lost_file_is_reported(command_line: CommandLine, archived: str, tmp_path: Path) -> None:
    (tmp_path / "archive" / "2026-11.jsonl.gz").unlink()
    result = command_line("archived", archived)
    assert (result.code, "No such file or directory" in result.err) == (1, True)
