"""Request, send and check cancels. A cancel has taken effect only when a read confirms it (C-47)."""

from datetime import datetime, timedelta

from schemas.events import EventType
from schemas.messages import Cancellation
from schemas.status import GOODS_WITH_COURIER, AttentionReason, Cause, DeliveryStatus, Reason
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, replace
from worker.domain.lifecycle.change import ChangeBuilder

HANDED_OVER = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.RETURNED})
"""Final statuses after which there is nothing to cancel."""


def apply_cancel_request(
    delivery: Delivery, request: Cancellation, terms: TermsByAccount, now: datetime, cause: Cause
) -> Change | None:
    """Store a cancel request. A delivery without an order at a carrier is cancelled at once.

    A delivery that ended without success keeps its status, and the request forbids a retry. If the courier continues
    after all, the order is cancelled. After a delivery or return, there is nothing to cancel.

    A second request is sent to the carrier if the carrier refused the first request, or if only the second request
    allows a fee. None when the request changes nothing.
    """
    attempt, known = delivery.active, delivery.cancel_request
    refused = attempt is not None and attempt.cancel_refused
    allows_fee = known is not None and request.allow_paid and not known.allow_paid
    if delivery.status in HANDED_OVER or (known is not None and not refused and not allows_fee):
        return None
    change = ChangeBuilder(delivery, terms, now, cause)
    request_cancel(change, request)
    return change.build()


def request_cancel(change: ChangeBuilder, request: Cancellation) -> None:
    """Store a cancel request, and cancel the delivery at once if no carrier has to be asked."""
    change.update(replace(change.delivery, cancel_request=request, retry_at=None))
    attempt = change.delivery.active
    if change.delivery.final:
        return
    if attempt is None:
        change.clear_all_attention()
        change.cancel_as_requested()
    elif attempt.rank >= GOODS_WITH_COURIER:
        refuse_cancel(change, attempt)
    elif attempt.pending_fingerprint is not None:
        # The outcome of the amendment does not matter any more.
        change.update_attempt(replace(attempt, pending_fingerprint=None, wait_until=None))
    elif attempt.cancel_refused:
        request_again(change, attempt)
    elif attempt.cancel_requested_at is not None and not attempt.cancel_accepted:
        # The earlier request allows no fee. The new request is sent after the outcome of the earlier request, or when
        # the earlier call counts as lost.
        change.update_attempt(replace(attempt, cancel_requested_at=None))


def request_again(change: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Reset the cancel of an attempt. The carrier is then asked to cancel as if no request had been sent.

    Return the attempt.
    """
    change.clear_attention({AttentionReason.CANCEL_REFUSED})
    again = replace(attempt, cancel_refused_at=None, cancel_requested_at=None, cancel_requests=0)
    return change.update_attempt(replace(again, cancel_checks=0, cancel_accepted=False, wait_until=None))


def request_again_after_withdrawal(change: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Reset a cancel whose answer was about an earlier courier, because a later courier withdraws. Return the attempt.

    A refused cancel was refused for the earlier courier. If only we requested the cancel, the earlier courier's
    withdrawal was the cause, so the later courier gets a grace as well. Any other cancel is confirmed by the withdrawal
    (C-47).
    """
    ours = change.delivery.cancel_request is None and not attempt.surplus
    if attempt.cancel_refused or (ours and attempt.cancel_requested):
        request_again(change, attempt)
        if not attempt.cancel_refused:
            # The earlier request may still take effect, and such an end is ours too.
            change.update_attempt(replace(change.latest(attempt), cancel_requests=1))
    return change.latest(attempt)


def refuse_cancel(change: ChangeBuilder, attempt: Attempt) -> None:
    """Refuse to cancel an order because the courier has the goods, and publish the refusal."""
    record_refusal(change, attempt, reason_text="the courier has the goods")


def refuse_if_too_late(change: ChangeBuilder, attempt: Attempt) -> None:
    """Refuse a requested cancel that has not been sent, if the courier has the goods by now."""
    sent = attempt.cancel_requested_at is not None or attempt.cancel_refused
    if change.delivery.cancel_request is None or sent or attempt.rank < GOODS_WITH_COURIER or not attempt.live:
        return
    refuse_cancel(change, attempt)


def record_refusal(
    change: ChangeBuilder, attempt: Attempt, reason_text: str | None, reason: Reason | None = None
) -> None:
    """Publish that a cancel was refused, and request an immediate read, which shows whether the order continues.

    A read that began before the refusal is ignored, because the refusal may be about a new courier. The refusal of a
    surplus courier's cancel is not published, because nobody but us has requested that cancel.
    """
    attempt = change.update_attempt(
        replace(attempt, cancel_refused_at=change.now, cancel_checks=0, wait_until=change.now)
    )
    if not attempt.surplus:
        change.add_event(EventType.CANCEL_REFUSED, attempt, reason=reason, reason_text=reason_text)
    change.prompt_read(attempt)


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


def is_cancel_settled(attempt: Attempt) -> bool:
    """Return whether the carrier has answered the cancel, or left the last of `CANCEL_REQUESTS` requests unanswered.

    The carrier was never asked to cancel an order without a `ref`, because our codec refuses such a cancel.
    """
    answered = attempt.cancel_accepted or attempt.cancel_refused
    return attempt.ref is not None and (answered or attempt.cancel_requests >= schedule.CANCEL_REQUESTS)


def check_cancel(change: ChangeBuilder, attempt: Attempt, *, shown: bool) -> None:
    """Check the cancel of an attempt that is still live after a read, and decide what follows.

    `shown` is whether the read showed the order. A read that began before the attempt's `wait_until` is ignored.

    * After a refused cancel, the first read that shows the order requests an operator. For a surplus courier, so does
      a read that does not show the order.
    * After an unanswered cancel, a read that shows the order causes another request, up to `CANCEL_REQUESTS` requests.
      If the courier has the goods, the cancel is refused instead.
    * Any other cancel that was not refused is checked again at later reads (`CANCEL_CHECKS`). If the last check does
      not confirm the cancel, `delivery.cancel_unconfirmed` is published. For a surplus courier, an operator is
      requested instead.
    """
    if attempt.wait_until is not None and change.heard < attempt.wait_until:
        return
    if attempt.cancel_refused and (shown or attempt.surplus):
        report_refused_cancel(change, attempt)
    if attempt.cancel_requested_at is None or attempt.cancel_refused:
        _pause(change, change.latest(attempt))
    elif shown and not attempt.cancel_accepted and attempt.cancel_requests < schedule.CANCEL_REQUESTS:
        attempt = change.update_attempt(replace(attempt, cancel_requested_at=None, wait_until=None))
        if attempt.rank >= GOODS_WITH_COURIER and change.delivery.cancel_request is not None and not attempt.surplus:
            refuse_cancel(change, attempt)
    else:
        _verify(change, attempt)


def report_refused_cancel(change: ChangeBuilder, attempt: Attempt) -> None:
    """Request an operator after a refused cancel, once for each refusal."""
    if attempt.cancel_checks > 0:
        return
    attempt = change.update_attempt(replace(attempt, cancel_checks=1))
    if attempt.surplus:
        change.request_attention(AttentionReason.SURPLUS_COURIER, attempt)
    else:
        change.request_attention(AttentionReason.CANCEL_REFUSED, attempt)


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
