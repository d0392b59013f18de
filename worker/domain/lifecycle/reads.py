"""Record the results of reads.

A read has one of three results: it shows the order, it does not show the order, or it fails. A read that does not show
the order proves nothing (I13).
"""

from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.status import AttemptState, AttentionReason, Cause
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, Step, replace
from worker.domain.lifecycle.amendment import record_read_between
from worker.domain.lifecycle.cancellation import check_cancel, report_refused_cancel
from worker.domain.lifecycle.change import ChangeBuilder
from worker.domain.lifecycle.reopening import count_follow_up
from worker.domain.lifecycle.routing import fail_over
from worker.domain.planner import may_read
from worker.errors import CarrierError, Held, Postponed, Throttled, Unavailable

LOST_AFTER = 5
"""The number of failed calls in a row after which `delivery.tracking_lost` is published."""


def record_read(change: ChangeBuilder, before: Attempt, *, shown: bool) -> None:
    """Record an answered read and advance the checks that wait for a read.

    `before` is the attempt as it was before the read was applied. `shown` is whether the read showed the order.
    """
    attempt = change.latest(before)
    if attempt.prompted_at is not None and change.heard >= attempt.prompted_at:
        attempt = change.update_attempt(replace(attempt, prompted_at=None))
    if before.ended_at is not None:
        count_follow_up(change, before)
    elif attempt == change.delivery.active and attempt.pending_fingerprint is not None:
        record_read_between(change, attempt)
    elif attempt.live:
        check_cancel(change, attempt, shown=shown)


def record_read_failure(
    delivery: Delivery, attempt_id: int, error: CarrierError, terms: TermsByAccount, now: datetime
) -> Change:
    """Record a failed read. The attempt keeps its state, and the next read is postponed."""
    change = ChangeBuilder(delivery, terms, now, Cause.POLL)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or (not attempt.live and attempt != delivery.step_attempt):
        return change.build()
    attempt = change.update_attempt(replace(attempt, last_error=str(error)))
    back_off(change, error, attempt)
    _report_lost_tracking(change, delivery, attempt)
    return change.build()


def record_missing(
    delivery: Delivery, attempt_id: int, terms: TermsByAccount, now: datetime, began: datetime | None = None
) -> Change:
    """Record an answered read that did not show the attempt's order (I13). `began` is when the read began."""
    change = ChangeBuilder(delivery, terms, now, Cause.POLL, began)
    before = delivery.attempt(attempt_id)
    if before is None or change.is_outdated(before):
        return change.build()
    # No list shows a transfer before a driver is booked (D-70). Count it as shown, so that a lost cancel is repeated.
    record_read(change, before, shown=before.state == AttemptState.AWAITING_CONFIRMATION)
    if before == delivery.active:
        change.reset_failures()
        if before.ref is None:
            # Only a callback proved that the order exists (C-24). Without its `ref`, it cannot be read or cancelled.
            change.request_attention(AttentionReason.REFERENCE_MISSING, before)
    return change.build()


def schedule_read_now(
    delivery: Delivery, terms: TermsByAccount, now: datetime, attempt_id: int | None = None
) -> Change | None:
    """Schedule a read at the time `now`, because something may have changed at the carrier.

    The read is about the attempt with the given id; without an id, about the active attempt. A read that is already
    running does not fulfil the request. None when no read is allowed at present.
    """
    attempt = delivery.active if attempt_id is None else delivery.attempt(attempt_id)
    if attempt is None or not may_read(delivery, attempt, terms, now):
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    if attempt == delivery.active:
        change.cancel_retry()
    change.prompt_read(attempt)
    return change.build()


def postpone(delivery: Delivery, error: CarrierError, terms: TermsByAccount, now: datetime) -> Change:
    """Postpone a step that could not begin because its carrier is unavailable."""
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    if delivery.step is Step.AMEND and delivery.step_attempt is not None:
        back_off_amendment(change, error, delivery.step_attempt)
    else:
        back_off(change, error, delivery.step_attempt)
    if delivery.active is not None:
        _report_lost_tracking(change, delivery, delivery.active)
    return change.build()


def _report_lost_tracking(change: ChangeBuilder, before: Delivery, attempt: Attempt) -> None:
    if before.failures < LOST_AFTER <= change.delivery.failures:
        change.add_event(EventType.TRACKING_LOST, attempt)


def back_off(change: ChangeBuilder, error: CarrierError, attempt: Attempt | None = None) -> None:
    """Count a failure and postpone the next try. The limit of the random delay grows with each failure in a row.

    A rate limit at the carrier, a hold and an error of the whole account do not count as failures. A call that we
    postponed ourselves counts, but never completes a row of `LOST_AFTER` failures.

    A surplus or ended attempt backs off on its own and never delays the active attempt. If the carrier has been
    unavailable for too long, a delivery without an order at a carrier moves to another carrier (`fail_over`).
    """
    if attempt is not None and attempt != change.delivery.active and (attempt.surplus or attempt.ended_at is not None):
        _back_off_alone(change, error, attempt)
        return
    delivery = change.delivery
    shared = isinstance(error, Throttled | Held) or (isinstance(error, Unavailable) and error.account)
    failures = delivery.failures + (not shared)
    if isinstance(error, Postponed):  # the carrier was not asked, so this alone is no lost tracking
        failures = min(failures, max(delivery.failures, LOST_AFTER - 1))
    pause = max(schedule.backoff(failures, delivery.id), _requested_wait(error))
    first = not delivery.failures and delivery.retry_at is None
    change.update(replace(delivery, failures=failures, retry_at=change.now + pause))
    if not isinstance(error, Held):
        fail_over(change, first=first)


def back_off_amendment(change: ChangeBuilder, error: CarrierError, attempt: Attempt) -> None:
    """Postpone an amendment. Failing amendments do not stop the tracking, because the order is still read meanwhile."""
    wait = min(max(schedule.AMEND_RETRY, _requested_wait(error)), schedule.ACCOUNT_RETRY)
    if isinstance(error, Unavailable) and error.account:
        back_off(change, error, attempt)  # reads would fail as well; all steps continue once the account is available
        wait = schedule.AMEND_RETRY
    change.update_attempt(
        replace(
            attempt,
            pending_fingerprint=attempt.pending_fingerprint or change.delivery.fingerprint,
            wait_until=change.now + wait,
            last_error=str(error),
        )
    )


def _back_off_alone(change: ChangeBuilder, error: CarrierError, attempt: Attempt) -> None:
    wait = schedule.FOLLOW_UP_RETRY if attempt.ended_at is not None else schedule.SURPLUS_CANCEL_RETRY
    wait_until = change.now + max(wait, _requested_wait(error))
    prompted_at = wait_until if attempt.prompted_at else None
    attempt = change.update_attempt(replace(attempt, wait_until=wait_until, prompted_at=prompted_at))
    overdue = change.now - attempt.changed_at >= schedule.SURPLUS_ESCALATION or attempt.carrier not in change.terms
    if attempt.live and attempt.cancel_refused:
        report_refused_cancel(change, attempt)
    elif attempt.live and overdue:
        change.request_attention(AttentionReason.SURPLUS_COURIER, attempt)


def _requested_wait(error: CarrierError) -> timedelta:
    """Return the shortest wait that an error requires.

    This is the `retry_after` of the error. If the error affects the whole account, it is at least `ACCOUNT_RETRY`.
    """
    if not isinstance(error, Unavailable):
        return timedelta()
    account = schedule.ACCOUNT_RETRY if error.account else timedelta()
    return max(account, timedelta(seconds=error.retry_after or 0))
