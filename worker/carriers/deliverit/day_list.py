"""The day list ("Get orders period"): match its rows with attempts, and return the observations of these attempts.

A row has no order id (D-51), so it is matched by its cancel token, then by our reference in its remarks, then by the
fingerprint that was stored at its first match (D-52). A row that matches no attempt may belong to another customer of
the company, and is not stored (D-61).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from zoneinfo import ZoneInfo

from worker.carriers.deliverit import attempt_state as state
from worker.carriers.deliverit.errors import unreadable
from worker.carriers.deliverit.observations import observe_row
from worker.carriers.deliverit.request import national_phone
from worker.carriers.deliverit.status import NO_ORDERS
from worker.carriers.deliverit.wire import RawAnswer, Row, decode_json, parse_row
from worker.carriers.port import AttemptView, Observation, Reading
from worker.errors import Unreadable
from worker.http.call import Call, Operation, Reply

SIMILAR_WITHIN = timedelta(minutes=10)
"""The longest time between our create and the creation time of a row without a reference that may be ours (D-61)."""

VANISHED = (Observation(status=None, raw=None, notes=("rows_vanished",)),)
"""The observation of an attempt whose row has disappeared from the list. It changes no status (D-54)."""


@dataclass(frozen=True, slots=True)
class Match:
    """The row of an attempt, and the refs of other live orders with the same reference."""

    row: Row
    duplicates: tuple[str, ...] = ()


class DayList:
    """The rows of one day, indexed by their identifiers. `complete` is false when any row was unreadable."""

    def __init__(self, rows: Sequence[Row] = (), *, complete: bool = True) -> None:
        self.rows, self.complete = rows, complete
        self._index: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            for key in _index_keys(row):
                self._index[key].append(row)

    def match(self, attempt: AttemptView) -> Match | None:
        """Return the row of an attempt, found by the most reliable identifier; None when no row matches."""
        with_reference = self._rows(f"attempt:{attempt.id}")
        row = self._by_cancel_token(attempt) or _oldest_live(with_reference) or self._by_fingerprint(attempt)
        return Match(row, _duplicates(row, with_reference, attempt)) if row else None

    def may_contain(self, attempt: AttemptView) -> bool:
        """Return whether any row may belong to this attempt, although `match` found no row that certainly does.

        If so, the list does not prove that the attempt is absent (D-61).
        """
        phone = national_phone(attempt.order, attempt.store)
        similar = (*self._rows(f"no_reference:{phone}"), *self._rows("no_reference:"))
        return bool(self._rows(f"other_attempt:{attempt.id}")) or any(_is_similar(row, attempt) for row in similar)

    def _by_cancel_token(self, attempt: AttemptView) -> Row | None:
        return next((row for token in state.cancel_tokens(attempt) for row in self._rows(f"token:{token}")), None)

    def _by_fingerprint(self, attempt: AttemptView) -> Row | None:
        fingerprint = attempt.codec_state.get(state.FINGERPRINT)
        rows = self._rows(f"fingerprint:{fingerprint}") if fingerprint else ()
        return rows[0] if len(rows) == 1 and rows[0].attempt_id is None else None

    def _rows(self, key: str) -> Sequence[Row]:
        return self._index.get(key, ())


def parse_day_list(reply: Reply, company: str, zone: ZoneInfo) -> DayList:
    """Return the rows of one day; a 404 with the documented message means an empty day (D-54). Raises Unreadable."""
    document = decode_json(reply.body)
    answer = RawAnswer.parse(document)
    if reply.status == HTTPStatus.NOT_FOUND and answer and answer.error:
        return _empty_day(answer.message or "")
    orders = document.get("orders") if isinstance(document, Mapping) else None
    # PHP writes a list whose keys have gaps as an object
    raw_rows = list(orders.values()) if isinstance(orders, Mapping) else orders
    if reply.status != HTTPStatus.OK or answer is None or answer.error is not False or not isinstance(raw_rows, list):
        raise unreadable(reply)
    rows = [parse_row(raw_row, company, zone) for raw_row in raw_rows]
    return DayList([row for row in rows if row], complete=None not in rows)


def read_day_list(call: Call, day: DayList, attempts: Sequence[AttemptView], now: datetime, zone: ZoneInfo) -> Reading:
    """Return what the list of one day shows of these attempts.

    An attempt is absent only if the call is a `find` for it, the list is complete, no row matches the attempt, and
    `DayList.may_contain` is false for it (D-60, D-61). An attempt whose row was on this list before and has disappeared
    is not absent; its observation is `VANISHED` (D-54).
    """
    drivers = {attempt.id: state.as_driver_order(attempt) for attempt in attempts}
    matches = {attempt_id: match for attempt_id, one in drivers.items() if (match := _match(day, one))}
    observed = {
        attempt.id: state.with_transferred_ref(
            attempt, observe_row(drivers[attempt.id], matches[attempt.id].row, call.context, now, zone)
        )
        for attempt in attempts
        if attempt.id in matches
    }
    missing = [attempt for attempt in attempts if attempt.id not in matches]
    vanished = {each.id: VANISHED for each in missing if each.codec_state.get(state.LISTED_ON) == call.context}
    return Reading(
        observations=observed | vanished,
        absent=_absent(call, day, [attempt for attempt in missing if attempt.id not in vanished]),
        duplicates={attempt_id: match.duplicates for attempt_id, match in matches.items() if match.duplicates},
    )


def _match(day: DayList, attempt: AttemptView) -> Match | None:
    """Return the row of an attempt; None when no row matches.

    If the first driver of a transferred order was cancelled, return the row of a second driver, if there is one.
    """
    match = day.match(attempt)
    if match is None or not match.row.content.cancel or not state.is_transferred(attempt):
        return match
    return day.match(replace(attempt, ref=None, codec_state={})) or match


def _absent(call: Call, day: DayList, missing: Sequence[AttemptView]) -> frozenset[int]:
    if call.operation is not Operation.FIND or not day.complete:
        return frozenset()
    return frozenset(one.id for one in missing if one.id in call.attempt_ids and not day.may_contain(one))


def _empty_day(message: str) -> DayList:
    if NO_ORDERS not in message.lower():
        raise Unreadable("status 404 with a message other than that of an empty day")
    return DayList()


def _index_keys(row: Row) -> tuple[str, ...]:
    owner = f"attempt:{row.attempt_id}" if row.attempt_id is not None else f"no_reference:{row.phone}"
    others = (f"other_attempt:{attempt_id}" for attempt_id in row.other_attempt_ids)
    return owner, f"token:{row.cancel_token}", f"fingerprint:{row.fingerprint}", *others


def _oldest_live(rows: Sequence[Row]) -> Row | None:
    """Return the oldest row that is not cancelled. If all rows are cancelled, return the oldest of them (D-60)."""
    return min(rows, key=_liveness_and_age, default=None)


def _liveness_and_age(row: Row) -> tuple[bool, bool, float]:
    created = row.created_at
    return bool(row.content.cancel), created is None, created.timestamp() if created else 0.0


def _duplicates(own: Row, with_reference: Sequence[Row], attempt: AttemptView) -> tuple[str, ...]:
    known = {own.cancel_token, *state.cancel_tokens(attempt)}
    others = (row for row in with_reference if row is not own and not row.content.cancel)
    refs = (
        row.cancel_token or state.placeholder_ref(attempt.reference)
        for row in others
        if row.cancel_token is None or row.cancel_token not in known
    )
    return tuple(dict.fromkeys(refs))


def _is_similar(row: Row, attempt: AttemptView) -> bool:
    postal_code = row.content.zip
    if postal_code is not None and postal_code.zfill(4) != attempt.order.dropoff.postal_code.strip().zfill(4):  # D-13
        return False
    created = row.created_at
    return created is None or abs(created - attempt.submitted_at) <= SIMILAR_WITHIN
