"""Carrier statuses that an operator has mapped to our statuses.

A carrier status without a mapping changes nothing. When an operator adds a mapping, the mapping is also applied to
every attempt whose last carrier status it maps (C-32, B-70).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from schemas.status import CancelledBy, Cause, DeliveryStatus, Evidence
from worker.carriers.port import Observation, Raw
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Change, Delivery, UnmappedStatus
from worker.domain.lifecycle.change import ChangeBuilder
from worker.domain.lifecycle.observations import MAPPED, apply_observation, status_key

StatusMappings = Mapping[str, DeliveryStatus]
"""The mappings of one account: the key is the `status_key` of a carrier status, the value is our status."""


def apply_mappings(observations: Iterable[Observation], mappings: StatusMappings) -> tuple[Observation, ...]:
    """Return the observations, after applying the operator's mappings to those without a status."""
    return tuple(_mapped(each, mappings.get(status_key(each.raw))) if each.raw else each for each in observations)


def _mapped(observation: Observation, status: DeliveryStatus | None) -> Observation:
    """Return the observation with this status and weak evidence.

    If the observation already has a status, or if `status` is None, return the observation unchanged.
    """
    if observation.status is not None or status is None:
        return observation
    by = CancelledBy.UNKNOWN if status is DeliveryStatus.CANCELLED else None
    notes = (*observation.notes, MAPPED)
    return replace(observation, status=status, evidence=Evidence.WEAK, cancelled_by=by, notes=notes)


def reapply_mappings(
    delivery: Delivery, carrier: str, mappings: StatusMappings, terms: TermsByAccount, now: datetime
) -> Change | None:
    """Apply new mappings to the last unmapped status of each attempt at a carrier; None when nothing changes."""
    change = ChangeBuilder(delivery, terms, now, Cause.OPERATOR)
    for attempt in delivery.attempts:
        if attempt.carrier != carrier or attempt.unmapped_status is None:
            continue
        (observation,) = apply_mappings([_as_observation(attempt.unmapped_status)], mappings)
        if observation.status is not None:
            apply_observation(change, change.latest(attempt), observation)
    return change.build() if change.delivery != delivery else None


def _as_observation(unmapped: UnmappedStatus) -> Observation:
    raw = Raw(unmapped.entity, unmapped.code, unmapped.text)
    return Observation(None, raw, carrier_time=unmapped.carrier_time, occurred_at=unmapped.carrier_time)
