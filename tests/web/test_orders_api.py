"""Orders come over HTTP: each is stored before it is answered, and has the same effect as its message on the bus."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from schemas.events import delivery_id
from schemas.json_reader import MAX_MESSAGE_BYTES
from schemas.messages import found_order_message, read_message
from schemas.openapi import ANSWERS, CANCELLATION, EVENT, ORDER
from schemas.ordering import NO_DEFAULTS
from schemas.status import DeliveryStatus
from tests.web.edge import NOW, Content, Edge
from tests.web.test_web import dripping
from worker.database import due_work, inbox, outbox
from worker.database.database import Database
from worker.database.due_work import Limits
from worker.database.search import Filter, search
from worker.database.tables import DELIVERY as DELIVERY_TABLE
from worker.database.tables import MESSAGE
from worker.domain.delivery import Delivery
from worker.web.bodies import RequestBodies
from worker.web.events import EventsEndpoint
from worker.web.orders import OrdersApi

Make = Callable[..., Edge]
KEY, OLD_KEY, OTHER_KEY = "k" * 32, "old-key-of-the-platform-0123456789", "key-of-another-platform-0123456789"
KEYS = {"API_KEYS__PLATFORM": f"{OLD_KEY}, {KEY}", "API_KEYS__KIOSK": OTHER_KEY}
DELIVERY = delivery_id("platform", "2011")
ACCEPTED = (202, {"order_id": "2011", "delivery_id": DELIVERY})
EVENT_TYPE = "application/cloudevents+json"
JSON = "application/json"


@dataclass(frozen=True)
class Platform:
    """A platform that sends orders to a web app with its key."""

    edge: Edge
    key: str = KEY

    def send(
        self, method: str, path: str, body: object = None, content_type: str | None = JSON, **headers: Any
    ) -> tuple[int, Any]:
        """Send a document, or bytes as they are; return the status and the document of the answer."""
        given = body is None or isinstance(body, bytes) or hasattr(body, "__aiter__")
        content: Content = (body or b"") if given else json.dumps(body).encode()  # type: ignore[assignment]
        sent = {"Authorization": f"Bearer {self.key}", **headers}
        reply = self.edge.request(
            method, path, content, sent | ({"Content-Type": content_type} if content_type else {})
        )
        assert reply.status_code < 400 or reply.headers["content-type"] == "application/problem+json"
        return reply.status_code, reply.json()

    def place(self, body: object, content_type: str = JSON, **headers: Any) -> tuple[int, Any]:
        return self.send("POST", "/orders", body, content_type, **headers)

    def cancel(self, body: object = None, order_id: str = "2011", **headers: Any) -> tuple[int, Any]:
        return self.send("POST", f"/orders/{order_id}/cancel", body, None if body is None else JSON, **headers)

    def state(self, order_id: str = "2011") -> tuple[int, Any]:
        return self.send("GET", f"/deliveries/{order_id}", content_type=None)

    @property
    def database(self) -> Database:
        return self.edge.container.database

    def deliveries(self) -> list[Delivery]:
        return self.database.read(search, Filter(), 10)

    def delivery(self) -> Delivery:
        (found,) = self.deliveries()
        return found

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.database.read(outbox.events)]


@pytest.fixture
def platform(make_edge: Make) -> Platform:
    return Platform(make_edge(**KEYS))


def order(**changes: Any) -> dict[str, Any]:
    return ORDER | changes


def event(**changes: Any) -> dict[str, Any]:
    return EVENT | changes


def refused(status: int, title: str, detail: str, *errors: tuple[str, str]) -> tuple[int, Any]:
    faults = [{"field": name, "reason": reason} for name, reason in errors]
    return status, {"title": title, "status": status, "detail": detail, "errors": faults}


NO_KEY = refused(401, "Unauthorized", "no valid key")
LATER = refused(503, "Service Unavailable", "try again later")
CONFLICT = refused(409, "Conflict", "revision: 1 is known with other content; send a greater one")

# --- an order ---


@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
def test_an_order_is_stored_before_it_is_answered_and_its_dispatch_begins_at_once(
    url: str, make_edge: Make, request: pytest.FixtureRequest
) -> None:
    platform = Platform(make_edge(request.getfixturevalue(url), **KEYS))
    assert platform.place(order()) == ACCEPTED
    assert (platform.delivery().id, platform.delivery().carrier) == (DELIVERY, "deliverit")
    assert sorted(platform.edge.tasks()) == [("deliveries.book", ["deliverit", [DELIVERY]]), ("events.publish", [])]
    assert (platform.place(order(notes="another")), platform.state()[0]) == (CONFLICT, 200)


@pytest.mark.fault("F-93")
def test_without_a_broker_the_next_sweep_finds_a_new_order_and_waits_for_no_task(make_edge: Make) -> None:
    platform = Platform(make_edge(BROKER_URL="", **KEYS))
    platform.place(order())
    claimed = platform.database.write(due_work.claim, NOW + timedelta(milliseconds=1), Limits(1, 1, 1))
    assert [each.id for each in claimed.deliveries] == [DELIVERY]


def test_an_order_has_the_same_effect_as_its_message_on_the_bus(platform: Platform) -> None:
    platform.place(order())
    before = (platform.events(), platform.delivery().order)
    with platform.database.engine.begin() as connection:
        for table in reversed(DELIVERY_TABLE.metadata.sorted_tables):
            connection.execute(table.delete())
    platform.edge.container.ingest.store_documents([("1-0", json.dumps(event()).encode())])
    assert (platform.events(), platform.delivery().order) == before


TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "shop=17"}
OTHER_TRACE = {"traceparent": "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def traces(platform: Platform) -> list[tuple[str | None, str | None]]:
    return [(each["traceparent"], each["tracestate"]) for each in platform.events()]


def test_the_trace_of_a_request_is_that_of_its_order(platform: Platform) -> None:
    platform.place(order(), **TRACE)
    assert traces(platform) == [tuple(TRACE.values())]
    assert platform.place(order(), **OTHER_TRACE) == ACCEPTED  # the same order in another trace is still a repeat
    assert traces(platform) == [tuple(TRACE.values())]


def test_the_trace_of_a_document_comes_before_that_of_its_request(platform: Platform) -> None:
    platform.place(event(**OTHER_TRACE), EVENT_TYPE, **TRACE)
    assert traces(platform) == [(OTHER_TRACE["traceparent"], None)]


def test_an_invalid_trace_of_a_request_counts_as_none(platform: Platform) -> None:
    platform.place(order(), traceparent="00-zz", tracestate="shop=17")
    assert traces(platform) == [(None, None)]


def test_the_answer_names_the_address_of_the_delivery(platform: Platform) -> None:
    headers = {"Authorization": f"bearer  {KEY}", "Content-Type": "Application/JSON; charset=utf-8"}
    body = json.dumps(order(order_id="20/11")).encode()
    reply = platform.edge.request("POST", "/orders", body, headers)
    assert (reply.status_code, reply.headers["location"]) == (202, "/deliveries/20%2F11")
    assert platform.state("20%2F11")[1]["order_id"] == "20/11"
    assert platform.cancel(order_id="20%2F11")[1]["delivery_id"] == delivery_id("platform", "20/11")


def test_the_same_order_again_gets_the_same_answer_and_changes_nothing(platform: Platform) -> None:
    answers = [platform.place(body) for body in (order(), order(), order(notes=None), order(revision="1"))]
    assert (answers, len(platform.events())) == ([ACCEPTED] * 4, 1)


@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
def test_of_many_contents_under_one_revision_at_the_same_time_one_is_stored(
    url: str, make_edge: Make, request: pytest.FixtureRequest
) -> None:
    platform = Platform(make_edge(request.getfixturevalue(url), **KEYS))
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": JSON}
    bodies = [(json.dumps(order(notes=f"note {number // 2}")).encode(), headers) for number in range(20)]
    assert sorted(platform.edge.ask_at_once("/orders", bodies)) == [202] * 2 + [409] * 18
    assert (len(platform.events()), platform.delivery().attention_reasons) == (1, ())


def test_an_order_is_stored_and_answered_while_redis_is_away(make_edge: Make) -> None:
    platform = Platform(make_edge(BROKER_URL="redis://127.0.0.1:1/0", **KEYS))
    assert (platform.place(order()), platform.delivery().id) == (ACCEPTED, DELIVERY)


def test_an_order_of_which_only_the_id_is_sent_is_fetched_from_the_platform(platform: Platform) -> None:
    assert platform.place({"order_id": 2011}) == ACCEPTED
    claimed = platform.database.write(inbox.claim_fetches, NOW, 10)
    assert [(each.source, each.order_id) for each in claimed] == [("platform", "2011")]


def test_an_order_that_needs_no_courier_is_skipped_and_has_no_delivery(platform: Platform) -> None:
    assert platform.place(order(delivery_type="pickup")) == ACCEPTED
    assert [each["type"] for each in platform.events()] == ["order.skipped"]
    assert platform.state()[0] == 404


# --- updates ---


def test_a_greater_revision_updates_an_order_and_an_older_one_changes_nothing(platform: Platform) -> None:
    answers = [platform.place(order(revision=revision, notes=f"at {revision}")) for revision in (1, 3, 2)]
    assert (answers, platform.delivery().order.notes) == ([ACCEPTED] * 3, "at 3")


def test_other_content_under_the_same_revision_is_refused_and_asks_no_operator(platform: Platform) -> None:
    platform.place(order())
    assert platform.place(order(notes="another")) == CONFLICT
    assert (platform.delivery().attention_reasons, platform.delivery().order.notes) == ((), "")


def test_a_document_with_a_known_id_and_other_content_is_refused(platform: Platform) -> None:
    platform.place(event(), EVENT_TYPE)
    assert platform.place(event(data=order(notes="another")), EVENT_TYPE) == CONFLICT


def test_the_late_order_of_a_back_filled_delivery_is_accepted_and_a_later_revision_updates_it(
    platform: Platform,
) -> None:
    ingest = platform.edge.container.ingest
    found = found_order_message("platform", "2011")
    ingest.store([found])
    fetched = read_message(event(data=order(notes="from the API", revision=1_700_000_000)))
    ingest.store_fetched("platform", found.id, type(found)("platform", found.id, "order.placed", fetched.data))
    assert (platform.place(order()), platform.delivery().order.notes) == (ACCEPTED, "from the API")
    assert platform.place(order(revision=2, notes="newer")) == ACCEPTED
    assert platform.delivery().order.notes == "newer"


# --- what is refused ---


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (b"", [("message", "not JSON")]),
        (b"[]", [("message", "not a JSON object")]),
        (b"\xff", [("message", "not UTF-8")]),
        ({k: v for k, v in ORDER.items() if k != "customer"}, [("customer", "Field required")]),
        (order(store_id="", revision=-1), [
            ("revision", "Input should be greater than or equal to 0"),
            ("store_id", "String should have at least 1 character"),
        ]),
        (order(payment={**ORDER["payment"], "amount": 125}), [
            ("payment.amount", 'money must be a decimal string such as "125.00", not a number'),
        ]),
    ],
)  # fmt: skip
def test_a_body_that_is_no_order_is_refused_with_its_fields_and_is_no_dead_letter(
    body: object, faults: list[tuple[str, str]], platform: Platform
) -> None:
    detail = "; ".join(f"{field}: {reason}" for field, reason in faults)
    assert platform.place(body) == refused(422, "Unprocessable Content", detail, *faults)
    assert (platform.database.read(inbox.dead_letters, 10), platform.events()) == ([], [])


def test_the_reason_of_a_refusal_and_the_log_contain_no_personal_data(platform: Platform) -> None:
    with capture_logs() as logs:
        answer = platform.place(order(customer={"name": "Mette Holm", "phone": {"home": "+4551234567"}}))
    assert answer[0] == 422
    assert [text for text in ("Mette", "4551234567") if text in json.dumps([answer, logs])] == []


def test_a_body_of_another_type_is_refused(platform: Platform) -> None:
    detail = "send application/json or application/cloudevents+json"
    assert platform.place(order(), "application/x-www-form-urlencoded") == refused(
        415, "Unsupported Media Type", detail
    )
    assert platform.send("POST", "/orders/2011/cancel", CANCELLATION, EVENT_TYPE) == refused(
        415, "Unsupported Media Type", "send application/json"
    )


def test_a_body_that_is_too_large_is_refused(platform: Platform) -> None:
    body = b" " * (MAX_MESSAGE_BYTES + 1)
    assert platform.place(body) == refused(413, "Content Too Large", "too large")
    largest = json.dumps(order()).encode().ljust(MAX_MESSAGE_BYTES)
    assert platform.place(largest) == ACCEPTED


def impatient(edge: Edge, bodies: RequestBodies) -> Starlette:
    container = edge.container
    keys, count = container.settings.sources_by_key, lambda _path, _status: None
    read_events = EventsEndpoint(container.event_feed).read
    return Starlette(routes=OrdersApi(keys, container.order_requests, NO_DEFAULTS, read_events, count, bodies).routes())


@pytest.mark.fault("F-45")
def test_a_body_that_never_ends_is_cut_off(platform: Platform) -> None:
    platform.edge.web = impatient(platform.edge, RequestBodies(seconds=0.01))
    assert platform.place(dripping()) == refused(408, "Request Timeout", "too slow")


def test_the_bodies_of_orders_leave_room_for_callbacks(platform: Platform) -> None:
    """A callback arrives while large orders hold as much as all bodies may hold."""

    async def held(reached: asyncio.Event) -> AsyncIterator[bytes]:
        yield b" " * 4_900_000
        reached.set()
        await asyncio.Event().wait()

    async def send() -> int:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": JSON}
        reached = [asyncio.Event() for _ in range(6)]
        orders = [asyncio.create_task(platform.edge.send("POST", "/orders", held(each), headers)) for each in reached]
        await asyncio.gather(*(each.wait() for each in reached))
        reply = await platform.edge.send("POST", "/callbacks/borzo", b"x" * 900_000, {})
        for each in orders:
            each.cancel()
        await asyncio.wait(orders)
        return reply.status_code

    assert platform.edge.run(send()) == 401  # it was read to its end, and is not signed


def test_without_the_database_the_answer_is_to_try_again(platform: Platform, tmp_path: Path) -> None:
    working, empty = platform.database, Database(f"sqlite:///{tmp_path}/empty.db")
    platform.edge.rebuild(database=empty)
    answers = [platform.place(order()), platform.cancel(), platform.state()]
    headers = {"Authorization": f"Bearer {KEY}"}
    reply = platform.edge.run(platform.edge.send("GET", "/deliveries/2011", b"", headers))
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
    platform.edge.rebuild(database=working)
    empty.close()
    assert (answers, platform.place(order())) == ([LATER] * 3, ACCEPTED)


# --- keys ---


@pytest.mark.parametrize("key", ["", "k", KEY[1:], KEY + "k", f"{OLD_KEY},{KEY}", "ø" * 32])
def test_without_a_valid_key_nothing_is_read(key: str, platform: Platform) -> None:
    stranger = Platform(platform.edge, key)
    header: Any = {"Authorization": f"Bearer {key}".encode("latin-1")}
    assert [
        stranger.place(dripping(), **header),
        stranger.send("POST", "/orders/2011/cancel", **header),
        stranger.send("GET", "/deliveries/2011", **header),
    ] == [NO_KEY] * 3
    assert platform.deliveries() == []


@pytest.mark.parametrize("header", [{}, {"Authorization": KEY}, {"Authorization": f"Basic {KEY}"}])
def test_a_key_is_a_bearer_token(header: dict[str, str], platform: Platform) -> None:
    reply = platform.edge.request("GET", "/deliveries/2011", b"", header)
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")


def test_two_keys_of_a_source_are_valid_while_one_replaces_the_other(platform: Platform) -> None:
    assert [Platform(platform.edge, key).place(order()) for key in (OLD_KEY, KEY)] == [ACCEPTED] * 2
    assert len(platform.events()) == 1


def test_each_source_has_orders_of_its_own(platform: Platform) -> None:
    kiosk = Platform(platform.edge, OTHER_KEY)
    platform.place(order())
    assert (platform.state()[0], kiosk.state()[0]) == (200, 404)
    assert kiosk.place(order(notes="another"))[1]["delivery_id"] == delivery_id("kiosk", "2011")
    kiosk.cancel()
    assert {each.source: each.status for each in platform.deliveries()} == {
        "platform": DeliveryStatus.QUEUED,
        "kiosk": DeliveryStatus.CANCELLED,
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/orders"), ("GET", "/deliveries/2011"), ("POST", "/orders/1/cancel"), ("GET", "/openapi.json")],
)
def test_without_any_key_there_is_no_door(method: str, path: str, edge: Edge) -> None:
    assert edge.ask(method, path, Authorization="Bearer ") == (404, "not found")


# --- CloudEvents ---


@pytest.mark.parametrize("source", ["platform", "", None])
def test_a_cloudevents_document_has_the_source_of_the_key(source: str | None, platform: Platform) -> None:
    assert platform.place(event(source=source), EVENT_TYPE) == ACCEPTED
    assert platform.delivery().source == "platform"


def test_a_document_of_another_source_is_refused(platform: Platform) -> None:
    detail = "source: the key belongs to another source"
    assert platform.place(event(source="kiosk"), EVENT_TYPE) == refused(403, "Forbidden", detail)
    assert platform.deliveries() == []


def test_a_message_that_came_over_the_bus_is_a_repeat_over_http(platform: Platform) -> None:
    platform.edge.container.ingest.store_documents([("1-0", json.dumps(event()).encode())])
    assert (platform.place(event(), EVENT_TYPE), len(platform.events())) == (ACCEPTED, 1)


def test_each_fault_of_a_document_is_named(platform: Platform) -> None:
    broken = [event(type="order.lost", id=None), event(data=order(store_id=None, customer=None))]
    answers = [platform.place(each, EVENT_TYPE)[1] for each in broken]
    assert [[each["field"] for each in answer["errors"]] for answer in answers] == [
        ["id", "type"],
        ["store_id", "customer"],
    ]


# --- cancels ---


@pytest.mark.parametrize("body", [None, {}, {"order_id": 2011}, CANCELLATION, {"cancelled_by": "customer", "extra": 1}])
def test_a_cancel_is_stored_before_it_is_answered(body: object, platform: Platform) -> None:
    platform.place(order())
    assert platform.cancel(body) == ACCEPTED
    given = body if isinstance(body, dict) else {}
    assert (platform.delivery().status, platform.delivery().cancelled_by) == (
        DeliveryStatus.CANCELLED,
        given.get("cancelled_by", "merchant"),
    )


def test_a_cancel_may_come_before_its_order(platform: Platform) -> None:
    assert (platform.cancel(), platform.place(order())) == (ACCEPTED, ACCEPTED)
    assert platform.delivery().status is DeliveryStatus.CANCELLED


def test_a_cancel_of_another_order_than_that_of_its_address_is_refused(platform: Platform) -> None:
    reason = "the address has another order id"
    assert platform.cancel({"order_id": "2012"}) == refused(
        422, "Unprocessable Content", f"order_id: {reason}", ("order_id", reason)
    )


@pytest.mark.parametrize("order_id", ["", "x" * 65, "%00"])
def test_a_cancel_needs_the_id_of_an_order(order_id: str, platform: Platform) -> None:
    status, answer = platform.cancel(order_id=order_id)
    assert (status, [each["field"] for each in answer["errors"]]) == (422, ["order_id"])
    assert platform.state(order_id)[0] == 404


# --- the Idempotency-Key ---


def message_ids(platform: Platform) -> int:
    with platform.database.engine.connect() as connection:
        return len(connection.execute(MESSAGE.select()).all())


def test_the_key_distinguishes_two_requests_with_the_same_body(platform: Platform) -> None:
    keys = [{}, {}, {"Idempotency-Key": "1"}, {"Idempotency-Key": "1"}, {"Idempotency-Key": "2"}]
    platform.place(order())
    assert [platform.cancel(**key) for key in keys] == [ACCEPTED] * 5
    assert message_ids(platform) == 1 + 3


def test_a_key_that_is_used_for_different_requests_suppresses_none(platform: Platform) -> None:
    key = {"Idempotency-Key": "always the same"}
    answers = [platform.place(order(order_id=name), **key)[0] for name in ("1", "2")]
    platform.place(order(order_id="1", revision=2, notes="newer"), **key)
    platform.cancel(order_id="2", **key)
    assert answers == [202, 202]
    assert {each.order.order_id: (each.order.notes, each.status) for each in platform.deliveries()} == {
        "1": ("newer", DeliveryStatus.QUEUED),
        "2": ("", DeliveryStatus.CANCELLED),
    }


# --- the state of a delivery ---


def test_the_state_of_a_delivery_is_the_data_of_its_newest_event(platform: Platform) -> None:
    platform.place(order())
    platform.edge.rebuild(clock=lambda: NOW + timedelta(minutes=1))
    platform.cancel(CANCELLATION)
    *_, newest = platform.events()
    assert newest["data"]["status"] == "cancelled"
    assert platform.state() == (200, {**newest["data"], "as_of": "2026-11-21T17:01:00Z"})


def test_the_state_of_an_unknown_order_is_not_found(platform: Platform) -> None:
    assert platform.state("nobody's") == refused(404, "Not Found", "no delivery of this order")


# --- other requests ---


def test_a_wrong_method_or_address_is_refused_as_a_problem(platform: Platform) -> None:
    reply = platform.edge.request("PUT", "/orders", b"", {})
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["title"] == "Method Not Allowed"
    assert platform.send("GET", "/orders/2011")[0] == 404
    assert platform.edge.ask("GET", "/nothing") == (404, "not found")
    assert platform.edge.ask("POST", "/part/callbacks/cervo/x") == (404, "no such callback address")


def test_the_answers_are_counted_by_path_and_status(platform: Platform) -> None:
    platform.place(order())
    platform.place(order())
    platform.place(b"")
    platform.state("2012")
    _, text = platform.edge.ask("GET", "/metrics")
    counts = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("order_sync_order_requests_total")
    )
    assert {name: count for name, count in counts.items() if float(count)} == {
        'order_sync_order_requests_total{answer="202",path="/orders"}': "2.0",
        'order_sync_order_requests_total{answer="422",path="/orders"}': "1.0",
        'order_sync_order_requests_total{answer="404",path="/deliveries/{order_id}"}': "1.0",
    }
    assert len(counts) == sum(map(len, ANSWERS.values()))
