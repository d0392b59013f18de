"""Which day lists may show an attempt, and what one of them says about all that it was asked for."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from worker.carriers.deliverit.progress import latest_pickup_of, observe, pickup_of, vanished
from worker.carriers.deliverit.rows import DayList, Found
from worker.carriers.deliverit.times import local_day
from worker.carriers.deliverit.transfer import driver_of, is_transferred, renamed
from worker.carriers.port import AttemptView, Reading
from worker.http.call import Call, Operation

MIDNIGHT_SLACK = timedelta(minutes=5)
"""How long before or after our own time their day list may date a create (D-53)."""


def by_day(attempts: Sequence[AttemptView], now: datetime, zone: ZoneInfo) -> dict[date, list[int]]:
    """List the days to ask for, in order, with the attempts that each may show."""
    covers = defaultdict(list)
    for attempt in attempts:
        for day in _days(attempt, now, zone):
            covers[day].append(attempt.id)
    return dict(sorted(covers.items()))


def read_list(call: Call, day: DayList, attempts: Sequence[AttemptView], now: datetime, zone: ZoneInfo) -> Reading:
    """Say what one day shows of these attempts.

    `absent` is said of a `find` only, and only of attempts the call covers, that were never seen on that day and
    that no untagged row looks like, in a list that could be read whole.
    """
    drivers = {attempt.id: driver_of(attempt) for attempt in attempts}
    rows = {attempt_id: row for attempt_id, one in drivers.items() if (row := _row(day, one))}
    gone = {attempt.id: vanished() for attempt in attempts if _is_gone(attempt, rows, call.context)}
    seen = {
        attempt.id: renamed(attempt, observe(drivers[attempt.id], rows[attempt.id].sighting, call.context, now, zone))
        for attempt in attempts
        if attempt.id in rows
    }
    return Reading(
        observations=seen | gone,
        absent=_absent(call, day, [attempt for attempt in attempts if attempt.id not in seen | gone]),
        duplicates={attempt_id: row.extras for attempt_id, row in rows.items() if row.extras},
    )


def _row(day: DayList, attempt: AttemptView) -> Found | None:
    """Find an attempt's row. Whoever books by hand may cancel a driver and book another: the one who stands counts."""
    found = day.find(attempt)
    if found is None or not found.sighting.row.cancel or not is_transferred(attempt):
        return found
    return day.find(replace(attempt, ref=None, codec_state={}))


def _days(attempt: AttemptView, now: datetime, zone: ZoneInfo) -> set[date]:
    """List the days that may show an attempt: nobody says whether creation or pickup files it (D-53).

    A driver who was booked by hand may be filed under any day between the two: the one he was seen on counts too.
    """
    made = attempt.submitted_at
    moments = (made - MIDNIGHT_SLACK, made + MIDNIGHT_SLACK, attempt.pickup_at, pickup_of(attempt), now)
    known = {date.fromisoformat(attempt.codec_state["day"])} if "day" in attempt.codec_state else set()
    return known | {local_day(moment, zone) for moment in (*moments, latest_pickup_of(attempt))}


def _is_gone(attempt: AttemptView, rows: Mapping[int, Found], day: str) -> bool:
    return attempt.id not in rows and attempt.codec_state.get("day") == day


def _absent(call: Call, day: DayList, missing: Sequence[AttemptView]) -> frozenset[int]:
    """Say who is certainly not in a day: only of a look-up, and only when every row could be read (D-60, D-61)."""
    if call.operation is not Operation.FIND or not day.whole:
        return frozenset()
    return frozenset(one.id for one in missing if one.id in call.attempt_ids and not day.may_hold(one))
