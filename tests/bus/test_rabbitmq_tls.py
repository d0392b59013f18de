"""A RabbitMQ with TLS, reached by an address with several nodes of which the first one is away."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from tests.bus.servers import documents, read_all
from tests.conftest import RABBITMQ_VARIABLE, missing
from tests.rabbitmq import Node, own_node
from tests.tls import CERTIFICATE
from worker.addresses.amqp_url import AmqpUrl
from worker.app import create_app
from worker.bus import rabbitmq
from worker.bus.port import OUTAGES
from worker.config.settings import load
from worker.local.supervisor import free_port
from worker.runtime import broker

TRUSTED = f"?ssl_ca_certs={CERTIFICATE}"


@pytest.fixture(autouse=True)
def _garbage() -> Iterator[None]:
    """Collect the sockets that py-amqp leaves open after the test, because their warnings belong here."""
    yield
    gc.collect()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    try:
        with own_node(tmp_path / "rabbitmq") as running:
            yield running
    except (OSError, RuntimeError) as error:
        missing("RabbitMQ", RABBITMQ_VARIABLE, error)


def url(node: Node) -> str:
    return f"amqps://127.0.0.1:{free_port()},localhost:{node.tls_port}"


def bus_at(address: str) -> rabbitmq.Bus:
    return rabbitmq.Bus(AmqpUrl.parse(address).servers, orders="orders", events="deliveries")


def ping_broker(address: str) -> None:
    app = create_app(load({"ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0", "ORDER_SYNC_BROKER_URL": address}))
    broker.ping(app)
    app.send_task("timers.sweep", queue="timers")
    app.close()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # py-amqp's sockets of failed handshakes
def test_bus_and_broker_find_the_node_that_lives_and_verify_its_certificate(node: Node) -> None:
    bus = bus_at(f"{url(node)}{TRUSTED}")
    bus.add_order("one")
    assert documents(read_all(bus, 1)) == [b"one"]
    bus.close()
    ping_broker(f"{url(node)}{TRUSTED}")
    with pytest.raises(OUTAGES):
        bus_at(url(node)).ping()
    with pytest.raises((OperationalError, OSError)):
        ping_broker(url(node))
