"""What the platform's messages mean: a new order, the same again, other content, a wish to cancel."""

from datetime import datetime

from schemas.events import EventType
from schemas.messages import Cancellation
from schemas.order import Order
from schemas.status import GOODS_WITH_COURIER, Cause, DeliveryStatus
from schemas.stores import Store
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle.amendment import carry_update
from worker.domain.lifecycle.change import ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.dispatch_gate import WAITING
from worker.domain.lifecycle.rollup import refuse_cancel
from worker.domain.lifecycle.routing import choose_carrier


def accept_order(
    delivery: Delivery, store: Store | None, wish: Cancellation | None, rules: TermsByAccount, now: datetime
) -> Change:
    """Take a new delivery in: queue it for its first carrier, or end it at once when its cancel came before it."""
    edit = ChangeBuilder(delivery, rules, now, Cause.MESSAGE)
    edit.set_status(DeliveryStatus.QUEUED, detail=WAITING if delivery.gate else None)
    if wish is not None:
        request_cancel(edit, wish)
    else:
        choose_carrier(edit, store)
    return edit.build()


def apply_order_update(
    delivery: Delivery, order: Order, fingerprint: str, rules: TermsByAccount, now: datetime
) -> Change | None:
    """Take what an order's message that came again says beside its status; None when it changes nothing.

    Other content without a higher revision is a contradiction that a person must see. A real update is applied while
    nothing stands at a carrier; after that it is carried there, or needs a person too.
    """
    if fingerprint == delivery.fingerprint or order.revision < delivery.order.revision:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.MESSAGE)
    if order.revision == delivery.order.revision:
        edit.request_attention("order_changed_without_revision")
    elif delivery.final:
        edit.update(order=order, fingerprint=fingerprint)  # for a person who tries again
    elif delivery.active is not None:
        # Kept all the same: whoever is asked next, here or at another carrier, is told what is true now.
        edit.update(order=order, fingerprint=fingerprint)
        carry_update(edit, delivery.active)
    else:
        edit.update(order=order, fingerprint=fingerprint)
        edit.clear_all_attention()
        if delivery.store is None or delivery.store.store_id != order.store_id:
            # The store it had stays until the new one is found: attempts there may still be read.
            edit.update(carrier=None)
        else:
            choose_carrier(edit, delivery.store)
        edit.add_event(EventType.UPDATED)
    return None if edit.delivery is delivery else edit.build()


def apply_cancel_request(
    delivery: Delivery, wish: Cancellation, rules: TermsByAccount, now: datetime, cause: Cause
) -> Change | None:
    """Store the wish to cancel; what was never sent to a carrier is cancelled at once.

    The same wish again is carried out again only where the carrier refused it, for now it may be allowed to cost.
    """
    attempt = delivery.active
    refused = attempt is not None and attempt.cancel_refused
    if delivery.final or (delivery.cancel_request is not None and not refused):
        return None
    edit = ChangeBuilder(delivery, rules, now, cause)
    request_cancel(edit, wish)
    return edit.build()


def request_cancel(edit: ChangeBuilder, wish: Cancellation) -> None:
    """Note the wish, and carry it out where no carrier has to be asked."""
    edit.update(cancel_request=wish, retry_at=None)
    attempt = edit.delivery.active
    if attempt is None:
        edit.clear_all_attention()
        edit.cancel_as_requested()
    elif attempt.rank >= GOODS_WITH_COURIER:
        refuse_cancel(edit, attempt)
    elif attempt.pending_fingerprint is not None:
        edit.update_attempt(
            attempt, pending_fingerprint=None, wait_until=None
        )  # what becomes of that change is of no interest any more
    elif attempt.cancel_refused:
        again = {"cancel_requests": 0, "cancel_checks": 0, "cancel_accepted": False, "wait_until": None}
        edit.update_attempt(attempt, cancel_refused=False, cancel_requested_at=None, **again)
