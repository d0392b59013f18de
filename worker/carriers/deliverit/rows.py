"""Whose row is whose: the day list has no order ids, so rows are told apart by other marks (D-51, D-52).

In this order: the cancel token, our tag in the remarks, a fingerprint taken at the first sighting. Every other row is
some other customer of the company and is forgotten at once (D-61).
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from zoneinfo import ZoneInfo

from worker.carriers.deliverit.links import is_token, read_link, stand_in
from worker.carriers.deliverit.replies import unread
from worker.carriers.deliverit.request import national_phone
from worker.carriers.deliverit.status import NOTHING_FOUND
from worker.carriers.deliverit.wire import RawAnswer, RawRow, RawWhen, decode
from worker.carriers.port import AttemptView, attempt_id_of
from worker.errors import Unreadable
from worker.http.call import Reply

TAG = re.compile(r"#([0-9A-Za-z]{11})(?![0-9A-Za-z])")
LOOKALIKE_SPAN = timedelta(minutes=10)
"""How far from our create an untagged row of the same customer may be and still be suspected to be ours."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A row with its marks read: the first tag says whose it is, and of the others we cannot be sure."""

    row: RawRow
    token: str | None
    attempt_id: int | None
    created_at: datetime | None
    telephone: str
    mentioned: tuple[int, ...] = ()

    @property
    def fingerprint(self) -> str | None:
        """Digest what never changes about a row; it outlives the cancel link (D-52) and tells nobody's name."""
        if self.created_at is None or not self.telephone:
            return None
        street = "".join((self.row.address or "").lower().split())
        marks = f"{self.created_at.isoformat()}|{self.telephone}|{street}"
        return hashlib.sha256(marks.encode()).hexdigest()[:32]

    @property
    def marks(self) -> tuple[str, ...]:
        """Name everything this row can be found by."""
        tagged = f"tag:{self.attempt_id}" if self.attempt_id is not None else f"untagged:{self.telephone}"
        mentioned = (f"mentioned:{attempt_id}" for attempt_id in self.mentioned)
        return tagged, f"token:{self.token}", f"fingerprint:{self.fingerprint}", *mentioned


@dataclass(frozen=True, slots=True)
class Found:
    """What one day says about one attempt: its row, and tokens of further orders that carry the same tag."""

    sighting: Sighting
    extras: tuple[str, ...] = ()


class DayList:
    """One day's rows, found by their marks. `whole` is false when some row could not be read at all."""

    def __init__(self, sightings: Sequence[Sighting] = (), *, whole: bool = True) -> None:
        self.whole = whole
        self._marked: defaultdict[str, list[Sighting]] = defaultdict(list)
        for sighting in sightings:
            for mark in sighting.marks:
                self._marked[mark].append(sighting)

    def find(self, attempt: AttemptView) -> Found | None:
        """Find an attempt's row by its marks, the surest first."""
        tagged = self._rows(f"tag:{attempt.id}")
        sighting = self._by_known_token(attempt) or _likeliest(tagged) or self._by_known_fingerprint(attempt)
        if sighting is None:
            return None
        return Found(sighting, _extras(sighting, tagged, attempt))

    def may_hold(self, attempt: AttemptView) -> bool:
        """Tell whether some row may be this attempt's after all: never adopted, but no proof of absence (D-61)."""
        telephone = national_phone(attempt.order, attempt.store)
        suspects = (*self._rows(f"untagged:{telephone}"), *self._rows("untagged:"))
        return bool(self._rows(f"mentioned:{attempt.id}")) or any(_looks_like(one, attempt) for one in suspects)

    def _by_known_token(self, attempt: AttemptView) -> Sighting | None:
        return next((row for token in known_tokens(attempt) for row in self._rows(f"token:{token}")), None)

    def _by_known_fingerprint(self, attempt: AttemptView) -> Sighting | None:
        known = attempt.codec_state.get("fingerprint")
        rows = self._rows(f"fingerprint:{known}") if known else ()
        return rows[0] if len(rows) == 1 and rows[0].attempt_id is None else None

    def _rows(self, mark: str) -> Sequence[Sighting]:
        return self._marked.get(mark, ())


def read_day(reply: Reply, company: str, zone: ZoneInfo) -> DayList:
    """Read a day list; 404 with its documented text is an empty day (D-54). Raises Unreadable."""
    raw = decode(reply.body)
    answer = RawAnswer.read(raw)
    if reply.status == HTTPStatus.NOT_FOUND and answer and answer.error:
        return _empty_day(answer.message or "")
    raw_rows = raw.get("orders") if isinstance(raw, Mapping) else None
    # PHP writes a list whose keys have gaps as an object
    raw_list = list(raw_rows.values()) if isinstance(raw_rows, Mapping) else raw_rows
    if reply.status != HTTPStatus.OK or answer is None or answer.error is not False or not isinstance(raw_list, list):
        raise unread(reply)
    rows = [RawRow.read(raw_row) for raw_row in raw_list]
    return DayList(tuple(_sight(row, company, zone) for row in rows if row), whole=None not in rows)


def known_tokens(attempt: AttemptView) -> list[str]:
    """List every cancel token this attempt ever had, the newest first (D-32)."""
    older = attempt.codec_state.get("cancel_history", "").split()
    newest = (attempt.ref, attempt.codec_state.get("cancel"))
    return [token for token in (*newest, *reversed(older)) if token and is_token(token)]


def remember_token(attempt: AttemptView, token: str | None) -> dict[str, str]:
    """Write down a cancel token; what was known before stays known, because a row may still show it (D-32)."""
    known = known_tokens(attempt)
    if token is None or token in known:
        return {}
    return {"cancel": token, "cancel_history": " ".join(dict.fromkeys(reversed(known)))}


def _empty_day(message: str) -> DayList:
    if NOTHING_FOUND not in message.lower():
        raise Unreadable("status 404 that does not say that the day is empty")
    return DayList()


def _sight(row: RawRow, company: str, zone: ZoneInfo) -> Sighting:
    link = read_link(row.cancel_url, "cancel", company)
    created_at = (row.created_at or RawWhen()).instant(zone)
    digits = "".join(letter for letter in row.telephone or "" if letter in "0123456789")
    first, *others = _tags(row.remarks or "") or (None,)
    return Sighting(row, link.token if link else None, first, created_at, digits[-8:], tuple(filter(None, others)))


def _tags(remarks: str) -> tuple[int, ...]:
    found = (attempt_id_of(tag.upper()) for tag in TAG.findall(remarks))
    return tuple(dict.fromkeys(attempt_id for attempt_id in found if attempt_id is not None))


def _likeliest(tagged: Sequence[Sighting]) -> Sighting | None:
    """Choose among rows with one tag: the oldest that still stands (D-60)."""
    return min(tagged, key=_standing_and_age, default=None)


def _standing_and_age(sighting: Sighting) -> tuple[bool, bool, float]:
    made = sighting.created_at
    return bool(sighting.row.cancel), made is None, made.timestamp() if made else 0.0


def _extras(own: Sighting, tagged: Sequence[Sighting], attempt: AttemptView) -> tuple[str, ...]:
    mine = {own.token, *known_tokens(attempt)}
    others = (one for one in tagged if one is not own and not one.row.cancel)
    tokens = (one.token or stand_in(attempt.reference) for one in others if one.token is None or one.token not in mine)
    return tuple(dict.fromkeys(tokens))


def _looks_like(sighting: Sighting, attempt: AttemptView) -> bool:
    code = sighting.row.zip
    if code is not None and code.zfill(4) != attempt.order.dropoff.postal_code.strip().zfill(4):  # D-13
        return False
    made = sighting.created_at
    return made is None or abs(made - attempt.submitted_at) <= LOOKALIKE_SPAN
