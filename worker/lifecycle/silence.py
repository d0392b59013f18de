"""What it means when nothing was seen: wait, and tell when the silence is long. Absence proves nothing (I13)."""

from dataclasses import replace
from datetime import datetime

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus
from worker import schedule
from worker.delivery import Change, Delivery, Step
from worker.errors import CarrierError, Unavailable
from worker.lifecycle.edit import Edit, Rules
from worker.lifecycle.news import check_cancel

MISSES_TO_TELL = 5


def missed(delivery: Delivery, attempt_id: int, error: CarrierError, rules: Rules, now: datetime) -> Change:
    """Take a read that brought nothing: the state stays, the next read waits longer, and a long silence is told."""
    edit = Edit(delivery, rules, now, Cause.POLL)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or not attempt.live:
        return edit.done()
    attempt = edit.put(attempt, last_error=str(error))
    before = edit.delivery.failures
    wait(edit, error)
    if before < MISSES_TO_TELL <= edit.delivery.failures:
        edit.tell(EventType.TRACKING_LOST, attempt)
    if attempt.state == DeliveryStatus.SUBMIT_UNKNOWN and now >= attempt.pickup_at:
        edit.attend("outcome_unknown", attempt)
    return edit.done()


def unseen(delivery: Delivery, attempt_id: int, rules: Rules, now: datetime) -> Change:
    """Take a read that was answered and did not show the attempt: absence proves nothing once it was created (I13)."""
    edit = Edit(delivery, rules, now, Cause.POLL)
    edit.set(failures=0, retry_at=None)
    check_cancel(edit, attempt_id)
    attempt = edit.delivery.attempt(attempt_id)
    if attempt is not None and attempt.live and attempt.ref is None:
        # Only a callback proved that it exists (C-24): it can be neither read nor cancelled.
        edit.attend("reference_missing", attempt)
    return edit.done()


def look_now(delivery: Delivery, rules: Rules, now: datetime) -> Change | None:
    """Take a hint that something changed at the carrier: the next read is due at once, whatever it was waiting for."""
    if delivery.step is not Step.TRACK:
        return None
    change = Edit(replace(delivery, retry_at=None), rules, now, Cause.CALLBACK).done()
    return replace(change, delivery=replace(change.delivery, next_run_at=now))


def put_off(delivery: Delivery, error: CarrierError, rules: Rules, now: datetime) -> Change:
    """Take a step that could not even begin, because its account is shut out: it waits, and nobody is blamed."""
    edit = Edit(delivery, rules, now, Cause.TIMER)
    wait(edit, error)
    tell_late(edit)
    return edit.done()


def tell_late(edit: Edit) -> None:
    """Ask for a person once a courier should have been at the store and nobody has been sent (never silent)."""
    waiting = edit.delivery
    if waiting.active is not None or waiting.store is None:
        return
    # As it was wished at first: "as soon as possible" asked again later would never be late.
    if edit.now >= schedule.pickup_at(waiting.order, waiting.store, waiting.created_at):
        edit.attend("not_dispatched_by_pickup_time")


def wait(edit: Edit, error: CarrierError) -> None:
    """Count a failure and put the next try off, longer each time."""
    failures = edit.delivery.failures + 1
    asked = error.retry_after if isinstance(error, Unavailable) else None
    pause = schedule.backoff(failures, edit.delivery.id, asked)
    if isinstance(error, Unavailable) and error.account:
        pause = max(pause, schedule.ACCOUNT_AGAIN)
    edit.set(failures=failures, retry_at=edit.now + pause)
