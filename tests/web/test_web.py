"""Callbacks are authenticated, stored and answered; health and metrics are served."""

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from structlog.testing import capture_logs

from schemas.status import DeliveryStatus
from tests.web.edge import NOW, SECRET, Edge
from worker.bus import streams
from worker.bus.streams import Bus
from worker.carriers.port import Booked, CallbackKey, Observation, Raw
from worker.database import callback_health, deliveries
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.delivery import Change
from worker.web import create_web_app
from worker.web.bodies import RequestBodies
from worker.web.callbacks import CallbackEndpoint

Make = Callable[..., Edge]
FORGED = (401, "not authentic")
OK = (200, "ok")
TOKEN = "kEX0u5bq2bBPnlm3cBbLx7jBqD3q8n1A"
ORDER_CHANGED = json.dumps(
    {
        "event_datetime": "2024-11-23T09:38:35-03:00",
        "event_type": "order_created",
        "order": {
            "type": "standard",
            "order_id": 1250032,
            "order_name": "50032",
            "status": "available",
            "status_description": "available",
            "points": [
                {"point_id": 202685, "client_order_id": None, "contact_person": {"phone": "5511900000001"}},
                {"point_id": 202686, "client_order_id": None, "delivery": {"status": "planned"}},
            ],
            "courier": None,
        },
    }
).encode()
DELIVERY_CHANGED = json.dumps(
    {
        "event_datetime": "2024-11-23T09:38:35-03:00",
        "event_type": "delivery_created",
        "delivery": {
            "delivery_id": 11712,
            "delivery_type": "plain",
            "order_id": 1250032,
            "client_id": 180198,
            "client_order_id": None,
            "address": "Av. Paulista, 1439 - 12 - Bela Vista, São Paulo - SP, 01310-100",
            "status": "active",
            "status_datetime": "2024-11-23T09:38:35-03:00",
        },
    },
    ensure_ascii=False,
).encode()
CERVO = {"order_id": "2011", "driver_name": "Ali", "driver_mobile": "+966599000111", "order_status": "2"}


def sign(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-DV-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def without_tables(edge: Edge, folder: Path) -> Iterator[None]:
    working, empty = edge.container.database, Database(f"sqlite:///{folder}/empty.db")
    edge.rebuild(database=empty)
    yield
    empty.close()
    edge.rebuild(database=working)


@pytest.fixture
def no_database(edge: Edge, tmp_path: Path) -> Iterator[None]:
    yield from without_tables(edge, tmp_path)


# --- Borzo: signed ---


@pytest.mark.quirk("B-81")
@pytest.mark.parametrize("body", [ORDER_CHANGED, DELIVERY_CHANGED])
def test_a_signed_callback_is_stored_before_it_is_answered_and_enqueued_afterwards(body: bytes, edge: Edge) -> None:
    edge.book(TOKEN, store_id="21", ref="1250032")
    answer = edge.ask("POST", "/callbacks/borzo?from=us", body, **sign(body), **{"Content-Type": "application/json"})
    (stored,) = edge.stored()
    assert answer == OK
    assert (stored.carrier, stored.received_at, stored.result) == ("borzo", NOW, None)
    assert (stored.callback.method, stored.callback.body, stored.callback.query) == ("POST", body, "from=us")
    assert {key: stored.callback.headers.get(key) for key in ("content-type", "x-dv-signature")} == {
        "content-type": "application/json",
        "x-dv-signature": None,
    }
    assert edge.tasks() == [("callbacks.apply", [stored.id])]


@pytest.mark.fault("F-79")
@pytest.mark.parametrize("body", [ORDER_CHANGED, DELIVERY_CHANGED, b"no JSON"])
def test_a_signed_callback_about_nobody_s_order_is_stored_and_left_to_the_sweep(body: bytes, edge: Edge) -> None:
    answer = edge.ask("POST", "/callbacks/borzo", body, **sign(body))
    assert (answer, [each.callback.body for each in edge.stored()], edge.tasks()) == (OK, [body], [])


def test_a_repeated_callback_gets_the_same_answer_and_is_stored_once(edge: Edge) -> None:
    edge.book(TOKEN, store_id="21", ref="1250032")
    answers = [edge.ask("POST", "/callbacks/borzo", ORDER_CHANGED, **sign(ORDER_CHANGED)) for _ in range(3)]
    assert (answers, len(edge.stored()), len(edge.tasks())) == ([OK] * 3, 1, 1)


@pytest.mark.fault("F-42")
@pytest.mark.quirk("B-81", "B-82")
@pytest.mark.parametrize(
    "signature",
    [
        {},
        {"X-DV-Signature": ""},
        {"X-DV-Signature": "0" * 64},
        {"X-DV-Signature": "not hexadecimal"},
        {"X-DV-Signature": "São Paulo".encode("latin-1")},
        {"X-DV-Signature": hashlib.sha256(ORDER_CHANGED).hexdigest()},
        {"X-DV-Signature": hmac.new(SECRET.encode(), ORDER_CHANGED, hashlib.sha1).hexdigest()},
        sign(ORDER_CHANGED, "another secret"),
        sign(ORDER_CHANGED + b" "),
    ],
)
def test_a_callback_that_is_not_signed_with_our_secret_changes_nothing(signature: dict[str, Any], edge: Edge) -> None:
    answer = edge.ask("POST", "/callbacks/borzo", ORDER_CHANGED, **signature)
    assert (answer, edge.stored(), edge.tasks()) == (FORGED, [], [])


@pytest.mark.quirk("B-81")
def test_two_secrets_are_valid_while_one_replaces_the_other(make_edge: Make) -> None:
    edge = make_edge(CARRIERS__BORZO__CALLBACK_SECRET="old, new")
    answers = [
        edge.ask("POST", "/callbacks/borzo", body, **sign(body, body.decode())) for body in (b"old", b"new", b"no")
    ]
    assert answers == [OK, OK, FORGED]


@pytest.mark.quirk("B-82")
def test_without_a_secret_no_signed_callback_is_accepted(make_edge: Make) -> None:
    edge = make_edge(CARRIERS__BORZO__CALLBACK_SECRET="")
    answer = edge.ask("POST", "/callbacks/borzo", ORDER_CHANGED, **sign(ORDER_CHANGED, ""))
    assert answer == FORGED


@pytest.mark.quirk("B-80")
def test_an_account_s_callbacks_use_its_own_address(make_edge: Make) -> None:
    second = {"KIND": "borzo", "TOKEN": "t", "CALLBACK_SECRET": "second"}
    edge = make_edge(**{f"CARRIERS__BORZO_RIO__{key}": value for key, value in second.items()})
    answers = [
        edge.ask("POST", f"/callbacks/{name}", b"{}", **sign(b"{}", "second")) for name in ("borzo-rio", "borzo")
    ]
    stored = [each.carrier for each in edge.stored()]
    assert (answers, stored) == ([OK, FORGED], ["borzo-rio"])


# --- Cervo: a token in the path ---


@pytest.mark.quirk("C-17", "C-50")
@pytest.mark.parametrize(
    ("method", "query", "body", "content_type"),
    [
        ("POST", "", json.dumps(CERVO).encode(), "application/json"),
        ("POST", "", b"order_id=2011&driver_name=Ali&order_status=2", "application/x-www-form-urlencoded"),
        ("GET", "order_id=2011&driver_name=Ali&order_status=2", b"", "text/plain"),
    ],
)
def test_a_callback_with_a_known_token_is_stored_in_any_format(
    method: str, query: str, body: bytes, content_type: str, edge: Edge
) -> None:
    edge.book(TOKEN)
    answer = edge.ask(method, f"/callbacks/cervo/{TOKEN}?{query}", body, **{"Content-Type": content_type})
    (stored,) = edge.stored()
    callback = stored.callback
    assert answer == OK
    assert (stored.carrier, callback.token, callback.method, callback.query, callback.body) == (
        ("cervo", TOKEN, method, query, body)
    )
    assert callback.headers["content-type"] == content_type
    assert edge.tasks() == [("callbacks.apply", [stored.id])]


@pytest.mark.fault("F-42")
@pytest.mark.quirk("C-50")
@pytest.mark.parametrize(
    "path",
    [
        "/callbacks/cervo/unknown",
        "/callbacks/cervo",
        "/callbacks/cervo/%00",
        "/callbacks/cervo/%FF%FE",
        "/callbacks/cervo/" + "x" * 5000,
        f"/callbacks/cervo/{TOKEN.lower()}",
        f"/callbacks/cervo/{TOKEN}%00",
        f"/callbacks/borzo/{TOKEN}",
    ],
)
def test_an_unknown_token_and_a_wrong_form_of_address_get_the_same_answer(path: str, edge: Edge) -> None:
    edge.book(TOKEN)
    answer = edge.ask("POST", path, b"{}", **sign(b"{}"))
    assert (answer, edge.stored(), edge.tasks()) == (FORGED, [], [])


@pytest.mark.fault("F-42")
def test_a_token_is_valid_for_its_own_account_only(make_edge: Make) -> None:
    edge = make_edge(CARRIERS__CERVO_JEDDAH__KIND="cervo", CARRIERS__CERVO_JEDDAH__TOKEN="t")
    edge.book(TOKEN)
    answer = edge.ask("POST", f"/callbacks/cervo-jeddah/{TOKEN}", b"{}")
    assert answer == FORGED


@pytest.mark.parametrize("host", ["[", "edge.example:port", "a@b"])
def test_a_callback_with_a_malformed_host_and_query_is_stored_unchanged(host: str, edge: Edge) -> None:
    edge.book(TOKEN)
    answer = edge.ask("GET", f"/callbacks/cervo/{TOKEN}?name=%FF", b"", Host=host)
    assert (answer, [each.callback.query for each in edge.stored()]) == (OK, ["name=%FF"])


# --- requests that are no callbacks ---


@pytest.mark.parametrize(
    "path", ["/callbacks/nobody", "/callbacks/nobody/x", "/callbacks/deliverit", "/callbacks/deliverit/"]
)
def test_a_carrier_without_callbacks_has_no_address(path: str, edge: Edge) -> None:
    assert edge.ask("POST", path, b"{}", **sign(b"{}")) == (404, "no such callback address")


@pytest.mark.fault("F-86")
@pytest.mark.parametrize(
    "path",
    [
        "/callbacks/borzo/",
        "//callbacks/borzo",
        "/callbacks//borzo",
        "/callbacks/borzo//",
        "/Callbacks/Borzo",
        "/CALLBACKS/borzo",
    ],
)
def test_an_address_with_a_slash_too_many_or_in_the_wrong_case_is_read_as_it_was_meant(path: str, edge: Edge) -> None:
    assert edge.ask("POST", f"http://edge.example{path}", b"{}", **sign(b"{}")) == OK
    assert [each.carrier for each in edge.stored()] == ["borzo"]


@pytest.mark.fault("F-86")
def test_the_token_of_an_address_keeps_its_case(edge: Edge) -> None:
    edge.book(TOKEN)
    answers = [edge.ask("POST", f"/callbacks/cervo/{token}/", b"{}") for token in (TOKEN, TOKEN.swapcase())]
    assert answers == [OK, (401, "not authentic")]


@pytest.mark.fault("F-86")
@pytest.mark.parametrize(
    ("method", "path", "status", "address"),
    [
        ("POST", "/callbacks", 404, "/callbacks"),
        ("POST", "/callbacks/", 404, "/callbacks"),
        ("POST", "/callbacks/nobody", 404, "/callbacks/nobody"),
        ("POST", "/callbacks/deliverit", 404, "/callbacks/deliverit"),
        ("POST", f"/callbacks/cervo/{TOKEN}/more", 404, "/callbacks/cervo"),
        ("POST", "/callbacks.php", 404, "/callbacks.php"),
        ("GET", "/callbacks/borzo", 405, "/callbacks/borzo"),
        ("PUT", f"/callbacks/cervo/{TOKEN}", 405, "/callbacks/cervo"),
        ("HEAD", f"/callbacks/cervo/{TOKEN}", 405, "/callbacks/cervo"),
    ],
)
def test_a_callback_that_has_no_endpoint_is_logged_without_its_token_and_counted(
    method: str, path: str, status: int, address: str, edge: Edge
) -> None:
    with capture_logs() as logs:
        assert edge.ask(method, path, b"{}")[0] == status
    assert logs == [
        {
            "event": "callback.refused",
            "log_level": "warning",
            "address": address,
            "method": method,
            "answer": status,
        }
    ]
    assert f'order_sync_callbacks_total{{answer="{status}",carrier="unknown"}} 1.0' in edge.ask("GET", "/metrics")[1]


def test_a_request_outside_of_the_callbacks_is_not_logged(edge: Edge) -> None:
    with capture_logs() as logs:
        assert [edge.ask("GET", path)[0] for path in ("/", "/admin")] == [404, 404]
    assert logs == []


@pytest.mark.quirk("C-50", "B-81")
@pytest.mark.parametrize(("path", "limit"), [("/callbacks/borzo", 1_000_000), (f"/callbacks/cervo/{TOKEN}", 64_000)])
def test_a_callback_has_a_size_limit(path: str, limit: int, edge: Edge) -> None:
    edge.book(TOKEN)
    bodies = [b"x" * limit, b"x" * (limit + 1)]
    answers = [edge.ask("POST", path, body, **sign(body)) for body in bodies]
    assert (answers, len(edge.stored())) == ([OK, (413, "too large")], 1)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
def test_a_signed_callback_is_a_post(method: str, edge: Edge) -> None:
    assert edge.ask(method, "/callbacks/borzo", b"{}", **sign(b"{}"))[0] == 405


@pytest.mark.quirk("C-50")
def test_a_link_preview_is_no_callback(edge: Edge) -> None:
    edge.book(TOKEN)
    answer = edge.ask("HEAD", f"/callbacks/cervo/{TOKEN}?order_status=6")
    assert (answer, edge.stored(), edge.tasks()) == ((405, ""), [], [])


async def dripping() -> AsyncIterator[bytes]:
    """Send one byte and never end."""
    yield b"{"
    await asyncio.Event().wait()


@pytest.mark.fault("F-45")
@pytest.mark.parametrize("path", ["/callbacks/borzo", f"/callbacks/cervo/{TOKEN}"])
def test_a_body_that_never_ends_is_cut_off(path: str, edge: Edge) -> None:
    edge.book(TOKEN)
    edge.web = create_web_app(edge.container, bodies=RequestBodies(seconds=0.01))
    answer = edge.ask("POST", path, dripping())
    assert (answer, edge.stored()) == ((408, "too slow"), [])


# --- many at once ---


@pytest.mark.fault("F-40")
@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
def test_the_same_callback_a_hundred_times_at_once_is_stored_once(
    url: str, make_edge: Make, request: pytest.FixtureRequest
) -> None:
    edge = make_edge(database_url=request.getfixturevalue(url))
    edge.book(TOKEN, store_id="21", ref="1250032")
    answers = edge.ask_at_once("/callbacks/borzo", [(ORDER_CHANGED, sign(ORDER_CHANGED))] * 100)
    assert (answers, len(edge.stored()), len(edge.tasks())) == ([200] * 100, 1, 1)


@pytest.mark.fault("F-25", "F-45")
@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
def test_a_flood_is_answered_and_every_accepted_callback_is_stored(
    url: str, make_edge: Make, request: pytest.FixtureRequest
) -> None:
    edge = make_edge(database_url=request.getfixturevalue(url), WORKER_CONCURRENCY="1")
    bodies = [b"%d" % number for number in range(200)]
    answers = edge.ask_at_once("/callbacks/borzo", [(body, sign(body)) for body in bodies])
    accepted = {body for body, answer in zip(bodies, answers, strict=True) if answer == 200}
    assert {each.callback.body for each in edge.stored()} == accepted
    assert set(answers) <= {200, 503}


class SlowReads:
    """A database in which each look-up of a token waits until the test allows it."""

    def __init__(self, real: Database) -> None:
        self.write, self._real, self.allowed = real.write, real, threading.Event()
        self.waiting = 0

    def read(self, function: Any, account: str, key: CallbackKey) -> Any:
        if key.token is not None:
            self.waiting += 1
            self.allowed.wait(10)
        return self._real.read(function, account, key)


class WakeUps:
    """A queue that needs no thread, unlike the broker: the answer is sent before the wake-up task."""

    async def send(self, _tasks: Any) -> None:
        """Send nothing."""


@pytest.mark.fault("F-94")
def test_a_signed_callback_is_stored_while_strangers_wait_for_every_thread(edge: Edge) -> None:
    slow: Any = SlowReads(edge.container.database)
    queue: Any = WakeUps()
    web = CallbackEndpoint(
        edge.container.codecs, slow, queue, lambda: NOW, lambda *_: None, lambda _: None, RequestBodies()
    )
    edge.web = Starlette(
        routes=[
            Route("/callbacks/{carrier}", web.receive, methods=["POST"]),
            Route("/callbacks/{carrier}/{token}", web.receive, methods=["POST"]),
        ]
    )

    async def flooded() -> tuple[int, set[int]]:
        guesses = [asyncio.create_task(edge.send("POST", f"/callbacks/cervo/{n}", b"{}", {})) for n in range(50)]
        async with asyncio.timeout(5):
            while slow.waiting < 40:  # noqa: ASYNC110 - as many as Starlette has threads
                await asyncio.sleep(0)
            signed = await edge.send("POST", "/callbacks/borzo", ORDER_CHANGED, sign(ORDER_CHANGED))
        slow.allowed.set()
        return signed.status_code, {each.status_code for each in await asyncio.gather(*guesses)}

    assert asyncio.run(flooded()) == (200, {401})


# --- when a server is unreachable ---


@pytest.mark.quirk("B-82", "B-92")
@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize("path", ["/callbacks/borzo", f"/callbacks/cervo/{TOKEN}"])
def test_without_the_database_the_carrier_is_asked_to_repeat_its_callback(path: str, edge: Edge) -> None:
    answer = edge.ask("POST", path, ORDER_CHANGED, **sign(ORDER_CHANGED))
    assert (answer, edge.tasks()) == ((503, "try again later"), [])


@pytest.mark.fault("F-14")
def test_without_the_broker_a_callback_is_stored(make_edge: Make) -> None:
    edge = make_edge(BROKER_URL="redis://127.0.0.1:1/0")
    answer = edge.ask("POST", "/callbacks/borzo", ORDER_CHANGED, **sign(ORDER_CHANGED))
    stored = [each.callback.body for each in edge.stored()]
    assert (answer, stored) == (OK, [ORDER_CHANGED])


async def _serve_until(edge: Edge, done: Callable[[], bool]) -> None:
    """Run the app without requests until a condition holds."""
    async with asyncio.timeout(10), edge.web.router.lifespan_context(edge.web):
        while not done():  # noqa: ASYNC110 - it shows only in the database and in the log
            await asyncio.sleep(0)


def test_a_running_edge_records_that_callbacks_can_be_stored(edge: Edge) -> None:
    asyncio.run(_serve_until(edge, lambda: edge.container.database.read(callback_health.last_heartbeat) is not None))
    assert edge.container.database.read(callback_health.last_heartbeat) == NOW


def test_a_running_edge_records_how_many_callbacks_it_refused_as_not_authentic(edge: Edge) -> None:
    for path in ("/callbacks/borzo", "/callbacks/borzo", "/callbacks/cervo/wrong", "/callbacks/unknown"):
        edge.ask("POST", path, ORDER_CHANGED, **sign(ORDER_CHANGED, "wrong"))
    read = edge.container.database.read
    asyncio.run(_serve_until(edge, lambda: bool(read(callback_health.refused))))
    assert sorted(read(callback_health.refused)) == [("borzo", 2, NOW), ("cervo", 1, NOW)]


@pytest.mark.quirk("B-85")
def test_after_a_gap_the_number_of_hurried_reads_is_logged(edge: Edge) -> None:
    edge.container.database.write(callback_health.heartbeat, NOW - timedelta(hours=1))
    edge.book(TOKEN)
    (delivery,) = edge.container.database.read(deliveries.find, "2011")
    created = Booked(Observation(DeliveryStatus.CREATED, Raw("response", "200"), ref="25"))
    settled = lifecycle.apply_create_outcome(delivery, 7, created, edge.container.terms, NOW)
    later = Change(replace(settled.delivery, next_run_at=NOW + timedelta(hours=1)), settled.events)
    edge.container.database.persist(deliveries.update, [delivery.id], lambda _: later)
    with capture_logs() as logged:
        asyncio.run(_serve_until(edge, lambda: bool(logged)))
    assert logged == [{"event": "callback.gap_found", "deliveries": 1, "log_level": "warning"}]


@pytest.mark.usefixtures("no_database")
def test_an_edge_without_its_database_logs_that_no_callback_can_be_stored(edge: Edge) -> None:
    with capture_logs() as logged:
        asyncio.run(_serve_until(edge, lambda: bool(logged)))
    assert logged == [{"event": "callback.heartbeat_failed", "error": "OperationalError", "log_level": "warning"}]


# --- health and metrics ---


def test_a_process_is_alive_when_it_answers_and_ready_when_its_servers_respond(edge: Edge) -> None:
    assert [edge.ask("GET", path) for path in ("/livez", "/readyz")] == [OK, OK]


@pytest.mark.usefixtures("no_database")
def test_without_the_database_a_process_is_alive_but_not_ready(edge: Edge) -> None:
    assert [edge.ask("GET", path) for path in ("/livez", "/readyz")] == [OK, (503, "not ready: database")]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_the_public_address_has_neither_health_nor_metrics(path: str, edge: Edge) -> None:
    edge.desk = edge.web
    assert edge.ask("GET", path)[0] == 404


def test_readiness_lists_every_unreachable_server(make_edge: Make) -> None:
    edge = make_edge(BROKER_URL="redis://127.0.0.1:1/0")
    edge.rebuild(bus=Bus(streams.connect("redis://127.0.0.1:1/0"), orders="orders", events="deliveries"))
    answer = edge.ask("GET", "/readyz")
    assert answer == (503, "not ready: bus, broker")


@pytest.mark.quirk("X-15")
def test_no_log_line_contains_a_token_a_signature_or_a_body(edge: Edge, tmp_path: Path) -> None:
    edge.book(TOKEN)
    signed = sign(ORDER_CHANGED)
    with capture_logs() as logged:
        edge.ask("POST", "/callbacks/borzo", ORDER_CHANGED, **signed)
        edge.ask("POST", "/callbacks/borzo", ORDER_CHANGED, **sign(ORDER_CHANGED, "x"))
        edge.ask("GET", f"/callbacks/cervo/{TOKEN}?driver_name=Ali")
        edge.ask("POST", "/callbacks/cervo/unknown", json.dumps(CERVO).encode())
        for _ in without_tables(edge, tmp_path):
            edge.ask("POST", "/callbacks/borzo", ORDER_CHANGED, **signed)
    assert logged == [
        {"event": "callback.forged", "account": "borzo", "error": "the signature does not fit the body"}
        | {"log_level": "warning"},
        {"event": "callback.forged", "account": "cervo", "error": "unknown token", "log_level": "warning"},
        {"event": "callback.not_stored", "account": "borzo", "error": "OperationalError", "log_level": "error"},
    ]
