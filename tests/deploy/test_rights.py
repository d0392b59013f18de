"""The roles of PostgreSQL and the user of Redis in `deploy/` have the rights that the program needs, and no more."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from tests.conftest import create_tables, new_database
from tests.services.simulation import Simulation
from worker.app import create_app
from worker.bus import streams
from worker.bus.streams import Bus
from worker.config.settings import load
from worker.http.call import CallClass, Operation
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.rate_limiter import RateLimiter
from worker.runtime import broker

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PASSWORD = "a-password"


@pytest.fixture
def restricted_url(postgres_server: str) -> Iterator[str]:
    """Yield a database with our tables, whose owner migrated it, as the role that runs everything else sees it."""
    suffix = uuid4().hex[:8]
    owner, user = f"order_sync_owner_{suffix}", f"order_sync_{suffix}"
    statements = (DEPLOY / "postgres-roles.sql").read_text().replace("order_sync_owner", "OWNER")
    statements = re.sub(r"order_sync\b", user, statements).replace("OWNER", owner)
    with new_database(postgres_server) as url, psycopg.connect(url, autocommit=True) as admin:
        try:
            admin.execute(statements.encode())
            for role in (owner, user):
                admin.execute(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'".encode())
            create_tables(_as(url, owner))
            yield _as(url, user)
        finally:
            admin.execute(f"DROP OWNED BY {user}; DROP OWNED BY {owner}; DROP ROLE {owner}, {user}".encode())


def _as(url: str, role: str) -> str:
    return make_url(url).set(username=role, password=PASSWORD).render_as_string(hide_password=False)


def test_the_role_that_runs_the_program_delivers_and_purges_and_cannot_change_tables(
    restricted_url: str, tmp_path: Path
) -> None:
    with closing(Simulation(tmp_path, DATABASE_URL=restricted_url)) as simulation:
        simulation.place()
        simulation.until(lambda it: it.status() == "delivered")
        simulation.container.retention.delete_old()
        simulation.container.database.upgrade()  # nothing is to be done, so no right to do it is needed
        with (
            pytest.raises(ProgrammingError, match="must be owner"),
            simulation.container.database.engine.begin() as connection,
        ):
            connection.exec_driver_sql("DROP TABLE event")


@pytest.fixture
def acl_url(embedded_redis: Callable[..., AbstractContextManager[str]], tmp_path: Path) -> Iterator[str]:
    """Yield a Redis with the users of `deploy/redis.acl`, as our user sees it."""
    users = tmp_path / "users.acl"
    users.write_text((DEPLOY / "redis.acl").read_text().replace("HASH", hashlib.sha256(PASSWORD.encode()).hexdigest()))
    users.write_text("\n".join(line for line in users.read_text().splitlines() if not line.startswith("#")))
    with embedded_redis(aclfile=str(users)) as url:
        yield url.replace("redis://", f"redis://order-sync:{PASSWORD}@")


def test_the_user_of_redis_may_do_what_the_program_does(acl_url: str) -> None:
    client = streams.connect(acl_url)
    bus = Bus(client, orders="orders", events="deliveries")
    bus.read_again()
    bus.add_order(b"{}")
    bus.acknowledge(bus.read("one", 10, 1))
    bus.trim(10)
    bus.publisher.last_surviving("")
    assert bus.lags(datetime.now(UTC)) == {("orders", "order-sync"): 0.0}
    assert bus.faults() == ["appendonly is no: a restart of Redis loses what is on the bus"]
    assert RateLimiter(client).acquire("borzo", "1/minute", Operation.CREATE, 1) == (1, 0.0)
    CircuitBreaker(client).record("borzo", CallClass.CREATE, good=1, bad=0)
    app = create_app(load({"ORDER_SYNC_REDIS_URL": acl_url}))
    broker.ping(app)
    app.send_task("timers.sweep", queue="timers")
    with app.connection() as connection, suppress(TimeoutError):
        app.control.broadcast("ping", connection=connection)
        list(app.events.Receiver(connection).itercapture(limit=1, timeout=0.01))
    assert client.info()["redis_version"]


@pytest.mark.parametrize("command", ["FLUSHALL", "KEYS *", "GET other", "ACL LIST", "CONFIG SET maxmemory 1"])
def test_the_user_of_redis_may_do_nothing_else(acl_url: str, command: str) -> None:
    client: Any = streams.connect(acl_url)
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


def test_without_a_password_redis_only_answers_that_it_lives(acl_url: str) -> None:
    with redis.Redis.from_url(f"redis://{acl_url.partition('@')[2]}") as anyone:
        assert anyone.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            anyone.xadd("orders", {"event": "{}"})
