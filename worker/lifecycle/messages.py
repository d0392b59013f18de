"""What the platform's messages mean: a new order, the same again, other content, a wish to cancel."""

from datetime import datetime
from typing import Literal

from schemas.events import EventType
from schemas.ordering import Reaction, reaction_to
from schemas.orders import Cancellation, Order
from schemas.status import GOODS_WITH_COURIER, Cause, DeliveryStatus, PlatformStatus
from schemas.stores import Store
from worker.delivery import Change, Delivery
from worker.lifecycle.edit import Edit, Rules
from worker.lifecycle.ends import too_late
from worker.lifecycle.routing import choose_carrier

CANCELED_BY_CUSTOMER = PlatformStatus.CANCELED_BY_CUSTOMER


def accept(delivery: Delivery, store: Store | None, wish: Cancellation | None, rules: Rules, now: datetime) -> Change:
    """Take a new delivery in: queue it for its first carrier, or end it at once when its cancel came before it."""
    edit = Edit(delivery, rules, now, Cause.MESSAGE)
    edit.enter(DeliveryStatus.QUEUED)
    choose_carrier(edit, store)
    if wish is not None:
        _ask_cancel(edit, wish)
    return edit.done()


def amend(delivery: Delivery, order: Order, fingerprint: str, rules: Rules, now: datetime) -> Change | None:
    """Take an order's message that came again; None when it changes nothing.

    One whose status says that the order is off is a wish to cancel (O-13). Other content without a higher revision is
    a contradiction that a person must see. A real update is applied while nothing stands at a carrier; after that it
    needs a person too.
    """
    if reaction_to(order.status) is Reaction.CANCEL:
        by: Literal["merchant", "customer"] = "customer" if order.status == CANCELED_BY_CUSTOMER else "merchant"
        wish = Cancellation(order_id=order.order_id, cancelled_by=by)
        return ask_cancel(delivery, wish, rules, now, Cause.MESSAGE)
    if fingerprint == delivery.fingerprint or order.revision < delivery.order.revision:
        return None
    edit = Edit(delivery, rules, now, Cause.MESSAGE)
    if order.revision == delivery.order.revision:
        edit.attend("order_changed_without_revision")
    elif delivery.final:
        return None
    elif delivery.active is not None:
        # Kept all the same: whoever is asked next, here or at another carrier, is told what is true now.
        edit.set(order=order, fingerprint=fingerprint)
        edit.attend("order_changed_after_dispatch")
    else:
        edit.set(order=order, fingerprint=fingerprint)
        edit.relieve()
        if delivery.store is None or delivery.store.store_id != order.store_id:
            # The store it had stays until the new one is found: attempts there may still be read.
            edit.set(carrier=None)
        else:
            choose_carrier(edit, delivery.store)
        edit.tell(EventType.UPDATED)
    return edit.done() if edit.events else None


def ask_cancel(delivery: Delivery, wish: Cancellation, rules: Rules, now: datetime, cause: Cause) -> Change | None:
    """Store the wish to cancel; what was never sent to a carrier is cancelled at once.

    The same wish again is carried out again only where the carrier refused it, for now it may be allowed to cost.
    """
    attempt = delivery.active
    refused = attempt is not None and attempt.cancel_refused
    if delivery.final or (delivery.cancel is not None and not refused):
        return None
    edit = Edit(delivery, rules, now, cause)
    _ask_cancel(edit, wish)
    return edit.done()


def _ask_cancel(edit: Edit, wish: Cancellation) -> None:
    edit.set(cancel=wish, retry_at=None)
    attempt = edit.delivery.active
    if attempt is None:
        edit.relieve()
        edit.cancel_as_wished()
    elif attempt.rank >= GOODS_WITH_COURIER:
        too_late(edit, attempt)
    elif attempt.cancel_refused:
        again = {"cancel_asks": 0, "cancel_checks": 0, "cancel_taken": False, "wait_until": None}
        edit.put(attempt, cancel_refused=False, cancel_asked_at=None, **again)
