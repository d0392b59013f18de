"""Apply the platform's messages and statuses. A status may open the dispatch gate.

`Order.status` is the last platform status that was applied. When a message or a read repeats this status, the status is
not applied again.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from schemas.events import EventType
from schemas.messages import Cancellation
from schemas.order import Order
from schemas.ordering import Reaction, reaction_to
from schemas.platform_status import TO_PLATFORM, PlatformStatus
from schemas.status import AttentionReason, CancelledBy, Cause, Conflict, DeliveryStatus, Detail, Reason
from schemas.stores import Store
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Change, Delivery, Gate, replace
from worker.domain.lifecycle.amendment import plan_amendment
from worker.domain.lifecycle.cancellation import HANDED_OVER, request_cancel
from worker.domain.lifecycle.change import ChangeBuilder, StatusDetails
from worker.domain.lifecycle.routing import choose_carrier, reject

# --- orders -----------------------------------------------------------------------------------------------------------


def accept_order(
    delivery: Delivery,
    store: Store | None,
    cancellation: Cancellation | None,
    terms: TermsByAccount,
    now: datetime,
    *,
    stale: bool = False,
) -> Change:
    """Queue a new delivery for its first carrier.

    If a cancellation came before the order, the delivery is cancelled at once. Otherwise, if the order is stale, the
    delivery is rejected. An order is stale if its message came long after the time for which the order was wanted.
    """
    change = ChangeBuilder(delivery, terms, now, Cause.MESSAGE)
    waiting = StatusDetails(Detail.WAITING_FOR_SHOP if delivery.gate else None)
    change.set_status(DeliveryStatus.QUEUED, details=waiting)
    if cancellation is not None:
        request_cancel(change, cancellation)
    elif stale:
        change.update(replace(change.delivery, store=store))  # an operator's retry needs the store
        reject(change, Reason.DEADLINE_PASSED)
    else:
        choose_carrier(change, store)
    return change.build()


def is_stale(order: Order, placed_at: datetime | None, oldest: datetime) -> bool:
    """Return whether an order was wanted before `oldest`.

    An order without a delivery time was wanted when it was placed or when its food was ready, whichever was later. If
    none of these times is known, the order is not stale.
    """
    wanted = [order.deliver_at] if order.deliver_at else [order.ready_at, placed_at]
    return max(filter(None, wanted), default=oldest) < oldest


def apply_order_message(
    delivery: Delivery, order: Order, fingerprint: str, terms: TermsByAccount, now: datetime
) -> Change | None:
    """Apply a message about a known order: first the status, then the content. None when the message changes nothing.

    A message with an older revision is ignored. The exception is a message whose status cancels the order: only this
    status is applied (O-13).
    """
    late = order.revision < delivery.order.revision
    status = None if late and reaction_to(order.status) is not Reaction.CANCEL else order.status
    same = not late and fingerprint == delivery.fingerprint
    revision = order.revision if same else delivery.order.revision
    by_status = _apply_status(ChangeBuilder(delivery, terms, now, Cause.MESSAGE), status, revision)
    known = by_status.delivery if by_status else delivery
    updated = _apply_content(known, with_ready_time(order, now), fingerprint, terms, now)
    if by_status is None or updated is None:
        return by_status or updated
    return replace(
        updated,
        events=by_status.events + updated.events,
        passed_over=by_status.passed_over + updated.passed_over,
    )


def _apply_content(
    delivery: Delivery, order: Order, fingerprint: str, terms: TermsByAccount, now: datetime
) -> Change | None:
    """Apply the content of a message about a known order; None when the content changes nothing.

    The content is ignored after the personal data of the order were erased, because it would bring them back.

    If the content differs from the known order under the same revision, request an operator and keep the known order.
    """
    if delivery.is_erased or fingerprint == delivery.fingerprint or order.revision < delivery.order.revision:
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.MESSAGE)
    if order.revision == delivery.order.revision:
        change.request_attention(AttentionReason.ORDER_CHANGED_WITHOUT_REVISION)
        return None if change.delivery is delivery else change.build()
    # Store the order in every case, because the next carrier or an operator's retry must get the current order.
    change.update(replace(delivery, order=order, fingerprint=fingerprint))
    if delivery.active is not None and not delivery.final:
        plan_amendment(change, delivery.active)
    elif not delivery.final:
        _route_again(change)
    return change.build()


def _route_again(change: ChangeBuilder) -> None:
    """Choose a carrier again for an order that changed while no carrier had it."""
    delivery = change.delivery
    change.clear_attention({AttentionReason.ORDER_CHANGED_WITHOUT_REVISION})
    if delivery.store is None or delivery.store_changed:
        # Keep the old store until the new store is found, because attempts for the old store may still be read.
        change.update(replace(change.delivery, carrier=None))
    else:
        choose_carrier(change, delivery.store)
    change.add_event(EventType.UPDATED)


# --- the dispatch gate (O-20) -----------------------------------------------------------------------------------------


OPENED_BY: Mapping[Gate, frozenset[Reaction]] = {
    Gate.PLACED: frozenset(Reaction) - {Reaction.SCHEDULE},
    Gate.ACCEPTED: frozenset({Reaction.ACCEPTED, Reaction.READY, Reaction.NOT_READY, Reaction.SEEKING}),
    Gate.READY: frozenset({Reaction.READY}),
}
"""The reactions that open each gate.

A status with one of these reactions shows that the shop has done at least what the gate requires.
"""


def is_open(gate: Gate, status: int | None) -> bool:
    """Return whether a platform status opens a gate. An order without a status opens only the gate `placed`."""
    return gate is Gate.PLACED if status is None else reaction_to(status) in OPENED_BY[gate]


def closed_gate(gate: Gate, order: Order) -> Gate | None:
    """Return the gate at which a new order has to wait; None when the gate is open.

    A preorder with a delivery time passes the gate `placed`, because the order waits for that time anyway (O-19).
    """
    timed = gate is Gate.PLACED and order.deliver_at is not None
    return None if timed or is_open(gate, order.status) else gate


def with_ready_time(order: Order, now: datetime) -> Order:
    """Return the order, with `ready_at` set to `now` if its status says that the food is ready.

    If the order already has a `ready_at` or a `deliver_at`, it is returned unchanged.
    """
    timed = order.ready_at is not None or order.deliver_at is not None
    ready = not timed and reaction_to(order.status) is Reaction.READY
    return order.model_copy(update={"ready_at": now}) if ready else order


# --- the platform's statuses ------------------------------------------------------------------------------------------

CLOSING = frozenset({Reaction.CLOSED, Reaction.ENDED, Reaction.OUT_OF_SCOPE})
"""Reactions to an order that the platform has closed. None of them cancels a courier."""


def apply_platform_status(
    delivery: Delivery, status: int | None, terms: TermsByAccount, now: datetime
) -> Change | None:
    """Apply the status that a read of the platform's order showed; None when the status changes nothing."""
    return _apply_status(ChangeBuilder(delivery, terms, now, Cause.POLL), status, delivery.order.revision)


def record_platform_conflict(delivery: Delivery, kind: Conflict, terms: TermsByAccount, now: datetime) -> Change:
    """Publish a conflict between the platform and this delivery (O-18)."""
    change = ChangeBuilder(delivery, terms, now, Cause.POLL)
    change.add_event(EventType.CONFLICT, delivery.active, reason_text=kind.value)
    return change.build()


def _apply_status(change: ChangeBuilder, status: int | None, revision: int) -> Change | None:
    known = change.delivery.order
    if status is None or status == known.status or not _applies(change.delivery, status):
        return None
    order = with_ready_time(known.model_copy(update={"status": status, "revision": revision}), change.now)
    change.update(replace(change.delivery, order=order))
    before, reaction = reaction_to(known.status), reaction_to(status)
    react = _REACTIONS.get(reaction)
    if react is not None and reaction is not before and not {before, reaction} <= CLOSING:
        react(change, status)
    if not change.delivery.final:
        _open_gate(change, status)
    return change.build()


def _applies(delivery: Delivery, status: int) -> bool:
    """Return whether a status may still have an effect. After an end without success, only a cancel has one."""
    cancels = reaction_to(status) is Reaction.CANCEL and delivery.status not in HANDED_OVER
    return cancels or not delivery.final


def _open_gate(change: ChangeBuilder, status: int) -> None:
    """Open the gate if the status allows it.

    If the dispatch time has passed, the dispatch time becomes now, because alarms count from the dispatch time.
    """
    gate, dispatch_at = change.delivery.gate, change.delivery.dispatch_at
    if gate is not None and is_open(gate, status):
        change.update(replace(change.delivery, gate=None, dispatch_at=dispatch_at and max(dispatch_at, change.now)))
        change.set_status(DeliveryStatus.QUEUED)


def _cancel(change: ChangeBuilder, status: int) -> None:
    """Request a cancel of the delivery, because the platform's order is cancelled (O-13).

    An earlier cancel request is kept, because it may contain more details. If the carrier refused that request, the
    request is sent again.
    """
    attempt, request = change.delivery.active, change.delivery.cancel_request
    if request is not None and not (attempt is not None and attempt.cancel_refused):
        return
    customer = status == PlatformStatus.CANCELED_BY_CUSTOMER
    by = CancelledBy.CUSTOMER if customer else CancelledBy.MERCHANT
    request_cancel(change, request or Cancellation(order_id=change.delivery.order.order_id, cancelled_by=by.value))


def _close(change: ChangeBuilder, status: int) -> None:
    """Cancel the delivery of a closed order if no carrier has an order for it.

    If a carrier has an order, the courier continues. A conflict is then published if the platform's status differs from
    ours (O-12).
    """
    if change.delivery.active is None:
        _stop(change, Detail.PLATFORM_CLOSED)
    elif TO_PLATFORM[change.delivery.status] != status:
        change.add_event(EventType.CONFLICT, reason_text=Conflict.PLATFORM_CLOSED.value)


def _leave_to_own_driver(change: ChangeBuilder, _status: int) -> None:
    """Cancel the delivery, because the platform's own driver has the order.

    If the delivery has an attempt, nothing changes, because we wrote this status ourselves.
    """
    if not change.delivery.attempts:
        _stop(change, Detail.OWN_DRIVER)


def _stop(change: ChangeBuilder, detail: Detail) -> None:
    """Cancel a delivery for which no carrier has an order."""
    delivery = change.delivery
    request = delivery.cancel_request or Cancellation(order_id=delivery.order.order_id, reason=detail.value)
    change.update(replace(delivery, cancel_request=request, retry_at=None))
    change.clear_all_attention()
    change.cancel_as_requested(details=StatusDetails(detail))


def _ask_operator(change: ChangeBuilder, status: int) -> None:
    """Request an operator, because it is unclear whether the order or only the platform's driver was cancelled."""
    if status == PlatformStatus.CANCELED_BY_DRIVER:
        change.request_attention(AttentionReason.PLATFORM_CANCELED_BY_DRIVER)
    else:
        change.request_attention(AttentionReason.PLATFORM_PICKUP_FAILED)


def _report_not_ready(change: ChangeBuilder, _status: int) -> None:
    """Publish that the food is late and our courier has to wait (O-14)."""
    if change.delivery.active is not None:
        change.add_event(EventType.UPDATED, reason_text="order_not_ready")


_REACTIONS: Mapping[Reaction, Callable[[ChangeBuilder, int], None]] = {
    Reaction.CANCEL: _cancel,
    Reaction.CLOSED: _close,
    Reaction.ENDED: _close,
    Reaction.OUT_OF_SCOPE: _close,
    Reaction.COURIER: _leave_to_own_driver,
    Reaction.OPERATOR: _ask_operator,
    Reaction.NOT_READY: _report_not_ready,
}
"""The reactions that do more than open the gate, and their effects on a known delivery."""
