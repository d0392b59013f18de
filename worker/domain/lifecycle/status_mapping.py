"""Words of a carrier's that nobody knew, and what an operator says they mean (C-32, B-70)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from schemas.status import CancelledBy, Cause, DeliveryStatus, Evidence
from worker.carriers.port import Observation, Raw
from worker.domain.delivery import Change, Delivery, Unread
from worker.domain.lifecycle.change import Edit, Rules
from worker.domain.lifecycle.observations import MAPPED, take_news, word_of

Words = Mapping[str, DeliveryStatus]
"""What the unknown words of one account mean, by entity and code."""


def explained(seen: Iterable[Observation], words: Words) -> tuple[Observation, ...]:
    """Give the words that a codec did not know the meaning that an operator gave them."""
    return tuple(_meant(each, words.get(word_of(each.raw))) if each.raw else each for each in seen)


def _meant(news: Observation, status: DeliveryStatus | None) -> Observation:
    """Take a word for a status, on weak evidence: a person said so, not the carrier."""
    if news.status is not None or status is None:
        return news
    by = CancelledBy.UNKNOWN if status is DeliveryStatus.CANCELLED else None
    notes = (*news.notes, MAPPED)
    return replace(news, status=status, evidence=Evidence.WEAK, cancelled_by=by, notes=notes)


def reread(delivery: Delivery, carrier: str, words: Words, rules: Rules, now: datetime) -> Change | None:
    """Read again what an account last said of the attempts whose last word means something now; None if none does."""
    edit = Edit(delivery, rules, now, Cause.OPERATOR)
    for attempt in delivery.attempts:
        if attempt.carrier != carrier or attempt.unread is None:
            continue
        (news,) = explained([_said(attempt.unread)], words)
        if news.status is not None:
            take_news(edit, edit.delivery.attempt(attempt.id) or attempt, news)
    return edit.done() if edit.delivery != delivery else None


def _said(unread: Unread) -> Observation:
    return Observation(None, Raw(unread.entity, unread.code, unread.text), stamp=unread.stamp, occurred_at=unread.stamp)
