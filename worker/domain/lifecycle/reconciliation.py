"""Creates whose outcome nobody knows: what settles them, and when a person must."""

from datetime import datetime

from schemas.events import RawWord
from schemas.status import Cause, DeliveryStatus, Reason
from worker.carriers.port import Observation, Raw
from worker.domain import schedule
from worker.domain.delivery import NEVER_CREATED, SUBMITTING, Attempt, Change, Delivery
from worker.domain.lifecycle.change import DISPUTED, OPEN_QUESTIONS, UNTIL_ITS_END, Edit, Rules
from worker.domain.lifecycle.observations import take_news
from worker.domain.lifecycle.reopening import count_tail
from worker.domain.lifecycle.rollup import end
from worker.domain.lifecycle.routing import ask
from worker.domain.planner import Alarm
from worker.errors import Refused

OFFER_LOOKUPS = 2
SAID_BY_A_PERSON = Raw("operator", "exists")


def begin_doubt(edit: Edit, attempt: Attempt, why: str) -> None:
    """Put an attempt in doubt: from now on it blocks every other carrier."""
    attempt = edit.put(attempt, state=DeliveryStatus.SUBMIT_UNKNOWN.value, changed_at=edit.now, last_error=why)
    edit.enter(DeliveryStatus.SUBMIT_UNKNOWN, attempt)


def dispute(edit: Edit, attempt: Attempt, error: Refused) -> None:
    """Leave to a person what its carrier calls a duplicate: a courier may come whom nobody here knows (B-31)."""
    begin_doubt(edit, attempt, str(error))
    attempt = edit.delivery.attempt(attempt.id) or attempt
    edit.put(attempt, parked=True, reason=error.reason, reason_text=error.text or None)
    edit.attend(DISPUTED, attempt)


def end_doubt(edit: Edit, attempt: Attempt) -> Attempt:
    """Take an attempt out of doubt: its own answer turned up."""
    edit.answer(OPEN_QUESTIONS)
    edit.set(retry_at=None)
    return edit.put(attempt, parked=False, lookups=0)


def lost(delivery: Delivery, rules: Rules, now: datetime) -> Change | None:
    """Take a create whose process died with the answer: from now on nobody knows (K1 to K3)."""
    attempt = delivery.on_turn
    if attempt is None or attempt.state != SUBMITTING:
        return None
    edit = Edit(delivery, rules, now, Cause.TIMER)
    begin_doubt(edit, attempt, "the call's process was lost")
    return edit.done()


def absent(delivery: Delivery, attempt_id: int, lookups: int, rules: Rules, now: datetime) -> Change | None:
    """Take a complete look-up that did not find the attempt; enough of them prove that it was never created.

    `lookups` is how many had not found it when this one began: two that overlap count once. The next one waits, also
    where all of their times have passed while nobody was there to look.
    """
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt.lookups != lookups:
        return None
    edit = Edit(delivery, rules, now, Cause.RECONCILE)
    if not attempt.live:
        count_tail(edit, attempt)
        return edit.done()
    edit.set(failures=0, retry_at=now + schedule.LOOKUPS_APART)
    attempt = edit.put(attempt, lookups=attempt.lookups + 1)
    if attempt.state == DeliveryStatus.AWAITING_CONFIRMATION and attempt.lookups >= OFFER_LOOKUPS:
        reason = attempt.reason or Reason.OFFER_LAPSED
        end(edit, attempt, DeliveryStatus.REJECTED, reason=reason, reason_text=attempt.reason_text)
    elif attempt.state == DeliveryStatus.SUBMIT_UNKNOWN and attempt.lookups >= len(schedule.QUARANTINE):
        _never_created(edit, attempt)
    return edit.done()


def unfindable(delivery: Delivery, rules: Rules, now: datetime) -> Change | None:
    """Take a doubt that this carrier offers no look-up for: once the callback has not come, a person must settle it."""
    attempt = delivery.on_turn
    if attempt is None or attempt.state != DeliveryStatus.SUBMIT_UNKNOWN:
        return None
    edit = Edit(delivery, rules, now, Cause.TIMER)
    if attempt.parked:
        return edit.done()
    if delivery.cancel is None and _may_create_again(edit, attempt):
        _resubmit(edit, attempt)
    else:
        # Creating once more in doubt is a choice; telling a customer "cancelled" in doubt would be a guess.
        _park(edit, attempt)
    return edit.done()


def resolve(delivery: Delivery, ref: str | None, rules: Rules, now: datetime) -> Change | None:
    """Take a person's ruling on a doubt: the order exists at the carrier under `ref`, or it does not (None).

    An order that only a callback proved (C-24) lacks its reference; it can be given the same way, and a slip of the pen
    mended. What was ruled absent and is there after all is an orphan.
    """
    attempt = _ruled(delivery, ref)
    if attempt is None:
        return None
    edit = Edit(delivery, rules, now, Cause.OPERATOR)
    edit.set(retry_at=None)
    edit.relieve()
    attempt = edit.put(attempt, parked=False)
    if attempt.live and attempt.state != DeliveryStatus.SUBMIT_UNKNOWN:
        edit.put(attempt, ref=ref)
    elif ref is None:
        _resubmit(edit, attempt)
    else:
        take_news(edit, attempt, Observation(DeliveryStatus.CREATED, SAID_BY_A_PERSON, ref=ref))
    return edit.done()


def _ruled(delivery: Delivery, ref: str | None) -> Attempt | None:
    """Find the attempt that a ruling is about: the one in doubt, one without a proven reference, or one written off."""
    attempt = delivery.active
    if attempt is not None and attempt.state == DeliveryStatus.SUBMIT_UNKNOWN:
        return attempt
    if ref is None:
        return None
    said = RawWord(entity=SAID_BY_A_PERSON.entity, code=SAID_BY_A_PERSON.code)
    if attempt is not None and attempt.rank > 0 and (attempt.ref is None or delivery.raw == said):
        return attempt
    return next((each for each in reversed(delivery.attempts) if each.written_off), None)


def _never_created(edit: Edit, attempt: Attempt) -> None:
    if attempt.reason is Reason.DUPLICATE:
        return  # what its carrier has already need not bear our reference: only a person can tell (B-31)
    again = not attempt.parked and _may_create_again(edit, attempt)
    if edit.delivery.cancel is not None or again:
        _resubmit(edit, attempt)
    else:
        _park(edit, attempt)


def _may_create_again(edit: Edit, attempt: Attempt) -> bool:
    anew = [each for each in edit.delivery.attempts if each.number > edit.delivery.anew_after]
    creates = sum(each.carrier == attempt.carrier for each in anew)
    return creates < edit.rules[attempt.carrier].capabilities.max_creates


def _resubmit(edit: Edit, attempt: Attempt) -> None:
    """Write an attempt off as never created, and ask the same carrier again, unless a cancel is wished.

    What it calls a duplicate it would refuse again: then the next carrier is asked.
    """
    if attempt.reason is Reason.DUPLICATE:
        end(edit, attempt, DeliveryStatus.REJECTED, reason=attempt.reason, reason_text=attempt.reason_text)
        return
    ended = {"state": DeliveryStatus.REJECTED.value, "ended_at": edit.now, "tail_reads": 0, "unread": None}
    edit.put(attempt, **ended, reason=None, reason_text=NEVER_CREATED)
    edit.answer(UNTIL_ITS_END)
    if edit.delivery.cancel is not None:
        edit.cancel_as_wished(attempt)
        return
    ask(edit, attempt.carrier)
    edit.enter(DeliveryStatus.QUEUED, detail="resubmit")


def _park(edit: Edit, attempt: Attempt) -> None:
    """Leave a doubt to a person."""
    if attempt.parked:
        return
    edit.put(attempt, parked=True)
    edit.attend(Alarm.OUTCOME_UNKNOWN.value, attempt)
