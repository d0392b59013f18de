"""A malformed entry of the orders stream becomes a dead letter with its reason, and the next order is accepted."""

import json

import pytest

from tests.services.test_orders_reader import ReaderHarness, harness, memory_broker, placed
from worker.database import inbox

__all__ = ["harness", "memory_broker"]  # fixtures


def field(name: str, value: str) -> bytes:
    """Return a valid message but for one field of its order, in JSON that no encoder would write."""
    good = json.loads(placed("1"))
    good["data"][name] = "HERE"
    return json.dumps(good).replace('"HERE"', value).encode()


MALFORMED = {
    "empty": (b"", "message: not JSON"),
    "no JSON": (b"garbage", "message: not JSON"),
    "no UTF-8": (b'{"id": "\xff\xfe"}', "message: not UTF-8"),
    "a list": (b"[1, 2]", "message: not a JSON object"),
    "a number": (b"7", "message: not a JSON object"),
    "nested 10 000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "message: nested too deeply"),
    "a list 10 000 deep": (b"[" * 10_000 + b"]" * 10_000, "message: nested too deeply"),
    "a field twice": (
        placed("1").replace('"id"', '"id": "first", "id"', 1).encode(),
        "message: an object repeats a key",
    ),
    "not a number": (field("tip", "NaN"), "data.tip: not a finite number"),
    "infinite": (field("tip", "-Infinity"), "data.tip: not a finite number"),
    "1e400": (field("tip", "1e400"), "data.tip: not a finite number"),
    "NUL": (field("notes", '"a\\u0000b"'), "data.notes: contains a NUL character or an unpaired surrogate"),
    "half a surrogate pair": (
        field("notes", '"\\ud800"'),
        "data.notes: contains a NUL character or an unpaired surrogate",
    ),
    "a raw NUL": (field("notes", '"a\x00b"'), "message: not JSON"),
    "more than 5 MB": (field("notes", '"' + "x" * 5_000_001 + '"'), "message: more than 5000000 bytes"),
}


@pytest.mark.fault("F-47")
@pytest.mark.parametrize(("document", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_message_becomes_a_dead_letter_and_the_next_order_is_accepted(
    harness: ReaderHarness,
    document: bytes,
    reason: str,
) -> None:
    harness.bus.add_order(document)
    harness.bus.add_order(placed("2"))
    assert harness.read() == 2
    assert (harness.known(), harness.unacknowledged()) == (["2"], 0)
    (letter,) = harness.database.read(inbox.dead_letters, 10)
    assert (letter["reason"], letter["raw"]) == (reason, document)


def test_an_empty_message_becomes_one_dead_letter(harness: ReaderHarness) -> None:
    harness.bus.add_order("{}")
    harness.bus.add_order(placed("2"))
    harness.read()
    assert (harness.known(), harness.unacknowledged(), len(harness.reasons())) == (["2"], 0, 1)


@pytest.mark.fault("F-46")
def test_the_same_order_with_other_content_makes_no_second_delivery(harness: ReaderHarness) -> None:
    harness.bus.add_order(placed("1"))
    harness.bus.add_order(placed("1", notes="something else"))
    harness.bus.add_order(placed("1").replace('"message 1"', '"another message"'))
    harness.read()
    assert (harness.known(), harness.unacknowledged(), harness.reasons()) == (["1"], 0, [])
