"""Send changes of an order to the carrier that already has the order, or leave the changes to an operator.

The carrier's order is read before each amendment. Therefore an amendment can be sent again without harm (B-95). While
the outcome of an amendment is unknown, we do not know which version of the order the carrier has.
"""

from schemas.events import EventType
from schemas.status import GOODS_WITH_COURIER, AttentionReason
from worker.domain import schedule
from worker.domain.delivery import Attempt, replace
from worker.domain.lifecycle.change import ChangeBuilder
from worker.domain.planner import can_amend
from worker.errors import CarrierError

NOT_CARRIED = AttentionReason.ORDER_CHANGED_AFTER_DISPATCH


def plan_amendment(change: ChangeBuilder, attempt: Attempt) -> None:
    """Plan the amendment for an order that has just changed, or request an operator if no amendment is possible."""
    terms = change.terms.get(attempt.carrier)
    reverted = attempt.sent_fingerprint == change.delivery.fingerprint  # the carrier has this version already
    if not reverted and (terms is None or not can_amend(change.delivery, attempt, terms)):
        change.update_attempt(replace(attempt, amend_refused=True))
        change.request_attention(NOT_CARRIED)
        return
    change.update_attempt(replace(attempt, amend_refused=False, amend_requests=0))
    if reverted:
        change.clear_attention({NOT_CARRIED})
    change.add_event(EventType.UPDATED)


def begin_amendment(change: ChangeBuilder, attempt: Attempt) -> None:
    """Record the version of the order and the pickup time that are about to be sent to the carrier."""
    order, store = change.delivery.order, change.delivery.store
    wanted = schedule.pickup_time(order, store, change.now)
    timed = (order.ready_at or order.deliver_at) is not None and wanted > change.now
    change.update_attempt(
        replace(
            attempt,
            sent_fingerprint="",
            pending_fingerprint=change.delivery.fingerprint,
            amend_requests=attempt.amend_requests + 1,
            # For "as soon as possible", a change of other fields must not move the pickup to now.
            pickup_at=wanted if timed else attempt.pickup_at,
        )
    )


def mark_amended(change: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Record that the carrier has the version of the order that the amendment sent.

    Our order may have changed since the amendment began.
    """
    if attempt.pending_fingerprint == change.delivery.fingerprint:
        change.clear_attention({NOT_CARRIED})
    change.reset_failures()
    return change.update_attempt(
        replace(
            attempt,
            sent_fingerprint=attempt.pending_fingerprint,
            pending_fingerprint=None,
            amend_requests=0,
            wait_until=None,
        )
    )


def record_read_between(change: ChangeBuilder, attempt: Attempt) -> None:
    """Record a read between two requests of an amendment. After the read, the amendment may be sent again.

    A read that began before the attempt's `wait_until` does not count. After `AMEND_REQUESTS` requests without success,
    the amendment is given up.
    """
    if attempt.wait_until is not None and change.heard < attempt.wait_until:
        return
    if attempt.amend_requests >= schedule.AMEND_REQUESTS:
        abandon_amendment(change, attempt)
    else:
        change.update_attempt(replace(attempt, pending_fingerprint=None, wait_until=None))


def abandon_if_too_late(change: ChangeBuilder, attempt: Attempt) -> None:
    """Give up a change of the order if the change can no longer be sent to the carrier of a live attempt.

    There are three such cases: the courier has the goods, the attempt was reopened and cannot be amended, or the order
    changed during a cancel that the carrier then refused.
    """
    delivery = change.delivery
    cancel_wanted = delivery.cancel_request is not None or attempt.cancel_requested
    cancelling = cancel_wanted and not attempt.cancel_refused and attempt.rank < GOODS_WITH_COURIER
    if _is_settled(change, attempt) or cancelling or not attempt.live:
        return
    terms = change.terms.get(attempt.carrier)
    if terms is None or not can_amend(delivery, attempt, terms):
        abandon_amendment(change, attempt)


def abandon_if_not_carried(change: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Give up a change of the order that the courier who handed it over may not have got. Return the attempt.

    Usually, the pickup has shown that the change comes too late. A carrier may report the end without any pickup.
    """
    if not _is_settled(change, attempt) and change.delivery.cancel_request is None:
        abandon_amendment(change, attempt)
    return change.latest(attempt)


def _is_settled(change: ChangeBuilder, attempt: Attempt) -> bool:
    """Return whether the carrier has the newest version of the order, or the amendment was given up already."""
    return attempt.sent_fingerprint in {None, change.delivery.fingerprint} or attempt.amend_refused


def abandon_amendment(change: ChangeBuilder, attempt: Attempt, error: CarrierError | None = None) -> None:
    """Give up the amendment and request an operator, because the carrier does not have the change."""
    abandoned = replace(
        attempt,
        amend_refused=True,
        pending_fingerprint=None,
        wait_until=None,
        last_error=str(error) if error else attempt.last_error,
    )
    change.request_attention(NOT_CARRIED, change.update_attempt(abandoned))
