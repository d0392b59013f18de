"""What to do next for a delivery, and when: a pure function of its state.

Every delivery that is not final gets exactly one next step, so nothing can be forgotten.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from schemas.status import GOODS_WITH_COURIER, DeliveryStatus
from worker import schedule
from worker.delivery import SUBMITTING, Attempt, Delivery, Step, Terms

Plan = tuple[Step | None, datetime | None]


def plan(delivery: Delivery, terms: Mapping[str, Terms], now: datetime) -> Plan:
    """Choose the next step and its time, never earlier than `retry_at`."""
    step, at = _plan(delivery, terms, now)
    if at is not None and delivery.retry_at is not None:
        at = max(at, delivery.retry_at)
    return step, at


def _plan(delivery: Delivery, terms: Mapping[str, Terms], now: datetime) -> Plan:
    attempt = delivery.active
    if delivery.final:
        return None, None
    if attempt is None and delivery.carrier not in terms:
        return Step.ROUTE, now + schedule.ROUTE_AGAIN
    if attempt is None:
        return Step.BOOK, max(delivery.dispatch_at or now, delivery.created_at)
    if attempt.carrier not in terms:
        # The account was taken out of the settings while an order stood there: keep it, and look again.
        return Step.TRACK, now + schedule.ROUTE_AGAIN
    return _plan_attempt(delivery, attempt, terms[attempt.carrier], now)


def _plan_attempt(delivery: Delivery, attempt: Attempt, terms: Terms, now: datetime) -> Plan:
    if attempt.state == SUBMITTING:
        return Step.RECONCILE, lease_end(attempt, terms)
    match attempt.state:
        case DeliveryStatus.SUBMIT_UNKNOWN:
            return Step.RECONCILE, _next_lookup(attempt, terms, now)
        case DeliveryStatus.AWAITING_CONFIRMATION if attempt.doubted_at is not None:
            return Step.RECONCILE, attempt.doubted_at + terms.scale * schedule.OFFER_CHECK * (attempt.lookups + 1)
        case DeliveryStatus.AWAITING_CONFIRMATION:
            return Step.CONFIRM, now
    if wants_cancel(delivery, attempt, terms, now):
        return Step.CANCEL, now
    return Step.TRACK, _next_look(delivery, attempt, terms, now)


def lease_end(attempt: Attempt, terms: Terms) -> datetime:
    """Tell when a call whose outcome is still unknown must have been lost with its process."""
    return attempt.submitted_at + timedelta(seconds=terms.deadline) + schedule.CALL_MARGIN


def _next_lookup(attempt: Attempt, terms: Terms, now: datetime) -> datetime:
    if attempt.parked:
        return now + schedule.PARKED_AGAIN
    if not terms.capabilities.find:
        return max(now, attempt.submitted_at + timedelta(seconds=terms.deadline + terms.callback_wait))
    waits = schedule.QUARANTINE
    return attempt.submitted_at + timedelta(seconds=terms.deadline + waits[min(attempt.lookups, len(waits) - 1)])


def wants_cancel(delivery: Delivery, attempt: Attempt, terms: Terms, now: datetime) -> bool:
    """Tell whether the carrier is to be asked to cancel: somebody wishes it, or a withdrawn courier stays away."""
    if attempt.cancel_asked_at is not None or attempt.cancel_refused or attempt.state == SUBMITTING:
        return False
    if delivery.cancel is not None:
        return attempt.rank < GOODS_WITH_COURIER
    grace = terms.capabilities.withdrawal_grace
    withdrawn = attempt.state == DeliveryStatus.COURIER_WITHDRAWN and grace is not None
    return withdrawn and now >= attempt.changed_at + timedelta(seconds=grace or 0)


def _next_look(delivery: Delivery, attempt: Attempt, terms: Terms, now: datetime) -> datetime:
    in_doubt = attempt.cancel_asked_at is not None and not attempt.cancel_refused
    if in_doubt and attempt.cancel_checks < len(schedule.CANCEL_CHECKS):
        return now + timedelta(seconds=schedule.CANCEL_CHECKS[attempt.cancel_checks])
    return schedule.next_look(
        terms.capabilities.cadence,
        terms.scale,
        delivery.status,
        now=now,
        since=attempt.submitted_at,
        changed_at=attempt.changed_at,
        pickup=attempt.pickup_at,
        account=attempt.carrier,
        key=delivery.id,
    )
