"""Calls that change something at a carrier: the intent before the first byte, and the outcome after the last."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus, Reason
from worker.carriers.port import Booked, Observation
from worker.domain import schedule
from worker.domain.delivery import SUBMITTING, Attempt, Change, Delivery, Step
from worker.domain.lifecycle.amendment import abandon_amendment, abandon_if_too_late, begin_amendment, mark_amended
from worker.domain.lifecycle.change import SURPLUS, UNTIL_ITS_END, ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.missed_reads import back_off, back_off_amendment
from worker.domain.lifecycle.observations import apply_observation
from worker.domain.lifecycle.offers import begin_confirm, evaluate_offer
from worker.domain.lifecycle.reconciliation import await_operator, end_unknown_outcome, mark_unknown
from worker.domain.lifecycle.rollup import end_attempt
from worker.domain.planner import call_time
from worker.errors import CarrierError, Refused, Unavailable


def is_due(delivery: Delivery, step: Step, carrier: str, now: datetime) -> bool:
    """Tell whether this very step is due at this carrier now: a task is only a hint, the state decides."""
    if delivery.step is not step or delivery.next_run_at is None or delivery.next_run_at > now:
        return False
    return delivery.step_carrier == carrier


def begin_booking(
    delivery: Delivery, attempt_id: int, token: str, rules: TermsByAccount, now: datetime
) -> Change | None:
    """Write down the intent to create at the delivery's carrier; None when there is nothing to do.

    An attempt that was never sent is taken up again under its own id: no carrier has ever seen it.
    """
    carrier, store = delivery.carrier, delivery.store
    if carrier is None or store is None or delivery.active is not None or delivery.final:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.TIMER)
    open_here = (each for each in delivery.attempts if each.ended_at is None and each.carrier == carrier)
    attempt = next((each for each in open_here if not each.surplus), None) or Attempt(
        id=attempt_id,
        delivery_id=delivery.id,
        number=len(delivery.attempts) + 1,
        carrier=carrier,
        state=SUBMITTING,
        token=token,
        pickup_at=now,
        submitted_at=now,
        changed_at=now,
    )
    pickup = schedule.pickup_time(delivery.order, store, now)
    began = {"submitted_at": now, "changed_at": now, "lookups": 0, "last_error": None, "journal_file": None}
    edit.update_attempt(attempt, state=SUBMITTING, pickup_at=pickup, sent_fingerprint=delivery.fingerprint, **began)
    edit.update(retry_at=None)
    return replace(edit.build(), attempt_id=attempt.id)


def begin_call(delivery: Delivery, step: Step, rules: TermsByAccount, now: datetime) -> Change | None:
    """Write down the intent to confirm, amend or cancel, so that nobody else does before this call must be over."""
    attempt = delivery.step_attempt
    if attempt is None:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.TIMER)
    _BEGIN[step](edit, edit.update_attempt(attempt, wait_until=now + call_time(rules[attempt.carrier], step)))
    return replace(edit.build(), attempt_id=attempt.id)


def _begin_cancel(edit: ChangeBuilder, attempt: Attempt) -> None:
    asked = {"cancel_requested_at": edit.now, "cancel_requests": attempt.cancel_requests + 1}
    edit.update_attempt(attempt, **asked, cancel_accepted=False, cancel_checks=0, pending_fingerprint=None)


_BEGIN: dict[Step, Callable[[ChangeBuilder, Attempt], None]] = {
    Step.CONFIRM: begin_confirm,
    Step.AMEND: begin_amendment,
    Step.CANCEL: _begin_cancel,
}


def apply_create_outcome(
    delivery: Delivery, attempt_id: int, outcome: Booked | CarrierError, rules: TermsByAccount, now: datetime
) -> Change:
    """Take the outcome of a create: created, offered, refused, not sent, or nobody knows.

    It may come late, out of a journal: what it says for certain also ends a doubt.
    """
    edit = ChangeBuilder(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    doubted = attempt is not None and attempt.state == DeliveryStatus.SUBMIT_UNKNOWN
    says_no = isinstance(outcome, (Unavailable, Refused))
    if attempt is None or not (attempt.state == SUBMITTING or isinstance(outcome, Booked) or (doubted and says_no)):
        return edit.build()
    attempt = edit.update_attempt(attempt, journal_file=None)  # what its page tells is known from here on
    if doubted:
        attempt = end_unknown_outcome(edit, attempt)
    if isinstance(outcome, Booked):
        if attempt.live and not attempt.surplus:
            edit.update(failures=0, retry_at=None)
        if outcome.offer:
            attempt = edit.update_attempt(attempt, offered_at=outcome.offer.offered)
        apply_observation(edit, attempt, outcome.observation)
        evaluate_offer(edit, attempt.id)
    elif isinstance(outcome, Unavailable):
        _not_sent(edit, attempt, outcome)
    elif isinstance(outcome, Refused) and outcome.reason is Reason.DUPLICATE:
        await_operator(edit, attempt, outcome)
    elif isinstance(outcome, Refused):
        end_attempt(edit, attempt, DeliveryStatus.REJECTED, reason=outcome.reason, reason_text=outcome.text or None)
    else:
        mark_unknown(edit, attempt, str(outcome))
    return edit.build()


def _not_sent(edit: ChangeBuilder, attempt: Attempt, error: Unavailable) -> None:
    edit.update_attempt(attempt, state=DeliveryStatus.QUEUED.value, last_error=str(error))
    edit.clear_attention(UNTIL_ITS_END)
    if edit.delivery.cancel_request is not None:
        edit.cancel_as_requested()
        return
    if edit.delivery.status is DeliveryStatus.SUBMIT_UNKNOWN:
        edit.set_status(DeliveryStatus.QUEUED, attempt, detail="resubmit")
    back_off(edit, error)


def apply_amend_outcome(
    delivery: Delivery,
    attempt_id: int,
    outcome: Observation | CarrierError | None,
    rules: TermsByAccount,
    now: datetime,
) -> Change:
    """Take the answer to a change of the order, None where nothing had to be changed.

    What the carrier refuses a person must tell it. Without an answer the order is read, and the change asked for again;
    only what may have been done is counted.
    """
    edit = ChangeBuilder(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt != delivery.active or attempt.pending_fingerprint is None:
        return edit.build()
    if isinstance(outcome, Refused):
        abandon_amendment(edit, attempt, outcome)
    elif isinstance(outcome, CarrierError):
        _amend_again(edit, attempt, outcome)
    else:
        attempt = mark_amended(edit, attempt)
        if outcome is not None:
            apply_observation(edit, attempt, outcome)
    return edit.build()


def _amend_again(edit: ChangeBuilder, attempt: Attempt, error: CarrierError) -> None:
    not_sent = isinstance(error, Unavailable)
    back_off_amendment(
        edit, error, edit.update_attempt(attempt, amend_requests=max(0, attempt.amend_requests - not_sent))
    )


def apply_cancel_outcome(
    delivery: Delivery,
    attempt_id: int,
    outcome: Observation | CarrierError | None,
    rules: TermsByAccount,
    now: datetime,
) -> Change:
    """Take the answer to a cancel. Only a read can confirm it; a refusal is told, and the courier is followed on.

    An observation is the last word on an order that no read shows: it counts while nobody drives for it (D-78).
    """
    edit = ChangeBuilder(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or not attempt.live:
        return edit.build()
    if isinstance(outcome, Observation) and attempt.state == DeliveryStatus.AWAITING_CONFIRMATION:
        apply_observation(edit, edit.update_attempt(attempt, cancel_accepted=True, wait_until=None), outcome)
        return edit.build()
    if isinstance(outcome, Unavailable):
        attempt = edit.update_attempt(
            attempt, cancel_requested_at=None, cancel_requests=max(0, attempt.cancel_requests - 1), wait_until=None
        )
        back_off(edit, outcome, attempt)
    elif isinstance(outcome, Refused) and attempt.cancel_requests <= 1:
        _refused(edit, attempt, outcome)
    else:
        # Refused when it was asked again, it may have been done the first time: only reads can tell now.
        last = isinstance(outcome, Refused)
        edit.update_attempt(
            attempt,
            cancel_accepted=not isinstance(outcome, CarrierError),
            cancel_requests=schedule.CANCEL_REQUESTS if last else attempt.cancel_requests,
            last_error=str(outcome) if isinstance(outcome, CarrierError) else attempt.last_error,
            wait_until=now + timedelta(seconds=schedule.CANCEL_CHECKS[0]),
        )
    return edit.build()


def _refused(edit: ChangeBuilder, attempt: Attempt, error: Refused) -> None:
    again = edit.now + schedule.SURPLUS_READ_INTERVAL if attempt.surplus else None
    attempt = edit.update_attempt(attempt, cancel_refused=True, wait_until=again, last_error=str(error))
    if attempt.surplus:
        edit.request_attention(SURPLUS, attempt)
    else:
        edit.add_event(EventType.CANCEL_REFUSED, attempt, reason=error.reason, reason_text=error.text or None)
        abandon_if_too_late(edit, attempt)
