"""What reads say of a cancel: nothing else confirms it (C-47)."""

from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER
from worker.domain import schedule
from worker.domain.delivery import Attempt
from worker.domain.lifecycle.amendment import read_between
from worker.domain.lifecycle.change import SURPLUS, Edit
from worker.domain.lifecycle.reopening import count_tail
from worker.domain.lifecycle.rollup import too_late


def read_done(edit: Edit, before: Attempt, began: datetime, *, stands: bool) -> None:
    """Count a read that was answered, `stands` when it showed the order, for what waits for reads."""
    attempt = edit.delivery.attempt(before.id)
    if before.ended_at is not None:
        count_tail(edit, before)
    elif attempt is not None and attempt == edit.delivery.active and attempt.amending is not None:
        read_between(edit, attempt, began)
    elif attempt is not None and attempt.live:
        _check_cancel(edit, attempt, began, stands=stands)


def _check_cancel(edit: Edit, attempt: Attempt, began: datetime, *, stands: bool) -> None:
    """Take a read of a live attempt for what it says about its cancel; the last one asks for a person.

    A carrier that did not take the cancel is asked again when the read, begun after that, shows the order standing.
    """
    if attempt.wait_until is not None and began < attempt.wait_until:
        return
    if attempt.cancel_asked_at is None or attempt.cancel_refused:
        _pause(edit, attempt)
    elif stands and not attempt.cancel_taken and attempt.cancel_asks < schedule.CANCEL_ASKS:
        attempt = edit.put(attempt, cancel_asked_at=None, wait_until=None)
        if attempt.rank >= GOODS_WITH_COURIER and edit.delivery.cancel is not None and not attempt.surplus:
            too_late(edit, attempt)
    else:
        _verify(edit, attempt)


def _pause(edit: Edit, attempt: Attempt) -> None:
    if attempt.surplus and (attempt.cancel_refused or attempt.rank >= GOODS_WITH_COURIER):
        edit.put(attempt, wait_until=edit.now + schedule.BESIDE_AGAIN)


def _verify(edit: Edit, attempt: Attempt) -> None:
    waits = schedule.CANCEL_CHECKS
    checks = attempt.cancel_checks + 1
    if checks < len(waits):
        edit.put(attempt, cancel_checks=checks, wait_until=edit.now + timedelta(seconds=waits[checks]))
        return
    again = edit.now + schedule.BESIDE_AGAIN if attempt.surplus else None
    attempt = edit.put(attempt, cancel_checks=checks, wait_until=again)
    if checks == len(waits):
        _unconfirmed(edit, attempt)


def _unconfirmed(edit: Edit, attempt: Attempt) -> None:
    if attempt.surplus:
        edit.attend(SURPLUS, attempt)
    else:
        edit.tell(EventType.CANCEL_UNCONFIRMED, attempt)
