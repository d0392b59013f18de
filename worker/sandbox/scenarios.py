"""The scripted scenarios of orders: for each carrier, the statuses that an order passes through.

The status of an order depends only on the time since its scenario started, unless a request to an API or to a
control endpoint changes it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

Script = tuple[str, ...]
"""Statuses in order, each lasting one step."""

_MARKER = re.compile(r"sandbox:(?:([a-z]+)=)?([a-z_]+)")


def _script(*parts: str) -> Script:
    return tuple(" ".join(parts).split())


CERVO: Mapping[str, Script] = {
    "happy": _script("1 2 3 4"),
    "courier_withdraws": _script("1 2 5 2 3 4"),
    "withdrawn_for_good": _script("1 2 5"),
    "returned": _script("1 2 3 0"),
    "cancelled": _script("1 2 0"),
    "unknown_word": _script("1 2 3 6"),
}

_ASSIGNED = "available/planned active/courier_assigned"
_TO_PICKUP = "active/courier_departed active/courier_at_pickup active/parcel_picked_up"
_TO_DOOR = f"{_TO_PICKUP} active/active active/courier_arrived"

BORZO: Mapping[str, Script] = {
    "happy": _script(_ASSIGNED, _TO_DOOR, "completed/finished"),
    "courier_withdraws": _script(
        _ASSIGNED, "reactivated/planned active/courier_assigned", _TO_DOOR, "completed/finished"
    ),
    "withdrawn_for_good": _script(_ASSIGNED, "reactivated/planned"),
    "returned": _script(
        _ASSIGNED,
        _TO_DOOR,
        "active/return_planned active/return_courier_assigned active/return_courier_departed",
        "active/return_courier_picked_up completed/return_finished",
    ),
    "reattempt": _script(
        _ASSIGNED,
        _TO_DOOR,
        "active/reattempt_planned active/reattempt_courier_assigned active/reattempt_courier_departed",
        "active/reattempt_courier_picked_up completed/reattempt_finished",
    ),
    "cancelled": _script(_ASSIGNED, "canceled/canceled"),
    "unknown_word": _script(_ASSIGNED, _TO_PICKUP, "active/left_in_locker"),
    "delayed": _script(_ASSIGNED, "delayed/delayed active/courier_assigned", _TO_DOOR, "completed/finished"),
    "verified": _script("new/planned", _ASSIGNED, _TO_DOOR, "completed/finished"),
}
"""Each status is ORDER/DELIVERY: the status of the order and the status of its deliveries."""

DELIVERIT: Mapping[str, Script] = {
    "happy": _script("booked driverArrive driverLeft arriveAtCustomer done"),
    "returned": _script("booked driverArrive driverLeft cancelled"),
    "cancelled": _script("booked driverArrive cancelled"),
    "weak_done": _script("booked done"),
}

REFUSED = ("closed", "refused")
"""Scripts for which the create is answered with an error."""

OFFER_DELAYS: Mapping[str, timedelta] = {"offered": timedelta(minutes=10), "offered_late": timedelta(minutes=40)}
"""Scripts for which DeliverIt offers a later pickup time, and how much later it is."""

SCRIPT_NAMES = tuple(dict.fromkeys([*CERVO, *BORZO, *DELIVERIT, *OFFER_DELAYS, *REFUSED, "booked"]))


def find_script(carrier: str, *texts: object) -> str:
    """Return the script requested in the texts by `sandbox:SCRIPT` or `sandbox:CARRIER=SCRIPT`; by default `happy`."""
    found = _MARKER.findall(" ".join(str(text) for text in texts if text))
    return next((name for only, name in found if only in {"", carrier} and name in SCRIPT_NAMES), "happy")


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A status and the time when it began."""

    status: str
    at: datetime


@dataclass(slots=True)
class Scenario:
    """The statuses of one order: `past` is fixed; those in `upcoming` begin one `step` apart, from `since` on."""

    upcoming: Script
    since: datetime
    step: timedelta
    past: tuple[StatusChange, ...] = ()

    def history(self, now: datetime) -> tuple[StatusChange, ...]:
        """Return the statuses reached by `now`, oldest first; the first status is always included."""
        past = tuple(change for change in self.past if change.at <= now) or self.past[:1]
        reached = enumerate(self.upcoming[: self._count_reached(now)])
        return past + tuple(StatusChange(status, self.since + index * self.step) for index, status in reached)

    def status(self, now: datetime) -> str:
        """Return the status at `now`."""
        reached = self._count_reached(now)
        return self.upcoming[reached - 1] if reached else self.history(now)[-1].status

    def next_change(self, now: datetime) -> datetime | None:
        """Return when the next status begins, or None after the last one."""
        reached = self._count_reached(now)
        return self.since + reached * self.step if reached < len(self.upcoming) else None

    def hold(self, now: datetime, status: str) -> None:
        """Set `status` and stop the script."""
        self.past, self.upcoming = (*self.history(now), StatusChange(status, now)), ()

    def insert(self, now: datetime, status: str, followed_by: Script = ()) -> None:
        """Set `status` now, run the statuses `followed_by`, and then continue the script.

        If `followed_by` is empty, the script's further statuses keep their times. Otherwise they begin later, after the
        inserted statuses.
        """
        resumed_at = None if followed_by else self.next_change(now)
        self.past, self.upcoming = (
            (*self.history(now), StatusChange(status, now)),
            (*followed_by, *self.upcoming[self._count_reached(now) :]),
        )
        self.since = resumed_at or now + self.step

    def restart(self, now: datetime, script: Script, step: timedelta) -> None:
        """End the script and start another one now, with `step` between its statuses."""
        self.past, self.upcoming, self.since, self.step = self.history(now), script, now, step

    def advance(self, now: datetime) -> None:
        """Begin the next status of the script now."""
        self.restart(now, self.upcoming[self._count_reached(now) :], self.step)

    def _count_reached(self, now: datetime) -> int:
        if now < self.since:
            return 0 if self.past else 1
        steps = int((now - self.since) / self.step) if self.step else len(self.upcoming)
        return min(len(self.upcoming), steps + 1)


def start(scripts: Mapping[str, Script], name: str, now: datetime, step: float) -> Scenario:
    """Return a new scenario of the named script, or of `happy` when the carrier has no such script."""
    return Scenario(scripts.get(name, scripts["happy"]), now, timedelta(seconds=step))
