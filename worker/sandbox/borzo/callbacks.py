"""Borzo's callbacks about an order and about each of its deliveries, signed over the raw body."""

import hashlib
import hmac
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.api import dumps
from worker.sandbox.borzo.order import BorzoOrder, format_time, is_drop, statuses_of
from worker.sandbox.borzo.replies import write_delivery, write_order
from worker.sandbox.callbacks import Callback
from worker.sandbox.config import SandboxConfig
from worker.sandbox.scenarios import StatusChange


class BorzoCallbacks:
    """Builds the callbacks of the two "Notification" sections of borzo.txt."""

    def __init__(self, config: SandboxConfig, zone: ZoneInfo) -> None:
        self._config, self._zone = config, zone

    def for_status(self, order: BorzoOrder, index: int, change: StatusChange) -> list[Callback]:
        """Return the callbacks that Borzo sends for the status change at `index` of the order's history."""
        before = statuses_of(order.scenario.history(change.at)[index - 1]) if index else ("", "")
        status, delivery = statuses_of(change)
        suffix = "changed" if index else "created"
        callbacks = [self._for_order(order, f"order_{suffix}", change.at)] if status != before[0] else []
        if delivery != before[1]:
            callbacks += self._for_deliveries(order, f"delivery_{suffix}", change)
        return callbacks

    def for_edit(self, order: BorzoOrder, now: datetime) -> Callback:
        """Return the callback for an edit by the client."""
        return self._for_order(order, "order_changed", now)

    def _for_order(self, order: BorzoOrder, event: str, at: datetime) -> Callback:
        written = write_order(order, at, self._zone)
        for point in written["points"]:
            del point["estimated_arrival_datetime"]  # replies contain it, callbacks do not
        return self._build(event, at, order=written)

    def _for_deliveries(self, order: BorzoOrder, event: str, change: StatusChange) -> list[Callback]:
        drops = [point for index, point in enumerate(order.points) if is_drop(point, index)]
        written = [write_delivery(order, point, change, self._zone) for point in drops]
        return [self._build(event, change.at, delivery=delivery) for delivery in written]

    def _build(self, event: str, at: datetime, **subject: Any) -> Callback:
        body = dumps({"event_datetime": format_time(at, self._zone), "event_type": event, **subject}).encode()
        signature = hmac.new(self._config.borzo_callback_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-DV-Signature": signature, "Content-Type": "application/json; charset=utf-8"}
        return Callback(self._config.borzo_callback_url or "", body, headers, retried=True)
