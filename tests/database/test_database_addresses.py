"""The addresses of PostgreSQL that people write, also with several hosts."""

from typing import Any

import pytest

from worker.database.connection import connect

OF_THE_SERVER = ("host", "port", "user", "password", "dbname", "target_session_attrs")


def arguments(url: str) -> dict[str, Any]:
    """Return what the driver gets of an address."""
    engine = connect(url)
    _, found = engine.dialect.create_connect_args(engine.url)
    return {name: found[name] for name in OF_THE_SERVER if name in found}


@pytest.mark.fault("F-112")
@pytest.mark.parametrize(
    "servers",
    [
        "me:my%40secret@one:5432,two:6432/orders?target_session_attrs=read-write",
        "me:my%40secret@/orders?host=one,two&port=5432,6432&target_session_attrs=read-write",
        "me:my%40secret@/orders?host=one:5432&host=two:6432&target_session_attrs=read-write",
    ],
)
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_an_address_may_name_several_servers_as_libpq_does(scheme: str, servers: str) -> None:
    assert arguments(f"{scheme}://{servers}") == {
        "host": "one,two",
        "port": "5432,6432",
        "user": "me",
        "password": "my@secret",
        "dbname": "orders",
        "target_session_attrs": "read-write",
    }


@pytest.mark.fault("F-112")
def test_a_server_without_a_port_has_the_usual_one() -> None:
    assert arguments("postgresql://one,[fe80::2]:6432,three/orders") == {
        "host": "one,fe80::2,three",
        "port": ",6432,",
        "dbname": "orders",
    }
