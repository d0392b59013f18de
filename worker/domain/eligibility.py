"""Whether a carrier would take an order, found out without asking it.

What its codec refuses to describe it would refuse as well; what else can be known stands in the account's settings.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from schemas.order import Order
from schemas.status import Reason
from schemas.stores import Store
from worker.carriers.port import Booking, Carrier
from worker.domain import schedule
from worker.errors import Refused

NOBODY = 1
"""The attempt of a create that is described and never sent."""


def refusal(codec: Carrier, order: Order, store: Store, at: datetime) -> Refused | None:
    """Tell why a carrier that is asked at this time could not take an order; None when nothing speaks against it.

    A codec that breaks over an order refuses nothing: its create will say so.
    """
    booking = supposed(order, store, at)
    try:
        _serve(codec, booking)
        codec.check_order(booking, at)
    except Refused as refused:
        return refused
    except Exception:  # noqa: BLE001 - see above
        return None
    return None


def supposed(order: Order, store: Store, at: datetime) -> Booking:
    """Give what a carrier would be told if its courier were sent at this time."""
    return Booking(NOBODY, NOBODY, order, store, schedule.pickup_time(order, store, at), order.deliver_at)


def _serve(codec: Carrier, booking: Booking) -> None:
    account, store = codec.account, booking.store
    if not account.reaches(booking.order.dropoff.postal_code):
        raise Refused(Reason.UNSERVICEABLE, "dropoff.postal_code is outside the account's POSTAL_CODES")
    if not account.is_open(booking.pickup_at.astimezone(ZoneInfo(store.timezone)).time()):
        raise Refused(Reason.CARRIER_CLOSED, "the pickup is outside the account's HOURS")
