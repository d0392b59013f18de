"""A pickup time that the carrier offers instead of the one asked for: who rules on it, and what comes of the answer.

One that suits is accepted at once; any other is a person's, but only for a while: none is ever left open (D-30, D-31).
"""

from datetime import datetime, timedelta

from schemas.status import Cause, DeliveryStatus
from worker.carriers.port import Observation
from worker.domain.delivery import Attempt, Change, Delivery, OfferDecision
from worker.domain.lifecycle.change import OFFER_WAITS, ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.missed_reads import back_off
from worker.domain.lifecycle.observations import apply_observation
from worker.errors import CarrierError, Refused

EARLY = timedelta(minutes=1)
"""How long before the food is ready a courier may come."""


def evaluate_offer(edit: ChangeBuilder, attempt_id: int) -> None:
    """Rule on an offer that was just taken in, or ask for a person who does."""
    attempt = edit.delivery.attempt(attempt_id)
    if attempt is None or not _open(edit.delivery, attempt):
        return
    if _suits(edit, attempt):
        edit.update_attempt(attempt, offer_decision=OfferDecision.ACCEPT.value)
    else:
        edit.request_attention(OFFER_WAITS, attempt)


def decide_offer(delivery: Delivery, ruling: OfferDecision, rules: TermsByAccount, now: datetime) -> Change | None:
    """Take a person's word on an offer, which is then answered at once; None when no offer waits for one."""
    attempt = delivery.active
    if attempt is None or not _open(delivery, attempt):
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.OPERATOR)
    edit.update(retry_at=None)
    edit.clear_attention({OFFER_WAITS})
    edit.update_attempt(attempt, offer_decision=ruling.value)
    return edit.build()


def begin_confirm(edit: ChangeBuilder, attempt: Attempt) -> None:
    """Fix the word on an offer before it is sent: what was said in doubt is said again, unless a cancel is wished."""
    lapsed = OfferDecision.ACCEPT if _suits(edit, attempt) else OfferDecision.DENY
    ruling = (
        OfferDecision.DENY.value if edit.delivery.cancel_request is not None else attempt.offer_decision or lapsed.value
    )
    edit.clear_attention({OFFER_WAITS})
    edit.update_attempt(attempt, offer_decision=ruling)


def apply_confirm_outcome(
    delivery: Delivery,
    attempt_id: int,
    outcome: Observation | CarrierError,
    rules: TermsByAccount,
    now: datetime,
) -> Change:
    """Take the answer to accepting or denying an offer. Accepting is repeatable, so doubt only means again (D-33)."""
    edit = ChangeBuilder(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt.state != DeliveryStatus.AWAITING_CONFIRMATION:
        return edit.build()
    attempt = edit.update_attempt(attempt, wait_until=None)
    if isinstance(outcome, Refused):
        # "Time limit reached or order does not exist": only the carrier's list can tell which (D-30).
        edit.update_attempt(
            attempt, offer_unclear_since=now, lookups=0, reason=outcome.reason, reason_text=outcome.text or None
        )
    elif isinstance(outcome, CarrierError):
        back_off(edit, outcome)
    else:
        edit.update(failures=0, retry_at=None)
        agreed = attempt.offered_at if outcome.status is DeliveryStatus.CREATED else None
        apply_observation(edit, edit.update_attempt(attempt, pickup_at=agreed or attempt.pickup_at), outcome)
    return edit.build()


def _open(delivery: Delivery, attempt: Attempt) -> bool:
    """Tell whether an attempt's offer waits for somebody's word."""
    standing = attempt == delivery.active and attempt.state == DeliveryStatus.AWAITING_CONFIRMATION
    offered = attempt.offered_at is not None and attempt.offer_unclear_since is None
    return standing and offered and attempt.offer_decision is None and delivery.cancel_request is None


def _suits(edit: ChangeBuilder, attempt: Attempt) -> bool:
    """Tell whether an offered time is within the account's limit, and not before the food is ready."""
    assert attempt.offered_at is not None  # noqa: S101 - the callers' branch
    limit, ready = edit.rules[attempt.carrier].capabilities.max_shift, edit.delivery.order.ready_at
    fits = abs(attempt.offered_at - attempt.pickup_at) <= timedelta(minutes=limit)
    return fits and (ready is None or attempt.offered_at >= ready - EARLY)
