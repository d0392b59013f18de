"""`order-sync send-test-event` records an event that a subscriber can recognise."""

from jsonschema import Draft202012Validator

from schemas.documents import documents
from tests.cli.commands import CommandLine


def test_a_test_event_is_recorded_like_any_other_event(command_line: CommandLine) -> None:
    result = command_line("send-test-event", "--json")
    (event,) = command_line("events").documents
    named = {name: event[name] for name in ("id", "type", "source", "subject")}
    assert (result.code, result.documents) == (0, [named])
    assert named | {"id": ""} == {
        "id": "",
        "type": "delivery.status_changed",
        "source": "/order-sync/test",
        "subject": "test",
    }
    assert (event["data"]["status"], event["data"]["delivery_id"]) == ("picked_up", event["partitionkey"])
    assert list(Draft202012Validator(documents()["event.schema.json"]).iter_errors(event)) == []


def test_a_test_event_has_the_requested_type_and_status(command_line: CommandLine) -> None:
    result = command_line("send-test-event", "--type", "delivery.updated", "--status", "returning", "--source", "shop")
    (event,) = command_line("events", "--order", "test").documents
    assert result.out == f"{event['id']} delivery.updated from /order-sync/test\n"
    data = event["data"]
    assert (event["type"], data["status"], data["order_source"]) == ("delivery.updated", "returning", "shop")


def test_an_event_of_an_account_has_no_status(command_line: CommandLine) -> None:
    result = command_line("send-test-event", "--type", "carrier.paused", "--status", "picked_up")
    assert (result.code, result.err) == (1, "order-sync: an event carrier.paused has no status\n")
    assert command_line("events").documents == []
