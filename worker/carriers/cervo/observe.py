"""What an order or a callback of Cervo's tells about an attempt, as observations, oldest first."""

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from schemas.status import FINAL, RANK, DeliveryStatus
from worker.carriers.cervo.booking import printed_number
from worker.carriers.cervo.details import UNTOLD, Moment, courier, moment, tracking_url
from worker.carriers.cervo.history import UNREADABLE, Memory, News, news, recall, refs_of
from worker.carriers.cervo.status import COURIER_GONE, STATUS_OF_WORD, goods_gone, verdict
from worker.carriers.cervo.wire import MAX_TEXT, RawCallback, RawView, one_line
from worker.carriers.port import AttemptView, Observation, Raw
from worker.http.redaction import redact_all

GIVEN_UP = frozenset({DeliveryStatus.CANCELLED, DeliveryStatus.COURIER_WITHDRAWN})
WHY = "why"
"""Marks in an attempt's memory why it was cancelled."""
ENTITY = "order"
"""Poll, history and callback use the same words for the same thing, so they share one name."""

DISAGREES = "history_disagrees"
ENTRY_UNREADABLE = "history_entry_unreadable"
TRACKING_REFUSED = "tracking_refused"


@dataclass(frozen=True, slots=True)
class _Look:
    """One answer to GET /order beside what we remember; `status` is the top-level word that wins (C-38)."""

    view: RawView
    status: str
    attempt: AttemptView
    memory: Memory
    words: tuple[str, ...]
    moments: tuple[Moment, ...]

    @property
    def agrees(self) -> bool:
        """Whether the history ends with the top-level word, so that both are one piece of news."""
        return self.words[-1:] == (_plain(self.status),)


def of_view(view: RawView, status: str, attempt: AttemptView, zone: str, now: datetime) -> tuple[Observation, ...]:
    """Tell each new entry of the history, then `Status`, which wins over them (C-37, C-38)."""
    words = tuple(_plain(entry.word or UNREADABLE) for entry in view.history)
    moments = tuple(moment(entry.date, zone, now) for entry in view.history)
    look = _Look(view, status, attempt, recall(attempt.codec_state), words, moments)
    found = news(words, look.memory, ordered=_ordered(moments))
    past = (_past(look, position) for position in found.positions if _is_past(look, position))
    return *(one for one in past if _stands(one, status)), _present(look, found)


def of_callback(raw: RawCallback, attempt: AttemptView) -> tuple[Observation, ...]:
    """Tell what a callback says of an attempt that cannot be read for want of Cervo's id (C-24).

    It has no time, so it never takes an attempt back (C-53). One with another order's id says nothing (C-51).
    """
    if raw.order_id is not None and raw.order_id not in _our_names(attempt):
        return ()
    exists = _existence(raw, attempt)
    if raw.order_status is None:
        return exists
    said = _said(raw.order_status, raw, attempt)
    return (*exists, said) if _leads_on(said.status, attempt) else exists


def left_behind(raw: RawCallback, attempt: AttemptView) -> tuple[Observation, ...]:
    """Keep why an order was cancelled, which only a callback says, for the read that it prompts (C-41, C-50)."""
    ours = raw.order_id is None or raw.order_id in _our_names(attempt)
    why = _why(raw, attempt) if ours else None
    return (Observation(None, None, codec_state={WHY: why}),) if why else ()


def _is_past(look: _Look, position: int) -> bool:
    merged = look.agrees and position == len(look.words) - 1
    return look.words[position] != UNREADABLE and not merged


def _past(look: _Look, position: int) -> Observation:
    word, before = look.words[position], look.words[:position]
    gone = goods_gone(look.attempt, before, remembered=look.memory.goods)
    memory = look.memory.then(word, look.words[: position + 1], gone=gone)
    return _at(_observation(word, look.attempt, memory, gone=gone), look.moments[position])


def _stands(past: Observation, status: str) -> bool:
    """Tell whether an end in the history is one: not when `Status` goes on from it with a word we know (C-38).

    An end by cancelling never is one there: it could send a second courier.
    """
    if past.status not in FINAL:
        return True
    return past.status is DeliveryStatus.DELIVERED and status not in STATUS_OF_WORD


def _present(look: _Look, found: News) -> Observation:
    view, attempt = look.view, look.attempt
    gone = goods_gone(attempt, look.words, remembered=look.memory.goods)
    memory = look.memory.then(_plain(look.status), found.told, gone=gone)
    seen = _observation(look.status, attempt, memory, gone=gone)
    seen = _described(seen, view.driver_name, view.driver_mobile, view.tracking, attempt)
    notes = (*seen.notes, *found.notes, *_complaints(look))
    seen = replace(_because(seen, attempt), notes=tuple(dict.fromkeys(notes)))
    return _at(seen, look.moments[-1] if look.agrees else UNTOLD)


def _because(seen: Observation, attempt: AttemptView) -> Observation:
    """Say why it was given up, as far as a callback left it behind; what goes on after that has forgotten it."""
    why = attempt.codec_state.get(WHY)
    if seen.status in GIVEN_UP:
        return replace(seen, reason_text=why or None)
    return replace(seen, codec_state={**seen.codec_state, WHY: ""}) if why and seen.status else seen


def _said(word: str, raw: RawCallback, attempt: AttemptView) -> Observation:
    memory = recall(attempt.codec_state)
    gone = goods_gone(attempt, (), remembered=memory.goods)
    seen = _observation(word, attempt, memory.then(_plain(word), memory.told, gone=gone), gone=gone)
    seen = _described(seen, raw.driver_name, raw.driver_mobile, raw.tracking, attempt)
    return replace(seen, reason_text=_why(raw, attempt))


def _why(raw: RawCallback, attempt: AttemptView) -> str | None:
    return one_line(redact_all(raw.cancel, attempt.order), MAX_TEXT) if raw.cancel else None


def _existence(raw: RawCallback, attempt: AttemptView) -> tuple[Observation, ...]:
    """Take a callback whose word we cannot use as proof that the order stands (C-23)."""
    if raw.order_status in STATUS_OF_WORD or attempt.rank >= RANK[DeliveryStatus.CREATED]:
        return ()
    return (Observation(DeliveryStatus.CREATED, Raw(ENTITY, raw.order_status or "")),)


def _leads_on(status: DeliveryStatus | None, attempt: AttemptView) -> bool:
    if attempt.rank >= RANK[DeliveryStatus.DELIVERED]:
        return status is DeliveryStatus.DELIVERED
    if status in {None, DeliveryStatus.COURIER_WITHDRAWN} or attempt.state == DeliveryStatus.COURIER_WITHDRAWN:
        return True
    return status is not None and RANK[status] >= attempt.rank


def _our_names(attempt: AttemptView) -> frozenset[str]:
    """Give all that "Order id of your system" may mean (C-51)."""
    order = attempt.order
    return frozenset(
        {str(attempt.id), attempt.reference, order.order_id, order.number, printed_number(order, attempt.number)}
    )


def _observation(word: str, attempt: AttemptView, memory: Memory, *, gone: bool) -> Observation:
    said = verdict(word, attempt, goods_gone=gone)
    return Observation(
        status=said.status,
        raw=Raw(ENTITY, word),
        detail=said.detail,
        cancelled_by=said.cancelled_by,
        codec_state=refs_of(memory),
    )


def _at(seen: Observation, when: Moment) -> Observation:
    return replace(seen, carrier_time=when.at, occurred_at=when.at, occurred_at_assumed_zone=when.assumed_zone)


def _described(
    seen: Observation, name: str | None, mobile: str | None, tracking: str | None, attempt: AttemptView
) -> Observation:
    gone = seen.raw is not None and seen.raw.code in COURIER_GONE
    driver = None if gone else courier(name, mobile, attempt.store.country)
    link = tracking_url(tracking)
    notes = (TRACKING_REFUSED,) if tracking and link is None else ()
    return replace(seen, courier=driver, tracking_url=link, notes=notes)


def _complaints(look: _Look) -> tuple[str, ...]:
    disagrees = (DISAGREES,) if look.words and not look.agrees else ()
    unreadable = (ENTRY_UNREADABLE,) if UNREADABLE in look.words else ()
    return (*disagrees, *unreadable, *(note for when in look.moments for note in when.notes))


def _ordered(moments: tuple[Moment, ...]) -> bool:
    return all(earlier <= later for earlier, later in pairwise(when.at for when in moments if when.at))


def _plain(word: str) -> str:
    return word.replace(",", ";")
