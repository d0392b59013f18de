"""What should have happened by now and has not: told when its hour strikes, whatever else the delivery waits for."""

from datetime import datetime

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus, Reason
from worker.domain.delivery import Change, Delivery, Step
from worker.domain.lifecycle.change import OPEN_QUESTIONS, ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.routing import reject
from worker.domain.planner import Alarm, alarms


def fire_alarms(delivery: Delivery, rules: TermsByAccount, now: datetime) -> Change | None:
    """Give the alarms whose hour has struck; None when that is not what is to be done."""
    if delivery.step is not Step.ALARM:
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.TIMER)
    for at, alarm in alarms(delivery):
        if at <= now and not edit.delivery.final:
            _give(edit, alarm)
    edit.update(alarmed_at=now)
    return edit.build()


def resolve_attention(delivery: Delivery, rules: TermsByAccount, now: datetime) -> Change | None:
    """Take that a person has seen to it; None when nobody was asked for, or for a doubt, which needs a ruling."""
    attempt = delivery.active
    in_doubt = attempt is not None and attempt.state == DeliveryStatus.SUBMIT_UNKNOWN
    if delivery.attention is None or (in_doubt and not OPEN_QUESTIONS.isdisjoint(delivery.asks)):
        return None
    edit = ChangeBuilder(delivery, rules, now, Cause.OPERATOR)
    edit.update(attention=None)
    return edit.build()


def _give(edit: ChangeBuilder, alarm: Alarm) -> None:
    match alarm:
        case Alarm.STALLED:
            edit.add_event(EventType.STALLED)
        case Alarm.GIVEN_UP:
            # The food is cold.
            reject(edit, Reason.DEADLINE_PASSED)
        case _:
            edit.request_attention(alarm.value)
