"""How an order's word and its delivery's word become one status.

A poll, an order callback and a delivery callback all go through `compose`. What the last messages said is kept in the
attempt's memory, so that a callback that tells half of the story is read together with the other half. The rules are
tried in the order in which they stand, and the first that has something to say decides.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schemas.status import FINAL, GOODS_WITH_COURIER, RANK, CancelledBy, Evidence
from schemas.status import DeliveryStatus as S
from worker.carriers.borzo.memory import Known, Word
from worker.carriers.borzo.status import CARRYING, FINISHED, HOLDING, SETTLED, Meaning, meaning_of
from worker.carriers.port import Observation, Raw

_ON_THE_WAY = frozenset({S.PICKUP_ENROUTE, S.PICKUP_ARRIVED})
_NEVER = datetime.min.replace(tzinfo=UTC)
_EXPLAINED = frozenset({S.CANCELLED, S.FAILED, S.DELIVERY_FAILED, S.RETURNING, S.RETURNED, S.REATTEMPTING, S.ON_HOLD})
"""Statuses whose free text is worth keeping as the reason."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one message says. A poll shows what is now; a callback tells what happened."""

    order: Word | None
    delivery: Word | None
    polled: bool
    returns: bool = False

    def is_order(self, code: str) -> bool:
        """Tell whether the message says this word of the order."""
        return self.order is not None and self.order.code == code


@dataclass(frozen=True, slots=True)
class _Scene:
    order: Word | None
    delivery: Word | None
    parcel: Meaning | None
    told: Told
    known: Known


@dataclass(frozen=True, slots=True)
class _Verdict:
    entity: str
    word: Word
    meaning: Meaning | None
    notes: tuple[str, ...] = ()


def compose(told: Told, known: Known) -> Observation | None:
    """Decide what a message means, given what was known; None when it says nothing of the order or its delivery."""
    if told.order is None and told.delivery is None:
        return None
    scene = _set(told, known)
    verdict = next(filter(None, (rule(scene) for rule in _RULES)), None)
    return _observation(verdict, scene) if verdict else None


def _set(told: Told, known: Known) -> _Scene:
    order = _newest("order", told.order, Word.load(known.refs.get("order_word")), told)
    if order is not told.order:
        told = replace(told, order=None)  # B-84: a late message's word of the order is no news
    delivery = _newest("delivery", told.delivery, _remembered_delivery(told, known), told)
    parcel = _meaning("delivery", delivery, known, picked_up=_picked_up(told, known)) if delivery else None
    return _Scene(order, delivery, parcel, told, known)


def _remembered_delivery(told: Told, known: Known) -> Word | None:
    """Recall the delivery's word, unless the order has left it behind (B-65, B-67)."""
    word = Word.load(known.refs.get("delivery_word"))
    silent = told.delivery is None
    if silent and told.is_order("reactivated"):
        return None
    if silent and told.is_order("completed"):
        return word if word and word.code in SETTLED else None
    return word


def _newest(entity: str, told: Word | None, remembered: Word | None, message: Told) -> Word | None:
    """Choose by time of the message, then of the change, then by rank; a poll shows what is now (B-84)."""
    if told is None or remembered is None:
        return told or remembered
    if message.polled:
        return told
    return max(told, remembered, key=lambda word: _age(entity, word))


def _age(entity: str, word: Word) -> tuple[datetime, datetime, int]:
    meaning = meaning_of(f"{entity}:{word.code}")
    return word.at, word.changed_at or _NEVER, RANK.get(meaning.status, 0) if meaning else 0


def _meaning(entity: str, word: Word, known: Known, *, picked_up: bool) -> Meaning | None:
    return meaning_of(f"{entity}:{word.code}", picked_up=picked_up, cancelling=known.cancelling)


def _picked_up(told: Told, known: Known) -> bool:
    return known.saw("picked_up_seen") and not told.is_order("reactivated")


def _canceled(scene: _Scene) -> _Verdict | None:
    """Let a cancelled order be cancelled, unless its parcel has arrived all the same (B-71)."""
    if scene.order is None or scene.order.code != "canceled":
        return None
    if scene.delivery and scene.delivery.code in FINISHED:
        return _Verdict("delivery", scene.delivery, scene.parcel, ("cancelled_but_finished",))
    return _Verdict("order", scene.order, _meaning("order", scene.order, scene.known, picked_up=False))


def _held(scene: _Scene) -> _Verdict | None:
    """Let a held order hold a delivery without a courier; one that is under way is only late (B-72, B-73)."""
    if not (scene.order and scene.delivery and scene.parcel) or scene.order.code not in HOLDING:
        return None
    if scene.parcel.status is S.CREATED:
        return _Verdict("order", scene.order, _meaning("order", scene.order, scene.known, picked_up=False))
    underway = scene.parcel.status not in FINAL and RANK.get(scene.parcel.status, 0) >= RANK[S.COURIER_ASSIGNED]
    if scene.order.code == "delayed" and underway:
        return _Verdict("delivery", scene.delivery, replace(scene.parcel, detail="delayed"))
    return None


def _of_the_parcel(scene: _Scene) -> _Verdict | None:
    """Let what is said of the parcel beat what is said of the order, an unknown word included (B-65)."""
    if scene.delivery is None:
        return None
    order = _meaning("order", scene.order, scene.known, picked_up=False) if scene.order else None
    if scene.parcel and order and scene.parcel.status is order.status is S.CREATED:
        return _Verdict("delivery", scene.delivery, replace(scene.parcel, detail=order.detail))
    return _Verdict("delivery", scene.delivery, scene.parcel)


def _completed(scene: _Scene) -> _Verdict | None:
    """Take a completed order of whose parcel nothing is said for delivered, unless it may be a return (B-65, I12)."""
    if scene.order is None or scene.order.code != "completed":
        return None
    if scene.told.returns or scene.known.saw("return_seen"):
        return _Verdict("order", scene.order, None, ("completed_after_return",))
    if not scene.told.polled or not scene.known.saw("completed_seen"):
        return _Verdict("order", scene.order, None, (SECOND_READ,))
    return _Verdict("order", scene.order, meaning_of("order:completed"), ("completed_without_delivery",))


def _of_the_order(scene: _Scene) -> _Verdict | None:
    if scene.order is None:
        return None
    return _Verdict("order", scene.order, _meaning("order", scene.order, scene.known, picked_up=False))


_RULES = (_canceled, _held, _of_the_parcel, _completed, _of_the_order)

SECOND_READ = "completed_needs_second_read"
"""A known word that says too little yet: nothing to tell anybody."""


def _observation(verdict: _Verdict, scene: _Scene) -> Observation:
    meaning, word = verdict.meaning, verdict.word
    raw = Raw(verdict.entity, word.code, scene.known.without_customer(word.text))
    said = Observation(
        status=None,
        raw=None if SECOND_READ in verdict.notes else raw,
        carrier_time=None if scene.told.polled else word.said_at,
        occurred_at=word.changed_at or word.said_at,
        codec_state=_memory(scene),
        notes=verdict.notes,
    )
    return _explained(said, meaning, scene) if meaning else said


def _explained(said: Observation, meaning: Meaning, scene: _Scene) -> Observation:
    cancelled = meaning.status is S.CANCELLED
    by = CancelledBy.MERCHANT if scene.known.cancelling else CancelledBy.UNKNOWN
    return replace(
        said,
        status=_at_least(meaning, scene.known),
        evidence=meaning.evidence,
        detail="with_items" if cancelled and _goods_are_gone(scene) else meaning.detail,
        reason=meaning.reason,
        reason_text=said.raw.text if said.raw and meaning.status in _EXPLAINED else None,
        cancelled_by=by if cancelled else None,
        reopens=scene.told.is_order("reactivated") and meaning.status not in FINAL,
        notes=meaning.notes + said.notes,
    )


def _at_least(meaning: Meaning, known: Known) -> S:
    """Let "in process" not call the courier back from the shop: it is consistent with having got there, no more."""
    vague = meaning.evidence is Evidence.WEAK and meaning.status is S.COURIER_ASSIGNED
    return S(known.state) if vague and known.state in _ON_THE_WAY else meaning.status


def _goods_are_gone(scene: _Scene) -> bool:
    carried = scene.parcel is not None and scene.parcel.status in CARRYING
    return carried or scene.known.saw("picked_up_seen") or scene.known.rank >= GOODS_WITH_COURIER


def _memory(scene: _Scene) -> dict[str, str]:
    words = {"order_word": scene.order, "delivery_word": scene.delivery}
    refs = {name: word.store() for name, word in words.items() if word}
    return refs | _marks(scene.told, scene.known)


def _marks(told: Told, known: Known) -> dict[str, str]:
    """Set and clear the marks. A return is never forgotten (I12); a new courier starts without the parcel (B-67)."""
    code = told.delivery.code if told.delivery else ""
    meaning = meaning_of(f"delivery:{code}")
    marks: dict[str, str] = {}
    if told.is_order("reactivated") and known.saw("picked_up_seen"):
        marks["picked_up_seen"] = ""
    if meaning and meaning.status in CARRYING:
        marks["picked_up_seen"] = "1"
    if code.startswith("return_"):
        marks["return_seen"] = "1"
    if told.is_order("completed") and told.delivery is None:
        marks["completed_seen"] = "1"
    elif told.order and known.saw("completed_seen"):
        marks["completed_seen"] = ""
    return marks
