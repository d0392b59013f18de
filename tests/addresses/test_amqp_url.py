"""Both clients mean the same RabbitMQ, virtual host and credentials by one address, or the address is refused."""

import ssl
from urllib.parse import quote

import pytest
from celery import Celery

from worker.addresses.amqp_url import UNREADABLE, WRONG, AmqpUrl
from worker.app import create_app
from worker.config.settings import NO_REDIS, load
from worker.errors import SettingsError

PASSWORD = "p@s:s/w#o?r;d,%20"
ESCAPED = quote(PASSWORD, safe="")
REDIS = {"ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0"}


def app(url: str) -> Celery:
    return create_app(load({**REDIS, "ORDER_SYNC_BROKER_URL": url}))


@pytest.mark.parametrize(
    ("url", "host", "credentials", "virtual_host"),
    [
        ("amqp://rabbit", "rabbit:5672", ("guest", "guest"), "/"),
        ("amqp://rabbit/", "rabbit:5672", ("guest", "guest"), "/"),
        ("amqp://rabbit:5673/%2F", "rabbit:5673", ("guest", "guest"), "/"),
        (f"amqp://shop:{ESCAPED}@rabbit/delivery", "rabbit:5672", ("shop", PASSWORD), "delivery"),
        ("amqp://u:p@rabbit/a%2Fb", "rabbit:5672", ("u", "p"), "a/b"),
        ("amqps://u:p@[::1]/d", "[::1]:5671", ("u", "p"), "d"),
    ],
)
def test_both_clients_read_the_same_parts(url: str, host: str, credentials: tuple[str, str], virtual_host: str) -> None:
    (options,) = AmqpUrl.parse(url).servers
    broker = app(url).connection_for_write()
    assert (options["host"], options["userid"], options["password"]) == (host, *credentials)
    assert (broker.userid, broker.password) == credentials
    assert (options["virtual_host"], broker.virtual_host) == (virtual_host, virtual_host)
    assert host in {f"[{broker.hostname}]:{broker.port}", f"{broker.hostname}:{broker.port}"}
    assert AmqpUrl.parse(str(AmqpUrl.parse(url))) == AmqpUrl.parse(url)


def test_tls_verifies_the_certificate_and_the_name_of_the_server_unless_told_otherwise() -> None:
    strict = AmqpUrl.parse("amqps://rabbit?ssl_ca_certs=/ca.pem").ssl
    lax = AmqpUrl.parse("amqps://rabbit?ssl_cert_reqs=none").ssl
    nothing = {"certfile": None, "keyfile": None}
    verified = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, "ca_certs": "/ca.pem", **nothing}
    assert (strict, lax) == (verified, {"cert_reqs": ssl.CERT_NONE, "ca_certs": None, **nothing})
    assert app("amqps://rabbit?ssl_ca_certs=/ca.pem").connection_for_write().ssl == verified
    servers = AmqpUrl.parse("amqps://rabbit,other?ssl_ca_certs=/ca.pem").servers
    assert [each["ssl"] for each in servers] == [{**verified, "server_hostname": name} for name in ("rabbit", "other")]
    assert AmqpUrl.parse("amqp://rabbit").ssl is None


def test_several_hosts_are_the_nodes_of_a_cluster_for_both_clients() -> None:
    url = AmqpUrl.parse(f"amqp://u:{ESCAPED}@one,two:5673,[::1]/v")
    assert [each["host"] for each in url.servers] == ["one:5672", "two:5673", "[::1]:5672"]
    assert {each["password"] for each in url.servers} == {PASSWORD}
    assert app(str(url)).connection_for_write().alt == [
        f"amqp://u:{ESCAPED}@{host}/v" for host in ("one:5672", "two:5673", "[::1]:5672")
    ]
    assert AmqpUrl.parse(str(url)) == url
    assert url.masked == "amqp://u:***@one:5672,two:5673,[::1]:5672/v"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://rabbit", WRONG),
        ("amqp://u:secret#x@rabbit", UNREADABLE),
        ("amqp://u:secret/x@rabbit", UNREADABLE),
        ("amqp://u:12/34@rabbit", UNREADABLE),  # the virtual host is shown
        ("amqp://u:secret@one,u:secret@two/v", UNREADABLE),
        ("amqp://rabbit:port", UNREADABLE),
        ("amqp://one,,two", UNREADABLE),
        ("amqp://rabbit/a/b", UNREADABLE),
        ("amqp://rabbit?heartbeat=5", "cannot have the option heartbeat, nor any other"),
        ("amqps://rabbit?ssl_cert_reqs=maybe", "the option ssl_cert_reqs must be required or none"),
    ],
)
def test_an_address_that_cannot_work_is_refused_without_showing_a_secret(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r"^[^#]*$") as refused:
        AmqpUrl.parse(url)
    assert str(refused.value) == fault


def test_a_masked_address_has_no_password() -> None:
    assert AmqpUrl.parse("amqp://u:secret@rabbit/v").masked == "amqp://u:***@rabbit:5672/v"


def test_a_deployment_without_redis_says_so_at_its_start(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    url = "amqp://127.0.0.1:1"
    settings = load({"ORDER_SYNC_BROKER_URL": url, "ORDER_SYNC_BUS_URL": url})
    with pytest.raises(SettingsError, match=NO_REDIS[:30]):
        _ = create_app(settings).conf.broker_url


def test_every_queue_of_celery_is_a_quorum_queue_with_a_prefix_and_keeps_its_short_name() -> None:
    queues = app("amqp://rabbit").amqp.queues
    names = ["callbacks", "events", "orders", "platform", "timers", "webhooks"]
    assert sorted(queues) == [f"osync.{name}" for name in names]
    found = {name: (queues[name].name, queues[name].queue_arguments) for name in names}
    assert found == {
        name: (
            f"osync.{name}",
            {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000 if name == "orders" else 20},
        )
        for name in names
    }
