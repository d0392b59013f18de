"""Check whether a carrier can take an order.

The check uses the carrier's codec and the settings of its account. It makes no call.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from schemas.order import Order
from schemas.status import Reason
from schemas.stores import Store
from worker.carriers.port import Booking, Carrier
from worker.domain import schedule
from worker.errors import Refused

NO_ATTEMPT = 1
"""The attempt id and number in a booking that is checked and never sent."""


def refusal(codec: Carrier, order: Order, store: Store, at: datetime) -> Refused | None:
    """Return why the carrier cannot take the order if it is sent at the time `at`; None when the carrier can take it.

    Also None when a bug makes the codec fail. The create of the order will then fail and show the bug.
    """
    booking = trial_booking(order, store, at)
    try:
        _check_account(codec, booking)
        codec.check_order(booking, at)
    except Refused as refused:
        return refused
    except Exception:  # noqa: BLE001 - see the docstring
        return None
    return None


def trial_booking(order: Order, store: Store, at: datetime) -> Booking:
    """Build the booking that a carrier would get if the order were sent at the time `at`."""
    pickup_at = schedule.pickup_time(order, store, at)
    return Booking(NO_ATTEMPT, NO_ATTEMPT, order, store, pickup_at, order.deliver_at)


def _check_account(codec: Carrier, booking: Booking) -> None:
    account, store = codec.account, booking.store
    if not account.reaches(booking.order.dropoff.postal_code):
        raise Refused(Reason.UNSERVICEABLE, "dropoff.postal_code is outside the account's POSTAL_CODES")
    if not account.is_open(booking.pickup_at.astimezone(ZoneInfo(store.timezone)).time()):
        raise Refused(Reason.CARRIER_CLOSED, "the pickup is outside the account's HOURS")
