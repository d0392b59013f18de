"""The meaning of an applied callback, and the state of its attempt on which it depended. Both are stored."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from worker.carriers.port import AttemptView, Observation

Meaning = tuple[dict[str, str], ...]
"""For each observation, what decides about the status. It contains no free text."""


@dataclass(frozen=True, slots=True)
class CallbackDecision:
    """The meaning of a callback for an attempt, and the attempt's state before it."""

    attempt_id: int
    state: str
    rank: int = 0
    ref: str | None = None
    codec_state: Mapping[str, str] = field(default_factory=dict)
    cancel_requested: bool = False
    meaning: Meaning = ()

    @classmethod
    def of(cls, view: AttemptView, observations: Iterable[Observation]) -> Self:
        """Return the decision about a callback, from its observations about an attempt."""
        meaning = tuple(dict(_decisive(each)) for each in observations)
        return cls(view.id, view.state, view.rank, view.ref, view.codec_state, view.cancel_requested, meaning)

    def before(self, view: AttemptView) -> AttemptView:
        """Return the attempt as it was when the callback was decided."""
        return replace(
            view,
            state=self.state,
            rank=self.rank,
            ref=self.ref,
            codec_state=self.codec_state,
            cancel_requested=self.cancel_requested,
        )


def _decisive(observation: Observation) -> Iterator[tuple[str, str]]:
    raw, at = observation.raw, observation.carrier_time
    texts = {
        "status": observation.status,
        "raw": f"{raw.entity}:{raw.code}" if raw else None,
        "evidence": observation.evidence if observation.status else None,
        "detail": observation.detail,
        "reason": observation.reason,
        "cancelled_by": observation.cancelled_by,
        "carrier_time": at.isoformat() if at else None,
    }
    yield from ((name, str(text)) for name, text in texts.items() if text is not None)
