"""The receivers of `examples/` verify the signature, and store each event once, whatever is repeated."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import new_database
from tests.examples.languages import EXAMPLES, NODE, Language, require
from tests.examples.test_subscribers import event, pause, sent_as_a_test
from worker.http.webhooks import WebhookSender, new_secret, signed
from worker.local.supervisor import free_port

SECRET = new_secret()
SECONDS = 60
PYTHON = Language(
    "webhook_receiver.py", sys.executable, ("-c", "import psycopg, standardwebhooks"), "run `make .venv/.ready`"
)
JAVASCRIPT = Language("webhook_receiver.mjs", "node", ("-e", 'require("standardwebhooks"), require("pg")'), NODE.advice)


class Receiver:
    """A receiver's process, and the sender that it gets its requests from."""

    def __init__(self, language: Language, database: str, sender: WebhookSender, log: Path) -> None:
        self.url, self.sender = f"http://127.0.0.1:{free_port()}/hook", sender
        address = self.url.removeprefix("http://").removesuffix("/hook")
        variables = {**os.environ, "DATABASE_URL": database, "WEBHOOK_SECRET": SECRET}
        command = [language.command, str(EXAMPLES / language.script), address]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
        self._await(address, log)

    def _await(self, address: str, log: Path) -> None:
        host, _, port = address.partition(":")
        deadline = time.monotonic() + SECONDS
        while True:
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                return
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)

    def post(self, body: str, *keys: str, at: datetime | None = None) -> int:
        """Send a document signed with these secrets; return the status of the answer."""
        return self.sender.post(signed(self.url, keys, "an id", at or datetime.now(UTC), body)).status


@pytest.fixture(params=[PYTHON, JAVASCRIPT], ids=["python", "node"])
def receiver(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: str
) -> Iterator[tuple[Receiver, "psycopg.Connection[Any]"]]:
    """Yield the receiver of each language in turn, and its database."""
    language: Language = request.param
    require(language)
    with (
        new_database(postgres_server) as database,
        psycopg.connect(database, autocommit=True) as store,
        closing(WebhookSender(lambda _url: "", private_hosts=("127.0.0.1",), seconds=SECONDS)) as sender,
    ):
        address = f"{database}?user={store.info.user}"
        running = Receiver(language, address, sender, tmp_path / "receiver.log")
        try:
            yield running, store
        finally:
            running.process.kill()
            running.process.wait()


def test_a_receiver_accepts_only_what_is_signed_and_stores_each_event_once(
    receiver: tuple[Receiver, "psycopg.Connection[Any]"],
) -> None:
    running, store = receiver
    first, second, other = event("delivery", 1), event("delivery", 2), new_secret()
    assert running.post(first.body, SECRET) == 204
    assert running.post(second.body, other, SECRET) == 204  # during a rotation
    assert running.post(first.body, SECRET) == 204  # again, and late
    assert running.post(pause().body, SECRET) == 204
    assert running.post(sent_as_a_test(event("test", 1)).body, SECRET) == 204
    assert running.post(event("forged", 1).body, other) == 401
    assert running.post(event("old", 1).body, SECRET, at=datetime(2026, 1, 1, tzinfo=UTC)) == 401
    assert running.post("no JSON", other) == 401
    assert store.execute("SELECT delivery_id, sequence FROM kitchen_screen").fetchall() == [("delivery", 2)]
    store.execute("ALTER TABLE kitchen_screen RENAME TO away")
    assert running.post(event("delivery", 3).body, SECRET) == 500
    store.execute("ALTER TABLE away RENAME TO kitchen_screen")
    assert running.post(event("delivery", 3).body, SECRET) == 204
    assert store.execute("SELECT delivery_id, sequence FROM kitchen_screen").fetchall() == [("delivery", 3)]
