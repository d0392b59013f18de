"""What only RabbitMQ has: routing keys, queues of subscribers, confirms, and messages that the broker gives up."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast
from zlib import crc32

import amqp
import pytest

from tests.bus.servers import RabbitServer, read_all
from tests.bus.test_conformance import DATABASE, body, event, publish
from worker.addresses.amqp_url import AmqpUrl
from worker.bus import rabbitmq
from worker.bus.port import OUTAGES, Entry
from worker.domain.delivery import OutgoingEvent

SECOND = 1_795_282_800


@pytest.fixture
def channel(rabbit_server: RabbitServer) -> Any:
    return rabbit_server.connection.channel()


@pytest.fixture
def subscribe(rabbit_server: RabbitServer, channel: Any) -> Iterator[Callable[..., str]]:
    """Return a function that binds the queue of a subscriber; the queue is deleted at the end."""
    names: list[str] = []

    def declare(route: str, **arguments: Any) -> str:
        names.append(name := f"{rabbit_server.prefix}subscriber{len(names)}")
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        channel.queue_bind(name, rabbit_server.bus.events, route)
        return name

    yield declare
    for name in names:
        rabbit_server.connection.channel().queue_delete(name)


def taken(channel: Any, queue: str) -> list[Any]:
    """Take every message of a queue."""
    return list(iter(lambda: channel.basic_get(queue, no_ack=True), None))


def send(channel: Any, rabbit_server: RabbitServer, body: str | bytes, **properties: Any) -> None:
    """Publish a message as a platform does with its own client."""
    channel.basic_publish(amqp.Message(body, **properties), "", rabbit_server.bus.orders)


def changed(position: int, status: str) -> OutgoingEvent:
    return OutgoingEvent(position, "k", position, body("k", position, status))


# --- events out ---


def test_a_subscriber_gets_the_events_whose_routing_key_it_has_bound(
    rabbit_server: RabbitServer, channel: Any, subscribe: Callable[..., str]
) -> None:
    every, delivered = subscribe("delivery.#"), subscribe("delivery.status_changed.delivered")
    stalled = json.dumps({"id": "s", "type": "delivery.stalled", "partitionkey": "k", "sequence": "3", "data": {}})
    publish(rabbit_server.bus, changed(1, "queued"), changed(2, "delivered"), OutgoingEvent(3, "k", 3, stalled))
    first, *_ = found = taken(channel, every)
    assert [each.delivery_info["routing_key"] for each in found] == [
        "delivery.status_changed.queued",
        "delivery.status_changed.delivered",
        "delivery.stalled",
    ]
    assert [each.body for each in taken(channel, delivered)] == [body("k", 2, "delivered")]
    assert {name: first.properties[name] for name in ("message_id", "type", "content_type", "delivery_mode")} == {
        "message_id": "k 1",
        "type": "delivery.status_changed",
        "content_type": "application/cloudevents+json",
        "delivery_mode": 2,
    }
    headers = {name: first.headers[name] for name in ("partitionkey", "bucket", "sequence")}
    assert headers == {"partitionkey": "k", "bucket": str(crc32(b"k") % 60), "sequence": 1}


def test_an_event_that_nobody_has_bound_is_in_the_stream(rabbit_server: RabbitServer) -> None:
    publish(rabbit_server.bus, event(1))
    assert [each.headers["x-stream-offset"] for each in rabbit_server.stream()] == [0]


def test_an_event_that_a_full_queue_refuses_delays_the_later_events_of_its_delivery_alone(
    rabbit_server: RabbitServer, channel: Any, subscribe: Callable[..., str]
) -> None:
    full = subscribe("delivery.status_changed.queued", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    publish(rabbit_server.bus, event(1, "other", 1))
    assert publish(rabbit_server.bus, event(2), changed(3, "picked_up")) == []
    published = publish(rabbit_server.bus, event(2), OutgoingEvent(4, "free", 1, body("free", 1, "delivered")))
    assert [position for position, _ in published] == [4]
    taken(channel, full)
    published = publish(rabbit_server.bus, event(2), changed(3, "picked_up"))
    assert [position for position, _ in published] == [2, 3]
    assert [each.body for each in taken(channel, full)] == [body("k", 2)]


def test_an_event_without_a_route_is_not_published_until_the_route_is_there_again(
    rabbit_server: RabbitServer, channel: Any
) -> None:
    publish(rabbit_server.bus, event(1))
    channel.queue_unbind(rabbit_server.bus.events, rabbit_server.bus.events, "#")
    assert publish(rabbit_server.bus, event(2)) == []
    assert [position for position, _ in publish(rabbit_server.bus, event(2))] == [2]
    assert rabbit_server.events() == [body("k", 1).encode(), body("k", 2).encode()]


def test_places_follow_the_newest_one_although_the_clock_is_behind(rabbit_server: RabbitServer) -> None:
    future = "9999999999999-0000000007"
    published = rabbit_server.bus.publisher.publish(DATABASE, [event(1), event(2)], future)
    assert [place for _, place in published] == ["9999999999999-0000000008", "9999999999999-0000000009"]


def test_nothing_counts_as_lost_while_only_other_programs_publish(rabbit_server: RabbitServer, channel: Any) -> None:
    channel.basic_publish(amqp.Message("not ours"), rabbit_server.bus.events, "anything")
    read_after: Callable[[str], Any] = rabbit_server.bus.publisher.last_surviving
    place = "1795282800123-0000000001"
    assert read_after(place) == (place, place)
    assert rabbit_server.bus.publisher.published_after(DATABASE, "") == []


# --- orders in ---


def test_everything_is_durable_and_the_orders_queue_has_a_dead_letter_exchange(
    rabbit_server: RabbitServer, channel: Any
) -> None:
    orders, events = rabbit_server.bus.orders, rabbit_server.bus.events
    safe = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    given_up = {"x-dead-letter-exchange": f"{orders}.dead", "x-delivery-limit": 1000, **safe}
    channel.queue_declare(
        orders, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum", **given_up}
    )  # refused if the queue differs
    channel.exchange_declare(events, "topic", durable=True, auto_delete=False)


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
def test_a_message_in_the_binary_mode_of_cloudevents_is_read_with_its_attributes(
    rabbit_server: RabbitServer, channel: Any, prefix: str
) -> None:
    headers = {f"{prefix}id": "1", f"{prefix}type": "order.placed", "other": "x"}
    send(channel, rabbit_server, '{"order_id": "2011"}', application_headers=headers, content_type="application/json")
    (entry,) = read_all(rabbit_server.bus, 1)
    fields = {b"ce_id": b"1", b"ce_type": b"order.placed", b"data": b'{"order_id": "2011"}'}
    assert entry == Entry(entry.id, b"", fields)


def test_the_id_of_a_message_is_that_of_its_properties(rabbit_server: RabbitServer, channel: Any) -> None:
    for _ in range(2):
        send(channel, rabbit_server, b"\xff\x00", message_id="m1", timestamp=SECOND)
    first, second = read_all(rabbit_server.bus, 2)
    assert (first.document, first.id == second.id, first.id.startswith(f"{SECOND}000-")) == (b"\xff\x00", True, True)


def test_a_message_whose_properties_cannot_be_decoded_is_read_like_any_other(
    rabbit_server: RabbitServer, channel: Any
) -> None:
    send(channel, rabbit_server, "one", application_headers={"x": datetime(9999, 1, 1)}, message_id="id")  # noqa: DTZ001
    send(channel, rabbit_server, "two", application_headers={"cloudEvents:id": None, "n": [1, {"a": 2.5}]})
    hostile = rabbit_server.another_process()
    first, second = read_all(hostile, 2)
    assert (first.document, second.fields) == (b"one", {b"ce_id": b"None", b"data": b"two"})
    rabbit_server.end(hostile)


def test_two_messages_without_an_id_are_two_messages(rabbit_server: RabbitServer, channel: Any) -> None:
    for _ in range(2):
        send(channel, rabbit_server, "x")
    first, second = read_all(rabbit_server.bus, 2)
    assert first.id != second.id


def test_a_message_that_the_broker_gives_up_comes_back_with_the_reason(
    rabbit_server: RabbitServer, channel: Any
) -> None:
    orders, dead = rabbit_server.bus.orders, f"{rabbit_server.bus.orders}.dead"
    channel.queue_delete(orders)
    rabbit_server.end(rabbit_server.bus)
    impatient = rabbitmq.Bus(
        AmqpUrl.parse(rabbit_server.url).servers, orders=orders, events=rabbit_server.bus.events, delivery_limit=2
    )
    impatient.add_order("poison")
    while not channel.queue_declare(dead, passive=True).message_count:
        if message := channel.basic_get(orders):
            channel.basic_reject(message.delivery_tag, requeue=True)
    (entry,) = read_all(impatient, 1)
    assert (entry.document, entry.fault) == (b"poison", "RabbitMQ gave it up: delivery_limit")
    impatient.acknowledge([entry])
    impatient.close()


def test_a_message_for_a_queue_that_is_gone_is_accepted_after_the_queue_is_declared_again(
    rabbit_server: RabbitServer, channel: Any
) -> None:
    rabbit_server.bus.add_order("one")
    channel.queue_delete(rabbit_server.bus.orders)
    with pytest.raises(ConnectionError):
        rabbit_server.bus.add_order("two")
    rabbit_server.bus.add_order("two")
    assert [entry.document for entry in read_all(rabbit_server.bus, 1)] == [b"two"]


def test_a_wrong_password_and_a_foreign_queue_are_outages(rabbit_server: RabbitServer, channel: Any) -> None:
    wrong = AmqpUrl.parse(rabbit_server.url.replace("guest:guest", "guest:wrong")).servers
    with pytest.raises(OUTAGES):
        rabbitmq.Bus(wrong, orders=rabbit_server.bus.orders, events=rabbit_server.bus.events).ping()
    channel.queue_delete(rabbit_server.bus.orders)
    channel.queue_declare(rabbit_server.bus.orders, durable=True, auto_delete=False)
    rabbit_server.end(rabbit_server.bus)
    with pytest.raises(amqp.exceptions.PreconditionFailed):
        rabbit_server.bus.ping()


def test_bytes_that_are_no_text_are_no_event_of_ours(rabbit_server: RabbitServer, channel: Any) -> None:
    headers = {"place": "9999999999999-0000000001", "database": DATABASE}
    channel.basic_publish(
        cast("Any", amqp.Message(b"\xff", application_headers=headers)), rabbit_server.bus.events, "x"
    )
    assert rabbit_server.bus.publisher.published_after(DATABASE, "") == []
