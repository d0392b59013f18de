"""Plan the next step of a delivery (the step, its time and its attempt) and its alarms.

Planning is a pure function of the delivery's state. Every delivery that is not final has exactly one next step, so no
delivery is forgotten. The possible steps are the delivery's main step and the steps for surplus couriers and ended
attempts. The earliest one is the next step. An alarm is not a step, because it is raised even if nobody runs the
next step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from schemas.status import GOODS_WITH_COURIER, AttemptState, AttentionReason
from worker.domain import schedule
from worker.domain.carrier_terms import CarrierTerms, TermsByAccount
from worker.domain.delivery import Attempt, Delivery, Step

REVOCABLE_ENDS = frozenset({AttemptState.DELIVERED, AttemptState.CANCELLED, AttemptState.FAILED})
"""Final states of an attempt after which its carrier may still revive the order."""
_MAY_FOLLOW_READ = frozenset({Step.TRACK, Step.AMEND})
"""The steps of the active attempt that a requested read may precede."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step, its time, and the id of the attempt that the step is about."""

    step: Step
    at: datetime
    attempt: int | None = None


class Alarm(StrEnum):
    """An alarm: something that should have happened by a certain time has not happened."""

    NOT_DISPATCHED = "not_dispatched_in_time"
    OUTCOME_UNKNOWN = "outcome_unknown"
    CANCEL_REFUSED = "cancel_refused"
    GIVEN_UP = "given_up"
    STALLED = "stalled"
    STILL_OPEN = "still_open_after_a_day"


def plan(delivery: Delivery, terms: TermsByAccount, now: datetime) -> PlannedStep | None:
    """Return the earliest of all candidate steps; None when nothing is left to do."""
    return min(possible_steps(delivery, terms, now), key=lambda step: step.at, default=None)


def possible_steps(delivery: Delivery, terms: TermsByAccount, now: datetime) -> list[PlannedStep]:
    """Return the main step, and the step of each surplus courier and each ended attempt that has one."""
    steps = [] if delivery.final else [main_step(delivery, terms, now)]
    return steps + [step for each in delivery.attempts if (step := _secondary_step(delivery, each, terms, now))]


# --- the main step: of the active attempt, or of the carrier to ask next ----------------------------------------------


def main_step(delivery: Delivery, terms: TermsByAccount, now: datetime) -> PlannedStep:
    """Return the main step, which advances the delivery.

    With an active attempt, the main step is about that attempt. Otherwise it is `route` or `book`.
    """
    attempt = delivery.active
    step, at = _next(delivery, attempt, terms, now)
    waits = (delivery.retry_at, attempt.wait_until if attempt else None)
    at = max([at, *filter(None, waits)])
    if attempt is not None and attempt.prompted_at is not None and step in _MAY_FOLLOW_READ:
        requested = max(attempt.prompted_at, delivery.retry_at or attempt.prompted_at)
        step, at = (Step.TRACK, requested) if requested <= max(at, now) else (step, at)
    return PlannedStep(step, at, attempt.id if attempt else None)


def _next(delivery: Delivery, attempt: Attempt | None, terms: TermsByAccount, now: datetime) -> tuple[Step, datetime]:
    if attempt is None and (delivery.gate is not None or delivery.store_changed or delivery.carrier not in terms):
        return Step.ROUTE, now + schedule.ROUTE_RETRY
    if attempt is None:
        return Step.BOOK, max(delivery.dispatch_at or now, delivery.created_at)
    if attempt.carrier not in terms:
        # The account was removed from the settings while it had an order: the delivery waits until the account is back.
        if attempt.state == AttemptState.SUBMITTING:
            return Step.RECONCILE, attempt.submitted_at + schedule.LONGEST_LEASE
        return Step.TRACK, now + schedule.ROUTE_RETRY
    return _next_of_attempt(delivery, attempt, terms[attempt.carrier], now)


def _next_of_attempt(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> tuple[Step, datetime]:
    match attempt.state:
        case AttemptState.SUBMITTING:
            return Step.RECONCILE, lease_end(attempt, terms)
        case AttemptState.SUBMIT_UNKNOWN:
            step = Step.BOOK if may_resubmit(delivery, attempt, terms) else Step.RECONCILE
            return step, _next_lookup(attempt, terms, now)
        case AttemptState.AWAITING_CONFIRMATION if attempt.offer_unclear_since is not None:
            return Step.RECONCILE, attempt.offer_unclear_since + terms.scale * schedule.OFFER_CHECK * (
                attempt.lookups + 1
            )
        case AttemptState.AWAITING_CONFIRMATION if attempt.offered_at is not None:
            decided = attempt.offer_decision is not None or delivery.cancel_request is not None
            return Step.CONFIRM, now if decided else offer_ends(attempt, terms)
    return _next_at_carrier(delivery, attempt, terms, now)


def _next_at_carrier(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> tuple[Step, datetime]:
    if should_cancel(delivery, attempt, terms, now):
        return Step.CANCEL, now
    if should_amend(delivery, attempt, terms):
        # A read precedes the repetition of an amendment, so the tracking continues even if the amendment keeps failing.
        return (Step.AMEND if attempt.pending_fingerprint is None else Step.TRACK), now
    return Step.TRACK, _next_read(delivery, attempt, terms, now)


def offer_ends(attempt: Attempt, terms: CarrierTerms) -> datetime:
    """Return the time until which an offer waits for an operator (D-30)."""
    return attempt.changed_at + timedelta(seconds=terms.capabilities.offer_wait)


def lease_end(attempt: Attempt, terms: CarrierTerms) -> datetime:
    """Return the time after which a create without a stored outcome counts as lost."""
    return attempt.submitted_at + call_time(terms)


def call_time(terms: CarrierTerms, step: Step | None = None) -> timedelta:
    """Return how long a call may take, including `CALL_MARGIN`. An amendment is two calls: a read and the change."""
    return timedelta(seconds=terms.deadline * (2 if step is Step.AMEND else 1)) + schedule.CALL_MARGIN


def _next_lookup(attempt: Attempt, terms: CarrierTerms, now: datetime) -> datetime:
    if attempt.awaiting_operator:
        return now + schedule.OPERATOR_WAIT
    if not terms.capabilities.find:
        return max(now, attempt.submitted_at + timedelta(seconds=terms.deadline + terms.callback_wait))
    waits = schedule.QUARANTINE
    return attempt.submitted_at + timedelta(seconds=terms.deadline + waits[min(attempt.lookups, len(waits) - 1)])


def may_resubmit(delivery: Delivery, attempt: Attempt, terms: CarrierTerms) -> bool:
    """Return whether to send the create of an attempt a second time, because the outcome of the first is unknown.

    The second create has the same content and the same reference, so that the carrier can recognise it.
    """
    in_doubt = attempt.state == AttemptState.SUBMIT_UNKNOWN and not attempt.awaiting_operator
    wanted = delivery.cancel_request is None and attempt.sent_fingerprint == delivery.fingerprint
    return terms.capabilities.resubmits and in_doubt and wanted and not attempt.resubmitted


def should_cancel(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> bool:
    """Return whether to ask the carrier to cancel an attempt.

    There are three reasons: the attempt is a surplus courier, the delivery has a cancel request, or the courier
    withdrew and the carrier sent no other courier within `withdrawal_grace`.
    """
    if attempt.cancel_requested_at is not None or attempt.cancel_refused or attempt.state == AttemptState.SUBMITTING:
        return False
    if attempt.surplus or delivery.cancel_request is not None:
        return attempt.rank < GOODS_WITH_COURIER
    grace = terms.capabilities.withdrawal_grace
    withdrawn = attempt.state == AttemptState.COURIER_WITHDRAWN and grace is not None
    return withdrawn and now >= attempt.changed_at + timedelta(seconds=grace or 0)


def should_amend(delivery: Delivery, attempt: Attempt, terms: CarrierTerms) -> bool:
    """Return whether to amend the carrier's order, because the carrier may have an outdated version."""
    return (
        attempt.sent_fingerprint != delivery.fingerprint
        and not attempt.amend_refused
        and can_amend(delivery, attempt, terms)
    )


def can_amend(delivery: Delivery, attempt: Attempt, terms: CarrierTerms) -> bool:
    """Return whether an attempt's order can be amended.

    This is possible only at a carrier that accepts amendments, for an active attempt that we created. It is no longer
    possible after the courier picked up the goods, after a cancel request, or after the order moved to another store.
    """
    if (
        attempt.sent_fingerprint is None
        or delivery.store is None
        or delivery.cancel_request is not None
        or attempt.cancel_requested
    ):
        return False
    in_time = attempt.live and not attempt.surplus and attempt.rank < GOODS_WITH_COURIER
    return in_time and terms.capabilities.amends and not delivery.store_changed


def _next_read(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> datetime:
    if is_verifying_cancel(attempt) and attempt.wait_until is not None:
        return attempt.wait_until
    return schedule.next_read(
        terms.capabilities.cadence,
        terms.scale,
        delivery.status,
        now=now,
        since=attempt.submitted_at,
        changed_at=attempt.changed_at,
        pickup=attempt.pickup_at,
        account=attempt.carrier,
        key=delivery.id,
    )


def is_verifying_cancel(attempt: Attempt) -> bool:
    """Return whether reads still have to confirm a cancel."""
    requested = attempt.cancel_requested_at is not None and not attempt.cancel_refused
    return requested and attempt.cancel_checks < len(schedule.CANCEL_CHECKS)


# --- surplus couriers and ended attempts ------------------------------------------------------------------------------


def _secondary_step(delivery: Delivery, attempt: Attempt, terms: TermsByAccount, now: datetime) -> PlannedStep | None:
    """Return the next step about a surplus courier or an ended attempt; None when no step is left.

    The step's time derives from stored timestamps, so replanning never postpones the step.
    """
    account = terms.get(attempt.carrier)
    if account is not None:
        found = _surplus_step(delivery, attempt, account, now) if attempt.live else next_follow_up(attempt, account)
    elif attempt.live and attempt.surplus and AttentionReason.SURPLUS_COURIER not in delivery.attention_reasons:
        # The cancel cannot be sent without the account. It is postponed, and the postponement requests an operator.
        found = Step.CANCEL, attempt.changed_at, attempt.changed_at + schedule.DAY
    else:
        return None
    if attempt.prompted_at is not None and _may_read_beside(attempt) and (found is None or found[0] is Step.TRACK):
        return PlannedStep(Step.TRACK, attempt.prompted_at, attempt.id)
    if found is None:
        return None
    step, at, until = found
    at = max(at, attempt.wait_until or at)
    return PlannedStep(step, at, attempt.id) if at <= until else None


_SecondaryStep = tuple[Step, datetime, datetime] | None
"""A step, its time, and the time after which the step is given up; None when no step is planned."""


def _surplus_step(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> _SecondaryStep:
    if not attempt.surplus:
        return None
    step = Step.CANCEL if should_cancel(delivery, attempt, terms, now) else Step.TRACK
    last_act = max(attempt.changed_at, attempt.cancel_requested_at or attempt.changed_at)
    return step, attempt.changed_at, last_act + schedule.DAY


def next_follow_up(attempt: Attempt, terms: CarrierTerms) -> _SecondaryStep:
    """Return the next follow-up read or look-up of an ended attempt; None when no other is planned."""
    ended = attempt.ended_at
    if ended is None:
        return None
    if attempt.never_created and terms.capabilities.find:
        return _follow_up(attempt, ended, Step.RECONCILE, schedule.LATE_LOOKUPS)
    if attempt.state in REVOCABLE_ENDS and attempt.ref is not None:
        # One read is enough for a carrier that sends callbacks.
        waits = (
            schedule.FOLLOW_UPS if terms.capabilities.cadence.without_callbacks is None else schedule.FOLLOW_UPS[-1:]
        )
        return _follow_up(attempt, ended, Step.TRACK, waits)
    return None


def _follow_up(attempt: Attempt, ended: datetime, step: Step, waits: Sequence[timedelta]) -> _SecondaryStep:
    until = ended + schedule.FOLLOW_UPS_END
    if attempt.contradicted_at is not None:
        return step, attempt.contradicted_at + schedule.CONTRADICTION_GAP, until
    return (step, ended + waits[attempt.follow_up_reads], until) if attempt.follow_up_reads < len(waits) else None


def may_read(delivery: Delivery, attempt: Attempt, terms: TermsByAccount, now: datetime) -> bool:
    """Return whether an attempt may be read now, before its next planned read.

    False if another step of the attempt has to come before a read, or if the attempt is never read again.
    """
    if attempt == delivery.active:
        return main_step(delivery, terms, now).step in _MAY_FOLLOW_READ
    if attempt.carrier not in terms or not _may_read_beside(attempt):
        return False
    return not attempt.live or not should_cancel(delivery, attempt, terms[attempt.carrier], now)


def _may_read_beside(attempt: Attempt) -> bool:
    """Return whether an attempt that is not active may be read.

    A surplus courier may be read. An ended attempt may be read if the carrier may still revive the order and the
    attempt's `ref` is known.
    """
    if attempt.live:
        return attempt.surplus
    return attempt.state in REVOCABLE_ENDS and attempt.ref is not None


# --- alarms -----------------------------------------------------------------------------------------------------------


def alarms(delivery: Delivery) -> list[tuple[datetime, Alarm]]:
    """Return the alarms that have not been raised yet, each with its due time, the earliest first.

    A final delivery has no alarms.
    """
    if delivery.final:
        return []
    given = delivery.alarmed_at
    return sorted((at, alarm) for at, alarm in _alarms(delivery) if given is None or at > given)


def _alarms(delivery: Delivery) -> Iterator[tuple[datetime, Alarm]]:
    attempt = delivery.active
    begun = max(delivery.created_at, delivery.dispatch_at or delivery.created_at)
    # Use the pickup time as first requested. For an order "as soon as possible", a pickup time computed from now would
    # never pass.
    pickup = schedule.pickup_time(delivery.order, delivery.store, delivery.created_at)
    late = max(pickup - schedule.ALARM_BEFORE, begun + schedule.ALARM_AFTER)
    yield begun + schedule.DAY, Alarm.STILL_OPEN
    if attempt is None:
        # An order that has just lost its courier is first offered to the next carrier.
        yield max(max(pickup, begun) + schedule.GIVE_UP, delivery.changed_at + schedule.ALARM_AFTER), Alarm.GIVEN_UP
    if attempt is None and delivery.carrier is not None:
        yield max(late, delivery.changed_at), Alarm.NOT_DISPATCHED
    elif attempt is not None and attempt.state == AttemptState.AWAITING_CONFIRMATION:
        yield max(late, attempt.changed_at), Alarm.NOT_DISPATCHED
    elif attempt is not None and attempt.state == AttemptState.SUBMIT_UNKNOWN and not attempt.awaiting_operator:
        yield max(late, attempt.changed_at), Alarm.OUTCOME_UNKNOWN
    elif attempt is not None and attempt.state == AttemptState.SUBMITTING:
        yield max(late, attempt.submitted_at + schedule.LONGEST_LEASE), Alarm.OUTCOME_UNKNOWN
    elif attempt is not None and attempt.rank >= GOODS_WITH_COURIER:
        yield attempt.changed_at + schedule.STALLED, Alarm.STALLED
    if attempt is not None and attempt.cancel_refused_at is not None and attempt.cancel_checks == 0:
        yield attempt.cancel_refused_at + schedule.REFUSED_CANCEL_READ, Alarm.CANCEL_REFUSED
