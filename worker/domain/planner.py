"""What to do next for a delivery, when, and about which attempt: a pure function of its state.

Every delivery that is not final has exactly one next step, so nothing can be forgotten. Beside its own line there may
be couriers too many to stop, attempts to be read again after their end, and a person to be alarmed: the earliest wins.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from schemas.status import GOODS_WITH_COURIER, DeliveryStatus
from worker.domain import schedule
from worker.domain.carrier_terms import CarrierTerms
from worker.domain.delivery import SUBMITTING, Attempt, Delivery, Step

FOLLOWED_UP = frozenset({DeliveryStatus.DELIVERED.value, DeliveryStatus.CANCELLED.value, DeliveryStatus.FAILED.value})
"""Ends that a carrier may take back."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step, its time, and the attempt that it is about."""

    step: Step
    at: datetime
    attempt: int | None = None


class Alarm(StrEnum):
    """What should have happened by now; most are the word a person is asked with."""

    NOT_DISPATCHED = "not_dispatched_in_time"
    OUTCOME_UNKNOWN = "outcome_unknown"
    GIVEN_UP = "given_up"
    STALLED = "stalled"
    STILL_OPEN = "still_open_after_a_day"


def plan(delivery: Delivery, terms: Mapping[str, CarrierTerms], now: datetime) -> PlannedStep | None:
    """Choose the earliest of all turns; None when there is nothing left to do."""
    turns = [] if delivery.final else [_main(delivery, terms, now)]
    turns += [turn for each in delivery.attempts if (turn := _beside(delivery, each, terms, now))]
    turns += [PlannedStep(Step.ALARM, max(at, now)) for at, _ in alarms(delivery)]
    return min(turns, key=lambda turn: turn.at, default=None)


# --- its own line -----------------------------------------------------------------------------------------------------


def _main(delivery: Delivery, terms: Mapping[str, CarrierTerms], now: datetime) -> PlannedStep:
    attempt = delivery.active
    step, at = _next(delivery, attempt, terms, now)
    waits = (delivery.retry_at, attempt.wait_until if attempt else None)
    return PlannedStep(step, max([at, *filter(None, waits)]), attempt.id if attempt else None)


def _next(
    delivery: Delivery, attempt: Attempt | None, terms: Mapping[str, CarrierTerms], now: datetime
) -> tuple[Step, datetime]:
    if attempt is None and (delivery.gate is not None or delivery.store_changed or delivery.carrier not in terms):
        return Step.ROUTE, now + schedule.ROUTE_RETRY
    if attempt is None:
        return Step.BOOK, max(delivery.dispatch_at or now, delivery.created_at)
    if attempt.carrier not in terms:
        # The account was taken out of the settings while an order stood there: keep it, and look again.
        return Step.TRACK, now + schedule.ROUTE_RETRY
    return _next_of_attempt(delivery, attempt, terms[attempt.carrier], now)


def _next_of_attempt(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> tuple[Step, datetime]:
    if attempt.state == SUBMITTING:
        return Step.RECONCILE, lease_end(attempt, terms)
    match attempt.state:
        case DeliveryStatus.SUBMIT_UNKNOWN:
            return Step.RECONCILE, _next_lookup(attempt, terms, now)
        case DeliveryStatus.AWAITING_CONFIRMATION if attempt.offer_unclear_since is not None:
            return Step.RECONCILE, attempt.offer_unclear_since + terms.scale * schedule.OFFER_CHECK * (
                attempt.lookups + 1
            )
        case DeliveryStatus.AWAITING_CONFIRMATION if attempt.offered_at is not None:
            ruled = attempt.offer_decision is not None or delivery.cancel_request is not None
            return Step.CONFIRM, now if ruled else offer_ends(attempt, terms)
    return _next_at_carrier(delivery, attempt, terms, now)


def _next_at_carrier(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> tuple[Step, datetime]:
    if wants_cancel(delivery, attempt, terms, now):
        return Step.CANCEL, now
    if wants_amend(delivery, attempt, terms):
        # One whose answer is out is read first: a change that fails again and again keeps nobody from being followed.
        return (Step.AMEND if attempt.pending_fingerprint is None else Step.TRACK), now
    return Step.TRACK, _next_look(delivery, attempt, terms, now)


def offer_ends(attempt: Attempt, terms: CarrierTerms) -> datetime:
    """Tell until when an offer is left to a person (D-30)."""
    return attempt.changed_at + timedelta(seconds=terms.capabilities.offer_wait)


def lease_end(attempt: Attempt, terms: CarrierTerms) -> datetime:
    """Tell when a create whose outcome is still unknown must have been lost with its process."""
    return attempt.submitted_at + call_time(terms)


def call_time(terms: CarrierTerms, step: Step | None = None) -> timedelta:
    """Tell how long a call may be under way; a change is two, for it asks first how things stand."""
    return timedelta(seconds=terms.deadline * (2 if step is Step.AMEND else 1)) + schedule.CALL_MARGIN


def _next_lookup(attempt: Attempt, terms: CarrierTerms, now: datetime) -> datetime:
    if attempt.awaiting_operator:
        return now + schedule.OPERATOR_WAIT
    if not terms.capabilities.find:
        return max(now, attempt.submitted_at + timedelta(seconds=terms.deadline + terms.callback_wait))
    waits = schedule.QUARANTINE
    return attempt.submitted_at + timedelta(seconds=terms.deadline + waits[min(attempt.lookups, len(waits) - 1)])


def wants_cancel(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> bool:
    """Tell whether the carrier is to be asked to cancel: it is one too many, somebody wishes it, or nobody comes."""
    if attempt.cancel_requested_at is not None or attempt.cancel_refused or attempt.state == SUBMITTING:
        return False
    if attempt.surplus or delivery.cancel_request is not None:
        return attempt.rank < GOODS_WITH_COURIER
    grace = terms.capabilities.withdrawal_grace
    withdrawn = attempt.state == DeliveryStatus.COURIER_WITHDRAWN and grace is not None
    return withdrawn and now >= attempt.changed_at + timedelta(seconds=grace or 0)


def wants_amend(delivery: Delivery, attempt: Attempt, terms: CarrierTerms) -> bool:
    """Tell whether the carrier is to be told of a change: the order that it knows is not ours any more."""
    return (
        attempt.sent_fingerprint != delivery.fingerprint
        and not attempt.amend_refused
        and amendable(delivery, attempt, terms)
    )


def amendable(delivery: Delivery, attempt: Attempt, terms: CarrierTerms) -> bool:
    """Tell whether changes of the order can be carried to an attempt's carrier; not to another shop, nor too late."""
    if (
        attempt.sent_fingerprint is None
        or delivery.store is None
        or delivery.cancel_request is not None
        or attempt.cancel_requested
    ):
        return False
    standing = attempt.live and not attempt.surplus and attempt.rank < GOODS_WITH_COURIER
    return standing and terms.capabilities.amends and not delivery.store_changed


def _next_look(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> datetime:
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
    """Tell whether reads are still to show what became of a cancel."""
    asked = attempt.cancel_requested_at is not None and not attempt.cancel_refused
    return asked and attempt.cancel_checks < len(schedule.CANCEL_CHECKS)


# --- beside it --------------------------------------------------------------------------------------------------------


def _beside(
    delivery: Delivery, attempt: Attempt, terms: Mapping[str, CarrierTerms], now: datetime
) -> PlannedStep | None:
    """Plan what is about a courier too many, or about an attempt that has ended.

    Its times are fixed ones: a line that is often planned anew never pushes them ahead of itself.
    """
    account = terms.get(attempt.carrier)
    if account is None:
        return None
    found = _surplus(delivery, attempt, account, now) if attempt.live else next_follow_up(attempt, account)
    if found is None:
        return None
    step, at, until = found
    at = max(at, attempt.wait_until or at)
    return PlannedStep(step, at, attempt.id) if at <= until else None


_Beside = tuple[Step, datetime, datetime] | None
"""A step, its time, and the time after which it is given up."""


def _surplus(delivery: Delivery, attempt: Attempt, terms: CarrierTerms, now: datetime) -> _Beside:
    if not attempt.surplus:
        return None
    step = Step.CANCEL if wants_cancel(delivery, attempt, terms, now) else Step.TRACK
    return step, attempt.changed_at, attempt.changed_at + schedule.DAY


def next_follow_up(attempt: Attempt, terms: CarrierTerms) -> _Beside:
    """Plan the next read of an attempt that has ended; None when it has had them all."""
    ended = attempt.ended_at
    if ended is None:
        return None
    if attempt.never_created and terms.capabilities.find:
        return _tail_read(attempt, ended, Step.RECONCILE, schedule.LATE_LOOKUPS)
    if attempt.state in FOLLOWED_UP and attempt.ref is not None:
        # Where callbacks are relied on, one read is enough.
        waits = schedule.FOLLOW_UPS if terms.capabilities.cadence.unheard is None else schedule.FOLLOW_UPS[-1:]
        return _tail_read(attempt, ended, Step.TRACK, waits)
    return None


def _tail_read(attempt: Attempt, ended: datetime, step: Step, waits: Sequence[timedelta]) -> _Beside:
    until = ended + schedule.FOLLOW_UPS_END
    if attempt.contradicted_at is not None:
        return step, attempt.contradicted_at + schedule.CONTRADICTION_GAP, until
    return (step, ended + waits[attempt.follow_up_reads], until) if attempt.follow_up_reads < len(waits) else None


def may_read(delivery: Delivery, attempt: Attempt, terms: Mapping[str, CarrierTerms], now: datetime) -> bool:
    """Tell whether a read is what may be done next about an attempt, be it early."""
    if attempt == delivery.active:
        return _main(delivery, terms, now).step in {Step.TRACK, Step.AMEND}
    if attempt.live:
        return attempt.carrier in terms and not wants_cancel(delivery, attempt, terms[attempt.carrier], now)
    return attempt.carrier in terms and attempt.state in FOLLOWED_UP and attempt.ref is not None


# --- so that nothing waits for ever -----------------------------------------------------------------------------------


def alarms(delivery: Delivery) -> list[tuple[datetime, Alarm]]:
    """List what is to be said if nothing happens until then, the earliest first, without what has been said."""
    if delivery.final:
        return []
    told = delivery.alarmed_at
    return sorted((at, alarm) for at, alarm in _alarms(delivery) if told is None or at > told)


def _alarms(delivery: Delivery) -> Iterator[tuple[datetime, Alarm]]:
    attempt = delivery.active
    begun = max(delivery.created_at, delivery.dispatch_at or delivery.created_at)
    # As it was wished at first: "as soon as possible" asked again later would never be late.
    pickup = schedule.pickup_time(delivery.order, delivery.store, delivery.created_at)
    late = max(pickup - schedule.ALARM_BEFORE, begun + schedule.ALARM_AFTER)
    yield begun + schedule.DAY, Alarm.STILL_OPEN
    if attempt is None:
        yield max(max(pickup, begun) + schedule.GIVE_UP, delivery.changed_at), Alarm.GIVEN_UP
    if attempt is None and delivery.carrier is not None:
        yield max(late, delivery.changed_at), Alarm.NOT_DISPATCHED
    elif attempt is not None and attempt.state == DeliveryStatus.AWAITING_CONFIRMATION:
        yield max(late, attempt.changed_at), Alarm.NOT_DISPATCHED
    elif attempt is not None and attempt.state == DeliveryStatus.SUBMIT_UNKNOWN and not attempt.awaiting_operator:
        yield max(late, attempt.changed_at), Alarm.OUTCOME_UNKNOWN
    elif attempt is not None and attempt.rank >= GOODS_WITH_COURIER:
        yield attempt.changed_at + schedule.STALLED, Alarm.STALLED
