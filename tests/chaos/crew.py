"""What a fleet under test stands on: its settings, the sandbox's door, and what its database and its bus tell."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.chaos.clock import FastClock
from worker import wiring
from worker.carriers.port import attempt_of
from worker.fleet import Fleet, free_port

ROOT = Path(__file__).resolve().parents[2]
STORES = Path(wiring.__file__).parent / "demo" / "stores.toml"
CARRIER_OF = {"17": "deliverit", "21": "borzo", "34": "cervo"}
"""The stores of that file, and which carrier each asks first."""
SECRETS = (
    "sandbox-cervo-token",
    "sandbox-borzo-token",
    "sandbox-borzo-secret",
    "sandbox-deliverit-password",
)
DEADLINE = 1.5
"""Real seconds for a call. With its margin it fits into a lease of the fast clock."""


def environment(
    clock: FastClock,
    *,
    database: str,
    redis_url: str,
    origin: str,
    journal: Path,
    web: int = 0,
    deadline: float = DEADLINE,
) -> dict[str, str]:
    """Make the settings of a fleet: those that any user has, and a deadline that suits the fast clock."""
    carriers = {
        "CERVO": {"TOKEN": SECRETS[0], "RATE": "1000/second", "CALLBACK_WAIT": "60", "POLL_INTERVAL": "60"},
        "BORZO": {"TOKEN": SECRETS[1], "RATE": "1000/second", "CALLBACK_SECRET": SECRETS[2], "POLL_INTERVAL": "120"},
        "DELIVERIT": {"USERNAME": "sandbox@deliverit.example", "PASSWORD": SECRETS[3], "POLL_INTERVAL": "60"},
    }
    calls = {"BASE_URL": origin, "DEADLINE": str(deadline), "READ_TIMEOUT": str(deadline), "CONNECT_TIMEOUT": "1"}
    mine = {
        "CONFIG": os.devnull,
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "JOURNAL_FOLDER": str(journal),
        "STORES_FILE": str(STORES),
        "WORKER_CONCURRENCY": "8",
        "LOG_FORMAT": "json",
        **({"WEB_ADDRESS": f"127.0.0.1:{web}", "PUBLIC_URL": f"http://127.0.0.1:{web}"} if web else {}),
        **{
            f"CARRIERS__{name}__{key}": value
            for name, own in carriers.items()
            for key, value in {**calls, **own}.items()
        },
    }
    others = {key: value for key, value in os.environ.items() if not key.startswith(("ORDER_SYNC_", "CHAOS_"))}
    own = {f"ORDER_SYNC_{key}": value for key, value in mine.items()}
    return {**others, **own, **clock.variable, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def command(kind: str, *arguments: str) -> list[str]:
    """Tell how a process of `process.py` is started."""
    return [sys.executable, "-m", "tests.chaos.process", kind, *arguments]


def until(reached: Callable[[], bool], what: str, *, seconds: float = 60.0, every: float = 0.05) -> None:
    """Ask again and again. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)


class Carriers:
    """The sandbox in a process of its own, and its operator's door."""

    def __init__(self, fleet: Fleet, clock: FastClock, step: float, borzo_callback: str = "") -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        kept, fleet.environ = fleet.environ, {**os.environ, **clock.variable, "PYTHONPATH": str(ROOT)}
        fleet.start("sandbox", command("sandbox", str(self.port), str(step), borzo_callback))
        fleet.environ = kept
        self._client = httpx.Client(base_url=f"{self.origin}/sandbox", trust_env=False, timeout=10)
        until(self._answers, "the sandbox starts")

    def _answers(self) -> bool:
        try:
            return self._client.get("/faults").is_success
        except httpx.TransportError:
            return False

    def fault(self, kind: str, **more: Any) -> None:
        """Let something go wrong."""
        self._client.post("/faults", json={"kind": kind, **more}).raise_for_status()

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        self._client.delete("/faults").raise_for_status()

    def ledger(self) -> list[dict[str, Any]]:
        """Read what really happened."""
        entries: list[dict[str, Any]] = self._client.get("/ledger").json()["ledger"]
        return entries

    def orders(self) -> list[dict[str, Any]]:
        """Read every order with its history."""
        orders: list[dict[str, Any]] = self._client.get("/orders").json()["orders"]
        return orders

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def attempt_id(reference: str) -> int | None:
    """Read our attempt's id in what a carrier keeps as our reference."""
    return int(reference) if reference.isdecimal() else attempt_of(reference.lstrip("#"))


def events_on(server: redis.Redis) -> list[dict[str, Any]]:
    """Read every event that stands on the bus."""
    found: Any = server.xrange("deliveries")
    return [json.loads(fields[b"event"]) for _, fields in found]


def place(server: redis.Redis, document: str) -> None:
    """Put a message on the bus, as a platform does."""
    server.xadd("orders", {"event": document})


def counted(words: Mapping[str, int]) -> str:
    """Write counts on one line."""
    return ", ".join(f"{number} {word}" for word, number in sorted(words.items()))
