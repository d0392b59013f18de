"""Prices that are kept for a while, by whoever asked for them."""

from decimal import Decimal
from typing import Any

import fakeredis
import pytest
import redis

from schemas.status import Reason
from worker.carriers.abilities import Quote
from worker.carriers.port import Price
from worker.resilience.quote_cache import KEPT_SECONDS, QuoteCache

QUOTES = [
    Quote(Price(Decimal("18.00"), "BRL", "included")),
    Quote(None, orderable=False, why=("invalid_region",), reason=Reason.UNSERVICEABLE),
]


@pytest.mark.parametrize("quote", QUOTES)
def test_a_price_is_told_again_to_every_process(client: redis.Redis, prefix: str, quote: Quote) -> None:
    QuoteCache(client, prefix).put("asked", quote)
    other = QuoteCache(client, prefix)
    assert (other.get("asked"), other.get("something else")) == (quote, None)


def test_a_price_is_forgotten_after_five_minutes(client: redis.Redis, prefix: str) -> None:
    QuoteCache(client, prefix).put("asked", QUOTES[0])
    left: Any = client.ttl(f"{prefix}asked")
    assert (KEPT_SECONDS, KEPT_SECONDS - 5 <= left <= KEPT_SECONDS) == (300, True)


def test_without_redis_a_price_is_lost_and_nothing_else() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    prices = QuoteCache(fakeredis.FakeRedis(server=server))
    prices.put("asked", QUOTES[0])
    assert prices.get("asked") is None


def test_a_carrier_that_told_no_price_is_left_alone_for_a_minute(client: redis.Redis, prefix: str) -> None:
    now = [0.0]
    prices = QuoteCache(client, prefix, clock=lambda: now[0])
    prices.back_off("borzo")
    before = prices.is_backing_off("borzo"), prices.is_backing_off("other")
    now[0] = 60.0
    assert (before, prices.is_backing_off("borzo")) == ((True, False), False)
