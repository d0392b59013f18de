"""The intents and outcomes of creates. An intent is recorded before the first byte of its create is sent.

Two creates for one delivery could bring two couriers. While the outcome of an attempt is open, no other attempt begins.
"""

from datetime import datetime

from schemas.events import EventType
from schemas.status import AttemptState, AttentionReason, Cause, Conflict, DeliveryStatus, Detail, Reason
from worker.carriers.port import Booked, Observation, Raw
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, replace
from worker.domain.lifecycle.change import CARRIER_ORDER_REASONS, ChangeBuilder, StatusDetails
from worker.domain.lifecycle.observations import apply_observation
from worker.domain.lifecycle.offers import evaluate_offer
from worker.domain.lifecycle.reads import back_off
from worker.domain.lifecycle.reconciliation import (
    await_operator,
    end_unknown_outcome,
    is_typed_reference,
    leave_to_operator,
    mark_unknown,
)
from worker.domain.lifecycle.reopening import add_duplicate
from worker.domain.lifecycle.rollup import refuse_attempt
from worker.domain.planner import may_resubmit
from worker.errors import CarrierError, Refused, Unavailable


def begin_booking(
    delivery: Delivery, attempt_id: int, token: str, terms: TermsByAccount, now: datetime
) -> Change | None:
    """Record the intent to create an order at the delivery's carrier; None when there is nothing to create.

    An attempt that was never sent is used again under the same id, because no carrier has received that id. An attempt
    with an unknown outcome is sent again under the same id if `may_resubmit` allows it.
    """
    carrier, store, active = delivery.carrier, delivery.store, delivery.active
    if carrier is None or store is None or delivery.final:
        return None
    if active is not None and not may_resubmit(delivery, active, terms[active.carrier]):
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    attempt = (
        active
        or _never_sent(delivery, carrier)
        or Attempt(
            id=attempt_id,
            delivery_id=delivery.id,
            number=len(delivery.attempts) + 1,
            carrier=carrier,
            state=AttemptState.SUBMITTING,
            token=token,
            pickup_at=now,
            submitted_at=now,
            changed_at=now,
        )
    )
    change.update_attempt(
        replace(
            attempt,
            state=AttemptState.SUBMITTING,
            # The carrier should recognise a repeated create, so its pickup time stays the same.
            pickup_at=active.pickup_at if active else schedule.pickup_time(delivery.order, store, now),
            sent_fingerprint=delivery.fingerprint,
            submitted_at=now,
            changed_at=now,
            lookups=0,
            last_error=None,
            journal_file=None,
            calls=attempt.calls + 1,
            call_open=True,
            resubmitted=active is not None,
        )
    )
    change.cancel_retry()
    return change.build(attempt.id)


def _never_sent(delivery: Delivery, carrier: str) -> Attempt | None:
    return next(
        (each for each in delivery.attempts if each.ended_at is None and each.carrier == carrier and not each.surplus),
        None,
    )


def apply_create_outcome(
    delivery: Delivery, attempt_id: int, outcome: Booked | CarrierError, terms: TermsByAccount, now: datetime
) -> Change:
    """Apply the outcome of a create: created, offered, refused, not sent, or unknown.

    An outcome that comes late, from a journal file, replaces an unknown outcome if the late outcome is certain.
    """
    change = ChangeBuilder(delivery, terms, now, Cause.RESPONSE)
    attempt = delivery.attempt(attempt_id)
    if attempt is None or not _is_awaited(attempt, outcome):
        return change.build()
    was_unknown = attempt.state == AttemptState.SUBMIT_UNKNOWN
    attempt = change.update_attempt(replace(attempt, journal_file=None))  # this change stores the outcome
    if was_unknown:
        attempt = end_unknown_outcome(change, attempt)
    match outcome:
        case Booked():
            _book(change, attempt, outcome)
        case CarrierError() if attempt.resubmitted:
            _apply_resubmit_error(change, attempt, outcome)
        case Unavailable():
            _queue_again(change, attempt, outcome)
        case Refused(reason=Reason.DUPLICATE):
            await_operator(change, attempt, outcome)
        case Refused():
            refuse_attempt(change, attempt, outcome.reason, outcome.text or None)
        case _:
            mark_unknown(change, attempt, str(outcome))
    return change.build()


def _is_awaited(attempt: Attempt, outcome: Booked | CarrierError) -> bool:
    """Return whether to apply an outcome to the attempt.

    While the create is running, any outcome is applied. After an unknown outcome, only a certain outcome is
    applied. A booking is always applied, because it proves that the carrier has the order.
    """
    if attempt.state == AttemptState.SUBMITTING or isinstance(outcome, Booked):
        return True
    return attempt.state == AttemptState.SUBMIT_UNKNOWN and isinstance(outcome, (Unavailable, Refused))


def _book(change: ChangeBuilder, attempt: Attempt, outcome: Booked) -> None:
    if attempt.live and not attempt.surplus:
        change.reset_failures()
    if attempt.ref is not None and outcome.observation.ref not in _known_refs(change.delivery, attempt.carrier):
        _book_second_order(change, attempt, outcome.observation)
        return
    if outcome.offer:
        attempt = change.update_attempt(replace(attempt, offered_at=outcome.offer.offered))
    apply_observation(change, attempt, outcome.observation)
    evaluate_offer(change, attempt.id)


def _known_refs(delivery: Delivery, carrier: str) -> set[str | None]:
    """Return a carrier's ids of all known orders of the delivery, and None.

    Because the set contains None, an answer without an id counts as an answer about a known order.
    """
    return {None, *(each.ref for each in delivery.attempts if each.carrier == carrier)}


def _book_second_order(change: ChangeBuilder, attempt: Attempt, second: Observation) -> None:
    """Record a second order of an attempt: the answer to the create contains another id than the attempt's `ref`.

    The second order becomes a surplus courier, unless an operator typed the `ref`. A typed `ref` may be a mistake, so
    then nothing is cancelled, the attempt follows the second order, and an operator is requested to look for the first
    order.
    """
    assert second.ref is not None  # noqa: S101 - the caller's branch
    if is_typed_reference(change.delivery, attempt):
        change.add_event(EventType.CONFLICT, attempt, reason_text=Conflict.DUPLICATE.value)
        change.request_attention(AttentionReason.SURPLUS_COURIER, attempt)
        apply_observation(change, attempt, second)
        return
    add_duplicate(change, attempt, second.ref, second.codec_state)
    if attempt.state in {AttemptState.SUBMITTING, AttemptState.SUBMIT_UNKNOWN}:
        apply_observation(change, attempt, Observation(DeliveryStatus.CREATED, second.raw, ref=attempt.ref))


def _queue_again(change: ChangeBuilder, attempt: Attempt, error: Unavailable) -> None:
    change.update_attempt(replace(attempt, state=AttemptState.QUEUED, changed_at=change.now, last_error=str(error)))
    change.clear_attention(CARRIER_ORDER_REASONS)
    if change.delivery.cancel_request is not None:
        change.cancel_as_requested()
        return
    if change.delivery.status is DeliveryStatus.SUBMIT_UNKNOWN:
        change.set_status(DeliveryStatus.QUEUED, attempt, StatusDetails(Detail.RESUBMIT))
    back_off(change, error)


def _apply_resubmit_error(change: ChangeBuilder, attempt: Attempt, error: CarrierError) -> None:
    """Apply the error of a create that was sent again under the same id.

    A refusal as a duplicate proves that the first create succeeded. Any other refusal may come from our own
    checks, and proves nothing about the first create.
    """
    if isinstance(error, Refused) and error.reason is Reason.DUPLICATE:
        apply_observation(
            change, attempt, Observation(DeliveryStatus.CREATED, Raw("response", error.reason, str(error)))
        )
        change.request_attention(AttentionReason.REFERENCE_MISSING, change.latest(attempt))
        return
    mark_unknown(change, replace(attempt, resubmitted=not isinstance(error, Unavailable)), str(error))
    if isinstance(error, Unavailable):
        back_off(change, error)
    elif isinstance(error, Refused):
        leave_to_operator(change, change.latest(attempt))


def apply_late_booking(
    delivery: Delivery, attempt_id: int, booked: Booked, terms: TermsByAccount, now: datetime
) -> Change | None:
    """Apply a booking that arrived after another call of its attempt began, or after the create's outcome was stored.

    None when the booked order is already known.
    """
    attempt = delivery.attempt(attempt_id)
    if attempt is None or booked.observation.ref in _known_refs(delivery, attempt.carrier):
        return None
    return apply_create_outcome(delivery, attempt_id, booked, terms, now)
