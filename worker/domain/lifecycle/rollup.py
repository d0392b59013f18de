"""End an attempt, and decide whether its delivery ends as well or goes to the next carrier."""

from schemas.events import EventType
from schemas.status import (
    GOODS_WITH_COURIER,
    AttemptState,
    AttentionReason,
    CancelledBy,
    DeliveryStatus,
    Detail,
    Reason,
)
from worker.domain.delivery import Attempt, replace
from worker.domain.lifecycle.amendment import abandon_if_not_carried
from worker.domain.lifecycle.cancellation import HANDED_OVER
from worker.domain.lifecycle.change import CARRIER_ORDER_REASONS, ChangeBuilder, StatusDetails
from worker.domain.lifecycle.routing import next_carrier, set_carrier


def end_attempt(change: ChangeBuilder, attempt: Attempt, status: DeliveryStatus, details: StatusDetails) -> None:
    """End an attempt with the final status of its order. The delivery ends as well, or goes to the next carrier."""
    if status is DeliveryStatus.CANCELLED and attempt.cancel_requested and change.delivery.cancel_request is None:
        # Only we requested this cancel, because the courier withdrew and no other courier came (C-34).
        details = replace(details, cancelled_by=CancelledBy.COURIER)
    if status in HANDED_OVER or details.detail == Detail.WITH_ITEMS:
        attempt = abandon_if_not_carried(change, attempt)
    ended = _end(change, attempt, status, details)
    if status in HANDED_OVER:
        change.clear_all_attention()
        change.set_status(status, ended, details)
        return
    change.add_end_of_attempt(ended, details)
    _roll_up(change, ended, status, details)


def refuse_attempt(change: ChangeBuilder, attempt: Attempt, reason: Reason, reason_text: str | None) -> None:
    """End an attempt that its carrier refused. The delivery ends as well, or goes to the next carrier."""
    details = StatusDetails(reason=reason, reason_text=reason_text)
    ended = _end(change, attempt, DeliveryStatus.REJECTED, details)
    change.add_event(EventType.ATTEMPT_ENDED, ended, reason=reason, reason_text=reason_text)
    _roll_up(change, ended, DeliveryStatus.REJECTED, details)


def _end(change: ChangeBuilder, attempt: Attempt, status: DeliveryStatus, details: StatusDetails) -> Attempt:
    # The report of the end may be the first report that shows the pickup.
    had_goods = GOODS_WITH_COURIER if details.detail == Detail.WITH_ITEMS else 0
    ended = change.update_attempt(
        replace(
            attempt,
            state=AttemptState(status),
            rank=max(attempt.rank, had_goods),
            ended_at=change.now,
            changed_at=change.now,
            reason=details.reason,
            reason_text=details.reason_text,
            contradicting_status=None,
            contradicted_at=None,
            follow_up_reads=0,
            wait_until=None,
            unmapped_status=None,
        )
    )
    # A change of the order that was not sent still matters if the courier has the goods.
    still_needed = {AttentionReason.ORDER_CHANGED_AFTER_DISPATCH} if ended.rank >= GOODS_WITH_COURIER else set()
    change.clear_attention(CARRIER_ORDER_REASONS - still_needed)
    return ended


def _roll_up(change: ChangeBuilder, ended: Attempt, status: DeliveryStatus, details: StatusDetails) -> None:
    has_goods = ended.rank >= GOODS_WITH_COURIER
    if change.delivery.cancel_request is not None and not has_goods:
        change.cancel_as_requested(ended, details)
        return
    with_items = replace(details, detail=Detail.WITH_ITEMS) if has_goods else details
    if details.cancelled_by in {CancelledBy.MERCHANT, CancelledBy.CUSTOMER}:
        change.set_status(status, ended, with_items)
        return
    if has_goods:
        change.set_status(status, ended, with_items)
        change.request_attention(AttentionReason.GOODS_WITH_COURIER, ended)
        return
    following = None if change.delivery.store_changed else next_carrier(change)
    if following is not None or change.delivery.store_changed:
        _fall_back(change, following)
        return
    change.set_status(status, ended, details)
    change.add_event(EventType.DISPATCH_FAILED, ended)


def _fall_back(change: ChangeBuilder, carrier: str | None) -> None:
    """Queue the delivery for this carrier, or for routing if `carrier` is None. Clear the data of the last courier."""
    change.clear_courier()
    set_carrier(change, carrier)
    change.set_status(DeliveryStatus.QUEUED, details=StatusDetails(Detail.FALLBACK))
