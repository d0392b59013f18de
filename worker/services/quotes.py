"""Prices: the one place that asks for them. A question that was asked a moment ago is not asked again.

Nothing depends on a price. One that cannot be had holds no create up, and the create itself says what is wrong.
"""

import hashlib

from schemas.order import fingerprint
from worker import log
from worker.carriers.abilities import Quote, Quotes
from worker.carriers.port import Booking, Carrier
from worker.container import Container
from worker.errors import Refused, Unavailable
from worker.services.carrier_calls import guarded, unread

logger = log.get(__name__)
PATIENCE = 3.0
"""Seconds that a create waits for a price: its intent is written down, and its time runs."""


def ask(made: Container, codec: Carrier, booking: Booking, *, within: float | None = None) -> Quote:
    """Give what this delivery would cost at this account. Raises CarrierError when that cannot be had."""
    if not isinstance(codec, Quotes):
        raise Unavailable(f"{codec.account.kind} tells no prices")
    key = _question(codec, booking)
    if (told := made.quote_cache.get(key)) is not None:
        return told
    now = made.clock()
    reply = made.gateway.send_one(
        codec.account.name, codec.quote(booking, now), max_body=codec.capabilities.max_body, within=within
    )
    quote = codec.read_quote(reply, now)
    if quote.orderable:  # what stands against it may be mended in a moment, and then it is tried again
        made.quote_cache.put(key, quote)
    return quote


def check(made: Container, codec: Carrier, booking: Booking) -> None:
    """Raise Refused where a carrier that is asked for the price first says that it would not take the order."""
    name = codec.account.name
    if not isinstance(codec, Quotes) or not codec.quotes_first or made.quote_cache.is_backing_off(name):
        return
    quote = guarded(name, lambda: ask(made, codec, booking, within=PATIENCE), unread)
    if isinstance(quote, Quote):
        if not quote.orderable:
            raise Refused(quote.reason, ", ".join(quote.why))
    elif not isinstance(quote, Refused):  # what cannot even be asked, the create refuses for itself
        made.quote_cache.back_off(name)
        logger.warning("carrier.told_no_price", carrier=name, error=type(quote).__name__)


def _question(codec: Carrier, booking: Booking) -> str:
    """Hash what a price depends on. Not our reference and not the minute: both change with every asking.

    The account's settings are part of it, for they choose the vehicle and the way to pay; its secrets are masked.
    """
    account, store = codec.account.model_dump_json(), booking.store.model_dump_json()
    asked = "\n".join((account, store, fingerprint(booking.order)))
    return hashlib.sha256(asked.encode()).hexdigest()
