"""Prices that carriers told a moment ago, shared by every process; losing one costs a call, so no error leaves here."""

import json
import math
import time
from collections.abc import Callable
from decimal import Decimal

import redis

from schemas.status import Reason
from worker.carriers.abilities import Quote
from worker.carriers.port import Price
from worker.resilience.rate_limiter import Away

KEPT_SECONDS = 300
"""How long a price is taken for what the carrier would say now; no carrier promises one (B-22)."""
SILENT_SECONDS = 60.0
"""How long a carrier that told no price is not asked before a create."""


class QuoteCache:
    """What accounts told, by the hash of what was asked."""

    def __init__(
        self, client: redis.Redis, prefix: str = "osync:quote:", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis, self._prefix, self._clock = client, prefix, clock
        self._away = Away(clock)
        self._silent: dict[str, float] = {}

    def get(self, key: str) -> Quote | None:
        """Give what was told to this question; None when nobody asked, or Redis is away."""
        if self._away.remembered:
            return None
        try:
            kept = self._redis.get(self._prefix + key)
        except redis.RedisError:
            self._away.note()
            return None
        return _read(kept) if isinstance(kept, bytes) else None

    def put(self, key: str, quote: Quote) -> None:
        """Keep what was told to this question."""
        if self._away.remembered:
            return
        try:
            self._redis.set(self._prefix + key, _write(quote), ex=KEPT_SECONDS)
        except redis.RedisError:
            self._away.note()

    def is_backing_off(self, account: str) -> bool:
        """Tell whether this process got no price out of an account a moment ago."""
        return self._clock() < self._silent.get(account, -math.inf)

    def back_off(self, account: str) -> None:
        """Note that an account told no price: creates must not wait for the next one too."""
        self._silent[account] = self._clock() + SILENT_SECONDS


def _write(quote: Quote) -> str:
    price = quote.price
    amount = [str(price.amount), price.currency, price.vat] if price else None
    return json.dumps([amount, quote.orderable, quote.why, quote.reason])


def _read(kept: bytes) -> Quote:
    amount, orderable, why, reason = json.loads(kept)
    price = Price(Decimal(amount[0]), *amount[1:]) if amount else None
    return Quote(price, orderable, tuple(why), Reason(reason))
