"""What the platform's messages mean: a new order, the same again, other content, a wish to cancel."""

from datetime import datetime

from schemas.events import EventType
from schemas.orders import Cancellation, Order
from schemas.status import GOODS_WITH_COURIER, Cause, DeliveryStatus
from schemas.stores import Store
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle.amendment import carry
from worker.domain.lifecycle.change import Edit, Rules
from worker.domain.lifecycle.dispatch_gate import WAITING
from worker.domain.lifecycle.rollup import too_late
from worker.domain.lifecycle.routing import choose_carrier


def accept(delivery: Delivery, store: Store | None, wish: Cancellation | None, rules: Rules, now: datetime) -> Change:
    """Take a new delivery in: queue it for its first carrier, or end it at once when its cancel came before it."""
    edit = Edit(delivery, rules, now, Cause.MESSAGE)
    edit.enter(DeliveryStatus.QUEUED, detail=WAITING if delivery.gate else None)
    if wish is not None:
        wish_cancel(edit, wish)
    else:
        choose_carrier(edit, store)
    return edit.done()


def take_update(delivery: Delivery, order: Order, fingerprint: str, rules: Rules, now: datetime) -> Change | None:
    """Take what an order's message that came again says beside its status; None when it changes nothing.

    Other content without a higher revision is a contradiction that a person must see. A real update is applied while
    nothing stands at a carrier; after that it is carried there, or needs a person too.
    """
    if fingerprint == delivery.fingerprint or order.revision < delivery.order.revision:
        return None
    edit = Edit(delivery, rules, now, Cause.MESSAGE)
    if order.revision == delivery.order.revision:
        edit.attend("order_changed_without_revision")
    elif delivery.final:
        edit.set(order=order, fingerprint=fingerprint)  # for a person who tries again
    elif delivery.active is not None:
        # Kept all the same: whoever is asked next, here or at another carrier, is told what is true now.
        edit.set(order=order, fingerprint=fingerprint)
        carry(edit, delivery.active)
    else:
        edit.set(order=order, fingerprint=fingerprint)
        edit.relieve()
        if delivery.store is None or delivery.store.store_id != order.store_id:
            # The store it had stays until the new one is found: attempts there may still be read.
            edit.set(carrier=None)
        else:
            choose_carrier(edit, delivery.store)
        edit.tell(EventType.UPDATED)
    return None if edit.delivery is delivery else edit.done()


def ask_cancel(delivery: Delivery, wish: Cancellation, rules: Rules, now: datetime, cause: Cause) -> Change | None:
    """Store the wish to cancel; what was never sent to a carrier is cancelled at once.

    The same wish again is carried out again only where the carrier refused it, for now it may be allowed to cost.
    """
    attempt = delivery.active
    refused = attempt is not None and attempt.cancel_refused
    if delivery.final or (delivery.cancel is not None and not refused):
        return None
    edit = Edit(delivery, rules, now, cause)
    wish_cancel(edit, wish)
    return edit.done()


def wish_cancel(edit: Edit, wish: Cancellation) -> None:
    """Note the wish, and carry it out where no carrier has to be asked."""
    edit.set(cancel=wish, retry_at=None)
    attempt = edit.delivery.active
    if attempt is None:
        edit.relieve()
        edit.cancel_as_wished()
    elif attempt.rank >= GOODS_WITH_COURIER:
        too_late(edit, attempt)
    elif attempt.amending is not None:
        edit.put(attempt, amending=None, wait_until=None)  # what becomes of that change is of no interest any more
    elif attempt.cancel_refused:
        again = {"cancel_asks": 0, "cancel_checks": 0, "cancel_taken": False, "wait_until": None}
        edit.put(attempt, cancel_refused=False, cancel_asked_at=None, **again)
