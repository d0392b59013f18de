from decimal import Decimal
from typing import Any

import fakeredis
import pytest
import redis

from schemas.status import Reason
from worker.carriers.abilities import Quote
from worker.carriers.port import Price
from worker.resilience.quote_cache import CACHE_SECONDS, QuoteCache

QUOTES = [
    Quote(Price(Decimal("18.00"), "BRL", "included")),
    Quote(None, orderable=False, why=("invalid_region",), reason=Reason.UNSERVICEABLE),
]


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quote_is_cached_for_every_process(client: redis.Redis, prefix: str, quote: Quote) -> None:
    QuoteCache(client, prefix).put("question", quote)
    other = QuoteCache(client, prefix)
    assert (other.get("question"), other.get("another question")) == (quote, None)


def test_a_quote_expires_after_five_minutes(client: redis.Redis, prefix: str) -> None:
    QuoteCache(client, prefix).put("question", QUOTES[0])
    left: Any = client.ttl(f"{prefix}question")
    assert (CACHE_SECONDS, CACHE_SECONDS - 5 <= left <= CACHE_SECONDS) == (300, True)


def test_without_redis_a_quote_is_lost_and_nothing_else() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    cache = QuoteCache(fakeredis.FakeRedis(server=server))
    cache.put("question", QUOTES[0])
    assert cache.get("question") is None


def test_an_account_that_quoted_no_price_is_not_asked_for_a_minute(client: redis.Redis, prefix: str) -> None:
    now = [0.0]
    cache = QuoteCache(client, prefix, clock=lambda: now[0])
    cache.back_off("borzo")
    before = cache.is_backing_off("borzo"), cache.is_backing_off("other")
    now[0] = 60.0
    assert (before, cache.is_backing_off("borzo")) == ((True, False), False)
