"""Reads at one carrier for a batch of deliveries: with as few calls as it allows, and all of their pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from schemas.status import Cause
from worker import log
from worker.carriers.port import AttemptView as Seen
from worker.carriers.port import Carrier, Observation, Reading
from worker.container import Container
from worker.domain import lifecycle
from worker.domain.carrier_terms import attempt_view
from worker.domain.delivery import Attempt, Step
from worker.errors import CarrierError, Unreadable
from worker.http.call import Call, CallClass, Outcome
from worker.services import account_health
from worker.services.carrier_calls import Asked, Decide, guarded, settle, unread

logger = log.get(__name__)
MAX_PAGES = 20


@dataclass(slots=True)
class _Seen:
    """What a round of reads showed: observations, failures, orders too many, and how many calls miss an attempt."""

    carrier: str
    observations: dict[int, tuple[Observation, ...]] = field(default_factory=dict)
    failed: dict[int, CarrierError] = field(default_factory=dict)
    absences: dict[int, int] = field(default_factory=dict)
    extras: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def take(self, call: Call, reading: Reading | CarrierError) -> None:
        """Take one reply in."""
        if isinstance(reading, CarrierError):
            self.failed.update(dict.fromkeys(call.attempt_ids, reading))
            return
        for attempt, observations in reading.observations.items():
            self.observations[attempt] = (*self.observations.get(attempt, ()), *observations)
        for attempt in reading.absent:
            self.absences[attempt] = self.absences.get(attempt, 0) + 1
        for attempt, refs in reading.duplicates.items():
            self.extras[attempt] = tuple(dict.fromkeys((*self.extras.get(attempt, ()), *refs)))
        for note in sorted({note for found in reading.observations.values() for each in found for note in each.notes}):
            logger.info("carrier.noted", carrier=self.carrier, note=note)


def look(made: Container, carrier: str, ids: Sequence[str], step: Step) -> None:
    """Read these deliveries at their carrier: `track` what it has, `reconcile` what it may have.

    An attempt counts as absent only when every call that covered it said so.
    """
    with account_health.entered(made, carrier, ids, step) as codec:
        if codec is not None:
            _look(made, codec, ids, step)


def _look(made: Container, codec: Carrier, ids: Sequence[str], step: Step) -> None:
    carrier, now, words = codec.account.name, made.clock(), made.status_mappings(codec.account.name)
    due = [each for each in made.database.load(ids) if lifecycle.is_due(each, step, carrier, now)]
    asked = {attempt.id: Asked(each, attempt) for each in due if (attempt := each.step_attempt)}
    attempts = {key: attempt_view(one.delivery, one.attempt) for key, one in asked.items()}
    cause = Cause.RECONCILE if step is Step.RECONCILE else Cause.POLL
    describe = codec.find if step is Step.RECONCILE else codec.track
    calls = guarded(carrier, lambda: describe(list(attempts.values()), made.clock()), unread) if attempts else []
    seen = _Seen(carrier)
    if isinstance(calls, CarrierError):
        seen.failed.update(dict.fromkeys(attempts, calls))
        calls = []
    for call, reading in _read_all(made, codec, calls, attempts):
        seen.take(call, _explained(reading, words))
    covered = {key: sum(key in call.attempt_ids for call in calls) for key in attempts}
    settle(made, [(one, _meaning(one.attempt, seen, covered[key], cause, now)) for key, one in asked.items()])
    settle(made, [(asked[key], _further(refs, cause)) for key, refs in seen.extras.items() if key in asked])


def _explained(reading: Reading | CarrierError, words: lifecycle.StatusMappings) -> Reading | CarrierError:
    """Put in what operators said that unknown words mean."""
    if isinstance(reading, CarrierError):
        return reading
    return replace(
        reading,
        observations={key: lifecycle.apply_mappings(found, words) for key, found in reading.observations.items()},
    )


def _further(refs: Sequence[str], cause: Cause) -> Decide:
    return lambda each, key, rules, now: lifecycle.record_duplicates(each, key, refs, rules, now, cause)


def _meaning(attempt: Attempt, seen: _Seen, covered: int, cause: Cause, began: datetime) -> Decide:
    """Choose what a round of reads means for one attempt."""
    if attempt.id in seen.observations:
        news = seen.observations[attempt.id]
        return lambda each, key, rules, now: lifecycle.apply_observations(each, key, news, rules, now, cause, began)
    if attempt.id in seen.failed:
        error = seen.failed[attempt.id]
        return lambda each, key, rules, now: lifecycle.record_read_failure(each, key, error, rules, now)
    if cause is Cause.POLL:
        return lambda each, key, rules, now: lifecycle.record_missing(each, key, rules, now, began)
    if covered and seen.absences.get(attempt.id, 0) >= covered:
        return lambda each, key, rules, now: lifecycle.record_not_found(each, key, attempt.lookups, rules, now)
    undecided = Unreadable("the look-up could not tell")
    return lambda each, key, rules, now: lifecycle.record_read_failure(each, key, undecided, rules, now)


def _read_all(
    made: Container, codec: Carrier, calls: Sequence[Call], attempts: Mapping[int, Seen]
) -> Iterator[tuple[Call, Reading | CarrierError]]:
    """Send reads and follow their further pages."""
    pages = dict(enumerate(calls))
    for _ in range(MAX_PAGES):
        groups = made.gateway.send(codec.account.name, pages, max_body=codec.capabilities.max_body)
        answers = [
            (pages[key], outcome, _reading(codec, pages[key], outcome, attempts, made.clock()))
            for key, outcome in chain.from_iterable(group.items() for group in groups)
        ]
        yield from ((call, reading) for call, _, reading in answers)
        account_health.note(
            made, codec.account.name, CallClass.READ, [(outcome, reading) for _, outcome, reading in answers]
        )
        further = (reading.next_page for _, _, reading in answers if isinstance(reading, Reading))
        pages = dict(enumerate(call for call in further if call))
        if not pages:
            return


def _reading(
    codec: Carrier, call: Call, outcome: Outcome, attempts: Mapping[int, Seen], now: datetime
) -> Reading | CarrierError:
    if isinstance(outcome, CarrierError):
        return outcome
    about = [attempts[attempt] for attempt in call.attempt_ids if attempt in attempts]
    return guarded(codec.account.name, lambda: codec.read(call, outcome, about, now), unread)
