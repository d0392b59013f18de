"""An operator's retry: a waiting delivery continues at once, and one that ended before any pickup starts again."""

from datetime import datetime

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER, AttemptState, CancelledBy, Cause, DeliveryStatus, Detail
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, Step, replace
from worker.domain.lifecycle.cancellation import HANDED_OVER
from worker.domain.lifecycle.change import ChangeBuilder, StatusDetails
from worker.domain.lifecycle.routing import choose_carrier

ORDERERS = frozenset({CancelledBy.MERCHANT, CancelledBy.CUSTOMER})


def retry(delivery: Delivery, terms: TermsByAccount, now: datetime) -> Change | None:
    """Request a courier now; None when `retry_blocker` forbids a retry.

    A waiting delivery continues at once. An ended delivery is queued again, and every carrier may be asked again.
    """
    if retry_blocker(delivery, now) is not None:
        return None
    builder = ChangeBuilder(delivery, terms, now, Cause.OPERATOR)
    builder.reset_failures()
    if delivery.final:
        _reopen(builder)
    change = builder.build()
    if change.delivery.step is not Step.ROUTE:
        return change
    return replace(change, delivery=replace(change.delivery, next_run_at=now))


def retry_blocker(delivery: Delivery, now: datetime) -> str | None:
    """Return why a delivery cannot be retried, and what to do instead; None when a retry is allowed.

    A retry is forbidden while a carrier has the order or may have it, because a second courier could come.
    """
    if delivery.active is not None:
        return _blocked_by_attempt(delivery.active)
    if any(each.live for each in delivery.attempts):
        return "a surplus courier is still out: cancel that order first, `order-sync show ID` shows it"
    if delivery.is_erased:
        return "the customer's data were erased: place the order again under a new id"
    return _blocked_by_end(delivery) if delivery.final else _blocked_while_waiting(delivery, now)


def _blocked_by_end(delivery: Delivery) -> str | None:
    if delivery.status in HANDED_OVER or any(each.rank >= GOODS_WITH_COURIER for each in delivery.attempts):
        return f"the delivery is {delivery.status.value}, and a courier has had the goods: call the carrier"
    if delivery.cancel_request is not None or delivery.cancelled_by in ORDERERS:
        return "a cancel was requested: place the order again under a new id"
    return None


def _blocked_while_waiting(delivery: Delivery, now: datetime) -> str | None:
    if delivery.gate is not None:
        return f"the delivery waits until the shop says {delivery.gate}"
    if delivery.dispatch_at is not None and delivery.dispatch_at > now:
        return f"the delivery is planned: its carrier is asked at {delivery.dispatch_at:%Y-%m-%dT%H:%M:%SZ}"
    return None


def _blocked_by_attempt(attempt: Attempt) -> str:
    if attempt.state == AttemptState.SUBMITTING:
        return f"{attempt.carrier} is being asked now: wait for the answer"
    if attempt.state == AttemptState.SUBMIT_UNKNOWN:
        return f"{attempt.carrier} may have the order: run `order-sync resolve ID exists REF` or `absent`"
    if attempt.state == AttemptState.AWAITING_CONFIRMATION and attempt.offered_at is not None:
        return f"{attempt.carrier} offers another time: run `order-sync accept ID` or `deny ID`"
    return f"{attempt.carrier} has the order: run `order-sync cancel ID` first"


def _reopen(change: ChangeBuilder) -> None:
    """Queue an ended delivery again.

    If the dispatch time has passed, the dispatch time becomes now, because alarms count from the dispatch time.
    """
    before = change.delivery
    change.clear_all_attention()
    last = max((each.number for each in before.attempts), default=0)
    change.clear_courier()
    change.update(replace(change.delivery, retried_after_attempt=last, carrier=None))
    change.put_status(DeliveryStatus.QUEUED, before.status, StatusDetails(Detail.RETRY))
    change.add_event(EventType.REOPENED)
    change.add_event(EventType.STATUS_CHANGED)
    choose_carrier(change, before.store)
    if not change.delivery.final:
        dispatch_at = max(change.now, change.delivery.dispatch_at or change.now)
        change.update(replace(change.delivery, dispatch_at=dispatch_at))
