"""An order as the toy carrier's parameters."""

from typing import Any

from schemas.status import Reason
from worker.carriers.port import Booking
from worker.errors import Refused


def check_order(booking: Booking) -> None:
    """Raise Refused, naming the field, when the toy carrier cannot deliver the order."""
    payment = booking.order.payment
    if not payment.prepaid and payment.amount > 0:
        raise Refused(Reason.UNSERVICEABLE, "payment.prepaid: the toy carrier collects no money")


def order_parameters(booking: Booking) -> dict[str, Any]:
    """Return the parameters of an order. Raises Refused as `check_order` does."""
    check_order(booking)
    order, store = booking.order, booking.store
    return {
        "from": f"{store.street}, {store.city}",
        "to": f"{order.dropoff.street}, {order.dropoff.city}",
        "name": order.customer.name,
        "phone": order.customer.phone,
        "pickup": booking.pickup_at.isoformat(timespec="seconds"),
        "notes": order.notes,
    }
