"""A courier beyond the one that is followed: announced, cancelled, and never let into the delivery's own story."""

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any

from schemas.events import EventType
from schemas.status import FINAL, GOODS_WITH_COURIER, Cause, DeliveryStatus
from worker.domain.delivery import Attempt, Change, Delivery, rank_of
from worker.domain.lifecycle.change import SURPLUS, ChangeBuilder, TermsByAccount
from worker.domain.transitions import allows, allows_back, interrupts

RESET_ON_REOPEN: dict[str, Any] = {
    "cancel_requested_at": None,
    "cancel_requests": 0,
    "cancel_checks": 0,
    "cancel_refused": False,
    "cancel_accepted": False,
    "contradicting_status": None,
    "contradicted_at": None,
    "follow_up_reads": 0,
    "wait_until": None,
    "pending_fingerprint": None,
    "amend_requests": 0,
    "amend_refused": False,
}
"""What an attempt that lives again has behind it: a cancel that was confirmed is undone, and is asked for anew."""
GONE = FINAL - {DeliveryStatus.DELIVERED, DeliveryStatus.RETURNED}


def mark_surplus(edit: ChangeBuilder, attempt: Attempt, status: DeliveryStatus, word: str) -> None:
    """Take an attempt that lives beyond the one that is followed, and say why that is a conflict."""
    resume = interrupts(status, DeliveryStatus.CREATED.value)
    attempt = edit.update_attempt(attempt, **RESET_ON_REOPEN, surplus=True, rank=0, resume_to=resume)
    edit.add_event(EventType.CONFLICT, attempt, reason_text=word)
    _become(edit, attempt, status)


def follow_surplus(edit: ChangeBuilder, attempt: Attempt, status: DeliveryStatus, *, newer: bool) -> None:
    """Note how far a courier too many is: whether the cancel took, or came too late."""
    if status == attempt.state:
        return
    if allows(attempt.state, status, attempt.resume_to):
        attempt = edit.update_attempt(attempt, resume_to=interrupts(status, attempt.resume_to or attempt.state))
        _become(edit, attempt, status)
    elif newer and allows_back(attempt.state, status, attempt.resume_to):
        _become(edit, attempt, status)


def _become(edit: ChangeBuilder, attempt: Attempt, status: DeliveryStatus) -> None:
    had_goods = attempt.rank >= GOODS_WITH_COURIER
    ended = edit.now if status in FINAL else None
    rank = attempt.rank if status in GONE else max(attempt.rank, rank_of(status))
    attempt = edit.update_attempt(attempt, state=status.value, rank=rank, changed_at=edit.now, ended_at=ended)
    if ended is not None:
        edit.add_event(EventType.ATTEMPT_ENDED, attempt)
    if attempt.rank >= GOODS_WITH_COURIER and not had_goods:
        edit.request_attention(SURPLUS, attempt)
    elif status in GONE and not had_goods and not _others(edit.delivery):
        edit.clear_attention({SURPLUS})


def _others(delivery: Delivery) -> bool:
    return any(each.surplus and each.live for each in delivery.attempts)


def record_duplicates(
    delivery: Delivery, attempt_id: int, refs: Iterable[str], rules: TermsByAccount, now: datetime, cause: Cause
) -> Change | None:
    """Take further orders of a carrier's that carry an attempt's tag; None when all of them are known."""
    origin = delivery.attempt(attempt_id)
    if origin is None:
        return None
    edit = ChangeBuilder(delivery, rules, now, cause)
    for ref in refs:
        _duplicate(edit, origin, ref)
    return edit.build() if edit.events else None


def _duplicate(edit: ChangeBuilder, origin: Attempt, ref: str) -> None:
    known = {each.ref for each in edit.delivery.attempts if each.carrier == origin.carrier}
    identity = duplicate_id(origin.carrier, ref)
    if ref in known or edit.delivery.attempt(identity) is not None:
        return
    made = Attempt(
        id=identity,
        delivery_id=edit.delivery.id,
        number=len(edit.delivery.attempts) + 1,
        carrier=origin.carrier,
        state=DeliveryStatus.CREATED.value,
        token=f"none-{identity}",
        pickup_at=origin.pickup_at,
        submitted_at=origin.submitted_at,
        changed_at=edit.now,
        ref=ref,
        surplus=True,
    )
    mark_surplus(edit, edit.update_attempt(made), DeliveryStatus.CREATED, "duplicate")


def duplicate_id(carrier: str, ref: str) -> int:
    """Derive the id of an attempt that we never made from the carrier's own, so that it is taken in once."""
    return int.from_bytes(blake2b(f"{carrier}\n{ref}".encode(), digest_size=8).digest()) >> 11
