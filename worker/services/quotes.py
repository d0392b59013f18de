"""Ask carriers for the prices of deliveries. A carrier is not asked for the same price twice within minutes.

A create does not depend on a price. If the carrier quotes no price, the create is sent anyway.
"""

import hashlib
from dataclasses import dataclass
from functools import partial

from schemas.order import fingerprint
from worker import log
from worker.carriers.abilities import Quote
from worker.carriers.abilities import Quotes as GivesQuotes
from worker.carriers.port import Booking, Carrier
from worker.clock import Clock
from worker.errors import Refused, Unavailable
from worker.http.gateway import Gateway
from worker.resilience.quote_cache import QuoteCache
from worker.services.outcomes import run_codec, unreadable_reply

logger = log.get(__name__)
CREATE_WAITS = 3.0
"""Seconds that a create waits for a price. The wait is short, because the lease of the intent is running."""


@dataclass(frozen=True)
class Quotes:
    """Ask carriers for prices."""

    gateway: Gateway
    cache: QuoteCache
    clock: Clock

    def quote(self, codec: Carrier, booking: Booking, *, within: float | None = None) -> Quote:
        """Return the quote of an account for a delivery. Raises CarrierError if the account gives no quote."""
        if not isinstance(codec, GivesQuotes):
            raise Unavailable(f"{codec.account.kind} gives no prices")
        key = _question(codec, booking)
        if (cached := self.cache.get(key)) is not None:
            return cached
        now = self.clock()
        call, max_body = codec.quote(booking, now), codec.capabilities.max_body
        reply = self.gateway.send_one(codec.account.name, call, max_body=max_body, within=within)
        quote = codec.read_quote(reply, now)
        if quote.orderable:  # a refusal is not cached, because its cause may be temporary
            self.cache.put(key, quote)
        return quote

    def check_orderable(self, codec: Carrier, booking: Booking) -> None:
        """Raise Refused if the account has `QUOTE_FIRST` and its quote shows that the carrier will refuse the order."""
        name = codec.account.name
        if not isinstance(codec, GivesQuotes) or not codec.quotes_first or self.cache.is_backing_off(name):
            return
        quote = run_codec(name, partial(self.quote, codec, booking, within=CREATE_WAITS), unreadable_reply)
        if isinstance(quote, Quote):
            if not quote.orderable:
                raise Refused(quote.reason, ", ".join(quote.why))
        elif not isinstance(quote, Refused):  # if no request can be built for an order, the create itself is refused
            self.cache.back_off(name)
            logger.warning("carrier.quote_failed", account=name, error=type(quote).__name__)


def _question(codec: Carrier, booking: Booking) -> str:
    """Return a hash of everything that a price depends on.

    Our reference and the current minute are left out, because they change each time. The account's settings, without
    its secrets, are included, because they choose the vehicle and the payment method.
    """
    account, store = codec.account.model_dump_json(), booking.store.model_dump_json()
    question = "\n".join((account, store, fingerprint(booking.order)))
    return hashlib.sha256(question.encode()).hexdigest()
