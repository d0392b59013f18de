"""Every client means the same server, database and credentials by one address, or the address is refused."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from kombu.exceptions import OperationalError

from tests.tls import CERTIFICATE, tls_in_front_of
from worker.addresses.redis_url import UNREADABLE, RedisUrl
from worker.app import create_app
from worker.bus import streams
from worker.config.settings import load
from worker.errors import SettingsError

PASSWORD = "p@s:s/w#o?r;d,%20"
ESCAPED = quote(PASSWORD, safe="")


@pytest.fixture
def server(embedded_redis: Callable[..., AbstractContextManager[str]], tmp_path: Path) -> Iterator[str]:
    """Yield the address of a server with a password, without that password; it also has the socket `r.sock`."""
    with embedded_redis(unixsocket=str(tmp_path / "r.sock")) as url, redis.Redis.from_url(url) as client:
        client.config_set("requirepass", PASSWORD)
        yield url.removesuffix("/0")


def databases(url: str) -> list[dict[str, Any]]:
    """Return the number of the database and the address of the server's end that each client of a process uses."""
    settings = load({"ORDER_SYNC_REDIS_URL": url})
    with create_app(settings).connection_for_write() as connection:
        channel: Any = connection.default_channel
        clients = [streams.connect(settings.bus), streams.connect(settings.redis), channel.client]
        found = [client.execute_command("CLIENT", "INFO") for client in clients]
        for client in clients:
            client.close()
    return [each if isinstance(each, dict) else _fields(each) for each in found]


def _fields(reply: bytes) -> dict[str, str]:
    return dict(part.split("=", 1) for part in reply.decode().split())


@pytest.mark.parametrize(
    ("form", "db"),
    [
        ("redis://:{password}@{host}/3", 3),
        ("redis://:{password}@{host}?db=3", 3),
        ("redis://:{password}@{host}", 0),
        ("redis://{host}/3?password={password}", 3),
        ("redis://default:{password}@{host}/3", 3),
        ("redis://{host}?username=default&password={password}&db=3", 3),
        ("unix://:{password}@{socket}?db=3", 3),
        ("unix://{socket}?db=3&password={password}", 3),
        ("unix://default:{password}@{socket}", 0),
    ],
)
def test_bus_rate_limits_and_broker_use_one_server_and_one_database(
    form: str, db: int, server: str, tmp_path: Path
) -> None:
    url = form.format(password=ESCAPED, host=server.removeprefix("redis://"), socket=tmp_path / "r.sock")
    found = databases(url)
    assert [each["db"] for each in found] == [str(db)] * 3
    assert len({each["laddr"] for each in found}) == 1


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        *(
            (f"redis://h/0?{name}=3", f"cannot have the option {name}, only db, password, username")
            for name in ("protocol", "health_check_interval", "client_name", "socket_timeout", "ssl_cert_reqs")
        ),
        ("rediss://h/0?ssl_cert_reqs=optional", "the option ssl_cert_reqs must be required or none"),
        ("redis://h/zero", "must have the number of a database as its path or its option db"),
        ("redis://h?db=-1", "must have the number of a database as its path or its option db"),
        ("redis+sentinel://h", "must have the name of the master as its path"),
        ("redis+sentinel://h/main/one", "must have the number of a database as its path or its option db"),
        ("redis+sentinel://h,,i/main", UNREADABLE),
        ("redis+sentinel://h:26379:1/main", UNREADABLE),
        ("redis+sentinel://user:12/34@h:26379/0", UNREADABLE),  # the name of the master is shown
        ("redis+sentinel://user:secret@h,user:secret@i/main", UNREADABLE),
        (
            "redis+sentinel://h/main?ssl_cert_reqs=none",
            "cannot have the option ssl_cert_reqs, only db, password, sentinel_password, sentinel_username, username",
        ),
        ("redis://h,i/0", "can have several hosts only if they are Sentinels (redis+sentinel://)"),
        ("unix://host/r.sock", UNREADABLE),
        ("unix://?db=1", UNREADABLE),
    ],
)
def test_an_address_that_not_every_client_reads_alike_is_refused_at_the_start(url: str, fault: str) -> None:
    for name in ("REDIS_URL", "BUS_URL"):
        with pytest.raises(SettingsError) as raised:
            load({f"ORDER_SYNC_{name}": url})
        assert str(raised.value) == f"{name.lower()}: {fault}"


@pytest.mark.parametrize("password", ["s3cret#x", "s3cret/x", "s3cret?x", "[s3cret", "s3cret?x=1"])
def test_a_password_with_a_special_character_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(
            {"ORDER_SYNC_REDIS_URL": f"redis://:{password}@h:6379/0", "ORDER_SYNC_BROKER_URL": f"redis://:{password}@h"}
        )
    assert "s3cret" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 2


def test_the_password_is_masked_where_an_address_is_shown() -> None:
    shown = [
        RedisUrl.parse(url).masked
        for url in (
            "redis://:secret@h/1",
            "rediss://u:secret@h",
            "unix://:secret@/r.sock",
            "redis://h?password=secret",
            "redis+sentinel://u:secret@h,[::1]:1/main/2?sentinel_username=s&sentinel_password=secret",
        )
    ]
    assert shown == [
        "redis://:***@h:6379/1",
        "rediss://u:***@h:6379/0?ssl_cert_reqs=required",
        "unix://:***@/r.sock?db=0",
        "redis://:***@h:6379/0",
        "redis+sentinel://u:***@h:26379,[::1]:1/main/2?sentinel_password=***&sentinel_username=s",
    ]
    assert "secret" not in repr(RedisUrl.parse("redis+sentinel://:secret@h/main?sentinel_password=secret"))


def test_kombu_gets_the_sentinels_their_credentials_and_tls_of_the_address() -> None:
    url = f"rediss+sentinel://u:{ESCAPED}@h,i:1/ma%20in/2?sentinel_password={ESCAPED}&ssl_ca_certs=/ca.pem"
    assert RedisUrl.parse(str(RedisUrl.parse(url))) == RedisUrl.parse(url)
    tls = {"ssl_ca_certs": "/ca.pem", "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    with create_app(load({"ORDER_SYNC_REDIS_URL": url})).connection_for_write() as connection:
        options: Any = connection.transport_options
        sentinel = dict(options["sentinel_kwargs"])
        assert (sentinel.pop("retry").get_retries(), options["master_name"]) == (0, "ma in")
        assert sentinel == {
            "username": None,
            "password": PASSWORD,
            "ssl": True,
            **tls,
            "socket_timeout": 2,
            "socket_connect_timeout": 2,
        }
        assert (connection.alt, connection.ssl) == (
            [f"sentinel://u:{ESCAPED}@h:26379/2", f"sentinel://u:{ESCAPED}@i:1/2"],
            tls,
        )


# --- TLS ---


@pytest.fixture
def tls_port(redis_url: str) -> Iterator[int]:
    """Yield the port of a Redis whose certificate nobody vouches for."""
    (host,) = RedisUrl.parse(redis_url).hosts
    with tls_in_front_of(*host) as port:
        yield port


def connects(url: str) -> list[bool]:
    """Return whether the bus and the broker connect."""
    settings = load({"ORDER_SYNC_REDIS_URL": url})
    return [_responds(settings.bus), _broker_responds(settings)]


def _responds(url: str) -> bool:
    with streams.connect(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError as error:
            assert "CERTIFICATE_VERIFY_FAILED" in str(error)  # noqa: PT017 - of two outcomes, each is expected once
            return False


def _broker_responds(settings: Any) -> bool:
    with create_app(settings).connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0)
        except OperationalError as error:
            assert "CERTIFICATE_VERIFY_FAILED" in str(error)  # noqa: PT017 - the same
            return False
        return True


def test_a_certificate_that_nobody_vouches_for_is_refused_by_every_connection(tls_port: int) -> None:
    assert connects(f"rediss://localhost:{tls_port}/0") == [False, False]


@pytest.mark.parametrize("options", [f"ssl_ca_certs={CERTIFICATE}", "ssl_cert_reqs=none"])
def test_a_certificate_is_accepted_that_the_address_vouches_for(options: str, tls_port: int) -> None:
    assert connects(f"rediss://localhost:{tls_port}/0?{options}") == [True, True]
