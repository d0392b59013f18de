"""Find open orders on the platform for which no message came.

For each of these orders, a message that contains only the order id is stored. The order is then fetched.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from schemas.messages import found_order_message
from worker import log
from worker.clock import Clock
from worker.database import inbox, leases
from worker.database.database import Database
from worker.errors import CarrierError, Postponed
from worker.http.gateway import Gateway
from worker.ordering_api import codec as ordering_codec
from worker.ordering_api.account import Ordering
from worker.ordering_api.codec import read_list
from worker.ordering_api.listing import OpenOrder, list_open, open_orders, order_ids
from worker.services.ingest import Ingest
from worker.services.order_fetch import is_paused_by_operator

logger = log.get(__name__)
LEASE, LEASE_SECONDS = "backfill", 120.0
MAX_PAGES = 100
"""The most pages that one run reads. The orders on later pages are older, so earlier runs have found these orders."""
MAX_BODY = 5_000_000
MESSAGE_TRAVEL = timedelta(minutes=2)
"""Orders younger than this are left out, because their own message may still come and contains more data."""
PAGE_TRIES = 5
"""How many times the rate limit may postpone the read of a page, about a second each time.

If the rate limit postpones the read once more, the run reads no further page.
"""


@dataclass(frozen=True)
class Backfill:
    """Find open orders without a delivery, and store them to be fetched."""

    settings: Ordering
    database: Database
    gateway: Gateway
    ingest: Ingest
    stale_after: timedelta
    """Orders older than this are left out: nobody wants them any more, but many stay open for ever."""
    clock: Clock
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> None:
        """Find missed orders and store them. Only one process does this at a time.

        Do nothing if an operator paused the platform.
        """
        holder = uuid4().hex
        if is_paused_by_operator(self.database):
            return
        if not self.database.write(leases.take, LEASE, holder, self.clock(), LEASE_SECONDS):
            return
        try:
            self.store(self.find(until=self.clock() - MESSAGE_TRAVEL))
        except CarrierError as error:
            logger.warning("backfill.failed", error=str(error))
        finally:
            self.database.write(leases.drop, LEASE, holder)

    def find(self, *, since: datetime | None = None, until: datetime | None = None) -> list[OpenOrder]:
        """Return the open orders without a delivery that were placed between `since` and `until`, oldest first.

        An order without a known time is returned, too. Without `since`, an order is left out if it was placed more than
        `stale_after` ago and its delivery time is also more than `stale_after` ago. If our key may not see orders, the
        list is empty (O-10). Raises CarrierError.
        """
        found: dict[str, OpenOrder] = {}
        for page in self._pages():
            found |= {each.order_id: each for each in open_orders(page)}
        if not found:
            logger.info("backfill.nothing_open", hint="a key that may not see the orders gets this answer, too")
        unknown = self.database.read(inbox.unknown_orders, self.settings.source, found)
        missing = [
            each for each in reversed(found.values()) if each.order_id in unknown and _within(each, since, until)
        ]
        return missing if since else _without_stale(missing, self.clock() - self.stale_after)

    def store(self, found: list[OpenOrder]) -> None:
        """Store orders to be fetched. An order whose own message comes meanwhile gets no second delivery."""
        self.ingest.store([found_order_message(self.settings.source, each.order_id) for each in found])
        if found:
            logger.warning("orders.missed", count=len(found), order_ids=[each.order_id for each in found][:10])

    def _pages(self) -> Iterator[list[Any]]:
        """Yield pages. Stop at the first page that contains only orders of earlier pages.

        A short page is not always the last page. Stop also after `MAX_PAGES` pages or `LEASE_SECONDS`. If the first
        page cannot be read, raise the error. If a later page cannot be read, stop.
        """
        seen: set[str] = set()
        until = self.clock() + timedelta(seconds=LEASE_SECONDS)
        for number in range(1, MAX_PAGES + 1):
            try:
                entries = self._page(number)
            except CarrierError as error:
                if not seen:
                    raise
                logger.warning("backfill.interrupted", page=number, error=str(error))
                return
            if order_ids(entries) <= seen:
                return
            seen |= order_ids(entries)
            yield entries
            if self.clock() > until:
                break
        logger.warning("backfill.too_many", pages=number)

    def _page(self, number: int) -> list[Any]:
        call = list_open(self.settings, number)
        for _ in range(PAGE_TRIES):
            try:
                return read_list(self.gateway.send_one(ordering_codec.ACCOUNT, call, max_body=MAX_BODY))
            except Postponed as error:
                self.sleep(min(error.retry_after or 1.0, 2.0))
        return read_list(self.gateway.send_one(ordering_codec.ACCOUNT, call, max_body=MAX_BODY))


def _without_stale(missing: list[OpenOrder], since: datetime) -> list[OpenOrder]:
    kept = [each for each in missing if each.last_time is None or each.last_time >= since]
    if len(kept) < len(missing):
        logger.info("backfill.stale_skipped", count=len(missing) - len(kept), hint="--since includes them")
    return kept


def _within(listed: OpenOrder, since: datetime | None, until: datetime | None) -> bool:
    at = listed.created_at
    return at is None or ((since is None or at >= since) and (until is None or at <= until))
