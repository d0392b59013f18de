"""Calls that change something at a carrier: the intent before the first byte, and the outcome after the last."""

from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus
from worker import schedule
from worker.carriers.port import Booked, Observation
from worker.delivery import SUBMITTING, Attempt, Change, Delivery, Step
from worker.errors import CarrierError, Refused, Unavailable
from worker.lifecycle.doubt import begin_doubt, end_doubt
from worker.lifecycle.edit import SURPLUS, Edit, Rules
from worker.lifecycle.ends import end
from worker.lifecycle.news import take_news
from worker.lifecycle.silence import wait
from worker.plan import call_time


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
    edit.put(attempt, state=SUBMITTING, pickup_at=pickup, **began)
    edit.set(retry_at=None)
    return edit.done()


def begin_call(delivery: Delivery, step: Step, rules: Rules, now: datetime) -> Change | None:
    """Write down the intent to confirm or cancel, so that nobody else does before this call must be over."""
    attempt = delivery.on_turn
    if attempt is None:
        return None
    edit = Edit(delivery, rules, now, Cause.TIMER)
    attempt = edit.put(attempt, wait_until=now + call_time(rules[attempt.carrier]))
    if step is Step.CANCEL:
        asks = attempt.cancel_asks + 1
        edit.put(attempt, cancel_asked_at=now, cancel_asks=asks, cancel_taken=False, cancel_checks=0)
    return edit.done()


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
    elif isinstance(outcome, Unavailable):
        _not_sent(edit, attempt, outcome)
    elif isinstance(outcome, Refused):
        end(edit, attempt, DeliveryStatus.REJECTED, reason=outcome.reason, reason_text=outcome.text or None)
    else:
        begin_doubt(edit, attempt, str(outcome))
    return edit.done()


def _not_sent(edit: Edit, attempt: Attempt, error: Unavailable) -> None:
    edit.put(attempt, state=DeliveryStatus.QUEUED.value, last_error=str(error))
    if edit.delivery.cancel is not None:
        edit.cancel_as_wished()
        return
    if edit.delivery.status is DeliveryStatus.SUBMIT_UNKNOWN:
        edit.enter(DeliveryStatus.QUEUED, attempt, detail="resubmit")
    wait(edit, error)


def confirmed(
    delivery: Delivery,
    attempt_id: int,
    outcome: Observation | CarrierError,
    rules: Rules,
    now: datetime,
) -> Change:
    """Take the answer to accepting or denying an offer. Accepting is repeatable, so doubt only means again (D-33)."""
    edit = Edit(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt.state != DeliveryStatus.AWAITING_CONFIRMATION:
        return edit.done()
    attempt = edit.put(attempt, wait_until=None)
    if isinstance(outcome, Refused):
        # "Time limit reached or order does not exist": only the carrier's list can tell which (D-30).
        edit.put(attempt, doubted_at=now, lookups=0, reason=outcome.reason, reason_text=outcome.text or None)
    elif isinstance(outcome, CarrierError):
        wait(edit, outcome)
    else:
        edit.set(failures=0, retry_at=None)
        agreed = attempt.offered_at if outcome.status is DeliveryStatus.CREATED else None
        take_news(edit, edit.put(attempt, pickup_at=agreed or attempt.pickup_at), outcome)
    return edit.done()


def cancel_answered(
    delivery: Delivery, attempt_id: int, outcome: CarrierError | None, rules: Rules, now: datetime
) -> Change:
    """Take the answer to a cancel. Only a read can confirm it; a refusal is told, and the courier is followed on."""
    edit = Edit(delivery, rules, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or not attempt.live:
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
            cancel_taken=outcome is None,
            cancel_asks=schedule.CANCEL_ASKS if last else attempt.cancel_asks,
            last_error=str(outcome) if outcome else attempt.last_error,
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


def accepts_offer(delivery: Delivery, attempt: Attempt, rules: Rules) -> bool:
    """Rule on an offered time: accept within the account's limit and when the food is ready, otherwise deny (D-30)."""
    if delivery.cancel is not None or attempt.offered_at is None:
        return False
    shift = abs(attempt.offered_at - attempt.pickup_at)
    ready = delivery.order.ready_at
    fits = shift <= timedelta(minutes=rules[attempt.carrier].capabilities.max_shift)
    return fits and (ready is None or attempt.offered_at >= ready - timedelta(minutes=1))
