"""The observations that a read or a callback gives about an attempt, oldest first."""

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

import phonenumbers

from schemas.status import FINAL, RANK, DeliveryStatus
from worker.carriers.cervo.history import (
    UNKNOWN_TIME,
    UNREADABLE,
    EventTime,
    NewEntries,
    TrackingState,
    are_in_order,
    new_entries,
    parse_time,
    recordable,
)
from worker.carriers.cervo.request import printed_number
from worker.carriers.cervo.status import CODES_WITHOUT_COURIER, ENTITY, STATUS_BY_CODE, goods_collected, meaning_of
from worker.carriers.cervo.wire import MAX_TEXT, CallbackFields, OrderReply, clean_line
from worker.carriers.port import AttemptView, Courier, Observation, Raw
from worker.http.redaction import redact_all

GIVEN_UP = frozenset({DeliveryStatus.CANCELLED, DeliveryStatus.COURIER_WITHDRAWN})
CANCEL_REASON = "cancel_reason"
"""The `codec_state` key of the cancellation reason from a callback."""

HISTORY_DISAGREES = "history_disagrees"
ENTRY_UNREADABLE = "history_entry_unreadable"
TRACKING_REFUSED = "tracking_refused"


@dataclass(frozen=True, slots=True)
class _OrderRead:
    """One answer to GET /order, and the tracking state that earlier reads stored.

    `code` is `Status`, which takes precedence over the history (C-38). `codes` and `times` come from the history.
    """

    order: OrderReply
    code: str
    attempt: AttemptView
    state: TrackingState
    codes: tuple[str, ...]
    times: tuple[EventTime, ...]

    @property
    def agrees(self) -> bool:
        """Whether the last entry of the history has the same code as `Status`. If so, both describe one event."""
        return self.codes[-1:] == (recordable(self.code),)


def observe_order(
    order: OrderReply, code: str, attempt: AttemptView, zone: str, now: datetime
) -> tuple[Observation, ...]:
    """Return one observation for each new entry of the history, and then one for `Status` (C-37, C-38).

    Unreadable entries are left out, and so are entries with a final status that `Status` contradicts.
    """
    codes = tuple(recordable(entry.code or UNREADABLE) for entry in order.history)
    times = tuple(parse_time(entry.date, zone, now) for entry in order.history)
    read = _OrderRead(order, code, attempt, TrackingState.load(attempt.codec_state), codes, times)
    new = new_entries(codes, read.state, in_order=are_in_order(times))
    past = (_past(read, position) for position in new.positions if _is_past(read, position))
    return *(observation for observation in past if not _is_contradicted(observation, code)), _present(read, new)


def observe_callback(callback: CallbackFields, attempt: AttemptView) -> tuple[Observation, ...]:
    """Return the observations of a callback about an attempt whose order id at Cervo is unknown (C-24).

    A callback has no time, so an old one looks like a new one (C-53). Before the end of the attempt, a code with a
    lower rank than the attempt is ignored. The exceptions are a courier's withdrawal, and any code after a withdrawal.
    After the end, only a completion is observed. A callback with the id of another order is ignored, too (C-51).
    """
    if not _is_about(callback, attempt):
        return ()
    existence = _proof_of_existence(callback, attempt)
    if callback.order_status is None:
        return existence
    current = _current(callback.order_status, callback, attempt)
    return (*existence, current) if _moves_forward(current.status, attempt) else existence


def record_cancel_reason(callback: CallbackFields, attempt: AttemptView) -> tuple[Observation, ...]:
    """Return an observation that stores a callback's cancellation reason for the next read (C-41, C-50).

    Return nothing for a callback without a reason, or with the id of another order.
    """
    reason = _cancel_reason(callback, attempt) if _is_about(callback, attempt) else None
    return (Observation(None, None, codec_state={CANCEL_REASON: reason}),) if reason else ()


def _is_past(read: _OrderRead, position: int) -> bool:
    is_present = read.agrees and position == len(read.codes) - 1
    return read.codes[position] != UNREADABLE and not is_present


def _past(read: _OrderRead, position: int) -> Observation:
    code, earlier = read.codes[position], read.codes[:position]
    collected = goods_collected(read.attempt, earlier, recorded=read.state.goods_collected)
    state = read.state.after(code, read.codes[: position + 1], collected=collected)
    return _with_time(_observation(code, read.attempt, state, collected=collected), read.times[position])


def _is_contradicted(past: Observation, code: str) -> bool:
    """Return whether a past entry has a final status that `Status` contradicts (C-38).

    A past cancellation always counts as contradicted, because a cancellation can start a fallback to another carrier.
    A past completion counts as contradicted only if the code of `Status` is known.
    """
    if past.status not in FINAL:
        return False
    return past.status is not DeliveryStatus.DELIVERED or code in STATUS_BY_CODE


def _present(read: _OrderRead, new: NewEntries) -> Observation:
    order, attempt = read.order, read.attempt
    collected = goods_collected(attempt, read.codes, recorded=read.state.goods_collected)
    state = read.state.after(recordable(read.code), new.history, collected=collected)
    observation = _observation(read.code, attempt, state, collected=collected)
    observation = _with_courier(observation, order, attempt)
    notes = (*observation.notes, *new.notes, *_notes(read))
    observation = replace(_with_recorded_reason(observation, attempt), notes=tuple(dict.fromkeys(notes)))
    return _with_time(observation, read.times[-1] if read.agrees else UNKNOWN_TIME)


def _with_recorded_reason(observation: Observation, attempt: AttemptView) -> Observation:
    """Add the recorded cancellation reason if the order was cancelled or its courier withdrew.

    Any other known status clears the recorded reason.
    """
    reason = attempt.codec_state.get(CANCEL_REASON)
    if observation.status in GIVEN_UP:
        return replace(observation, reason_text=reason or None)
    if reason and observation.status:
        return replace(observation, codec_state={**observation.codec_state, CANCEL_REASON: ""})
    return observation


def _current(code: str, callback: CallbackFields, attempt: AttemptView) -> Observation:
    state = TrackingState.load(attempt.codec_state)
    collected = goods_collected(attempt, (), recorded=state.goods_collected)
    state = state.after(recordable(code), state.history, collected=collected)
    observation = _with_courier(_observation(code, attempt, state, collected=collected), callback, attempt)
    return replace(observation, reason_text=_cancel_reason(callback, attempt))


def _cancel_reason(callback: CallbackFields, attempt: AttemptView) -> str | None:
    return clean_line(redact_all(callback.cancel, attempt.order), MAX_TEXT) if callback.cancel else None


def _proof_of_existence(callback: CallbackFields, attempt: AttemptView) -> tuple[Observation, ...]:
    """Return `created` for a callback without a known code, because every callback proves that the order exists (C-23).

    Return nothing for a known code, or if the attempt has the rank of `created` already.
    """
    if callback.order_status in STATUS_BY_CODE or attempt.rank >= RANK[DeliveryStatus.CREATED]:
        return ()
    return (Observation(DeliveryStatus.CREATED, Raw(ENTITY, callback.order_status or "")),)


def _moves_forward(status: DeliveryStatus | None, attempt: AttemptView) -> bool:
    if attempt.rank >= RANK[DeliveryStatus.DELIVERED]:
        return status is DeliveryStatus.DELIVERED
    if status in {None, DeliveryStatus.COURIER_WITHDRAWN} or attempt.state == DeliveryStatus.COURIER_WITHDRAWN:
        return True
    return status is not None and RANK[status] >= attempt.rank


def _is_about(callback: CallbackFields, attempt: AttemptView) -> bool:
    """Return whether a callback has no order id, or an id of this attempt's order.

    The document does not say which id a callback contains, so Cervo's id and each of our ids and numbers is accepted
    (C-51).
    """
    order = attempt.order
    ours = {str(attempt.id), attempt.reference, order.order_id, order.number, printed_number(order, attempt.number)}
    return callback.order_id in {None, attempt.ref, *ours}


def _observation(code: str, attempt: AttemptView, state: TrackingState, *, collected: bool) -> Observation:
    meaning = meaning_of(code, attempt, collected=collected)
    return Observation(
        status=meaning.status,
        raw=Raw(ENTITY, code),
        detail=meaning.detail,
        cancelled_by=meaning.cancelled_by,
        codec_state=state.dump(),
    )


def _with_time(observation: Observation, time: EventTime) -> Observation:
    return replace(observation, carrier_time=time.at, occurred_at=time.at, occurred_at_assumed_zone=time.assumed_zone)


def _with_courier(observation: Observation, source: OrderReply | CallbackFields, attempt: AttemptView) -> Observation:
    has_left = observation.raw is not None and observation.raw.code in CODES_WITHOUT_COURIER
    courier = None if has_left else _courier(source.driver_name, source.driver_mobile, attempt.store.country)
    url = _tracking_url(source.tracking)
    notes = (TRACKING_REFUSED,) if source.tracking and url is None else ()
    return replace(observation, courier=courier, tracking_url=url, notes=notes)


def _courier(name: str | None, mobile: str | None, country: str) -> Courier | None:
    """Return the courier, or None if both the name and the phone number are missing.

    A national phone number gets the store's country code and is marked as guessed (C-14).
    """
    if name is None and mobile is None:
        return None
    phone = _e164(mobile, country)
    return Courier(name, phone or mobile, phone_guessed=bool(phone and mobile and not mobile.startswith("+")))


def _e164(mobile: str | None, country: str) -> str | None:
    try:
        number = phonenumbers.parse(mobile or "", country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _tracking_url(text: str | None) -> str | None:
    """Return a tracking link if it is https and has a host, else None. The link is never fetched (C-39)."""
    link = _split_url(text or "")
    if link is None or link.scheme != "https" or link.username is not None:
        return None
    has_host = any(map(str.isalnum, link.hostname or ""))
    return text if has_host and not any(map(str.isspace, text or "")) else None


def _split_url(text: str) -> SplitResult | None:
    try:
        return urlsplit(text)
    except ValueError:
        return None


def _notes(read: _OrderRead) -> tuple[str, ...]:
    disagrees = (HISTORY_DISAGREES,) if read.codes and not read.agrees else ()
    unreadable = (ENTRY_UNREADABLE,) if UNREADABLE in read.codes else ()
    return (*disagrees, *unreadable, *(note for time in read.times for note in time.notes))
