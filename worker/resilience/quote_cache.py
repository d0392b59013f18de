"""A cache of quoted prices that all processes share.

A lost price only costs one more call, so errors of Redis are not raised.
"""

import json
import math
import time
from collections.abc import Callable
from decimal import Decimal

import redis

from schemas.status import Reason
from worker.carriers.abilities import Quote
from worker.carriers.port import Price
from worker.resilience.rate_limiter import Outage

CACHE_SECONDS = 300
"""How long a price is cached. No carrier promises that a quoted price stays valid (B-22)."""
BACK_OFF_SECONDS = 60.0
"""After an account failed to quote a price, creates do not ask the account for a price for this long."""


class QuoteCache:
    """The cached quotes, and the accounts that recently failed to quote a price.

    The key of a quote is a hash of everything that the price depends on.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str = "osync:quote:",
        clock: Callable[[], float] = time.monotonic,
        outage: Outage | None = None,
    ) -> None:
        self._redis, self._prefix, self._clock = client, prefix, clock
        self._outage = outage or Outage(clock)
        self._backing_off: dict[str, float] = {}

    def get(self, key: str) -> Quote | None:
        """Return the cached quote; None when no quote is cached or Redis is unreachable."""
        if self._outage.ongoing:
            return None
        try:
            cached = self._redis.get(self._prefix + key)
        except redis.RedisError:
            self._outage.record()
            return None
        return _read(cached) if isinstance(cached, bytes) else None

    def put(self, key: str, quote: Quote) -> None:
        """Cache a quote."""
        if self._outage.ongoing:
            return
        try:
            self._redis.set(self._prefix + key, _write(quote), ex=CACHE_SECONDS)
        except redis.RedisError:
            self._outage.record()

    def is_backing_off(self, account: str) -> bool:
        """Return whether an account failed to quote a price to this process in the last minute."""
        return self._clock() < self._backing_off.get(account, -math.inf)

    def back_off(self, account: str) -> None:
        """Record that an account failed to quote a price, so that the next creates do not wait for a price."""
        self._backing_off[account] = self._clock() + BACK_OFF_SECONDS


def _write(quote: Quote) -> str:
    price = quote.price
    amount = [str(price.amount), price.currency, price.vat] if price else None
    return json.dumps([amount, quote.orderable, quote.why, quote.reason])


def _read(cached: bytes) -> Quote:
    amount, orderable, why, reason = json.loads(cached)
    price = Price(Decimal(amount[0]), *amount[1:]) if amount else None
    return Quote(price, orderable, tuple(why), Reason(reason))
