"""What should have happened by now and has not: told when its hour strikes, whatever else the delivery waits for."""

from datetime import datetime

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus, Reason
from worker.delivery import Change, Delivery, Step
from worker.lifecycle.edit import Edit, Rules
from worker.plan import Alarm, alarms


def ring(delivery: Delivery, rules: Rules, now: datetime) -> Change | None:
    """Give the alarms whose hour has struck; None when that is not what is to be done."""
    if delivery.step is not Step.ALARM:
        return None
    edit = Edit(delivery, rules, now, Cause.TIMER)
    for at, alarm in alarms(delivery):
        if at <= now and not edit.delivery.final:
            _give(edit, alarm)
    edit.set(alarmed_at=now)
    return edit.done()


def attended(delivery: Delivery, rules: Rules, now: datetime) -> Change | None:
    """Take that a person has seen to it; None when nobody was asked for, or for a doubt, which needs a ruling."""
    attempt = delivery.active
    if delivery.attention is None or (attempt is not None and attempt.parked):
        return None
    edit = Edit(delivery, rules, now, Cause.OPERATOR)
    edit.set(attention=None)
    return edit.done()


def _give(edit: Edit, alarm: Alarm) -> None:
    match alarm:
        case Alarm.STALLED:
            edit.tell(EventType.STALLED)
        case Alarm.GIVEN_UP:
            _give_up(edit)
        case _:
            edit.attend(alarm.value)


def _give_up(edit: Edit) -> None:
    """End a delivery that nobody was sent for: the food is cold."""
    for each in edit.delivery.attempts:
        if each.ended_at is None and not each.live:
            edit.put(each, state=DeliveryStatus.REJECTED.value, ended_at=edit.now, reason=Reason.DEADLINE_PASSED)
    edit.enter(DeliveryStatus.REJECTED, reason=Reason.DEADLINE_PASSED)
    edit.tell(EventType.DISPATCH_FAILED)
