"""The subscribers of `examples/` handle every event, once and in the order of its delivery."""

import json
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from schemas.events import TEST_SOURCE, CarrierEvent, DeliveryEvent, EventType
from schemas.status import Cause, DeliveryStatus
from tests.examples.conftest import SECONDS, Subscription
from tests.examples.languages import EXAMPLES, NODE, PHP, PYTHON, RUBY, Language, require
from tests.tls import CERTIFICATE, tls_in_front_of
from worker.database.outbox import event_row
from worker.domain.delivery import OutgoingEvent

pytestmark = pytest.mark.long

NOW = datetime(2026, 11, 30, 18, 30, tzinfo=UTC)
POSITIONS = count(1)


def event(delivery: str, sequence: int) -> OutgoingEvent:
    """Build an event as the relay publishes it."""
    data = DeliveryEvent(
        delivery_id=delivery,
        order_id="2011",
        order_source="demo",
        store_id="1",
        sequence=sequence,
        status=DeliveryStatus.QUEUED,
        cause=Cause.MESSAGE,
        observed_at=NOW,
    )
    row = event_row(EventType.STATUS_CHANGED, delivery, sequence, "2011", data, NOW)
    return OutgoingEvent(next(POSITIONS), delivery, sequence, row["body"])


def pause() -> OutgoingEvent:
    data = CarrierEvent(carrier="borzo", by="operator", because="maintenance", since=NOW)
    row = event_row(EventType.CARRIER_PAUSED, "borzo", 1, "borzo", data, NOW)
    return OutgoingEvent(next(POSITIONS), "borzo", 1, row["body"])


def sent_as_a_test(real: OutgoingEvent) -> OutgoingEvent:
    document = {**json.loads(real.body), "source": TEST_SOURCE}
    return replace(real, body=json.dumps(document))


def events_of_all_deliveries(first: int, last: int) -> list[OutgoingEvent]:
    return [event(f"delivery-{number}", sequence) for sequence in range(first, last + 1) for number in range(30)]


@pytest.mark.fault("F-83")
def test_readers_that_are_killed_while_they_handle_events_lose_none_and_keep_their_order(
    subscription: Subscription,
) -> None:
    parts = [events_of_all_deliveries(*sequences) for sequences in ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10))]
    subscription.publish(*parts[0])
    subscription.start("one")
    subscription.kill_inside_the_handler(parts[1], undo=True)
    subscription.start("one")
    subscription.until(lambda: len(subscription.handled()) > 30)
    subscription.kill_inside_the_handler(parts[2], undo=False)
    subscription.start("one")
    subscription.start("two")
    for each in parts[3]:  # one by one, so that both readers get some
        subscription.publish(each)
    subscription.until(lambda: len(subscription.handled()) > 200)
    subscription.kill("one")
    subscription.publish(*parts[4])
    subscription.until(subscription.is_done)

    handled = subscription.handled()
    by_delivery = {f"delivery-{number}": list(range(1, 11)) for number in range(30)}
    assert {key: [number for name, number in handled if name == key] for key in by_delivery} == by_delivery
    assert len(handled) == 300


@pytest.mark.parametrize("language", [PYTHON, NODE, PHP, RUBY], ids=lambda each: each.command)
def test_a_reader_without_addresses_or_a_name_ends_at_once(language: Language) -> None:
    require(language)
    variables = {
        name: value for name, value in os.environ.items() if name not in ("ORDER_SYNC_REDIS_URL", "DATABASE_URL")
    }
    addresses = {"ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    for given, names in ((variables, ["one"]), (variables | addresses, [])):
        command = [language.command, str(EXAMPLES / language.script), *names]
        ended = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=SECONDS)
        message = "set ORDER_SYNC_REDIS_URL and DATABASE_URL, and give the reader a name\n"
        assert (ended.returncode, ended.stderr) == (1, message)


def test_an_event_waits_for_an_earlier_one_that_another_reader_has_not_handled(subscription: Subscription) -> None:
    subscription.start("one")
    subscription.start("two")
    subscription.until(lambda: subscription.client.info("clients")["blocked_clients"] == 2)
    subscription.kill_inside_the_handler([event("delivery", 1)], [event("delivery", 2)], undo=True)
    subscription.until(subscription.is_done)
    assert subscription.handled() == [("delivery", 1), ("delivery", 2)]


def test_an_event_that_always_fails_is_put_aside_and_one_that_fails_twice_is_handled(
    subscription: Subscription,
) -> None:
    broken = event("broken", 2)
    subscription.publish(event("broken", 1), event("flaky", 1), sent_as_a_test(event("test", 1)), broken, pause())
    subscription.publish(event("flaky", 2), event("broken", 3))
    subscription.start("one")
    subscription.until(lambda: subscription.client.xlen("kitchen-screen:failed") == 1)
    subscription.until(subscription.is_done)
    assert subscription.handled() == [("broken", 1), ("flaky", 1), ("flaky", 2), ("broken", 3)]
    ((_, failed),) = cast("Any", subscription.client.xrange("kitchen-screen:failed"))
    assert failed == {"event": broken.body}


def test_a_reader_survives_lost_connections_and_an_emptied_bus(subscription: Subscription) -> None:
    events = [event("delivery", sequence) for sequence in (1, 2, 3, 4)]
    subscription.publish(*events[:3])
    subscription.start("one")
    subscription.until(lambda: len(subscription.handled()) == 3)
    subscription.client.flushall()
    subscription.client.client_kill_filter(_type="normal", skipme=True)
    subscription.publish(*events)
    subscription.until(lambda: len(subscription.handled()) == 4)
    subscription.until(subscription.is_done)
    assert subscription.handled() == [("delivery", 1), ("delivery", 2), ("delivery", 3), ("delivery", 4)]


def test_a_reader_uses_tls_its_user_its_password_and_its_database(
    subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.setenv(name, str(CERTIFICATE))
    subscription.client.acl_setuser(
        "kitchen", enabled=True, passwords=["+p@ss/:word"], keys=["*"], categories=["+@all"]
    )
    port = urlsplit(subscription.redis_url).port or 0
    other = replace(subscription, redis_url=f"redis://127.0.0.1:{port}/3")
    other.publish(event("delivery", 1))
    with tls_in_front_of("127.0.0.1", port) as tls_port:
        other.redis_url = f"rediss://kitchen:p%40ss%2F%3Aword@localhost:{tls_port}/3"
        other.start("one")
        other.until(lambda: other.handled() == [("delivery", 1)])
        other.until(other.is_done)
        (reader,) = [each["user"] for each in cast("Any", other.client.client_list()) if each["user"] != "default"]
        assert reader == "kitchen"
