"""What it means when nothing was seen: wait, and tell when the silence is long. Absence proves nothing (I13)."""

from dataclasses import replace
from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus
from worker.domain import schedule
from worker.domain.delivery import Attempt, Change, Delivery, Step
from worker.domain.lifecycle.cancellation import record_read
from worker.domain.lifecycle.change import REFERENCE, SURPLUS, ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.routing import fail_over
from worker.domain.planner import may_read
from worker.errors import CarrierError, Throttled, Unavailable

MISSES_TO_TELL = 5


def record_read_failure(
    delivery: Delivery, attempt_id: int, error: CarrierError, rules: TermsByAccount, now: datetime
) -> Change:
    """Take a read that brought nothing: the state stays, the next read waits longer, and a long silence is told."""
    edit = ChangeBuilder(delivery, rules, now, Cause.POLL)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or (not attempt.live and attempt != delivery.step_attempt):
        return edit.build()
    attempt = edit.update_attempt(attempt, last_error=str(error))
    back_off(edit, error, attempt)
    _tell_silence(edit, delivery, attempt)
    return edit.build()


def record_missing(
    delivery: Delivery, attempt_id: int, rules: TermsByAccount, now: datetime, began: datetime | None = None
) -> Change:
    """Take a read that was answered and did not show the attempt: absence proves nothing once it was created (I13)."""
    edit = ChangeBuilder(delivery, rules, now, Cause.POLL)
    before = delivery.attempt(attempt_id)
    if before is None:
        return edit.build()
    # What waits for a person to book it shows in no list, so a cancel that may be lost is asked for again (D-70).
    record_read(edit, before, began or now, stands=before.state == DeliveryStatus.AWAITING_CONFIRMATION)
    if before == delivery.active:
        edit.update(failures=0, retry_at=None)
        if before.ref is None:
            # Only a callback proved that it exists (C-24): it can be neither read nor cancelled.
            edit.request_attention(REFERENCE, before)
    return edit.build()


def schedule_read_now(
    delivery: Delivery, rules: TermsByAccount, now: datetime, attempt_id: int | None = None
) -> Change | None:
    """Take a hint that something changed at a carrier: the next read is due at once, whatever it was waiting for.

    It is about the attempt that is followed, unless another one is named. None when there is nothing to be read.
    """
    attempt = delivery.active if attempt_id is None else delivery.attempt(attempt_id)
    if attempt is None or not may_read(delivery, attempt, rules, now):
        return None
    retry_at = None if attempt == delivery.active else delivery.retry_at
    return Change(replace(delivery, step=Step.TRACK, step_attempt_id=attempt.id, next_run_at=now, retry_at=retry_at))


def postpone(delivery: Delivery, error: CarrierError, rules: TermsByAccount, now: datetime) -> Change:
    """Take a step that could not even begin, as its carrier cannot be called: it waits, and a long silence is told."""
    edit = ChangeBuilder(delivery, rules, now, Cause.TIMER)
    if delivery.step is Step.AMEND and delivery.step_attempt is not None:
        back_off_amendment(edit, error, delivery.step_attempt)
    else:
        back_off(edit, error, delivery.step_attempt)
    if delivery.active is not None:
        _tell_silence(edit, delivery, delivery.active)
    return edit.build()


def _tell_silence(edit: ChangeBuilder, before: Delivery, attempt: Attempt) -> None:
    if before.failures < MISSES_TO_TELL <= edit.delivery.failures:
        edit.add_event(EventType.TRACKING_LOST, attempt)


def back_off(edit: ChangeBuilder, error: CarrierError, attempt: Attempt | None = None) -> None:
    """Count a failure and put the next try off, longer each time; what concerns the whole account is not counted.

    What is about an attempt beside the one that is followed waits by itself, and keeps the other from nothing. A
    delivery that nothing stands of anywhere waits only so long before another carrier is asked.
    """
    if attempt is not None and attempt != edit.delivery.active and (attempt.surplus or attempt.ended_at is not None):
        _wait_beside(edit, error, attempt)
        return
    shared = isinstance(error, Throttled) or (isinstance(error, Unavailable) and error.account)
    failures = edit.delivery.failures + (not shared)
    pause = max(schedule.backoff(failures, edit.delivery.id), _asked(error))
    first = not edit.delivery.failures and edit.delivery.retry_at is None
    edit.update(failures=failures, retry_at=edit.now + pause)
    fail_over(edit, first=first)


def back_off_amendment(edit: ChangeBuilder, error: CarrierError, attempt: Attempt) -> None:
    """Put a change off. How things stand is read meanwhile: a carrier that takes no changes keeps nobody from that."""
    again = min(max(schedule.AMEND_RETRY, _asked(error)), schedule.ACCOUNT_RETRY)
    if isinstance(error, Unavailable) and error.account:
        back_off(edit, error, attempt)  # nothing can be read either, and all goes on when the account does
        again = schedule.AMEND_RETRY
    amending = attempt.pending_fingerprint or edit.delivery.fingerprint
    edit.update_attempt(attempt, pending_fingerprint=amending, wait_until=edit.now + again, last_error=str(error))


def _wait_beside(edit: ChangeBuilder, error: CarrierError, attempt: Attempt) -> None:
    again = schedule.FOLLOW_UP_RETRY if attempt.ended_at is not None else schedule.SURPLUS_CANCEL_RETRY
    attempt = edit.update_attempt(attempt, wait_until=edit.now + max(again, _asked(error)))
    alone = edit.now - attempt.changed_at >= schedule.SURPLUS_ESCALATION or attempt.carrier not in edit.rules
    if attempt.live and alone:
        edit.request_attention(SURPLUS, attempt)


def _asked(error: CarrierError) -> timedelta:
    """Tell how long the carrier, or the trouble of its whole account, asks us to wait."""
    if not isinstance(error, Unavailable):
        return timedelta()
    account = schedule.ACCOUNT_RETRY if error.account else timedelta()
    return max(account, timedelta(seconds=error.retry_after or 0))
