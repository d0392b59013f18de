"""React when something has not happened in time, and clear attention reasons for an operator."""

from collections.abc import Mapping
from datetime import datetime

from schemas.events import EventType
from schemas.status import AttemptState, AttentionReason, Cause, Reason
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Change, Delivery, Step, replace
from worker.domain.lifecycle.cancellation import report_refused_cancel
from worker.domain.lifecycle.change import UNKNOWN_OUTCOME_REASONS, ChangeBuilder
from worker.domain.lifecycle.routing import reject
from worker.domain.planner import Alarm, alarms, possible_steps

ATTENTION: Mapping[Alarm, AttentionReason] = {
    Alarm.NOT_DISPATCHED: AttentionReason.NOT_DISPATCHED_IN_TIME,
    Alarm.OUTCOME_UNKNOWN: AttentionReason.OUTCOME_UNKNOWN,
    Alarm.STILL_OPEN: AttentionReason.STILL_OPEN_AFTER_A_DAY,
}
"""The attention reason of each alarm that needs an operator."""


def fire_alarms(delivery: Delivery, terms: TermsByAccount, now: datetime) -> Change | None:
    """Raise the alarms that are due; None when no alarm is due."""
    if delivery.alarm_at is None or delivery.alarm_at > now:
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    for at, alarm in alarms(delivery):
        if at <= now and not change.delivery.final:
            _give(change, alarm)
    change.update(replace(change.delivery, alarmed_at=now))
    return change.build()


def give_way(delivery: Delivery, terms: TermsByAccount, now: datetime) -> Change | None:
    """Let another due step go first if nobody has run the next step for `OVERDUE`. None when nothing changes.

    The next step may wait for the full queue of one carrier while the other step is about another carrier. An operator
    is requested if the next step is the cancel of a surplus courier that is known for `SURPLUS_ESCALATION`, or the read
    after such a cancel was refused.
    """
    attempt, due_at = delivery.step_attempt, delivery.next_run_at
    if due_at is None or now - due_at < schedule.OVERDUE:
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.TIMER)
    long_surplus = attempt is not None and attempt.surplus and now - attempt.changed_at >= schedule.SURPLUS_ESCALATION
    if attempt is not None and attempt.surplus and attempt.cancel_refused:
        report_refused_cancel(change, attempt)
    elif long_surplus and delivery.step is Step.CANCEL:
        change.request_attention(AttentionReason.SURPLUS_COURIER, attempt)
    if any(
        each.at <= now and each.attempt != delivery.step_attempt_id for each in possible_steps(delivery, terms, now)
    ):
        later = now + schedule.OVERDUE
        if attempt is None or attempt == delivery.active:
            change.update(replace(change.delivery, retry_at=later))
        else:
            prompted_at = later if attempt.prompted_at else None
            change.update_attempt(replace(change.latest(attempt), wait_until=later, prompted_at=prompted_at))
    return change.build() if change.delivery != delivery else None


def _give(change: ChangeBuilder, alarm: Alarm) -> None:
    if alarm is Alarm.STALLED:
        change.add_event(EventType.STALLED)
    elif alarm is Alarm.GIVEN_UP:
        reject(change, Reason.DEADLINE_PASSED)  # the food is cold by now
    elif alarm is Alarm.CANCEL_REFUSED:
        assert change.delivery.active is not None  # noqa: S101 - only an active attempt has this alarm
        report_refused_cancel(change, change.delivery.active)
    else:
        change.request_attention(ATTENTION[alarm])


def resolve_attention(delivery: Delivery, terms: TermsByAccount, now: datetime) -> Change | None:
    """Clear every attention reason, because an operator has dealt with them.

    None when there are no attention reasons. Also None while an unknown outcome needs an operator, who has to settle
    the outcome with `resolve_unknown_outcome` instead.
    """
    attempt = delivery.active
    unknown = attempt is not None and attempt.state == AttemptState.SUBMIT_UNKNOWN
    if not delivery.attention_reasons or (
        unknown and not UNKNOWN_OUTCOME_REASONS.isdisjoint(delivery.attention_reasons)
    ):
        return None
    change = ChangeBuilder(delivery, terms, now, Cause.OPERATOR)
    change.update(replace(delivery, attention_reasons=()))
    return change.build()
