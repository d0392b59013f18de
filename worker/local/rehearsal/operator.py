"""The operator of a rehearsal: answers what only an operator can answer, from what the carriers really have."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.status import AttemptState, AttentionReason
from worker.container import Container
from worker.database import deliveries
from worker.domain.delivery import Attempt
from worker.domain.operator import Operator
from worker.local.rehearsal.carriers import Carriers
from worker.local.rehearsal.observer import Question

ANSWERS_AFTER = timedelta(minutes=10)
OPERATOR = Operator("rehearsal", "looked at the carrier's own screen")
ANSWERED = frozenset({AttentionReason.OUTCOME_UNKNOWN, AttentionReason.REFERENCE_MISSING})
"""The reasons that this operator answers. All others are only counted."""


@dataclass
class SimulatedOperator:
    """Answers each question ten minutes later."""

    services: Container
    carriers: Carriers
    answered: Counter[str] = field(default_factory=Counter)
    _waiting: list[tuple[datetime, str]] = field(default_factory=list)

    def take(self, questions: Iterable[Question]) -> None:
        """Take questions that must be answered later."""
        for each in questions:
            if each.reason in ANSWERED:
                heapq.heappush(self._waiting, (each.at + ANSWERS_AFTER, each.delivery_id))

    @property
    def next_due(self) -> datetime | None:
        """When the next answer is due; None if there is no question."""
        return self._waiting[0][0] if self._waiting else None

    def answer_due(self) -> None:
        """Answer the questions that have waited long enough."""
        while self._waiting and self._waiting[0][0] <= self.services.clock():
            self._answer(heapq.heappop(self._waiting)[1])

    def _answer(self, delivery_id: str) -> None:
        for delivery in self.services.database.read(deliveries.load, [delivery_id]):
            attempt = next((each for each in delivery.attempts if _is_unknown(each)), None)
            if attempt is None:
                continue  # it was settled meanwhile
            ref = self.carriers.find(attempt.carrier, attempt.id)
            if self.services.decisions.resolve(delivery_id, ref, OPERATOR):
                self.answered["exists" if ref else "absent"] += 1


def _is_unknown(attempt: Attempt) -> bool:
    return attempt.ended_at is None and (attempt.state is AttemptState.SUBMIT_UNKNOWN or attempt.ref is None)
