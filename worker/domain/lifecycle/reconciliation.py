"""Creates whose outcome nobody knows: what settles them, and when a person must."""

from datetime import datetime

from schemas.events import RawWord
from schemas.status import Cause, DeliveryStatus, Reason
from worker.carriers.port import Observation, Raw
from worker.domain import schedule
from worker.domain.delivery import NEVER_CREATED, SUBMITTING, Attempt, Change, Delivery
from worker.domain.lifecycle.change import DISPUTED, OPEN_QUESTIONS, UNTIL_ITS_END, ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.observations import apply_observation
from worker.domain.lifecycle.reopening import count_follow_up
from worker.domain.lifecycle.rollup import end_attempt
from worker.domain.lifecycle.routing import set_carrier
from worker.domain.planner import Alarm
from worker.errors import Refused

OFFER_LOOKUPS = 2
SAID_BY_A_PERSON = Raw("operator", "exists")


def mark_unknown(edit: ChangeBuilder, attempt: Attempt, why: str) -> None:
    """Put an attempt in doubt: from now on it blocks every other carrier."""
    attempt = edit.update_attempt(
        attempt, state=DeliveryStatus.SUBMIT_UNKNOWN.value, changed_at=edit.now, last_error=why
    )
    edit.set_status(DeliveryStatus.SUBMIT_UNKNOWN, attempt)


def await_operator(edit: ChangeBuilder, attempt: Attempt, error: Refused) -> None:
    """Leave to a person what its carrier calls a duplicate: a courier may come whom nobody here knows (B-31)."""
    mark_unknown(edit, attempt, str(error))
    attempt = edit.delivery.attempt(attempt.id) or attempt
    edit.update_attempt(attempt, awaiting_operator=True, reason=error.reason, reason_text=error.text or None)
    edit.request_attention(DISPUTED, attempt)


def end_unknown_outcome(edit: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Take an attempt out of doubt: its own answer turned up."""
    edit.clear_attention(OPEN_QUESTIONS)
    edit.update(retry_at=None)
    return edit.update_attempt(attempt, awaiting_operator=False, lookups=0)


def mark_outcome_unknown(delivery: Delivery, rules: TermsByAccount, now: datetime) -> Change | None:
    """Take a create whose process died with the answer: from now on nobody knows (K1 to K3)."""
    attempt = delivery.step_attempt
    if attempt is None or attempt.state != SUBMITTING:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.TIMER)
    mark_unknown(edit, attempt, "the call's process was lost")
    return edit.build()


def record_not_found(
    delivery: Delivery, attempt_id: int, lookups: int, rules: TermsByAccount, now: datetime
) -> Change | None:
    """Take a complete look-up that did not find the attempt; enough of them prove that it was never created.

    `lookups` is how many had not found it when this one began: two that overlap count once. The next one waits, also
    where all of their times have passed while nobody was there to look.
    """
    attempt = delivery.attempt(attempt_id)
    if attempt is None or attempt.lookups != lookups:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.RECONCILE)
    if not attempt.live:
        count_follow_up(edit, attempt)
        return edit.build()
    edit.update(failures=0, retry_at=now + schedule.LOOKUPS_APART)
    attempt = edit.update_attempt(attempt, lookups=attempt.lookups + 1)
    if attempt.state == DeliveryStatus.AWAITING_CONFIRMATION and attempt.lookups >= OFFER_LOOKUPS:
        reason = attempt.reason or Reason.OFFER_LAPSED
        end_attempt(edit, attempt, DeliveryStatus.REJECTED, reason=reason, reason_text=attempt.reason_text)
    elif attempt.state == DeliveryStatus.SUBMIT_UNKNOWN and attempt.lookups >= len(schedule.QUARANTINE):
        _never_created(edit, attempt)
    return edit.build()


def no_lookup_available(delivery: Delivery, rules: TermsByAccount, now: datetime) -> Change | None:
    """Take a doubt that this carrier offers no look-up for: once the callback has not come, a person must settle it."""
    attempt = delivery.step_attempt
    if attempt is None or attempt.state != DeliveryStatus.SUBMIT_UNKNOWN:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.TIMER)
    if attempt.awaiting_operator:
        return edit.build()
    if delivery.cancel_request is None and _may_create_again(edit, attempt):
        _resubmit(edit, attempt)
    else:
        # Creating once more in doubt is a choice; telling a customer "cancelled" in doubt would be a guess.
        _park(edit, attempt)
    return edit.build()


def resolve_unknown_outcome(delivery: Delivery, ref: str | None, rules: TermsByAccount, now: datetime) -> Change | None:
    """Take a person's ruling on a doubt: the order exists at the carrier under `ref`, or it does not (None).

    An order that only a callback proved (C-24) lacks its reference; it can be given the same way, and a slip of the pen
    mended. What was ruled absent and is there after all is an orphan.
    """
    attempt = _ruled(delivery, ref)
    if attempt is None:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.OPERATOR)
    edit.update(retry_at=None)
    edit.clear_all_attention()
    attempt = edit.update_attempt(attempt, awaiting_operator=False)
    if attempt.live and attempt.state != DeliveryStatus.SUBMIT_UNKNOWN:
        edit.update_attempt(attempt, ref=ref)
    elif ref is None:
        _resubmit(edit, attempt)
    else:
        apply_observation(edit, attempt, Observation(DeliveryStatus.CREATED, SAID_BY_A_PERSON, ref=ref))
    return edit.build()


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
    return next((each for each in reversed(delivery.attempts) if each.never_created), None)


def _never_created(edit: ChangeBuilder, attempt: Attempt) -> None:
    if attempt.reason is Reason.DUPLICATE:
        return  # what its carrier has already need not bear our reference: only a person can tell (B-31)
    again = not attempt.awaiting_operator and _may_create_again(edit, attempt)
    if edit.delivery.cancel_request is not None or again:
        _resubmit(edit, attempt)
    else:
        _park(edit, attempt)


def _may_create_again(edit: ChangeBuilder, attempt: Attempt) -> bool:
    anew = [each for each in edit.delivery.attempts if each.number > edit.delivery.retried_after_attempt]
    creates = sum(each.carrier == attempt.carrier for each in anew)
    return creates < edit.rules[attempt.carrier].capabilities.max_creates


def _resubmit(edit: ChangeBuilder, attempt: Attempt) -> None:
    """Write an attempt off as never created, and ask the same carrier again, unless a cancel is wished.

    What it calls a duplicate it would refuse again: then the next carrier is asked.
    """
    if attempt.reason is Reason.DUPLICATE:
        end_attempt(edit, attempt, DeliveryStatus.REJECTED, reason=attempt.reason, reason_text=attempt.reason_text)
        return
    ended = {
        "state": DeliveryStatus.REJECTED.value,
        "ended_at": edit.now,
        "follow_up_reads": 0,
        "unmapped_status": None,
    }
    edit.update_attempt(attempt, **ended, reason=None, reason_text=NEVER_CREATED)
    edit.clear_attention(UNTIL_ITS_END)
    if edit.delivery.cancel_request is not None:
        edit.cancel_as_requested(attempt)
        return
    set_carrier(edit, attempt.carrier)
    edit.set_status(DeliveryStatus.QUEUED, detail="resubmit")


def _park(edit: ChangeBuilder, attempt: Attempt) -> None:
    """Leave a doubt to a person."""
    if attempt.awaiting_operator:
        return
    edit.update_attempt(attempt, awaiting_operator=True)
    edit.request_attention(Alarm.OUTCOME_UNKNOWN.value, attempt)
