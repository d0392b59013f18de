"""`order-sync events`: the published events from the database."""

import json
from datetime import timedelta

import pytest

from tests.cli.commands import CommandLine, Result
from tests.web.edge import NOW, sample
from worker.config.settings import load
from worker.container import Container
from worker.database import outbox
from worker.local.demo.orders import placed


@pytest.mark.usefixtures("delivery")
def test_events_are_written_as_they_were_published(command_line: CommandLine, container: Container) -> None:
    container.ingest.store_documents([("2-0", placed(sample("2012", "34")).encode())])
    published = [json.loads(body) for _, body in container.database.read(outbox.events)]
    assert command_line("events").documents == published
    assert command_line("events", "--order", "2012").documents == [published[1]]
    assert command_line("events", "--order", "4711") == Result(0, "", "")


@pytest.mark.usefixtures("delivery")
def test_only_events_since_the_given_time_are_written(command_line: CommandLine, container: Container) -> None:
    later = Container(load(), clock=lambda: NOW + timedelta(minutes=5))
    later.ingest.store_documents([("2-0", placed(sample("2012", "34")).encode())])
    later.database.close()
    published = [json.loads(body) for _, body in container.database.read(outbox.events)]
    written = [
        command_line("events", "--since", since).documents for since in ("2026-11-21T17:00:00Z", "2026-11-21T17:00:01Z")
    ]
    assert written == [published, published[1:]]
    result = command_line("events", "--since", "7")
    assert (result.code, result.err) == (
        2,
        "order-sync: --since 7 is neither a time nor an age such as 30m, 2h or 1d\n",
    )


def test_the_events_of_an_order_without_a_delivery_are_found_by_its_id(
    command_line: CommandLine, container: Container
) -> None:
    skipped = placed(sample("2013", "34")).replace('"delivery_type": "delivery"', '"delivery_type": "pickup"')
    container.ingest.store_documents([("3-0", skipped.encode())])
    (published,) = command_line("events", "--order", "2013").documents
    assert (published["type"], published["subject"]) == ("order.skipped", "2013")
