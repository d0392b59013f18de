"""What a fleet under test stands on: its settings, the sandbox's door, and what its database and its bus tell."""

import json
import os
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.chaos.clock import FastClock
from worker import container
from worker.carriers.port import attempt_id_of
from worker.local.supervisor import Supervisor, free_port

ROOT = Path(__file__).resolve().parents[2]
STORES = Path(container.__file__).parent / "local" / "demo" / "stores.toml"
DESK, DESK_STORE = "desk", "18"
"""The account that only a run has, and its store: a second one of the same owner in the same street."""
CARRIER_OF = {"17": "deliverit", "21": "borzo", "34": "cervo"}
"""The stores of that file, and which carrier each asks first."""
SECRETS = (
    "sandbox-cervo-token",
    "sandbox-borzo-token",
    "sandbox-borzo-secret",
    "sandbox-deliverit-password",
    "sandbox-ordering-key",
)
PICKUP_IN = 1800
"""Seconds of the fast clock until a driver comes who is booked by hand."""
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
    more: Mapping[str, str] | None = None,
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
        **(more or {}),
    }
    others = {key: value for key, value in os.environ.items() if not key.startswith(("ORDER_SYNC_", "CHAOS_"))}
    own = {f"ORDER_SYNC_{key}": value for key, value in mine.items()}
    return {**others, **own, **clock.variable, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def platform(origin: str, **more: str) -> dict[str, str]:
    """Make the settings of the Ordering platform, whose orders have the same source as messages on the bus."""
    settings = {"BASE_URL": origin, "API_KEY": SECRETS[4], "SOURCE": "demo", "RATE": "1000/second", **more}
    return {f"ORDERING__{key}": value for key, value in settings.items()}


def desk(origin: str, stores: Path) -> dict[str, str]:
    """Make the settings of one more account, whose drivers are booked by hand, and write the stores with its own."""
    with STORES.open("rb") as file:
        shop = tomllib.load(file)["stores"]["17"]
    shop["carriers"] = [DESK]
    written = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in shop.items())
    stores.write_text(f"{STORES.read_text()}\n[stores.{DESK_STORE}]\n{written}")
    settings = {
        "KIND": "deliverit",
        "MODE": "transfer",
        "USERNAME": "sandbox@deliverit.example",
        "PASSWORD": SECRETS[3],
        "BASE_URL": origin,
        "POLL_INTERVAL": "60",
        "DEADLINE": str(DEADLINE),
        "READ_TIMEOUT": str(DEADLINE),
        "CONNECT_TIMEOUT": "1",
    }
    return {"STORES_FILE": str(stores), **{f"CARRIERS__{DESK.upper()}__{key}": each for key, each in settings.items()}}


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

    def __init__(self, fleet: Supervisor, clock: FastClock, step: float, borzo_callback: str = "") -> None:
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

    def orders(self, carrier: str = "") -> list[dict[str, Any]]:
        """Read every order with its history, or those of one API."""
        asked = {"carrier": carrier} if carrier else {}
        orders: list[dict[str, Any]] = self._client.get("/orders", params=asked).json()["orders"]
        return orders

    def seed(self, order: Mapping[str, Any]) -> None:
        """Put an order on the platform, as its customer does."""
        self._client.post("/ordering/orders", json=order).raise_for_status()

    def book_by_hand(self, chance: Callable[[], bool]) -> None:
        """Book drivers in DeliverIt's pages for some of the orders that wait there."""
        for each in self.orders("deliverit_info"):
            if each["status"] == "transferred" and chance():
                self._client.post(f"/orders/deliverit_info/{each['id']}/book", json={"pickup_in": PICKUP_IN})

    def notes(self) -> dict[str, str]:
        """Read what Borzo's couriers are told at the customer's door, by Borzo's order."""
        url, headers = f"{self.origin}/api/business/1.6/orders", {"X-DV-Auth-Token": SECRETS[1]}
        found: list[dict[str, Any]] = []
        while page := self._client.get(f"{url}?count=50&offset={len(found)}", headers=headers).json()["orders"]:
            found += page
        return {str(order["order_id"]): order["points"][-1]["note"] or "" for order in found}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def attempt_id(reference: str) -> int | None:
    """Read our attempt's id in what a carrier keeps as our reference."""
    return int(reference) if reference.isdecimal() else attempt_id_of(reference.lstrip("#"))


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
