"""Borzo's callbacks: what is new about an order and about each of its deliveries, signed over the raw body."""

import hashlib
import hmac
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.borzo_order import BorzoOrder, is_drop, stamp, write_delivery, write_order
from worker.sandbox.callbacks import Letter
from worker.sandbox.config import SandboxConfig
from worker.sandbox.lives import Moment
from worker.sandbox.world import dumps


class Letters:
    """Writes the callbacks of borzo.txt's two "Notification" sections."""

    def __init__(self, config: SandboxConfig, zone: ZoneInfo) -> None:
        self._config, self._zone = config, zone

    def news(self, order: BorzoOrder, index: int, moment: Moment) -> list[Letter]:
        """Write what the word at `index` of the order's life changed."""
        before = order.life.history(moment.at)[index - 1].word if index else ""
        (was, _, was_delivery), (now, _, now_delivery) = before.partition("/"), moment.word.partition("/")
        suffix = "changed" if index else "created"
        letters = [self._of_order(order, f"order_{suffix}", moment.at)] if now != was else []
        if now_delivery != was_delivery:
            letters += self._of_deliveries(order, f"delivery_{suffix}", moment)
        return letters

    def edited(self, order: BorzoOrder, now: datetime) -> Letter:
        """Write that the client changed the order."""
        return self._of_order(order, "order_changed", now)

    def _of_order(self, order: BorzoOrder, event: str, at: datetime) -> Letter:
        written = write_order(order, at, self._zone)
        for point in written["points"]:
            del point["estimated_arrival_datetime"]  # replies have it, callbacks do not
        return self._letter(event, at, order=written)

    def _of_deliveries(self, order: BorzoOrder, event: str, moment: Moment) -> list[Letter]:
        drops = [point for index, point in enumerate(order.points) if is_drop(point, index)]
        written = [write_delivery(order, point, moment, self._zone) for point in drops]
        return [self._letter(event, moment.at, delivery=delivery) for delivery in written]

    def _letter(self, event: str, at: datetime, **subject: Any) -> Letter:
        body = dumps({"event_datetime": stamp(at, self._zone), "event_type": event, **subject}).encode()
        signature = hmac.new(self._config.borzo_callback_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-DV-Signature": signature, "Content-Type": "application/json; charset=utf-8"}
        return Letter(self._config.borzo_callback_url or "", body, headers, insists=True)
