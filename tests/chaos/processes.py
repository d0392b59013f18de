"""The settings and command lines of the processes of a run."""

import json
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.chaos.clock import FastClock
from tests.chaos.names import host_of
from worker.local.samples import sample_file

ROOT = Path(__file__).resolve().parents[2]
STORES = sample_file("stores.toml")
TRANSFER, TRANSFER_STORE = "transfer", "18"
"""A DeliverIt account whose drivers are booked by hand, and its store: a second one of store 17's owner."""
CARRIER_OF = {"17": "deliverit", "21": "borzo", "34": "cervo"}
"""The stores of STORES, each with the first carrier of its list."""
ACCOUNTS = frozenset({*CARRIER_OF.values(), TRANSFER})
SECRETS = (
    "sandbox-cervo-token",
    "sandbox-borzo-token",
    "sandbox-borzo-secret",
    "sandbox-deliverit-password",
    "sandbox-ordering-key",
)
PLENTY = "1000/second"
"""A rate limit that is never reached."""
DEADLINE = 1.5
"""Real seconds for a call, short enough for the leases of the fast clock."""


def environment(
    clock: FastClock,
    *,
    database: str,
    redis_url: str,
    sandbox: int,
    journal: Path,
    web: int = 0,
    deadline: float = DEADLINE,
    more: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment of the processes: the settings of a deployment, with a deadline for the fast clock.

    `sandbox` and `web` are ports. `more` has the other settings, at least the STORES_FILE.
    """
    carriers = {
        "CERVO": {"TOKEN": SECRETS[0], "CALLBACK_WAIT": "60", "POLL_INTERVAL": "60"},
        "BORZO": {"TOKEN": SECRETS[1], "CALLBACK_SECRET": SECRETS[2], "POLL_INTERVAL": "120"},
        "DELIVERIT": {"USERNAME": "sandbox@deliverit.example", "PASSWORD": SECRETS[3], "POLL_INTERVAL": "60"},
    }
    settings = {
        "CONFIG": os.devnull,
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "JOURNAL_FOLDER": str(journal),
        "WORKER_CONCURRENCY": "8",
        "LOG_FORMAT": "json",
        **({"WEB_ADDRESS": f"127.0.0.1:{web}", "PUBLIC_URL": f"http://127.0.0.1:{web}"} if web else {}),
        **{
            f"CARRIERS__{name}__{key}": value
            for name, own in carriers.items()
            for key, value in {**_calls(name.lower(), sandbox, deadline), **own}.items()
        },
        **more,
    }
    others = {key: value for key, value in os.environ.items() if not key.startswith(("ORDER_SYNC_", "CHAOS_"))}
    ours = {f"ORDER_SYNC_{key}": value for key, value in settings.items()}
    return {**others, **ours, **clock.variable, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def _calls(account: str, sandbox: int, deadline: float) -> dict[str, str]:
    connect = str(max(1.0, deadline / 2))
    times = {"DEADLINE": str(deadline), "READ_TIMEOUT": str(deadline), "CONNECT_TIMEOUT": connect}
    return {**_at(account, sandbox), "RATE": PLENTY, **times}


def _at(account: str, sandbox: int) -> dict[str, str]:
    return {"BASE_URL": f"http://{host_of(account)}:{sandbox}", "ALLOW_HTTP": "true"}


def platform(sandbox: int, **more: str) -> dict[str, str]:
    """Return the settings of the Ordering platform; its orders have the same source as messages on the bus."""
    settings = {**_at("ordering", sandbox), "API_KEY": SECRETS[4], "SOURCE": "demo", "RATE": PLENTY, **more}
    return {f"ORDERING__{key}": value for key, value in settings.items()}


def transfer_account(sandbox: int) -> dict[str, str]:
    """Return the settings of the account whose drivers are booked by hand."""
    settings = {
        "KIND": "deliverit",
        "MODE": "transfer",
        "USERNAME": "sandbox@deliverit.example",
        "PASSWORD": SECRETS[3],
        "POLL_INTERVAL": "60",
        **_calls(TRANSFER, sandbox, DEADLINE),
    }
    return {f"CARRIERS__{TRANSFER.upper()}__{key}": value for key, value in settings.items()}


def write_stores(path: Path) -> str:
    """Write the stores of STORES and the one of the account whose drivers are booked by hand; return the path."""
    return _write(path, {**_stores(), TRANSFER_STORE: {**_stores()["17"], "carriers": [TRANSFER]}})


def write_single_carrier_stores(path: Path) -> str:
    """Write the stores of STORES, each with its first carrier alone, so that no order falls back; return the path."""
    return _write(path, {name: {**store, "carriers": store["carriers"][:1]} for name, store in _stores().items()})


def _stores() -> dict[str, dict[str, Any]]:
    stores: dict[str, dict[str, Any]] = tomllib.loads(STORES.read_text())["stores"]
    return stores


def _write(path: Path, stores: Mapping[str, Mapping[str, Any]]) -> str:
    tables = (
        f"[stores.{name}]\n"
        + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in each.items())
        for name, each in stores.items()
    )
    path.write_text("\n".join(tables))
    return str(path)


def command(kind: str, *arguments: str) -> list[str]:
    """Return the command line of a process of `process.py`."""
    return [sys.executable, "-m", "tests.chaos.process", kind, *arguments]
