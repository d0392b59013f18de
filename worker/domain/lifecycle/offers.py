"""Offers of another pickup time than the one that we requested: our decision, and the carrier's reply.

A suitable offer is accepted at once. Any other offer waits for an operator for a limited time and is then denied (D-30,
D-31).
"""

from datetime import datetime, timedelta

from schemas.status import AttemptState, AttentionReason, Cause, DeliveryStatus
from worker.carriers.port import Observation
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, OfferDecision, replace
from worker.domain.lifecycle.change import ChangeBuilder
from worker.domain.lifecycle.observations import apply_observation
from worker.domain.lifecycle.reads import back_off
from worker.errors import CarrierError, Refused

EARLY = timedelta(minutes=1)
"""A suitable pickup time is at most this long before the food is ready."""


def evaluate_offer(change: ChangeBuilder, attempt_id: int) -> None:
    """Accept a new offer if it is suitable; otherwise request an operator's decision."""
    attempt = change.delivery.attempt(attempt_id)
    if attempt is None or not _is_open(change.delivery, attempt):
        return
    if _is_suitable(change, attempt):
        change.update_attempt(replace(attempt, offer_decision=OfferDecision.ACCEPT))
    else:
        change.request_attention(AttentionReason.OFFER_WAITS, attempt)


def decide_offer(delivery: Delivery, decision: OfferDecision, terms: TermsByAccount, now: datetime) -> Change | None:
    """Store an operator's decision on an offer, so that it is sent next; None when no offer waits for a decision."""
    attempt = delivery.active
    if attempt is None or not _is_open(delivery, attempt):
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.OPERATOR)
    change.cancel_retry()
    change.clear_attention({AttentionReason.OFFER_WAITS})
    change.update_attempt(replace(attempt, offer_decision=decision))
    return change.build()


def begin_confirm(change: ChangeBuilder, attempt: Attempt) -> None:
    """Record the decision before it is sent.

    A repeated call sends the same decision. After a cancel request, however, the offer is always denied.
    """
    change.clear_attention({AttentionReason.OFFER_WAITS})
    change.update_attempt(replace(attempt, offer_decision=_final_decision(change, attempt)))


def _final_decision(change: ChangeBuilder, attempt: Attempt) -> OfferDecision:
    if change.delivery.cancel_request is not None:
        return OfferDecision.DENY
    if attempt.offer_decision is not None:
        return attempt.offer_decision
    return OfferDecision.ACCEPT if _is_suitable(change, attempt) else OfferDecision.DENY


def apply_confirm_outcome(
    delivery: Delivery,
    attempt_id: int,
    outcome: Observation | CarrierError,
    terms: TermsByAccount,
    now: datetime,
) -> Change:
    """Apply the carrier's answer to our decision on an offer.

    The call can be repeated without harm, so it is repeated after every error except a refusal (D-33). A refusal leaves
    the outcome of the offer unclear, and look-ups settle it.
    """
    change = ChangeBuilder(delivery, terms, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt.state != AttemptState.AWAITING_CONFIRMATION:
        return change.build()
    attempt = change.update_attempt(replace(attempt, wait_until=None))
    match outcome:
        case Refused():
            # "Time limit reached or order does not exist": only the carrier's list shows which of the two is true
            # (D-30).
            unclear = replace(attempt, offer_unclear_since=now, lookups=0)
            change.update_attempt(replace(unclear, reason=outcome.reason, reason_text=outcome.text or None))
        case CarrierError():
            back_off(change, outcome)
        case Observation():
            change.reset_failures()
            agreed = attempt.offered_at if outcome.status is DeliveryStatus.CREATED else None
            attempt = change.update_attempt(replace(attempt, pickup_at=agreed or attempt.pickup_at))
            apply_observation(change, attempt, outcome)
    return change.build()


def _is_open(delivery: Delivery, attempt: Attempt) -> bool:
    """Return whether an attempt has an offer that waits for a decision."""
    awaiting = attempt == delivery.active and attempt.state == AttemptState.AWAITING_CONFIRMATION
    offered = attempt.offered_at is not None and attempt.offer_unclear_since is None
    return awaiting and offered and attempt.offer_decision is None and delivery.cancel_request is None


def _is_suitable(change: ChangeBuilder, attempt: Attempt) -> bool:
    """Return whether an offered pickup time is suitable.

    A suitable time differs from the requested time by at most the carrier's `max_shift` minutes. If the time when the
    food is ready is known, a suitable time is at most `EARLY` before that.
    """
    assert attempt.offered_at is not None  # noqa: S101 - the callers' branch
    limit, ready = change.terms[attempt.carrier].capabilities.max_shift, change.delivery.order.ready_at
    within_limit = abs(attempt.offered_at - attempt.pickup_at) <= timedelta(minutes=limit)
    return within_limit and (ready is None or attempt.offered_at >= ready - EARLY)
