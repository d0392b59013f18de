"""Erase the personal data of a delivery that has ended: the customer's, the couriers', and free texts.

What stays identifies nobody: ids, times, statuses, amounts and the store, so the figures of past deliveries stay right.
"""

import json

from schemas.events import EventType
from schemas.order import erased as erased_order
from schemas.order import fingerprint
from worker.domain.delivery import Attempt, Change, Delivery, replace

OWN_TEXTS = frozenset({EventType.ATTENTION_REQUIRED, EventType.CONFLICT})
"""The types of events whose `reason_text` is a word of ours."""


def erasure_blocker(delivery: Delivery) -> str | None:
    """Return why the personal data of a delivery are still needed; None when they may be erased."""
    if not delivery.final:
        return f"the delivery has not ended, it is {delivery.status.value}: cancel it first"
    if any(attempt.live for attempt in delivery.attempts):
        return "a surplus courier is still out: cancel that order first, `order-sync show ID` shows it"
    return None


def erase(delivery: Delivery) -> Change | None:
    """Return the change that erases the personal data of a delivery; None while they are needed.

    The carrier is not read again afterwards, because its reply would bring the courier's data back.
    """
    if erasure_blocker(delivery) is not None:
        return None
    order = erased_order(delivery.order)
    request = delivery.cancel_request
    return Change(
        replace(
            delivery,
            order=order,
            fingerprint=fingerprint(order),
            cancel_request=request.model_copy(update={"reason": "", "cancelled_by": request.canceller.value})
            if request
            else None,
            reason_text=None,
            raw=delivery.raw.model_copy(update={"text": None}) if delivery.raw else None,
            courier=None,
            tracking_url=None,
            proof=None,
            step=None,
            step_attempt_id=None,
            next_run_at=None,
            retry_at=None,
            alarm_at=None,
            attempts=tuple(map(_without_texts, delivery.attempts)),
        )
    )


def _without_texts(attempt: Attempt) -> Attempt:
    """Return an attempt without what a carrier wrote, and without the fingerprints of the order."""
    return replace(
        attempt,
        codec_state={},
        reason_text=attempt.reason_text if attempt.never_created else None,
        reported_anomalies=(),
        last_error=None,
        sent_fingerprint=None,
        pending_fingerprint=None,
        unmapped_status=None,
    )


def erase_event(body: str) -> str:
    """Return the body of an event without the courier, the links to pages about the order, and free texts."""
    event = json.loads(body)
    data = event["data"]
    data.update({name: None for name in ("courier", "tracking_url", "proof") if name in data})
    if event["type"] not in OWN_TEXTS and "reason_text" in data:
        data["reason_text"] = None
    if data.get("raw"):
        data["raw"]["text"] = None
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
