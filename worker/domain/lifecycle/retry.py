"""A person wants it to be tried again: at once what waits, and from the start what has ended with nobody sent."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER, CancelledBy, Cause, DeliveryStatus, Evidence
from worker.domain.delivery import SUBMITTING, Attempt, Change, Delivery, Step
from worker.domain.lifecycle.change import ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.routing import choose_carrier

RETRIED = "retry"
"""The detail of a delivery that a person queued again."""
BROUGHT = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.RETURNED})
WISHED = frozenset({CancelledBy.MERCHANT, CancelledBy.CUSTOMER})
CLEARED_ON_RETRY: dict[str, Any] = dict.fromkeys(
    ("reason", "reason_text", "cancelled_by", "raw", "courier", "tracking_url", "pickup_eta", "dropoff_eta", "price")
)
"""What an ending said, and what the last courier brought with him."""


def retry(delivery: Delivery, rules: TermsByAccount, now: datetime) -> Change | None:
    """Ask for a courier now; None when something keeps us from it.

    What waits is due at once. What has ended is queued again, and every carrier may be asked anew.
    """
    if retry_blocker(delivery, now) is not None:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.OPERATOR)
    edit.update(failures=0, retry_at=None)
    if delivery.final:
        _reopen(edit)
    change = edit.build()
    if change.delivery.step is not Step.ROUTE:
        return change
    return replace(change, delivery=replace(change.delivery, next_run_at=now))


def retry_blocker(delivery: Delivery, now: datetime) -> str | None:
    """Tell what keeps a delivery from being tried again, and what to do instead; None when nothing does.

    Whatever stands at a carrier, or may stand there, keeps it: there is never a second courier.
    """
    if delivery.active is not None:
        return _of_one_who_lives(delivery.active)
    if any(each.live for each in delivery.attempts):
        return "a courier too many is still out: stop that one first, `order-sync show ID` names it"
    return _of_an_end(delivery) if delivery.final else _of_waiting(delivery, now)


def _of_an_end(delivery: Delivery) -> str | None:
    if delivery.status in BROUGHT or any(each.rank >= GOODS_WITH_COURIER for each in delivery.attempts):
        return f"it is {delivery.status.value}, and a courier has had the goods: telephone the carrier"
    if delivery.cancel_request is not None or delivery.cancelled_by in WISHED:
        return "its cancel was wished: place it again as a new order"
    return None


def _of_waiting(delivery: Delivery, now: datetime) -> str | None:
    if delivery.gate is not None:
        return f"it waits until the shop says {delivery.gate}"
    if delivery.dispatch_at is not None and delivery.dispatch_at > now:
        return f"it is planned: its carrier is asked at {delivery.dispatch_at:%Y-%m-%dT%H:%M:%SZ}"
    return None


def _of_one_who_lives(attempt: Attempt) -> str:
    if attempt.state == SUBMITTING:
        return f"{attempt.carrier} is being asked right now: wait for its answer"
    if attempt.state == DeliveryStatus.SUBMIT_UNKNOWN:
        return f"nobody knows whether {attempt.carrier} has it: say `order-sync resolve ID exists REF` or `absent`"
    if attempt.state == DeliveryStatus.AWAITING_CONFIRMATION and attempt.offered_at is not None:
        return f"{attempt.carrier} offers another time: say `order-sync accept ID` or `deny ID`"
    return f"{attempt.carrier} has it: `order-sync cancel ID` comes first"


def _reopen(edit: ChangeBuilder) -> None:
    """Queue again what had ended; from here on it has a time of its own to be late by."""
    before = edit.delivery
    edit.clear_all_attention()
    edit.update(retried_after_attempt=max((each.number for each in before.attempts), default=0), carrier=None)
    edit.update(**CLEARED_ON_RETRY, evidence=Evidence.OBSERVED)
    edit.update(status=DeliveryStatus.QUEUED, previous_status=before.status, detail=RETRIED, changed_at=edit.now)
    edit.add_event(EventType.REOPENED)
    edit.add_event(EventType.STATUS_CHANGED)
    choose_carrier(edit, before.store)
    if not edit.delivery.final:
        edit.update(dispatch_at=max(edit.now, edit.delivery.dispatch_at or edit.now))
