"""How an attempt's end rolls up to its delivery: done, the next carrier, or nobody."""

from typing import Any

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER, CancelledBy, DeliveryStatus
from worker.domain.delivery import Attempt
from worker.domain.lifecycle.change import CHANGED, UNTIL_ITS_END, Edit
from worker.domain.lifecycle.routing import FALLBACK, ask, next_carrier

WITH_ITEMS = "with_items"
"""The detail of an end with the goods on the road."""
_ENDING = {"reason", "reason_text", "cancelled_by", "raw", "detail", "evidence"}


def end(edit: Edit, attempt: Attempt, status: DeliveryStatus, **described: Any) -> None:
    """End an attempt and roll its end up to the delivery."""
    if status is DeliveryStatus.CANCELLED and attempt.cancelling and edit.delivery.cancel is None:
        # We asked only because its courier had withdrawn and nobody else came (C-34).
        described = {**described, "cancelled_by": CancelledBy.COURIER}
    # A courier whose pickup no read has shown may be seen with the goods only when he is gone.
    had_goods = GOODS_WITH_COURIER if described.get("detail") == WITH_ITEMS else 0
    attempt = edit.put(
        attempt,
        state=status.value,
        rank=max(attempt.rank, had_goods),
        ended_at=edit.now,
        changed_at=edit.now,
        reason=described.get("reason"),
        reason_text=described.get("reason_text"),
        contrary=None,
        contrary_at=None,
        tail_reads=0,
        wait_until=None,
        unread=None,
    )
    # Whoever has the goods is still to be told of a change.
    edit.answer(UNTIL_ITS_END - {CHANGED} if attempt.rank >= GOODS_WITH_COURIER else UNTIL_ITS_END)
    if status in {DeliveryStatus.DELIVERED, DeliveryStatus.RETURNED}:
        edit.relieve()
        edit.enter(status, attempt, **described)
        return
    edit.tell(EventType.ATTEMPT_ENDED, attempt, **{name: described[name] for name in _ENDING & described.keys()})
    _roll_up(edit, attempt, status, described)


def _roll_up(edit: Edit, attempt: Attempt, status: DeliveryStatus, described: dict[str, Any]) -> None:
    wish = edit.delivery.cancel
    if wish is not None and attempt.rank < GOODS_WITH_COURIER:
        edit.cancel_as_wished(attempt, **described)
        return
    if described.get("cancelled_by") in {CancelledBy.MERCHANT, CancelledBy.CUSTOMER}:
        items = {"detail": WITH_ITEMS} if attempt.rank >= GOODS_WITH_COURIER else {}
        edit.enter(status, attempt, **{**described, **items})
        return
    if attempt.rank >= GOODS_WITH_COURIER:
        edit.enter(status, attempt, **{**described, "detail": WITH_ITEMS})
        edit.attend("goods_with_courier", attempt)
        return
    following = None if edit.delivery.moved else next_carrier(edit)
    if following is not None or edit.delivery.moved:
        edit.set(courier=None, tracking_url=None, pickup_eta=None, dropoff_eta=None, price=None)
        ask(edit, following)
        edit.enter(DeliveryStatus.QUEUED, detail=FALLBACK)
        return
    edit.enter(status, attempt, **described)
    edit.tell(EventType.DISPATCH_FAILED, attempt)


def too_late(edit: Edit, attempt: Attempt) -> None:
    """Refuse a wish to cancel what the courier already carries."""
    attempt = edit.put(attempt, cancel_refused=True)
    edit.tell(EventType.CANCEL_REFUSED, attempt, reason_text="the courier has the goods")
