"""The subscribers of `examples/`, as processes on a Redis and a database of their own."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import new_database, own_redis_server
from tests.examples.languages import EXAMPLES, NODE, PHP, PYTHON, RUBY, Language, require
from worker.bus.streams import Bus
from worker.domain.delivery import OutgoingEvent

GROUP = "kitchen-screen"
SECONDS = 300
"""How long a condition may take, however loaded the machine is."""
DEAD_MS = 300
"""A reader that is silent for this long counts as dead here."""
SHORTER = {r"(DEAD_MS\b.*?)60_000": rf"\g<1>{DEAD_MS}", r"(RETRY_SECONDS\b.*?)5\b": r"\g<1>0"}
"""What is shorter here than in the examples, so that the tests do not wait."""
RECORDS = """
CREATE TABLE kitchen_screen (delivery_id text PRIMARY KEY, sequence integer, status text);
CREATE TABLE handled (
    position bigserial PRIMARY KEY, delivery_id text, sequence integer,
    reader text DEFAULT current_setting('application_name')
);
CREATE SEQUENCE tries;
CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.delivery_id = 'broken' AND NEW.sequence = 2 THEN RAISE 'a handler that always fails'; END IF;
    IF NEW.delivery_id = 'flaky' AND nextval('tries') < 3 THEN RAISE 'a handler that fails twice'; END IF;
    INSERT INTO handled (delivery_id, sequence) VALUES (NEW.delivery_id, NEW.sequence);
    RETURN NULL;
END $$;
CREATE TRIGGER record AFTER INSERT OR UPDATE ON kitchen_screen FOR EACH ROW EXECUTE FUNCTION record();
"""
"""Each effect of a reader is recorded in the reader's own transaction, and some effects fail."""
BLOCKED = "SELECT pid FROM pg_locks WHERE relation = 'handled'::regclass AND NOT granted"


@dataclass
class Subscription:
    """Readers of one language on a bus, and the database in which they store what they handled."""

    language: Language
    folder: Path
    redis_url: str
    database: str
    store: "psycopg.Connection[Any]"
    script: Path
    readers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = redis.Redis.from_url(self.redis_url, protocol=2, decode_responses=True)
        self.client.flushall()
        self.bus = Bus(redis.Redis.from_url(self.redis_url), orders="orders", events="deliveries")

    def publish(self, *events: OutgoingEvent) -> None:
        self.bus.publisher.publish("database", events, self.bus.last_id())

    def start(self, name: str, *partition: str) -> None:
        addresses = {"DATABASE_URL": self.database_url, "ORDER_SYNC_REDIS_URL": self.redis_url}
        variables = {**os.environ, **addresses, "PGUSER": self.store.info.user, "PGAPPNAME": name}
        command = [self.language.command, str(self.script), name, *partition]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.readers[name] = subprocess.Popen(command, env=variables, stdout=log, stderr=log)

    @property
    def database_url(self) -> str:
        if self.language is not PHP:
            return self.database
        parts = conninfo_to_dict(self.database)
        return "pgsql:" + ";".join(f"{name}={value}" for name, value in parts.items())

    def kill(self, name: str) -> None:
        reader = self.readers.pop(name)
        reader.kill()
        reader.wait()

    def stop(self) -> None:
        for name in list(self.readers):
            self.kill(name)

    def kill_inside_the_handler(self, *parts: Sequence[OutgoingEvent], undo: bool) -> None:
        """Publish each part, the first until a reader stores an effect of it; kill that reader.

        With `undo` the database forgets this effect; otherwise it is stored, and its entry is not acknowledged.
        """
        with self.store.transaction():
            self.store.execute("LOCK TABLE handled IN EXCLUSIVE MODE")
            for part in parts:
                self.publish(*part)
                self.until(lambda: bool(self.store.execute(BLOCKED).fetchall()))
            oldest: Any = self.client.xpending_range("deliveries", GROUP, "-", "+", 1)
            self.kill(oldest[0]["consumer"])
            if undo:
                self.store.execute(f"SELECT pg_terminate_backend(pid) FROM ({BLOCKED}) AS blocked")

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; fail when a reader ends, or when it takes much too long."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            for reader in self.readers.values():
                with suppress(subprocess.TimeoutExpired):
                    assert reader.wait(0.02) is None, self.logs()

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def handled(self) -> list[tuple[str, int]]:
        """Return what was handled, in the order in which it was stored."""
        found = self.store.execute("SELECT delivery_id, sequence FROM handled ORDER BY position")
        return [(delivery, sequence) for delivery, sequence in found]

    def is_done(self) -> bool:
        """Whether every group has read and acknowledged every entry."""
        groups: Any = self.client.xinfo_groups("deliveries")
        return {(group["pending"], group["lag"]) for group in groups} == {(0, 0)}


@pytest.fixture(scope="session")
def _own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with own_redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=[PYTHON, NODE, PHP, RUBY], ids=["python", "node", "php", "ruby"])
def subscription(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: str, _own_redis: str
) -> Iterator[Subscription]:
    """Yield the subscribers of each language in turn, with an empty bus."""
    language: Language = request.param
    require(language)
    with ExitStack() as stack:
        database = stack.enter_context(new_database(postgres_server))
        store = stack.enter_context(psycopg.connect(database, autocommit=True))
        store.execute(RECORDS)
        running = Subscription(language, tmp_path, _own_redis, database, store, shortened(language.script, tmp_path))
        stack.callback(running.stop)
        yield running


def shortened(name: str, folder: Path) -> Path:
    """Write a copy of an example that does not wait long; return its path."""
    text = (EXAMPLES / name).read_text()
    for pattern, shorter in SHORTER.items():
        text, count = re.subn(pattern, shorter, text, count=1)
        assert count == 1
    (folder / "node_modules").symlink_to(EXAMPLES / "node_modules")
    (folder / name).write_text(text)
    return folder / name
