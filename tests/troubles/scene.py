"""What happens in a run: orders are placed, carriers fail, and an operator settles each trouble with the keyboard."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from playwright.sync_api import Page
from sqlalchemy import update

from tests.browser.desk_pages import press_until
from tests.browser.flower_pages import flower_rows
from tests.chaos.bus import RedisBus
from tests.troubles.environment import Environment
from worker.database.tables import DELIVERY, EVENT
from worker.local.demo.orders import message, order
from worker.local.supervisor import read_tail

PATIENCE = 150.0
"""Real seconds after which something counts as never happening, however busy the machine is."""
STORE_OF = {"cervo": "34", "borzo": "21", "deliverit": "17"}
STORE = """[stores.{id}]
name = "Pizzeria"
phone = "+966112345678"
street = "Olaya Street 55"
postal_code = "12213"
city = "Riyadh"
country = "SA"
latitude = 24.7135517
longitude = 46.6752957
timezone = "Asia/Riyadh"
carriers = ["cervo"]
"""
TAG = "each => each.tagName"


class Scene:
    """The environment of a run, with a browser page of the desk and one of Flower."""

    def __init__(self, environment: Environment, desk: Page, flower: Page) -> None:
        self.environment, self.desk, self._flower = environment, desk, flower
        self._placed: dict[str, dict[str, Any]] = {}

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"{what}: {read_tail(self.environment.worker.log)}"
            self.environment.watch()

    # --- orders and carriers ---

    def place(self, order_id: str, carrier: str = "", store: str = "", script: str = "happy") -> None:
        """Place an order on the platform and on the bus, at the store of a carrier or at another one."""
        data = order(order_id, STORE_OF.get(carrier, "34"), f"sandbox:{script} {order_id}")
        data |= {"store_id": store or STORE_OF[carrier], "revision": 1}
        self._placed[order_id] = data
        self.environment.sandbox.seed({"id": order_id, "business_id": data["store_id"]})
        self._publish("placed", order_id, data)

    def change(self, order_id: str, revision: int = 2, **fields: Any) -> None:
        """Publish a changed order."""
        self._publish("updated", order_id, {**self._placed[order_id], "revision": revision, **fields})

    def cancel(self, order_id: str) -> None:
        """Publish that the customer cancels."""
        self._publish("cancelled", order_id, {"order_id": order_id, "reason": "too late", "cancelled_by": "customer"})

    def _publish(self, kind: str, order_id: str, data: dict[str, Any]) -> None:
        at = self.environment.clock().isoformat()
        RedisBus(self.environment.redis).publish(message(f"order.{kind}", f"{order_id}-{kind}", data, time=at))

    def book(self, order_id: str, carrier: str) -> None:
        """Place an order and wait until the carrier has it."""
        self.place(order_id, carrier)
        self.until(lambda: bool(self._ref(order_id, carrier)), f"{carrier} has no order {order_id}")

    def end_long_ago(self, order_id: str, age: timedelta) -> None:
        """Let an order have been placed and cancelled before anybody had it, that long ago."""
        self.cancel(order_id)
        self.place(order_id, "cervo")
        self.until(lambda: self._status(order_id) == "cancelled", f"{order_id} is not cancelled")
        placed_at = self.environment.clock() - age
        with self.environment.database.engine.begin() as connection:
            for column in (DELIVERY.c.order_id, EVENT.c.subject):
                connection.execute(update(column.table).where(column == order_id).values(created_at=placed_at))

    def set_status(self, order_id: str, carrier: str, status: str, shown: str = "") -> None:
        """Set the status of an order at its carrier, and wait until another of ours is published if one follows."""
        ref = self._ref(order_id, carrier)
        self.environment.sandbox.set_status(carrier, ref, status)
        self.until(lambda: shown in {"", self._status(order_id)}, f"{order_id} is not {shown}")

    def _ref(self, order_id: str, carrier: str) -> str:
        found = [each["data"] for each in self._events(order_id) if each["data"].get("carrier") == carrier]
        return next((each["carrier_ref"] for each in found if each.get("carrier_ref")), "")

    def _status(self, order_id: str) -> str:
        found = [each["data"]["status"] for each in self._events(order_id) if "status" in each["data"]]
        return found[-1] if found else ""

    def _events(self, order_id: str) -> list[dict[str, Any]]:
        entries: Any = self.environment.redis.xrange("deliveries")
        found = [json.loads(fields[b"event"]) for _, fields in entries]
        return [each for each in found if each["subject"] == order_id]

    # --- the operator ---

    def titles(self) -> set[str]:
        """Return the titles of the cards on the open first page."""
        return set(self.desk.locator("article h2").all_inner_texts())

    def flower_reason(self, order_id: str) -> str:
        """Return the reason in the red row of a task of an order; empty without such a row."""
        found = [row for row in flower_rows(self._flower, self.environment.flower, order_id) if row[2] == "FAILURE"]
        return found[0][4] if found else ""

    def pause(self, account: str) -> None:
        """Pause an account on the page of the carriers."""
        self.desk.goto(f"{self.environment.desk}/carriers")
        press_until(self.desk, f"Pause {account}…")
        self.desk.keyboard.press("Enter")
        self.desk.locator("form.panel").wait_for()
        press_until(self.desk, "Your reason")
        self.desk.keyboard.type("they moved")
        self.desk.keyboard.press("Enter")
        self.desk.locator(".notice", has_text="Done").wait_for()
        self.desk.goto(self.environment.desk)

    def press(self, title: str, button: str, fields: Mapping[str, str] | None = None) -> None:
        """Settle a card with the keyboard alone: its button, the fields of the form by their labels, and Enter."""
        page = self.desk
        page.goto(self.environment.desk)
        press_until(page, button, within=title)
        page.keyboard.press("Enter")
        page.locator("form.panel").wait_for()
        for label, value in (fields or {}).items():
            press_until(page, label)
            self._type(value)
        press_until(page, button.partition(":")[0].removesuffix("…"))
        page.keyboard.press("Enter")
        page.locator(".notice", has_text="Done").wait_for()

    def _type(self, value: str) -> None:
        focused = self.desk.locator(":focus")
        if focused.get_attribute("type") == "checkbox":
            self.desk.keyboard.press("Space")
        elif focused.evaluate(TAG) == "SELECT":
            self.desk.keyboard.type(value)
        else:
            self.desk.keyboard.press("Control+A")
            self.desk.keyboard.insert_text(value)
