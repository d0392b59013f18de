"""What the platform's own status says about a delivery that is known here, whether a message or a read brought it.

The order's `status` is what the platform said last, so the same again is never news.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from schemas.events import EventType
from schemas.messages import Cancellation
from schemas.order import Order
from schemas.ordering import Reaction, reaction_to
from schemas.status import TO_PLATFORM, Cause, DeliveryStatus, PlatformStatus
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle.change import ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.dispatch_gate import is_open, with_ready_time
from worker.domain.lifecycle.order_messages import apply_order_update, request_cancel

OVER = frozenset({Reaction.CLOSED, Reaction.ENDED, Reaction.OUT_OF_SCOPE})
"""The platform has closed the order, and nobody wishes that a courier be cancelled."""


def apply_platform_status(
    delivery: Delivery, status: int | None, rules: TermsByAccount, now: datetime
) -> Change | None:
    """Take the platform's status as a read of its order shows it; None when that is no news."""
    return _heard(ChangeBuilder(delivery, rules, now, Cause.POLL), status, delivery.order.revision)


def record_platform_conflict(delivery: Delivery, why: str, rules: TermsByAccount, now: datetime) -> Change:
    """Tell that the platform does not show what we wrote, or shows another end than ours (O-18)."""
    edit = ChangeBuilder(delivery, rules, now, Cause.POLL)
    edit.add_event(EventType.CONFLICT, delivery.active, reason_text=why)
    return edit.build()


def apply_order_message(
    delivery: Delivery, order: Order, fingerprint: str, rules: TermsByAccount, now: datetime
) -> Change | None:
    """Take a message about an order that is known: first what its status says, then what else is new in it.

    The status of a message that comes late is as old as the rest of it, unless it says that the order is off (O-13).
    """
    late = order.revision < delivery.order.revision
    said = None if late and reaction_to(order.status) is not Reaction.CANCEL else order.status
    same = not late and fingerprint == delivery.fingerprint
    revision = order.revision if same else delivery.order.revision
    heard = _heard(ChangeBuilder(delivery, rules, now, Cause.MESSAGE), said, revision)
    known = heard.delivery if heard else delivery
    updated = apply_order_update(known, with_ready_time(order, now), fingerprint, rules, now)
    if heard is None or updated is None:
        return heard or updated
    return Change(updated.delivery, heard.events + updated.events)


def _heard(edit: ChangeBuilder, status: int | None, revision: int) -> Change | None:
    known = edit.delivery.order
    if edit.delivery.final or status is None or status == known.status:
        return None
    edit.update(order=with_ready_time(known.model_copy(update={"status": status, "revision": revision}), edit.now))
    before, reaction = reaction_to(known.status), reaction_to(status)
    if reaction is not before and not {before, reaction} <= OVER:
        _REACTIONS.get(reaction, _nothing)(edit, status)
    if not edit.delivery.final:
        _open(edit, status)
    return edit.build()


def _nothing(_edit: ChangeBuilder, _status: int) -> None:
    """Take it that a status says nothing about our courier."""


def _open(edit: ChangeBuilder, status: int) -> None:
    """Open the gate if the shop is that far; from here on the delivery has a time of its own to be late by."""
    gate, dispatch_at = edit.delivery.gate, edit.delivery.dispatch_at
    if gate is not None and is_open(gate, status):
        edit.update(gate=None, dispatch_at=dispatch_at and max(dispatch_at, edit.now))
        edit.set_status(DeliveryStatus.QUEUED)


def _cancel(edit: ChangeBuilder, status: int) -> None:
    """Wish what the platform says: the order is off (O-13). A wish that is there already may say more: it stays."""
    attempt, wish = edit.delivery.active, edit.delivery.cancel_request
    if wish is not None and not (attempt is not None and attempt.cancel_refused):
        return
    customer = status == PlatformStatus.CANCELED_BY_CUSTOMER
    by: Literal["merchant", "customer"] = "customer" if customer else "merchant"
    request_cancel(edit, wish or Cancellation(order_id=edit.delivery.order.order_id, cancelled_by=by))


def _closed(edit: ChangeBuilder, status: int) -> None:
    """Send nobody for an order that is closed; a courier who is at it goes on, and that is a conflict (O-12)."""
    if edit.delivery.active is None:
        _stop(edit, "platform_closed")
    elif TO_PLATFORM[edit.delivery.status] != status:
        edit.add_event(EventType.CONFLICT, reason_text="platform_closed")


def _courier(edit: ChangeBuilder, _status: int) -> None:
    """Send nobody where a driver of the platform's is at work; once we asked a carrier, it is our own echo."""
    if not edit.delivery.attempts:
        _stop(edit, "own_driver")


def _stop(edit: ChangeBuilder, why: str) -> None:
    """End a delivery for which no courier stands anywhere."""
    edit.update(
        cancel_request=edit.delivery.cancel_request or Cancellation(order_id=edit.delivery.order.order_id, reason=why)
    )
    edit.update(retry_at=None)
    edit.clear_all_attention()
    edit.cancel_as_requested(detail=why)


def _driver_gone(edit: ChangeBuilder, status: int) -> None:
    """Ask a person: nobody can tell whether the order is gone, or only a driver of the platform's."""
    if status == PlatformStatus.CANCELED_BY_DRIVER:
        edit.request_attention("platform_canceled_by_driver")
    else:
        edit.request_attention("platform_pickup_failed")


def _not_ready(edit: ChangeBuilder, _status: int) -> None:
    """Tell that the kitchen keeps our courier waiting (O-14)."""
    if edit.delivery.active is not None:
        edit.add_event(EventType.UPDATED, reason_text="order_not_ready")


_REACTIONS: Mapping[Reaction, Callable[[ChangeBuilder, int], None]] = {
    Reaction.CANCEL: _cancel,
    Reaction.CLOSED: _closed,
    Reaction.ENDED: _closed,
    Reaction.OUT_OF_SCOPE: _closed,
    Reaction.COURIER: _courier,
    Reaction.OPERATOR: _driver_gone,
    Reaction.NOT_READY: _not_ready,
}
"""What a status does to a known delivery beside opening its gate; the others do nothing."""
