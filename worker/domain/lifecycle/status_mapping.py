"""Words of a carrier's that nobody knew, and what an operator says they mean (C-32, B-70)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from schemas.status import CancelledBy, Cause, DeliveryStatus, Evidence
from worker.carriers.port import Observation, Raw
from worker.domain.delivery import Change, Delivery, UnmappedStatus
from worker.domain.lifecycle.change import ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.observations import MAPPED, apply_observation, status_key

StatusMappings = Mapping[str, DeliveryStatus]
"""What the unknown words of one account mean, by entity and code."""


def apply_mappings(seen: Iterable[Observation], words: StatusMappings) -> tuple[Observation, ...]:
    """Give the words that a codec did not know the meaning that an operator gave them."""
    return tuple(_meant(each, words.get(status_key(each.raw))) if each.raw else each for each in seen)


def _meant(news: Observation, status: DeliveryStatus | None) -> Observation:
    """Take a word for a status, on weak evidence: a person said so, not the carrier."""
    if news.status is not None or status is None:
        return news
    by = CancelledBy.UNKNOWN if status is DeliveryStatus.CANCELLED else None
    notes = (*news.notes, MAPPED)
    return replace(news, status=status, evidence=Evidence.WEAK, cancelled_by=by, notes=notes)


def reapply_mappings(
    delivery: Delivery, carrier: str, words: StatusMappings, rules: TermsByAccount, now: datetime
) -> Change | None:
    """Read again what an account last said of the attempts whose last word means something now; None if none does."""
    edit = ChangeBuilder(delivery, rules, now, Cause.OPERATOR)
    for attempt in delivery.attempts:
        if attempt.carrier != carrier or attempt.unmapped_status is None:
            continue
        (news,) = apply_mappings([_said(attempt.unmapped_status)], words)
        if news.status is not None:
            apply_observation(edit, edit.delivery.attempt(attempt.id) or attempt, news)
    return edit.build() if edit.delivery != delivery else None


def _said(unread: UnmappedStatus) -> Observation:
    return Observation(
        None,
        Raw(unread.entity, unread.code, unread.text),
        carrier_time=unread.carrier_time,
        occurred_at=unread.carrier_time,
    )
