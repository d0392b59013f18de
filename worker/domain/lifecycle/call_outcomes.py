"""The intents and outcomes of calls that change something at a carrier.

An intent is recorded before the first byte of its call is sent.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from schemas.status import AttemptState, Cause
from worker.carriers.port import Observation
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, Step, replace
from worker.domain.lifecycle.amendment import abandon_amendment, abandon_if_too_late, begin_amendment, mark_amended
from worker.domain.lifecycle.cancellation import begin_cancel, record_refusal, request_again
from worker.domain.lifecycle.change import ChangeBuilder
from worker.domain.lifecycle.observations import apply_observation
from worker.domain.lifecycle.offers import begin_confirm
from worker.domain.lifecycle.reads import back_off, back_off_amendment
from worker.domain.planner import call_time
from worker.errors import CarrierError, Refused, Unavailable


def is_due(delivery: Delivery, step: Step, carrier: str, now: datetime) -> bool:
    """Return whether this step is the delivery's next step, is due now, and calls this carrier."""
    if delivery.step is not step or delivery.next_run_at is None or delivery.next_run_at > now:
        return False
    return delivery.step_carrier == carrier


# --- intents ----------------------------------------------------------------------------------------------------------


def begin_call(delivery: Delivery, step: Step, terms: TermsByAccount, now: datetime) -> Change | None:
    """Record the intent to confirm, amend or cancel; None when the step has no attempt.

    Once the intent is stored, no other process makes the same call at the same time.
    """
    attempt = delivery.step_attempt
    if attempt is None:
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    wait_until = now + call_time(terms[attempt.carrier], step)
    begun = replace(attempt, wait_until=wait_until, calls=attempt.calls + 1, call_open=True)
    _BEGIN[step](change, change.update_attempt(begun))
    return change.build(attempt.id)


_BEGIN: Mapping[Step, Callable[[ChangeBuilder, Attempt], None]] = {
    Step.CONFIRM: begin_confirm,
    Step.AMEND: begin_amendment,
    Step.CANCEL: begin_cancel,
}


# --- outcomes ---------------------------------------------------------------------------------------------------------


def close_call(delivery: Delivery, begun: Attempt) -> Delivery | None:
    """Return the delivery with its call marked as closed. The caller applies the outcome of the call next.

    `begun` is the attempt as it was when the call began. Return None if a newer call has begun since then, or if the
    outcome of this call is already stored. The same outcome can come twice: if the answer to a commit is lost, the
    transaction is repeated.
    """
    attempt = delivery.attempt(begun.id)
    if attempt is None or not attempt.call_open or attempt.calls != begun.calls:
        return None
    return delivery.with_attempt(replace(attempt, call_open=False))


def apply_amend_outcome(
    delivery: Delivery,
    attempt_id: int,
    outcome: Observation | CarrierError | None,
    terms: TermsByAccount,
    now: datetime,
) -> Change:
    """Apply the outcome of an amendment. The outcome None means that the carrier's order needed no change.

    A refused amendment is left to an operator. After any other error, the order is read, and then the amendment may be
    sent again. Only requests that may have reached the carrier are counted.
    """
    change = ChangeBuilder(delivery, terms, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt != delivery.active or attempt.pending_fingerprint is None:
        return change.build()
    match outcome:
        case Refused():
            abandon_amendment(change, attempt, outcome)
        case CarrierError():
            requests = max(0, attempt.amend_requests - isinstance(outcome, Unavailable))
            back_off_amendment(change, outcome, change.update_attempt(replace(attempt, amend_requests=requests)))
        case None:
            mark_amended(change, attempt)
        case Observation():
            apply_observation(change, mark_amended(change, attempt), outcome)
    return change.build()


def apply_cancel_outcome(
    delivery: Delivery,
    attempt_id: int,
    outcome: Observation | CarrierError | None,
    terms: TermsByAccount,
    now: datetime,
) -> Change:
    """Apply the outcome of a cancel request. The outcome None means that the carrier accepted the request.

    A read still has to confirm an accepted cancel. The exception is an attempt in the state `awaiting_confirmation`: an
    observation in the carrier's answer is applied at once, because no later read would show the cancel (D-78).

    After a refusal, the order is read at once. The read also shows whether an earlier request with an unknown outcome
    has succeeded. If a cancel request that allows a fee came during the call, the carrier is asked again instead.
    """
    change = ChangeBuilder(delivery, terms, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or not attempt.live:
        return change.build()
    match outcome:
        case Observation() if attempt.state == AttemptState.AWAITING_CONFIRMATION:
            attempt = change.update_attempt(replace(attempt, cancel_accepted=True, wait_until=None))
            apply_observation(change, attempt, outcome)
        case Unavailable():
            requests = max(0, attempt.cancel_requests - 1)
            unsent = replace(attempt, cancel_requested_at=None, cancel_requests=requests, wait_until=None)
            back_off(change, outcome, change.update_attempt(unsent))
        case Refused() if attempt.cancel_requested_at is None and not attempt.surplus:
            request_again(change, attempt)  # a request that allows a fee came during this call
        case Refused():
            attempt = change.update_attempt(replace(attempt, last_error=str(outcome)))
            record_refusal(change, attempt, outcome.text or None, outcome.reason)
            if not attempt.surplus:
                abandon_if_too_late(change, change.latest(attempt))
        case _:
            _await_confirming_read(change, attempt, outcome)
    return change.build()


def _await_confirming_read(change: ChangeBuilder, attempt: Attempt, outcome: Observation | CarrierError | None) -> None:
    """Schedule the first read after a cancel request that may have taken effect."""
    failed = isinstance(outcome, CarrierError)
    change.update_attempt(
        replace(
            attempt,
            cancel_requested_at=attempt.cancel_requested_at or change.now,
            cancel_accepted=not failed,
            last_error=str(outcome) if failed else attempt.last_error,
            wait_until=change.now + timedelta(seconds=schedule.CANCEL_CHECKS[0]),
        )
    )
