"""Finding the platform's open orders whose message never came: each is then fetched as if a message had named it."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from schemas.messages import found_order_message
from worker import log
from worker.container import Container
from worker.database.inbox import Intake
from worker.errors import CarrierError, Held
from worker.ordering_api import codec as ordering_codec
from worker.ordering_api.codec import read_list
from worker.ordering_api.listing import Listed, identities, list_open, needing_courier

logger = log.get(__name__)
LEASE, LEASE_SECONDS = "backfill", 120.0
PAGES = 100
"""The most pages that are read in one go, and within the lease; the rest is older, and was found before."""
MAX_BODY = 5_000_000
COLD = timedelta(hours=12)
"""After so long nobody waits for an order any more, and many stand open for ever; longer than any zone is off."""
ON_ITS_WAY = timedelta(minutes=2)
"""How long an order's own message may still be on its way; it may say more than the platform's list."""
PATIENCE = 5
"""How often a page waits for the platform's budget, about a second each time, before the round is given up."""


def find(
    made: Container,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> list[Listed]:
    """List the open orders that nobody knows here, the oldest first, without what says that it was placed outside.

    Without `since` an order that was placed and wanted long ago is left out: no courier is sent for it. An empty list
    is no error: a key that may not see the orders is answered with one, too (O-10). Raises Unavailable or Refused.
    """
    found: dict[str, Listed] = {}
    for page in _pages(made, pause):
        found |= {each.order_id: each for each in needing_courier(page)}
    if not found:
        logger.info("backfill.nothing_open", hint="a key that may not see the orders is answered so, too")
    unknown = made.database.missing(made.settings.ordering.source, found)
    missing = [each for each in reversed(found.values()) if each.order_id in unknown and _within(each, since, until)]
    return missing if since else _warm(missing, made.clock() - COLD)


def _warm(missing: list[Listed], since: datetime) -> list[Listed]:
    warm = [each for each in missing if each.last_time is None or each.last_time >= since]
    if len(warm) < len(missing):
        logger.info("backfill.left_alone", count=len(missing) - len(warm), hint="of long ago; --since takes them in")
    return warm


def _within(listed: Listed, since: datetime | None, until: datetime | None) -> bool:
    at = listed.created_at
    return at is None or ((since is None or at >= since) and (until is None or at <= until))


def take_in(made: Container, found: list[Listed]) -> None:
    """Put found orders down to be fetched; one whose message comes meanwhile is not taken in twice."""
    source = made.settings.ordering.source
    made.database.take_in(
        Intake([found_order_message(source, each.order_id) for each in found]), made.terms, made.clock()
    )
    if found:
        logger.warning("orders.missed", count=len(found), order_ids=[each.order_id for each in found][:10])


def alone(made: Container, holder: str) -> bool:
    """Tell whether nobody else is at it."""
    return made.database.take_lease(LEASE, holder, made.clock(), LEASE_SECONDS)


def _pages(made: Container, pause: Callable[[float], None]) -> Iterator[list[Any]]:
    """Read pages until one brings nothing new: a short one may be short because the platform's pages are.

    What was read before one that cannot be had is worth no less: nothing follows from what is not found.
    """
    seen: set[str] = set()
    until = made.clock() + timedelta(seconds=LEASE_SECONDS)
    for number in range(1, PAGES + 1):
        try:
            entries = _page(made, number, pause)
        except CarrierError as error:
            if not seen:
                raise
            logger.warning("backfill.broke_off", page=number, error=str(error))
            return
        if identities(entries) <= seen:
            return
        seen |= identities(entries)
        yield entries
        if made.clock() > until:
            break
    logger.warning("backfill.too_many", pages=PAGES)


def _page(made: Container, number: int, pause: Callable[[float], None]) -> list[Any]:
    call = list_open(made.settings.ordering, number)
    for _ in range(PATIENCE):
        try:
            return read_list(made.gateway.send_one(ordering_codec.ACCOUNT, call, max_body=MAX_BODY))
        except Held as held:
            pause(min(held.retry_after or 1.0, 2.0))
    return read_list(made.gateway.send_one(ordering_codec.ACCOUNT, call, max_body=MAX_BODY))
