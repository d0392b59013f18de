"""Entries that contain an erased order are removed, unless a consumer group still needs them."""

import re

import redis

from worker.bus.streams import Bus

ORDER = re.compile(rb"2011")


def test_acknowledged_messages_about_an_order_are_removed_and_the_others_kept(bus: Bus) -> None:
    ids = [bus.add_order(f"order {number}") for number in (2011, 2012, 2011, 2011)]
    bus.create_group()
    bus.acknowledge(bus.read("reader", 3, 1))
    assert bus.remove_orders(ORDER) == 2
    assert [entry.id for entry in bus.newest_orders(9)] == [ids[3], ids[1]]
    assert bus.remove_orders(ORDER) == 0


def test_messages_that_another_group_has_not_acknowledged_are_kept(client: redis.Redis, bus: Bus) -> None:
    for _ in range(3):
        bus.add_order("order 2011")
    bus.create_group()
    bus.acknowledge(bus.read("reader", 3, 1))
    client.xgroup_create(bus.orders, "slow", id="0")
    client.xreadgroup("slow", "reader", {bus.orders: ">"}, count=2)
    assert bus.remove_orders(ORDER) == 0


def test_messages_without_a_group_and_missing_streams_are_left_alone(client: redis.Redis, bus: Bus) -> None:
    assert (bus.remove_orders(ORDER), bus.remove_events(ORDER)) == (0, 0)
    bus.add_order("order 2011")
    assert bus.remove_orders(ORDER) == 0
    assert client.xlen(bus.orders) == 1


def test_events_that_match_are_removed_up_to_the_slowest_group(client: redis.Redis, bus: Bus) -> None:
    for number, order in enumerate((2011, 2012, 2011, 2011), 1):
        client.xadd(bus.events, {"event": f"order {order}"}, id=f"{number}-0")
    client.xgroup_create(bus.events, "subscriber", id="3-0")
    assert bus.remove_events(ORDER) == 2
    client.xgroup_destroy(bus.events, "subscriber")
    assert bus.remove_events(ORDER) == 1
    assert client.xlen(bus.events) == 1


def test_a_removed_event_does_not_count_as_lost(client: redis.Redis, bus: Bus) -> None:
    client.xadd(bus.events, {"event": "order 2011"}, id="1-0")
    place = f"{1:0>13}-{0:0>10}"
    bus.remove_events(ORDER)
    assert bus.publisher.last_surviving(place)[0] == place
