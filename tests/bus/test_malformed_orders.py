"""A malformed entry of the orders stream becomes a dead letter with its reason, and the next order is accepted."""

import json
from typing import Any

import pytest

from tests.services.test_orders_reader import ReaderHarness, harness, memory_broker, placed
from worker.database import event_feed, inbox, outbox

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


TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAMED = {"order_id": "BAD2", "order_source": "platform", "message_id": "BAD-2"}
UNNAMED = dict.fromkeys(NAMED)


def lacking(**more: Any) -> dict[str, Any]:
    """Return a message whose order lacks most of its fields."""
    attributes = {"id": "BAD-2", "source": "platform", "type": "order.placed"}
    return {**attributes, "data": {"order_id": "BAD2", "store_id": "17", "items": []}, **more}


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (lacking(), NAMED),
        (lacking(source=None, specversion="1.0"), NAMED),
        (lacking(id=7, specversion="1.0"), {**NAMED, "message_id": "7"}),
        (lacking(data={"order_id": 1, "notes": "a\x00b"}), {**NAMED, "order_id": "1"}),
        (lacking(data={"id": 5150}, dataschema="urn:order-sync:ordering-order:1"), {**NAMED, "order_id": "5150"}),
        (lacking(data=None, data_base64="eyJvcmRlcl9pZCI6ICJCQUQyIn0="), NAMED),
        (lacking(data=None, data_base64="!"), {**NAMED, "order_id": None}),
        (lacking(data=["Freja Holm"]), {**NAMED, "order_id": None}),
        (lacking(data={"order_id": "9" * 65}), {**NAMED, "order_id": None}),
        (lacking(data={"order_id": {"name": "Freja Holm"}}), {**NAMED, "order_id": None}),
        (lacking(source="\ud800", id="a\nb"), {**NAMED, "order_source": None, "message_id": None}),
        ("not an object", UNNAMED),
    ],
    ids=range(12),
)
def test_the_event_of_a_dead_letter_names_what_the_message_says_of_itself(
    harness: ReaderHarness, document: object, named: dict[str, Any]
) -> None:
    harness.bus.add_order(json.dumps(document))
    assert harness.read() == 1
    (letter,) = harness.database.read(inbox.dead_letters, 10)
    about = {"dead_letter_id": letter["id"], "reason": letter["reason"]}
    assert quarantined(harness)["data"] == {**named, **about}


def test_the_event_of_a_dead_letter_in_binary_mode_names_its_order_and_trace(harness: ReaderHarness) -> None:
    attributes = {b"ce_id": b"BAD-2", b"ce_type": b"order.placed", b"ce_traceparent": TRACEPARENT.encode()}
    harness.bus.add_entry({**attributes, b"ce_source": b"\xff", b"data": b'{"order_id": "BAD2"}'})
    assert harness.read() == 1
    event = quarantined(harness)
    assert event["traceparent"] == TRACEPARENT
    assert {name: event["data"][name] for name in NAMED} == {**NAMED, "order_source": None}


def test_the_feed_of_a_platform_has_its_unreadable_messages(harness: ReaderHarness) -> None:
    harness.bus.add_order(json.dumps(lacking()))
    harness.bus.add_order(json.dumps(lacking(source="elsewhere")))
    assert harness.read() == 2
    wanted = event_feed.Wanted(source="elsewhere")
    (event,) = harness.database.read(event_feed.events, 0, 10, 10, wanted)
    assert json.loads(event.body)["data"]["order_source"] == "elsewhere"


def quarantined(harness: ReaderHarness) -> dict[str, Any]:
    ((_, body),) = harness.database.read(outbox.events)
    found: dict[str, Any] = json.loads(body)
    assert found["type"] == "order.quarantined"
    return found
