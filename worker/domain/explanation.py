"""Decide the stored inputs of a delivery again, and compare with what was decided. Pure.

A difference is reported only if it is certain. What depended on a state that is not stored is decided for every state
in which the delivery may have been, or is marked as undecided.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from schemas.events import EventType
from schemas.status import FINAL, Cause, DeliveryStatus
from schemas.stores import Store
from worker.domain import schedule
from worker.domain.carrier_terms import CarrierTerms, TermsByAccount
from worker.domain.delivery import Attempt, Delivery, Step
from worker.domain.planner import PlannedStep, alarms, plan, possible_steps

CLOCKS_APART = timedelta(seconds=5)
"""How far the clocks of two hosts may be apart."""
MOST_TIMES = 25
"""At how many times an order is checked again, from its arrival to its create."""


class Input(StrEnum):
    """What was decided again. At the same time, findings are in this order."""

    CARRIER = "carrier"
    CALL = "call"
    CALLBACK = "callback"
    STATUS = "status"
    STEP = "step"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Finding:
    """One stored input, with the earlier decision and today's. The texts contain no customer data."""

    at: datetime
    input: Input
    subject: str
    then: str
    today: str | None
    """None if the input cannot be decided again; then `note` says why."""
    differs: bool = False
    note: str | None = None


def undecided(at: datetime, kind: Input, subject: str, then: str, why: str) -> Finding:
    """Return the finding of an input that cannot be decided again."""
    return Finding(at, kind, subject, then, None, note=why)


# --- statuses of published events -------------------------------------------------------------------------------------

_WITH_ITS_STATUS = frozenset({EventType.STATUS_CHANGED, EventType.UPDATED, EventType.REOPENED})
"""The events whose status was derived from their `raw`."""
_MAY_BE_CANCELLED = FINAL | {DeliveryStatus.COURIER_WITHDRAWN}
"""The statuses of an attempt with which a delivery may end as cancelled, if a cancel was requested."""
Possible = frozenset[DeliveryStatus | None]
"""The statuses that a carrier's status may get, depending on the attempt. None means no status."""


def decide_status_again(kind: str, data: Mapping[str, Any], possible: Possible) -> tuple[str, str, bool] | None:
    """Decide the carrier's status of a published event again.

    Return what was decided, what is possible today, and whether they differ. None if the event shows no decision about
    a carrier's status.
    """
    today = " or ".join(sorted(each or "unmapped" for each in possible))
    status = DeliveryStatus(data["status"])
    if kind == EventType.STATUS_UNRECOGNIZED:
        return "unmapped", today, None not in possible
    if kind == EventType.ATTEMPT_ENDED:
        return "an end of the attempt", today, possible.isdisjoint(_MAY_BE_CANCELLED)
    answered = kind == EventType.UPDATED and data["cause"] == Cause.RESPONSE  # the answer may be older than the status
    if kind not in _WITH_ITS_STATUS or answered:
        return None
    # Any report of an order shows that the order was created.
    fits = status in possible or status is DeliveryStatus.CREATED
    cancelled = status is DeliveryStatus.CANCELLED and not possible.isdisjoint(_MAY_BE_CANCELLED)
    return status.value, today, not (fits or cancelled)


# --- the choice of the carrier ----------------------------------------------------------------------------------------


def choose_again(delivery: Delivery, terms: TermsByAccount, now: datetime, *, fell_back: bool) -> list[Finding]:
    """Check for each carrier of the delivery's list whether it can take the order, and compare with the attempts.

    `fell_back` is whether the delivery moved to another carrier before its first create, because one was unavailable.
    """
    store = delivery.store
    if store is None:
        return [undecided(delivery.created_at, Input.CARRIER, "carriers", "none was chosen", "the store is not known")]
    wanted = list(dict.fromkeys(delivery.order.carriers or store.carriers))
    sent = [each for each in delivery.attempts if each.sent_fingerprint is not None]
    asked = {name: [each for each in sent if each.carrier == name] for name in wanted}
    refusals = {name: _refusals(delivery, store, terms.get(name), asked[name] or sent, now) for name in wanted}
    able = [name for name in wanted if not all(refusals[name])]
    first = wanted.index(sent[0].carrier) if sent and sent[0].carrier in wanted else 0
    why = _why_incomparable(delivery, sent, wanted)
    return [
        Finding(
            asked[name][0].submitted_at if asked[name] else delivery.created_at,
            Input.CARRIER,
            name,
            _asked(asked[name]),
            f"choice {able.index(name) + 1}" if name in able else refusals[name][0],
            why is None and _differs(refusals[name], asked=bool(asked[name]), skipped=place < first and not fell_back),
            why,
        )
        for place, name in enumerate(wanted)
    ]


def _asked(attempts: Sequence[Attempt]) -> str:
    return f"asked (attempt {', '.join(str(each.number) for each in attempts)})" if attempts else "not asked"


def _differs(refusals: Sequence[str | None], *, asked: bool, skipped: bool) -> bool:
    """Return whether the choice differs; `skipped` means that a later carrier was asked first."""
    return all(refusals) if asked else skipped and not any(refusals)


def _why_incomparable(delivery: Delivery, sent: Sequence[Attempt], wanted: Sequence[str]) -> str | None:
    if not sent:
        return "no carrier was asked yet"
    if delivery.retried_after_attempt or delivery.store_changed or any(each.carrier not in wanted for each in sent):
        return "the list of carriers may have changed since"
    if any(each.sent_fingerprint != delivery.fingerprint for each in sent):
        return "the order has changed since it was sent"
    return None


def _refusals(
    delivery: Delivery, store: Store, terms: CarrierTerms | None, sent: Sequence[Attempt], now: datetime
) -> list[str | None]:
    """Return why a carrier cannot take the order, or None, at the times at which it may have been chosen."""
    if terms is None:
        return ["no account has this name"]
    since, until = delivery.created_at, max((each.submitted_at for each in sent), default=now)
    gap = max(until - since, timedelta()) / (MOST_TIMES - 1)
    times = dict.fromkeys(max(since + gap * number, delivery.dispatch_at or since) for number in range(MOST_TIMES))
    found = (terms.refuses(delivery.order, store, at) for at in times)
    return [f"cannot take the order: {each}" if each else None for each in found]


# --- the next step and the next alarm ---------------------------------------------------------------------------------


def plan_again(delivery: Delivery, terms: TermsByAccount, now: datetime) -> list[Finding]:
    """Plan the next step and the next alarm again."""
    return [_step(delivery, terms, now), _alarm(delivery)]


def _step(delivery: Delivery, terms: TermsByAccount, now: datetime) -> Finding:
    """Plan at each time at which the stored step may have been planned. Between these times, plans change steadily.

    The time of a due step is not compared, because the step may have become due early, for example when its account
    was resumed. For the same reason, any step that the planner could choose is accepted then.
    """
    stored, stored_at = (delivery.step, delivery.step_attempt_id), delivery.next_run_at
    times = _times_of_planning(delivery, terms, now)
    planned = [plan(delivery, terms, at) for at in times]
    due = stored_at is not None and stored_at <= now
    able = [each for at in times for each in possible_steps(delivery, terms, at)] if due else planned
    same = [each for each in able if _key(each) == stored]
    late = stored_at is not None and not due and same and not _spans(same, stored_at)
    return Finding(
        stored_at or delivery.changed_at,
        Input.STEP,
        "next step",
        _worded(delivery, *stored, stored_at),
        _today(delivery, planned),
        bool(not same or late),
    )


def _key(planned: PlannedStep | None) -> tuple[Step | None, int | None]:
    return (planned.step, planned.attempt) if planned else (None, None)


def _spans(steps: Iterable[PlannedStep | None], at: datetime) -> bool:
    found = [each.at for each in steps if each]
    return min(found) <= at <= max(found)


def _times_of_planning(delivery: Delivery, terms: TermsByAccount, now: datetime) -> list[datetime]:
    """Return the first and the last time at which the stored step may have been planned, and the breaks between them.

    At a break, the interval between reads changes, or a withdrawn courier counts as gone.
    """
    attempts = delivery.attempts
    changes = [delivery.created_at, delivery.changed_at, delivery.last_event_at, delivery.alarmed_at]
    changes += [
        at for each in attempts for at in (each.submitted_at, each.changed_at, each.last_report_at, each.shown_at)
    ]
    first = max(filter(None, changes)) - CLOCKS_APART
    breaks = [at for each in attempts for at in _breaks(each, terms.get(each.carrier))]
    instant = timedelta(microseconds=1)
    inner = [at + shift for at in breaks for shift in (-instant, timedelta(), instant)]
    return sorted({min(first, now), now, *(at for at in inner if first < at < now)})


def _breaks(attempt: Attempt, terms: CarrierTerms | None) -> Iterator[datetime]:
    yield attempt.pickup_at - schedule.FAR
    yield attempt.submitted_at + schedule.YOUNG
    yield attempt.changed_at + schedule.YOUNG
    yield attempt.changed_at + schedule.QUIET
    yield attempt.changed_at + timedelta(seconds=(terms.capabilities.withdrawal_grace if terms else None) or 0)


def _today(delivery: Delivery, planned: Sequence[PlannedStep | None]) -> str:
    """Return the step that is planned at the last time, and the earliest and latest time that it may have."""
    last = planned[-1]
    if last is None:
        return _worded(delivery, None, None, None)
    same = [each.at for each in planned if each and _key(each) == _key(last)]
    text = _worded(delivery, last.step, last.attempt, min(same))
    return text if min(same) == max(same) else f"{text} to {max(same):%H:%M:%SZ}"


def _worded(delivery: Delivery, step: Step | None, attempt_id: int | None, at: datetime | None) -> str:
    if step is None or at is None:
        return "nothing is left to do"
    attempt = None if attempt_id is None else delivery.attempt(attempt_id)
    about = f" (attempt {attempt.number})" if attempt else ""
    return f"{step.value}{about} at {at:%Y-%m-%dT%H:%M:%SZ}"


def _alarm(delivery: Delivery) -> Finding:
    today = next((at for at, _ in alarms(delivery)), None)
    names = ", ".join(alarm.value for at, alarm in alarms(delivery) if at == today)
    then = f"{delivery.alarm_at:%Y-%m-%dT%H:%M:%SZ}" if delivery.alarm_at else "none"
    found = f"{today:%Y-%m-%dT%H:%M:%SZ} ({names})" if today else "none"
    at = delivery.alarm_at or today or delivery.changed_at
    return Finding(at, Input.ALARM, "next alarm", then, found, today != delivery.alarm_at)
