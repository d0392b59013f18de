"""Cancels: requested, sent to the carrier, and confirmed only by a read (C-47)."""

from dataclasses import replace
from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.messages import Cancellation
from schemas.status import GOODS_WITH_COURIER, AttentionReason, Cause
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery
from worker.domain.lifecycle.change import ChangeBuilder


def apply_cancel_request(
    delivery: Delivery, request: Cancellation, terms: TermsByAccount, now: datetime, cause: Cause
) -> Change | None:
    """Store a cancel request; a delivery without an order at a carrier is cancelled at once.

    None when there is nothing to cancel. A repeated request is sent again only if the carrier refused the first one,
    because the new one may allow a fee.
    """
    attempt = delivery.active
    refused = attempt is not None and attempt.cancel_refused
    if delivery.final or (delivery.cancel_request is not None and not refused):
        return None
    change = ChangeBuilder(delivery, terms, now, cause)
    request_cancel(change, request)
    return change.build()


def request_cancel(change: ChangeBuilder, request: Cancellation) -> None:
    """Store a cancel request, and cancel the delivery at once if no carrier has to be asked."""
    change.update(replace(change.delivery, cancel_request=request, retry_at=None))
    attempt = change.delivery.active
    if attempt is None:
        change.clear_all_attention()
        change.cancel_as_requested()
    elif attempt.rank >= GOODS_WITH_COURIER:
        refuse_cancel(change, attempt)
    elif attempt.pending_fingerprint is not None:
        # The outcome of the amendment does not matter any more.
        change.update_attempt(replace(attempt, pending_fingerprint=None, wait_until=None))
    elif attempt.cancel_refused:
        again = replace(attempt, cancel_refused=False, cancel_requested_at=None, cancel_requests=0)
        change.update_attempt(replace(again, cancel_checks=0, cancel_accepted=False, wait_until=None))


def refuse_cancel(change: ChangeBuilder, attempt: Attempt) -> None:
    """Refuse to cancel an order that the courier already carries, and publish the refusal."""
    attempt = change.update_attempt(replace(attempt, cancel_refused=True))
    change.add_event(EventType.CANCEL_REFUSED, attempt, reason_text="the courier has the goods")


def begin_cancel(change: ChangeBuilder, attempt: Attempt) -> None:
    """Record that the carrier is asked to cancel."""
    change.update_attempt(
        replace(
            attempt,
            cancel_requested_at=change.now,
            cancel_requests=attempt.cancel_requests + 1,
            cancel_accepted=False,
            cancel_checks=0,
            pending_fingerprint=None,
        )
    )


def check_cancel(change: ChangeBuilder, attempt: Attempt, *, shown: bool) -> None:
    """Check a cancel after a read of its live attempt; `shown` is whether the read showed the order.

    If the carrier did not accept the cancel, and a read that began after the request shows the order, the cancel is
    requested again. The last check publishes that the cancel is unconfirmed.
    """
    if attempt.wait_until is not None and change.heard < attempt.wait_until:
        return
    if attempt.cancel_requested_at is None or attempt.cancel_refused:
        _pause(change, attempt)
    elif shown and not attempt.cancel_accepted and attempt.cancel_requests < schedule.CANCEL_REQUESTS:
        attempt = change.update_attempt(replace(attempt, cancel_requested_at=None, wait_until=None))
        if attempt.rank >= GOODS_WITH_COURIER and change.delivery.cancel_request is not None and not attempt.surplus:
            refuse_cancel(change, attempt)
    else:
        _verify(change, attempt)


def _pause(change: ChangeBuilder, attempt: Attempt) -> None:
    if attempt.surplus and (attempt.cancel_refused or attempt.rank >= GOODS_WITH_COURIER):
        change.update_attempt(replace(attempt, wait_until=change.now + schedule.SURPLUS_READ_INTERVAL))


def _verify(change: ChangeBuilder, attempt: Attempt) -> None:
    waits = schedule.CANCEL_CHECKS
    checks = attempt.cancel_checks + 1
    if checks < len(waits):
        wait_until = change.now + timedelta(seconds=waits[checks])
        change.update_attempt(replace(attempt, cancel_checks=checks, wait_until=wait_until))
        return
    later = change.now + schedule.SURPLUS_READ_INTERVAL if attempt.surplus else None
    attempt = change.update_attempt(replace(attempt, cancel_checks=checks, wait_until=later))
    if checks == len(waits):
        _report_unconfirmed(change, attempt)


def _report_unconfirmed(change: ChangeBuilder, attempt: Attempt) -> None:
    if attempt.surplus:
        change.request_attention(AttentionReason.SURPLUS_COURIER, attempt)
    else:
        change.add_event(EventType.CANCEL_UNCONFIRMED, attempt)
