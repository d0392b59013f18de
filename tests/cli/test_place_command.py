"""`order-sync place`: an order or a CloudEvent is put on the bus, and an unreadable one is refused."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.commands import CommandLine, Result, write_file
from tests.web.edge import sample
from worker.local.demo.orders import placed


def test_an_order_is_wrapped_in_a_cloud_event_and_put_on_the_bus(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]]
) -> None:
    result = command_line("place", write_file("order.json", '{"order_id": "São"}'))
    ((identity, document),) = orders_on_bus()
    event = json.loads(document)
    assert result == Result(0, f"{identity}\n", "")
    assert len(event.pop("id")) == 36
    assert event == {
        "specversion": "1.0",
        "source": "platform",
        "type": "order.placed",
        "data": {"order_id": "São"},
    }


def test_a_cloud_event_is_put_on_the_bus_unchanged(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]]
) -> None:
    document = placed(sample("2011", "17"))
    result = command_line("place", "-", stdin=document.encode())
    assert (result.code, [json.loads(each) for _, each in orders_on_bus()]) == (0, [json.loads(document)])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"{", "standard input is not JSON: Expecting property name"),
        (b"", "standard input is not JSON: Expecting value"),
        (b"\xff\xff{}", "standard input is not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "standard input is not JSON: maximum recursion depth"),
        (b"[1]", "standard input is not a JSON object"),
    ],
)
def test_input_that_is_not_a_json_object_is_refused(text: bytes, complaint: str, command_line: CommandLine) -> None:
    result = command_line("place", "-", stdin=text)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"order-sync: {complaint}")


def test_a_message_that_would_become_a_dead_letter_is_refused(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]]
) -> None:
    result = command_line("place", write_file("order.json", '{"order_id": "2011", "store_id": "34"}'))
    assert result == Result(
        1,
        "",
        "order-sync: order.json cannot be read: data: customer: Field required; dropoff: Field required; "
        "payment: Field required\n",
    )
    assert orders_on_bus() == []


def test_a_missing_file_is_named(command_line: CommandLine) -> None:
    assert command_line("place", "nowhere.json") == Result(
        1,
        "",
        "order-sync: nowhere.json: No such file or directory (--debug shows the traceback)\n",
    )
