"""The status history of an order: the time of each entry, and the entries that are new since the last read (C-37).

The codec keeps a `TrackingState` for each attempt. No entry counts as new in a history that was rewritten or
is out of order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

from worker.carriers.cervo.status import CODES_AFTER_PICKUP, rank_of

HISTORY, LAST_CODE, GOODS_COLLECTED = "history", "last_code", "goods_collected"
"""The keys of a tracking state in an attempt's codec state."""

UNREADABLE = "?"
"""The recorded code of an entry that cannot be read."""

SHORTEST_DATE = len("2023-04-29 10:44")
CLOCK_TOLERANCE = timedelta(minutes=2)

HISTORY_REWRITTEN = "history_rewritten"
HISTORY_UNORDERED = "history_unordered"
TIME_AHEAD = "time_ahead"
TIME_UNREADABLE = "time_unreadable"


@dataclass(frozen=True, slots=True)
class EventTime:
    """The time of an entry, if it is known, and the zone, if one had to be assumed (C-37)."""

    at: datetime | None = None
    assumed_zone: str | None = None
    notes: tuple[str, ...] = ()


UNKNOWN_TIME = EventTime()


def parse_time(text: str | None, zone: str, now: datetime) -> EventTime:
    """Parse a `Date`; a text without a zone is in the account's zone (C-37, X-01).

    An unreadable or future `Date` gives an EventTime with a note and without a time.
    """
    if text is None or len(text) < SHORTEST_DATE:
        return EventTime(notes=(TIME_UNREADABLE,))
    try:
        time = datetime.fromisoformat(text)
        instants = _instants(time, ZoneInfo(zone))
    except (ValueError, OverflowError):
        return EventTime(notes=(TIME_UNREADABLE,))
    past = [instant for instant in instants if instant <= now + CLOCK_TOLERANCE]
    if not past:
        return EventTime(notes=(TIME_AHEAD,))
    return EventTime(max(past), None if time.tzinfo else zone)


def _instants(time: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return every instant that a local time can mean.

    When the clock goes back, one hour occurs twice, and a time in that hour means two instants. The caller uses the
    latest instant that has passed. With the first instant, an event of the second hour would look older than an event
    of the first hour, and would be ignored.
    """
    if time.tzinfo:
        return [time.astimezone(UTC)]
    return [time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]


def are_in_order(times: Sequence[EventTime]) -> bool:
    """Return whether the known times never decrease."""
    return all(earlier <= later for earlier, later in pairwise(time.at for time in times if time.at))


@dataclass(frozen=True, slots=True)
class TrackingState:
    """What the codec has already returned in observations of an attempt."""

    history: tuple[str, ...] = ()
    """The codes of the history entries that earlier reads contained, oldest first."""
    last_code: str | None = None
    """The code of the last observation. The history may not contain this code yet (C-38)."""
    goods_collected: bool = False

    @classmethod
    def load(cls, codec_state: Mapping[str, str]) -> "TrackingState":
        """Return the tracking state that an attempt's `codec_state` contains."""
        history = tuple(codec_state[HISTORY].split(",")) if codec_state.get(HISTORY) else ()
        return cls(history, codec_state.get(LAST_CODE) or None, GOODS_COLLECTED in codec_state)

    def dump(self) -> dict[str, str]:
        """Return the entries of this state for `codec_state`.

        Every observation gets the whole state, because the observations of one read are merged one by one.
        """
        values = {
            HISTORY: ",".join(self.history),
            LAST_CODE: self.last_code or "",
            GOODS_COLLECTED: "1" if self.goods_collected else "",
        }
        return {key: value for key, value in values.items() if value}

    def after(self, code: str, history: tuple[str, ...], *, collected: bool) -> "TrackingState":
        """Return the state after an observation of `code`; `history` contains the entries up to that observation."""
        return TrackingState(history, code, self.goods_collected or collected or code in CODES_AFTER_PICKUP)

    @property
    def early_code(self) -> str | None:
        """The code that `Status` showed before the history did; None if the history has caught up (C-38)."""
        return None if self.history[-1:] == (self.last_code,) else self.last_code


def recordable(code: str) -> str:
    """Replace the commas in a code, because commas separate the recorded codes."""
    return code.replace(",", ";")


@dataclass(frozen=True, slots=True)
class NewEntries:
    """The positions of the new entries, the history to store, and notes on anything unusual in that history."""

    positions: range
    history: tuple[str, ...]
    notes: tuple[str, ...] = ()


def new_entries(codes: tuple[str, ...], state: TrackingState, *, in_order: bool) -> NewEntries:
    """Return the entries that are new since the last read; none if the history is out of order or was rewritten."""
    reported = len(state.history)
    if codes == state.history[: len(codes)]:
        return NewEntries(range(0), state.history)
    if not in_order:
        return NewEntries(range(0), codes, (HISTORY_UNORDERED,))
    if codes[:reported] != state.history:
        return NewEntries(range(0), codes, (HISTORY_REWRITTEN,))
    return NewEntries(range(reported + _late_entries(codes[reported:], state.early_code), len(codes)), codes)


def _late_entries(codes: Sequence[str], early_code: str | None) -> int:
    """Return how many of the first codes are not new, because `Status` already showed `early_code` (C-38).

    Codes of a lower rank than `early_code` are not new, and neither is `early_code` itself. The count stops after
    `early_code`, or before the first code whose rank is not lower. Without an `early_code`, all codes are new.
    """
    if early_code is None:
        return 0
    earlier = sum(1 for _ in takewhile(lambda code: _precedes(code, early_code), codes))
    return earlier + (tuple(codes[earlier : earlier + 1]) == (early_code,))


def _precedes(code: str, other: str) -> bool:
    rank, other_rank = rank_of(code), rank_of(other)
    return rank is not None and other_rank is not None and rank < other_rank
