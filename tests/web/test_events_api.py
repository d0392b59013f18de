"""Events are read over HTTP with a cursor: each once, as it is on the bus, and only by the platform of its order."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from uvicorn import Config
from uvicorn.server import ServerState

from schemas.events import delivery_id
from schemas.openapi import ANSWERS, EVENTS
from schemas.ordering import NO_DEFAULTS
from tests.database.test_purged_rows import publish
from tests.web.edge import NOW, Edge
from tests.web.test_orders_api import DELIVERY, KEY, KEYS, LATER, NO_KEY, OTHER_KEY, Platform, event, order, refused
from worker.database import accounts, retention
from worker.web.events import MOST_AT_ONCE, EventsEndpoint
from worker.web.orders import OrdersApi
from worker.web.server import OPTIONS, LimitedProtocol

Page = tuple[list[dict[str, Any]], str]
NONE: list[dict[str, Any]] = []


@pytest.fixture
def platform(make_edge: Callable[..., Edge]) -> Platform:
    return Platform(make_edge(**KEYS))


def read(platform: Platform, query: str = "") -> Page:
    status, page = platform.send("GET", f"/events{query}", content_type=None)
    assert status == 200
    return page["events"], page["next"]


def store(platform: Platform, message: dict[str, Any]) -> None:
    platform.edge.container.ingest.store_documents([("1-0", json.dumps(message).encode())])


def about(page: Page) -> list[tuple[str, str]]:
    return [(each["subject"], each["type"]) for each in page[0]]


def waiting_with(edge: Edge, pause: Callable[[float], Any]) -> None:
    """Let the requests that wait for events pause in this way."""
    services = edge.container
    read_events = EventsEndpoint(services.event_feed, pause).read
    keys, count = services.settings.sources_by_key, lambda _path, _status: None
    edge.web = Starlette(routes=OrdersApi(keys, services.order_requests, NO_DEFAULTS, read_events, count).routes())


@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
def test_events_are_read_as_they_are_on_the_bus_a_page_at_a_time(
    url: str, make_edge: Callable[..., Edge], request: pytest.FixtureRequest
) -> None:
    platform = Platform(make_edge(request.getfixturevalue(url), **KEYS))
    assert read(platform) == (NONE, "0")
    platform.place(order())
    platform.cancel()
    platform.edge.container.relay.publish()
    on_bus = [json.loads(fields[b"event"]) for _, fields in platform.edge.redis.xrange("deliveries")]
    assert read(platform) == (on_bus, str(len(on_bus)))
    assert read(platform, "?limit=1") == (on_bus[:1], "1")
    assert read(platform, "?after=1&limit=1") == (on_bus[1:2], "2")
    assert read(platform, f"?after={len(on_bus)}") == (NONE, str(len(on_bus)))


def test_a_platform_reads_the_events_of_its_own_orders_and_those_about_accounts(platform: Platform) -> None:
    kiosk = Platform(platform.edge, OTHER_KEY)
    platform.place(order())
    kiosk.place(order(order_id="9001"))
    kiosk.place(order(order_id="9002", delivery_type="pickup"))
    platform.database.write(accounts.pause, "borzo", accounts.OPERATOR, "a test", NOW)
    paused = ("borzo", "carrier.paused")
    assert about(read(platform)) == [("2011", "delivery.status_changed"), paused]
    assert about(read(kiosk)) == [("9001", "delivery.status_changed"), ("9002", "order.skipped"), paused]
    assert read(platform)[0][0]["data"]["delivery_id"] == DELIVERY
    assert read(kiosk)[0][0]["data"]["delivery_id"] == delivery_id("kiosk", "9001")


def test_a_platform_reads_only_the_types_that_it_wants(platform: Platform) -> None:
    platform.place(order())
    platform.place(order(order_id="2012", delivery_type="pickup"))
    platform.database.write(accounts.pause, "borzo", accounts.OPERATOR, "a test", NOW)
    page = read(platform, "?types=order.skipped,%20carrier.paused&limit=1")
    assert (about(page), page[1]) == ([("2012", "order.skipped")], "2")
    assert about(read(platform, "?types=order.skipped,carrier.paused&after=2")) == [("borzo", "carrier.paused")]
    assert read(platform, "?types=delivery.conflict") == (NONE, "3")


def test_a_platform_may_begin_with_the_events_that_come(platform: Platform) -> None:
    platform.place(order())
    events, cursor = read(platform, "?after=now")
    assert (events, cursor) == (NONE, "1")
    platform.place(order(order_id="2012"))
    assert about(read(platform, f"?after={cursor}")) == [("2012", "delivery.status_changed")]


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("after=x", "after", "String should match pattern '^(now|[0-9]{1,18})?$'"),
        ("after=-1", "after", "String should match pattern '^(now|[0-9]{1,18})?$'"),
        ("limit=0", "limit", "Input should be greater than or equal to 1"),
        ("limit=1001", "limit", "Input should be less than or equal to 1000"),
        ("wait=31", "wait", "Input should be less than or equal to 30"),
        ("wait=", "wait", "Input should be a valid integer, unable to parse string as an integer"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(platform: Platform, query: str, field: str, reason: str) -> None:
    answer = platform.send("GET", f"/events?{query}", content_type=None)
    assert answer == refused(422, "Unprocessable Content", f"{field}: {reason}", (field, reason))


def test_an_unknown_type_is_refused(platform: Platform) -> None:
    status, problem = platform.send("GET", "/events?types=order.eaten", content_type=None)
    assert (status, [fault["field"] for fault in problem["errors"]]) == (422, ["types.0"])


def test_a_reader_without_a_valid_key_gets_no_events(platform: Platform) -> None:
    assert Platform(platform.edge, "another").send("GET", "/events", content_type=None) == NO_KEY


@pytest.mark.fault("F-105")
def test_a_cursor_after_which_events_were_deleted_is_gone(platform: Platform) -> None:
    platform.place(order())
    platform.cancel()
    publish(platform.database)
    count = len(platform.events())
    platform.database.write(retention.delete_events, NOW.replace(year=2027), 0)
    gone = refused(410, "Gone", "events after this position were deleted")
    assert platform.send("GET", "/events?after=0", content_type=None) == gone
    events, cursor = read(platform)
    assert ([each["data"]["sequence"] for each in events], cursor) == ([count], str(count))


@pytest.mark.fault("F-105")
def test_a_cursor_from_before_a_loss_of_commits_is_gone_also_when_new_events_have_reached_it(
    platform: Platform,
) -> None:
    platform.place(order())
    cursor = read(platform)[1]
    platform.edge.container.lost_commits.hold("a fail-over")
    platform.place(order(order_id="2012"))
    gone = refused(410, "Gone", "the database is another one or has lost commits")
    assert platform.send("GET", f"/events?after={cursor}", content_type=None) == gone
    events, new = read(platform, "?types=delivery.status_changed")
    assert [each["subject"] for each in events] == ["2011", "2012"]
    assert read(platform, f"?after={new}") == (NONE, new)


def test_a_cursor_of_another_database_is_gone(platform: Platform) -> None:
    detail = "no event has this position: the database is another one or has lost commits"
    assert platform.send("GET", "/events?after=7", content_type=None) == refused(410, "Gone", detail)


def test_events_that_cannot_be_read_now_are_requested_again_later(make_edge: Callable[..., Edge]) -> None:
    platform = Platform(make_edge("postgresql://127.0.0.1:1/none", **KEYS))
    assert platform.send("GET", "/events", content_type=None) == LATER


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_waiting_request_is_answered_as_soon_as_there_is_an_event(platform: Platform) -> None:
    async def place_while_it_waits(_seconds: float) -> None:
        await asyncio.to_thread(store, platform, event())

    waiting_with(platform.edge, place_while_it_waits)
    assert about(read(platform, "?wait=30")) == [("2011", "delivery.status_changed")]


def test_a_waiting_request_passes_events_that_it_does_not_want(platform: Platform) -> None:
    placed = iter([event(), event(id="2", data=order(order_id="2012", delivery_type="pickup"))])

    async def place_while_it_waits(_seconds: float) -> None:
        await asyncio.to_thread(store, platform, next(placed))

    waiting_with(platform.edge, place_while_it_waits)
    page = read(platform, "?wait=30&types=order.skipped")
    assert (about(page), page[1]) == ([("2012", "order.skipped")], "2")


def test_a_request_waits_no_longer_than_it_wants(platform: Platform) -> None:
    assert read(platform, "?wait=1") == (NONE, "0")


def test_all_waiting_requests_share_one_look_and_a_source_has_a_limit_of_them(platform: Platform) -> None:
    edge, looks = platform.edge, []
    everybody_waits, released = asyncio.Event(), asyncio.Event()

    async def pause(seconds: float) -> None:
        looks.append(seconds)
        everybody_waits.set()
        await released.wait()

    async def ask(key: str = KEY) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {key}"}
        reply = await edge.send("GET", "/events?wait=30", b"", headers)
        return reply.status_code, reply.headers.get("retry-after", "")

    async def flood() -> list[tuple[int, str]]:
        asked = [asyncio.create_task(ask()) for _ in range(MOST_AT_ONCE + 1)]
        await everybody_waits.wait()
        (refused,) = (await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED))[0]
        other = asyncio.create_task(ask(OTHER_KEY))
        await asyncio.to_thread(edge.container.database.write, accounts.pause, "borzo", "operator", "", NOW)
        released.set()
        return [refused.result(), *await asyncio.gather(other, *(each for each in asked if each is not refused))]

    waiting_with(edge, pause)
    assert edge.run(flood()) == [(429, "5"), *[(200, "")] * (MOST_AT_ONCE + 1)]
    assert len(looks) <= 2


def test_the_end_of_the_server_answers_the_requests_that_wait(platform: Platform) -> None:
    looked = asyncio.Event()

    async def pause(_seconds: float) -> None:
        looked.set()
        await asyncio.sleep(0)

    async def stop_while_it_waits() -> bytes:
        state = ServerState()
        config = Config(platform.edge.web, **OPTIONS)
        made = partial(LimitedProtocol, config=config, server_state=state, app_state={})
        server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(f"GET /events?wait=30 HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        await looked.wait()
        for connection in state.connections:
            connection.shutdown()
        answer = bytes(await reader.read())
        writer.close()
        server.close()
        return answer

    waiting_with(platform.edge, pause)
    assert platform.edge.run(stop_while_it_waits()).endswith(b'\r\n\r\n{"events":[],"next":"0"}')


def test_every_answer_is_counted(platform: Platform) -> None:
    read(platform)
    platform.send("GET", "/events?limit=0", content_type=None)
    metrics = platform.edge.ask("GET", "/metrics")[1]
    counts = [
        float(line.rpartition(" ")[2])
        for status in ANSWERS[EVENTS]
        for line in metrics.splitlines()
        if line.startswith(f'order_sync_order_requests_total{{answer="{status}",path="{EVENTS}"}}')
    ]
    assert counts == [1.0 if status in {200, 422} else 0.0 for status in ANSWERS[EVENTS]]
