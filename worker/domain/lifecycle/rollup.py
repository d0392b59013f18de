"""How an attempt's end rolls up to its delivery: done, the next carrier, or nobody."""

from typing import Any

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER, CancelledBy, DeliveryStatus
from worker.domain.delivery import Attempt
from worker.domain.lifecycle.change import CHANGED, UNTIL_ITS_END, ChangeBuilder
from worker.domain.lifecycle.routing import FALLBACK, next_carrier, set_carrier

WITH_ITEMS = "with_items"
"""The detail of an end with the goods on the road."""
_ENDING = {"reason", "reason_text", "cancelled_by", "raw", "detail", "evidence"}


def end_attempt(edit: ChangeBuilder, attempt: Attempt, status: DeliveryStatus, **described: Any) -> None:
    """End an attempt and roll its end up to the delivery."""
    if status is DeliveryStatus.CANCELLED and attempt.cancel_requested and edit.delivery.cancel_request is None:
        # We asked only because its courier had withdrawn and nobody else came (C-34).
        described = {**described, "cancelled_by": CancelledBy.COURIER}
    # A courier whose pickup no read has shown may be seen with the goods only when he is gone.
    had_goods = GOODS_WITH_COURIER if described.get("detail") == WITH_ITEMS else 0
    attempt = edit.update_attempt(
        attempt,
        state=status.value,
        rank=max(attempt.rank, had_goods),
        ended_at=edit.now,
        changed_at=edit.now,
        reason=described.get("reason"),
        reason_text=described.get("reason_text"),
        contradicting_status=None,
        contradicted_at=None,
        follow_up_reads=0,
        wait_until=None,
        unmapped_status=None,
    )
    # Whoever has the goods is still to be told of a change.
    edit.clear_attention(UNTIL_ITS_END - {CHANGED} if attempt.rank >= GOODS_WITH_COURIER else UNTIL_ITS_END)
    if status in {DeliveryStatus.DELIVERED, DeliveryStatus.RETURNED}:
        edit.clear_all_attention()
        edit.set_status(status, attempt, **described)
        return
    edit.add_event(EventType.ATTEMPT_ENDED, attempt, **{name: described[name] for name in _ENDING & described.keys()})
    _roll_up(edit, attempt, status, described)


def _roll_up(edit: ChangeBuilder, attempt: Attempt, status: DeliveryStatus, described: dict[str, Any]) -> None:
    wish = edit.delivery.cancel_request
    if wish is not None and attempt.rank < GOODS_WITH_COURIER:
        edit.cancel_as_requested(attempt, **described)
        return
    if described.get("cancelled_by") in {CancelledBy.MERCHANT, CancelledBy.CUSTOMER}:
        items = {"detail": WITH_ITEMS} if attempt.rank >= GOODS_WITH_COURIER else {}
        edit.set_status(status, attempt, **{**described, **items})
        return
    if attempt.rank >= GOODS_WITH_COURIER:
        edit.set_status(status, attempt, **{**described, "detail": WITH_ITEMS})
        edit.request_attention("goods_with_courier", attempt)
        return
    following = None if edit.delivery.store_changed else next_carrier(edit)
    if following is not None or edit.delivery.store_changed:
        edit.update(courier=None, tracking_url=None, pickup_eta=None, dropoff_eta=None, price=None)
        set_carrier(edit, following)
        edit.set_status(DeliveryStatus.QUEUED, detail=FALLBACK)
        return
    edit.set_status(status, attempt, **described)
    edit.add_event(EventType.DISPATCH_FAILED, attempt)


def refuse_cancel(edit: ChangeBuilder, attempt: Attempt) -> None:
    """Refuse a wish to cancel what the courier already carries."""
    attempt = edit.update_attempt(attempt, cancel_refused=True)
    edit.add_event(EventType.CANCEL_REFUSED, attempt, reason_text="the courier has the goods")
