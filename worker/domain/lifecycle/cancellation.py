"""What reads say of a cancel: nothing else confirms it (C-47)."""

from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER
from worker.domain import schedule
from worker.domain.delivery import Attempt
from worker.domain.lifecycle.amendment import record_read_between
from worker.domain.lifecycle.change import SURPLUS, ChangeBuilder
from worker.domain.lifecycle.reopening import count_follow_up
from worker.domain.lifecycle.rollup import refuse_cancel


def record_read(edit: ChangeBuilder, before: Attempt, began: datetime, *, stands: bool) -> None:
    """Count a read that was answered, `stands` when it showed the order, for what waits for reads."""
    attempt = edit.delivery.attempt(before.id)
    if before.ended_at is not None:
        count_follow_up(edit, before)
    elif attempt is not None and attempt == edit.delivery.active and attempt.pending_fingerprint is not None:
        record_read_between(edit, attempt, began)
    elif attempt is not None and attempt.live:
        _check_cancel(edit, attempt, began, stands=stands)


def _check_cancel(edit: ChangeBuilder, attempt: Attempt, began: datetime, *, stands: bool) -> None:
    """Take a read of a live attempt for what it says about its cancel; the last one asks for a person.

    A carrier that did not take the cancel is asked again when the read, begun after that, shows the order standing.
    """
    if attempt.wait_until is not None and began < attempt.wait_until:
        return
    if attempt.cancel_requested_at is None or attempt.cancel_refused:
        _pause(edit, attempt)
    elif stands and not attempt.cancel_accepted and attempt.cancel_requests < schedule.CANCEL_REQUESTS:
        attempt = edit.update_attempt(attempt, cancel_requested_at=None, wait_until=None)
        if attempt.rank >= GOODS_WITH_COURIER and edit.delivery.cancel_request is not None and not attempt.surplus:
            refuse_cancel(edit, attempt)
    else:
        _verify(edit, attempt)


def _pause(edit: ChangeBuilder, attempt: Attempt) -> None:
    if attempt.surplus and (attempt.cancel_refused or attempt.rank >= GOODS_WITH_COURIER):
        edit.update_attempt(attempt, wait_until=edit.now + schedule.SURPLUS_READ_INTERVAL)


def _verify(edit: ChangeBuilder, attempt: Attempt) -> None:
    waits = schedule.CANCEL_CHECKS
    checks = attempt.cancel_checks + 1
    if checks < len(waits):
        edit.update_attempt(attempt, cancel_checks=checks, wait_until=edit.now + timedelta(seconds=waits[checks]))
        return
    again = edit.now + schedule.SURPLUS_READ_INTERVAL if attempt.surplus else None
    attempt = edit.update_attempt(attempt, cancel_checks=checks, wait_until=again)
    if checks == len(waits):
        _unconfirmed(edit, attempt)


def _unconfirmed(edit: ChangeBuilder, attempt: Attempt) -> None:
    if attempt.surplus:
        edit.request_attention(SURPLUS, attempt)
    else:
        edit.add_event(EventType.CANCEL_UNCONFIRMED, attempt)
