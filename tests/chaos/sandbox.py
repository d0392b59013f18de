"""The sandbox of a run, in a process of its own: its faults, its ledger and its orders over its control API."""

import json
import os
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import httpx

from tests.chaos.clock import FastClock
from tests.chaos.processes import ROOT, SECRETS, command
from worker.carriers.port import attempt_id_of
from worker.local.supervisor import Supervisor, free_port

PICKUP_IN = 1800
"""Seconds of the fast clock until the pickup of a driver who is booked by hand."""
START_SECONDS = 120.0
REPLY_SECONDS = 60.0
RIGHT: Mapping[str, float] = MappingProxyType({})


class Sandbox:
    """The simulated carriers and platform."""

    def __init__(
        self,
        supervisor: Supervisor,
        clock: FastClock,
        step: float,
        borzo_callback: str = "",
        clocks_ahead: Mapping[str, float] = RIGHT,
    ) -> None:
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        before, supervisor.environ = supervisor.environ, {**os.environ, **clock.variable, "PYTHONPATH": str(ROOT)}
        arguments = (str(self.port), str(step), borzo_callback, json.dumps(dict(clocks_ahead)))
        supervisor.start("sandbox", command("sandbox", *arguments))
        supervisor.environ = before
        self._client = httpx.Client(base_url=f"{self.origin}/sandbox", trust_env=False, timeout=REPLY_SECONDS)
        self._await_start()

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the sandbox did not start within {START_SECONDS:.0f} s")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self._client.get("/faults").is_success
        except httpx.TransportError:
            return False

    def begin_fault(self, kind: str, **options: Any) -> None:
        """Begin a fault of the sandbox."""
        self._client.post("/faults", json={"kind": kind, **options}).raise_for_status()

    def end_faults(self) -> None:
        """End every fault."""
        self._client.delete("/faults").raise_for_status()

    def ledger(self) -> list[dict[str, Any]]:
        """Return the calls that were carried out, in order."""
        entries: list[dict[str, Any]] = self._client.get("/ledger").json()["ledger"]
        return entries

    def orders(self, carrier: str = "") -> list[dict[str, Any]]:
        """Return every order with its history, or those of one API."""
        query = {"carrier": carrier} if carrier else {}
        orders: list[dict[str, Any]] = self._client.get("/orders", params=query).json()["orders"]
        return orders

    def seed(self, order: Mapping[str, Any]) -> None:
        """Place an order on the platform, as a customer does."""
        self._client.post("/ordering/orders", json=order).raise_for_status()

    def book_by_hand(self, chance: Callable[[], bool]) -> None:
        """Book drivers for some of the transferred orders, as a dispatcher does on DeliverIt's pages."""
        for each in self.orders("deliverit_info"):
            if each["status"] == "transferred" and chance():
                self._client.post(f"/orders/deliverit_info/{each['id']}/book", json={"pickup_in": PICKUP_IN})

    def set_status(self, carrier: str, ref: str, status: str) -> None:
        """Set the status of an order at its carrier, which keeps it."""
        self._client.post(f"/orders/{carrier}/{ref}/step", json={"state": status}).raise_for_status()

    def notes(self) -> dict[str, str]:
        """Return the notes for the courier at the customer's door, by Borzo's order id."""
        url, headers = f"{self.origin}/api/business/1.6/orders", {"X-DV-Auth-Token": SECRETS[1]}
        found: list[dict[str, Any]] = []
        while page := self._client.get(f"{url}?count=50&offset={len(found)}", headers=headers).json()["orders"]:
            found += page
        return {str(order["order_id"]): order["points"][-1]["note"] or "" for order in found}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def attempt_id(entry: Mapping[str, Any]) -> int | None:
    """Return the id of the attempt that an entry of a carrier is about; None when its reference is not ours.

    Cervo gets the id itself. The others get a text, which may consist of digits alone.
    """
    reference = entry["reference"]
    if entry["carrier"] == "cervo":
        return int(reference) if reference.isdecimal() else None
    return attempt_id_of(reference.lstrip("#"))
