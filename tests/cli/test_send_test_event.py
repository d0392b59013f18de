"""`order-sync send-test-event`: recognisable, like a real event, and without an effect on real ones."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.documents import documents
from schemas.events import DATA_SCHEMAS, DeliveryEvent, EventType
from schemas.status import FINAL, DeliveryStatus
from tests.cli.commands import CommandLine

SCHEMAS = documents()
ENVELOPE = Draft202012Validator(SCHEMAS["event.schema.json"])
DATA = Draft202012Validator(SCHEMAS["delivery-event.schema.json"])


def recorded(command_line: CommandLine) -> list[dict[str, Any]]:
    return command_line("events").documents


@pytest.mark.parametrize("kind", EventType)
def test_a_test_event_of_every_type_is_valid_and_about_nothing_that_exists(
    kind: EventType, command_line: CommandLine
) -> None:
    result = command_line("send-test-event", "--type", kind, "--json")
    (event,) = recorded(command_line)
    named = {"id": event["id"], "type": kind, "source": "/order-sync/test", "subject": "test"}
    assert (result.code, result.documents) == (0, [named])
    assert {name: event[name] for name in named} == named
    assert list(ENVELOPE.iter_errors(event)) == []
    data = event["data"]
    names = ("order_id", "order_source", "store_id", "carrier")
    assert {data[name] for name in names if name in data} <= {"test", None}
    if event["dataschema"] == DATA_SCHEMAS[DeliveryEvent]:
        assert (data["delivery_id"], data["sequence"], event["sequence"]) == (event["partitionkey"], 1, "0000000001")


@pytest.mark.parametrize("status", DeliveryStatus)
def test_a_test_event_has_the_requested_status(status: DeliveryStatus, command_line: CommandLine) -> None:
    assert command_line("send-test-event", "--status", status).code == 0
    (event,) = recorded(command_line)
    assert list(DATA.iter_errors(event["data"])) == []
    assert (event["data"]["status"], event["data"]["final"]) == (status, status in FINAL)


def test_an_event_of_an_account_has_no_status(command_line: CommandLine) -> None:
    result = command_line("send-test-event", "--type", "carrier.paused", "--status", "picked_up")
    assert (result.code, result.err) == (1, "order-sync: an event carrier.paused has no status\n")
    assert recorded(command_line) == []
