"""Calls that change something at a carrier: the intent before the first byte, and the outcome after the last."""

from collections.abc import Callable
from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus, Reason
from worker.carriers.port import Booked, Observation
from worker.domain import schedule
from worker.domain.delivery import SUBMITTING, Attempt, Change, Delivery, Step
from worker.domain.lifecycle.amendment import begin_amendment, carried, give_up, overtaken
from worker.domain.lifecycle.change import SURPLUS, UNTIL_ITS_END, Edit, Rules
from worker.domain.lifecycle.missed_reads import wait, wait_to_amend
from worker.domain.lifecycle.observations import take_news
from worker.domain.lifecycle.offers import begin_answer, weigh
from worker.domain.lifecycle.reconciliation import begin_doubt, dispute, end_doubt
from worker.domain.lifecycle.rollup import end
from worker.domain.planner import call_time
from worker.errors import CarrierError, Refused, Unavailable


def due(delivery: Delivery, step: Step, carrier: str, now: datetime) -> bool:
    """Tell whether this very step is due at this carrier now: a task is only a hint, the state decides."""
    if delivery.step is not step or delivery.next_run_at is None or delivery.next_run_at > now:
        return False
    return delivery.desk == carrier


def begin_booking(delivery: Delivery, attempt_id: int, token: str, rules: Rules, now: datetime) -> Change | None:
    """Write down the intent to create at the delivery's carrier; None when there is nothing to do.

    An attempt that was never sent is taken up again under its own id: no carrier has ever seen it.
    """
    carrier, store = delivery.carrier, delivery.store
    if carrier is None or store is None or delivery.active is not None or delivery.final:
        return None
    edit = Edit(delivery, rules, now, Cause.TIMER)
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
    pickup = schedule.pickup_at(delivery.order, store, now)
    began = {"submitted_at": now, "changed_at": now, "lookups": 0, "last_error": None, "journal": None}
    edit.put(attempt, state=SUBMITTING, pickup_at=pickup, told=delivery.fingerprint, **began)
    edit.set(retry_at=None)
    return edit.done()


def begin_call(delivery: Delivery, step: Step, rules: Rules, now: datetime) -> Change | None:
    """Write down the intent to confirm, amend or cancel, so that nobody else does before this call must be over."""
    attempt = delivery.on_turn
    if attempt is None:
        return None
    edit = Edit(delivery, rules, now, Cause.TIMER)
    _BEGIN[step](edit, edit.put(attempt, wait_until=now + call_time(rules[attempt.carrier], step)))
    return edit.done()


def _begin_cancel(edit: Edit, attempt: Attempt) -> None:
    asked = {"cancel_asked_at": edit.now, "cancel_asks": attempt.cancel_asks + 1}
    edit.put(attempt, **asked, cancel_taken=False, cancel_checks=0, amending=None)


_BEGIN: dict[Step, Callable[[Edit, Attempt], None]] = {
    Step.CONFIRM: begin_answer,
    Step.AMEND: begin_amendment,
    Step.CANCEL: _begin_cancel,
}


def settle(delivery: Delivery, attempt_id: int, outcome: Booked | CarrierError, rules: Rules, now: datetime) -> Change:
    """Take the outcome of a create: created, offered, refused, not sent, or nobody knows.

    It may come late, out of a journal: what it says for certain also ends a doubt.
    """
    edit = Edit(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    doubted = attempt is not None and attempt.state == DeliveryStatus.SUBMIT_UNKNOWN
    says_no = isinstance(outcome, (Unavailable, Refused))
    if attempt is None or not (attempt.state == SUBMITTING or isinstance(outcome, Booked) or (doubted and says_no)):
        return edit.done()
    attempt = edit.put(attempt, journal=None)  # what its page tells is known from here on
    if doubted:
        attempt = end_doubt(edit, attempt)
    if isinstance(outcome, Booked):
        if attempt.live and not attempt.surplus:
            edit.set(failures=0, retry_at=None)
        if outcome.offer:
            attempt = edit.put(attempt, offered_at=outcome.offer.offered)
        take_news(edit, attempt, outcome.observation)
        weigh(edit, attempt.id)
    elif isinstance(outcome, Unavailable):
        _not_sent(edit, attempt, outcome)
    elif isinstance(outcome, Refused) and outcome.reason is Reason.DUPLICATE:
        dispute(edit, attempt, outcome)
    elif isinstance(outcome, Refused):
        end(edit, attempt, DeliveryStatus.REJECTED, reason=outcome.reason, reason_text=outcome.text or None)
    else:
        begin_doubt(edit, attempt, str(outcome))
    return edit.done()


def _not_sent(edit: Edit, attempt: Attempt, error: Unavailable) -> None:
    edit.put(attempt, state=DeliveryStatus.QUEUED.value, last_error=str(error))
    edit.answer(UNTIL_ITS_END)
    if edit.delivery.cancel is not None:
        edit.cancel_as_wished()
        return
    if edit.delivery.status is DeliveryStatus.SUBMIT_UNKNOWN:
        edit.enter(DeliveryStatus.QUEUED, attempt, detail="resubmit")
    wait(edit, error)


def amended(
    delivery: Delivery, attempt_id: int, outcome: Observation | CarrierError | None, rules: Rules, now: datetime
) -> Change:
    """Take the answer to a change of the order, None where nothing had to be changed.

    What the carrier refuses a person must tell it. Without an answer the order is read, and the change asked for again;
    only what may have been done is counted.
    """
    edit = Edit(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt != delivery.active or attempt.amending is None:
        return edit.done()
    if isinstance(outcome, Refused):
        give_up(edit, attempt, outcome)
    elif isinstance(outcome, CarrierError):
        _amend_again(edit, attempt, outcome)
    else:
        attempt = carried(edit, attempt)
        if outcome is not None:
            take_news(edit, attempt, outcome)
    return edit.done()


def _amend_again(edit: Edit, attempt: Attempt, error: CarrierError) -> None:
    not_sent = isinstance(error, Unavailable)
    wait_to_amend(edit, error, edit.put(attempt, amend_asks=max(0, attempt.amend_asks - not_sent)))


def cancel_answered(
    delivery: Delivery, attempt_id: int, outcome: Observation | CarrierError | None, rules: Rules, now: datetime
) -> Change:
    """Take the answer to a cancel. Only a read can confirm it; a refusal is told, and the courier is followed on.

    An observation is the last word on an order that no read shows: it counts while nobody drives for it (D-78).
    """
    edit = Edit(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or not attempt.live:
        return edit.done()
    if isinstance(outcome, Observation) and attempt.state == DeliveryStatus.AWAITING_CONFIRMATION:
        take_news(edit, edit.put(attempt, cancel_taken=True, wait_until=None), outcome)
        return edit.done()
    if isinstance(outcome, Unavailable):
        attempt = edit.put(attempt, cancel_asked_at=None, cancel_asks=max(0, attempt.cancel_asks - 1), wait_until=None)
        wait(edit, outcome, attempt)
    elif isinstance(outcome, Refused) and attempt.cancel_asks <= 1:
        _refused(edit, attempt, outcome)
    else:
        # Refused when it was asked again, it may have been done the first time: only reads can tell now.
        last = isinstance(outcome, Refused)
        edit.put(
            attempt,
            cancel_taken=not isinstance(outcome, CarrierError),
            cancel_asks=schedule.CANCEL_ASKS if last else attempt.cancel_asks,
            last_error=str(outcome) if isinstance(outcome, CarrierError) else attempt.last_error,
            wait_until=now + timedelta(seconds=schedule.CANCEL_CHECKS[0]),
        )
    return edit.done()


def _refused(edit: Edit, attempt: Attempt, error: Refused) -> None:
    again = edit.now + schedule.BESIDE_AGAIN if attempt.surplus else None
    attempt = edit.put(attempt, cancel_refused=True, wait_until=again, last_error=str(error))
    if attempt.surplus:
        edit.attend(SURPLUS, attempt)
    else:
        edit.tell(EventType.CANCEL_REFUSED, attempt, reason=error.reason, reason_text=error.text or None)
        overtaken(edit, attempt)
