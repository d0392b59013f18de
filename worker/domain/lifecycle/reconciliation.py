"""Settle creates with an unknown outcome by evidence, or leave them to an operator.

While the outcome of an attempt is unknown, no other carrier is asked. Otherwise two couriers might come.
"""

from datetime import datetime

from schemas.events import RawWord
from schemas.status import AttemptState, AttentionReason, Cause, DeliveryStatus, Detail, Reason
from worker.carriers.port import Observation, Raw
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import NEVER_CREATED, Attempt, Change, Delivery, replace
from worker.domain.lifecycle.cancellation import request_again
from worker.domain.lifecycle.change import CARRIER_ORDER_REASONS, UNKNOWN_OUTCOME_REASONS, ChangeBuilder, StatusDetails
from worker.domain.lifecycle.observations import apply_observation
from worker.domain.lifecycle.reads import record_read_failure
from worker.domain.lifecycle.reopening import count_follow_up
from worker.domain.lifecycle.rollup import refuse_attempt
from worker.domain.lifecycle.routing import set_carrier
from worker.errors import Refused, Unreadable

OFFER_LOOKUPS = 2
"""An offer counts as lapsed after this number of look-ups that do not show the offer."""
FOUND_BY_OPERATOR = Raw("operator", "exists")
TYPED_BY_OPERATOR = RawWord(entity=FOUND_BY_OPERATOR.entity, code=FOUND_BY_OPERATOR.code)
"""The delivery's `raw` after an operator typed the `ref`, until the carrier reports another status."""


def mark_unknown(change: ChangeBuilder, attempt: Attempt, error: str) -> None:
    """Mark the outcome of an attempt's create as unknown. From now on, no other carrier is asked."""
    attempt = change.update_attempt(
        replace(attempt, state=AttemptState.SUBMIT_UNKNOWN, changed_at=change.now, last_error=error)
    )
    change.set_status(DeliveryStatus.SUBMIT_UNKNOWN, attempt)


def await_operator(change: ChangeBuilder, attempt: Attempt, error: Refused) -> None:
    """Leave a create to an operator, because the carrier refused it as a duplicate of an order unknown to us (B-31)."""
    mark_unknown(change, attempt, str(error))
    unknown, text = change.latest(attempt), error.text or None
    change.update_attempt(replace(unknown, awaiting_operator=True, reason=error.reason, reason_text=text))
    change.request_attention(AttentionReason.DUPLICATE_AT_CARRIER)


def end_unknown_outcome(change: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Clear the attention reasons, delay and look-ups of an unknown outcome. Return the attempt.

    The answer to the create came late, and has settled the outcome.
    """
    change.clear_attention(UNKNOWN_OUTCOME_REASONS)
    change.cancel_retry()
    return change.update_attempt(replace(attempt, awaiting_operator=False, lookups=0))


def mark_outcome_unknown(delivery: Delivery, terms: TermsByAccount, now: datetime) -> Change | None:
    """Mark the outcome of a create as unknown, because the process that made the call stored no outcome in time.

    None when no create is under way.
    """
    attempt = delivery.step_attempt
    if attempt is None or attempt.state != AttemptState.SUBMITTING:
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    mark_unknown(change, attempt, "the call's process was lost")
    return change.build()


def record_conflict(delivery: Delivery, attempt_id: int, terms: TermsByAccount, now: datetime) -> Change | None:
    """Record that a carrier's answer names an order that belongs to another live attempt (C-21).

    If the attempt's create is under way, the outcome of the create is now unknown. Otherwise the answer counts as a
    failed read.
    """
    attempt, text = delivery.attempt(attempt_id), "the carrier's id belongs to another order"
    if attempt is None or attempt.state != AttemptState.SUBMITTING:
        return record_read_failure(delivery, attempt_id, Unreadable(text), terms, now)
    change = ChangeBuilder(delivery, terms, now, Cause.RESPONSE)
    mark_unknown(change, attempt, text)
    return change.build()


def record_not_found(
    delivery: Delivery, before: Attempt, terms: TermsByAccount, now: datetime, began: datetime | None = None
) -> Change | None:
    """Record a complete look-up that did not find the order. Enough such look-ups prove that there is no order.

    `before` is the attempt as it was when the look-up began, at the time `began`. The look-up does not count, and the
    result is None, if one of three things has happened since then: another look-up was counted, a call of the attempt
    began, or the carrier reported the order. The next look-up begins `LOOKUPS_APART` later at the earliest, even after
    an outage.
    """
    attempt = delivery.attempt(before.id)
    if attempt is None or (attempt.lookups, attempt.calls) != (before.lookups, before.calls):
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.RECONCILE, began)
    if change.is_outdated(attempt):
        return None
    if not attempt.live:
        count_follow_up(change, attempt)
        return change.build()
    change.update(replace(delivery, failures=0, retry_at=now + schedule.LOOKUPS_APART))
    attempt = change.update_attempt(replace(attempt, lookups=attempt.lookups + 1))
    if attempt.state == AttemptState.AWAITING_CONFIRMATION and attempt.lookups >= OFFER_LOOKUPS:
        refuse_attempt(change, attempt, attempt.reason or Reason.OFFER_LAPSED, attempt.reason_text)
    elif attempt.state == AttemptState.SUBMIT_UNKNOWN and attempt.lookups >= len(schedule.QUARANTINE):
        _apply_proof_of_absence(change, attempt)
    return change.build()


def no_lookup_available(delivery: Delivery, terms: TermsByAccount, now: datetime) -> Change | None:
    """Leave an unknown outcome to an operator, because the carrier has no look-up and no callback settled the outcome.

    None when the outcome is not unknown.
    """
    attempt = delivery.step_attempt
    if attempt is None or attempt.state != AttemptState.SUBMIT_UNKNOWN:
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    # A cancel request makes no difference: without proof, the delivery cannot be called cancelled.
    leave_to_operator(change, attempt)
    return change.build()


def resolve_unknown_outcome(delivery: Delivery, ref: str | None, terms: TermsByAccount, now: datetime) -> Change | None:
    """Apply an operator's finding: the carrier has the order under `ref`, or has no order if `ref` is None.

    A `ref` can also correct an id that an operator mistyped, or supply the missing id of an order that is known only
    from a callback (C-24). If the attempt had already ended as never created, an order under `ref` is published as a
    conflict. None when there is nothing to resolve.
    """
    attempt = _attempt_to_resolve(delivery, ref)
    if attempt is None:
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.OPERATOR)
    change.cancel_retry()
    change.clear_attention(UNKNOWN_OUTCOME_REASONS | {AttentionReason.REFERENCE_MISSING})
    attempt = change.update_attempt(replace(attempt, awaiting_operator=False))
    if attempt.live and attempt.state != AttemptState.SUBMIT_UNKNOWN:
        request_again(change, replace(attempt, ref=ref))  # no cancel has been sent for this order yet
        change.update(replace(change.delivery, raw=TYPED_BY_OPERATOR))
    elif ref is None:
        _create_again(change, attempt)
    else:
        apply_observation(change, attempt, Observation(DeliveryStatus.CREATED, FOUND_BY_OPERATOR, ref=ref))
    return change.build()


def _attempt_to_resolve(delivery: Delivery, ref: str | None) -> Attempt | None:
    """Return the attempt that an operator's finding is about; None when there is none.

    Of these attempts, the first that exists is returned. The second and the third need a `ref`.

    * The active attempt, if its outcome is unknown.
    * The active attempt, if the carrier has its order and its own `ref` is missing or was typed by an operator.
    * The last attempt that ended as never created.
    """
    attempt = delivery.active
    if attempt is not None and attempt.state == AttemptState.SUBMIT_UNKNOWN:
        return attempt
    if ref is None:
        return None
    if attempt is not None and attempt.rank > 0 and (attempt.ref is None or is_typed_reference(delivery, attempt)):
        return attempt
    return next((each for each in reversed(delivery.attempts) if each.never_created), None)


def is_typed_reference(delivery: Delivery, attempt: Attempt) -> bool:
    """Return whether an operator typed the attempt's `ref`, and no answer of the carrier has confirmed this `ref`."""
    return attempt == delivery.active and delivery.raw == TYPED_BY_OPERATOR


def _apply_proof_of_absence(change: ChangeBuilder, attempt: Attempt) -> None:
    if attempt.reason is Reason.DUPLICATE:
        return  # the order at the carrier may lack our reference, so only an operator can find it (B-31)
    again = not attempt.awaiting_operator and _may_create_again(change, attempt)
    if change.delivery.cancel_request is not None or again:
        _create_again(change, attempt)
    else:
        leave_to_operator(change, attempt)


def _may_create_again(change: ChangeBuilder, attempt: Attempt) -> bool:
    since_retry = (each for each in change.delivery.attempts if each.number > change.delivery.retried_after_attempt)
    creates = sum(each.carrier == attempt.carrier for each in since_retry)
    return creates < change.terms[attempt.carrier].capabilities.max_creates


def _create_again(change: ChangeBuilder, attempt: Attempt) -> None:
    """End an attempt as never created, and queue the delivery for the same carrier.

    If a cancel was requested, the delivery is cancelled and not queued. If the carrier called the create a duplicate,
    the attempt ends as refused and the next carrier is asked. The same carrier would refuse another create as well.
    """
    if attempt.reason is Reason.DUPLICATE:
        refuse_attempt(change, attempt, attempt.reason, attempt.reason_text)
        return
    change.update_attempt(
        replace(
            attempt,
            state=AttemptState.REJECTED,
            changed_at=change.now,
            ended_at=change.now,
            follow_up_reads=0,
            unmapped_status=None,
            reason=None,
            reason_text=NEVER_CREATED,
        )
    )
    change.clear_attention(CARRIER_ORDER_REASONS)
    if change.delivery.cancel_request is not None:
        change.cancel_as_requested(attempt)
        return
    set_carrier(change, attempt.carrier)
    change.set_status(DeliveryStatus.QUEUED, details=StatusDetails(Detail.RESUBMIT))


def leave_to_operator(change: ChangeBuilder, attempt: Attempt) -> None:
    """Request an operator for an unknown outcome. If an operator was already requested, change nothing."""
    if attempt.awaiting_operator:
        return
    change.update_attempt(replace(attempt, awaiting_operator=True))
    change.request_attention(AttentionReason.OUTCOME_UNKNOWN, attempt)
