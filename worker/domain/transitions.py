"""The table of state changes: for each state of an attempt, the states that a report of the carrier may set.

State changes that we make ourselves, such as sending an attempt or giving it up, are not in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.status import FINAL, AttemptState

S = AttemptState


@dataclass(frozen=True, slots=True)
class Transitions:
    """The states that may follow one state."""

    forward: frozenset[AttemptState] = frozenset()
    """States that any report may set, unless the report is stale."""
    reassigned: frozenset[AttemptState] = frozenset()
    """Earlier states that a report may set if the report is certainly newer than the current state.

    Another courier has then taken over the order.
    """


def _to(*, forward: set[AttemptState], reassigned: set[AttemptState] | None = None) -> Transitions:
    return Transitions(frozenset(forward), frozenset(reassigned or ()))


NO_TRANSITIONS = Transitions()
CARRIER_STATES = frozenset(S) - {S.SUBMITTING, S.QUEUED, S.SUBMIT_UNKNOWN, S.AWAITING_CONFIRMATION}
"""The states of an attempt after its carrier has accepted or rejected the order."""
FINAL_STATES = frozenset(map(AttemptState, FINAL))

TRANSITIONS: Mapping[AttemptState, Transitions] = {
    S.SUBMITTING: _to(forward={S.SUBMIT_UNKNOWN, S.AWAITING_CONFIRMATION, *CARRIER_STATES}),
    S.QUEUED: NO_TRANSITIONS,
    S.SUBMIT_UNKNOWN: _to(forward={S.AWAITING_CONFIRMATION, *CARRIER_STATES}),
    S.AWAITING_CONFIRMATION: _to(forward={*CARRIER_STATES}),
    S.CREATED: _to(
        forward={
            S.COURIER_ASSIGNED, S.COURIER_WITHDRAWN, S.PICKUP_ENROUTE, S.PICKUP_ARRIVED,
            S.PICKED_UP, S.DROPOFF_ENROUTE, S.DROPOFF_ARRIVED, S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
    ),
    S.COURIER_ASSIGNED: _to(
        forward={
            S.COURIER_WITHDRAWN, S.PICKUP_ENROUTE, S.PICKUP_ARRIVED,
            S.PICKED_UP, S.DROPOFF_ENROUTE, S.DROPOFF_ARRIVED, S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
        reassigned={S.CREATED},
    ),
    S.PICKUP_ENROUTE: _to(
        forward={
            S.COURIER_WITHDRAWN, S.PICKUP_ARRIVED,
            S.PICKED_UP, S.DROPOFF_ENROUTE, S.DROPOFF_ARRIVED, S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
        reassigned={S.CREATED, S.COURIER_ASSIGNED},
    ),
    S.PICKUP_ARRIVED: _to(
        forward={
            S.COURIER_WITHDRAWN,
            S.PICKED_UP, S.DROPOFF_ENROUTE, S.DROPOFF_ARRIVED, S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
        reassigned={S.CREATED, S.COURIER_ASSIGNED, S.PICKUP_ENROUTE},
    ),
    S.COURIER_WITHDRAWN: _to(
        forward={
            S.CREATED, S.COURIER_ASSIGNED, S.PICKUP_ENROUTE, S.PICKUP_ARRIVED,
            S.PICKED_UP, S.DROPOFF_ENROUTE, S.DROPOFF_ARRIVED,
            S.ON_HOLD, S.DELIVERED, S.CANCELLED, S.FAILED,
        },
    ),
    S.PICKED_UP: _to(
        forward={
            S.DROPOFF_ENROUTE, S.DROPOFF_ARRIVED, S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
    ),
    S.DROPOFF_ENROUTE: _to(
        forward={
            S.DROPOFF_ARRIVED, S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
    ),
    S.DROPOFF_ARRIVED: _to(
        forward={
            S.DELIVERY_FAILED, S.REATTEMPTING, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
    ),
    S.DELIVERY_FAILED: _to(
        forward={
            S.REATTEMPTING, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
    ),
    S.REATTEMPTING: _to(
        forward={
            S.DELIVERY_FAILED, S.RETURNING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
    ),
    S.RETURNING: _to(
        forward={
            S.REATTEMPTING,
            S.ON_HOLD, S.DELIVERED, S.RETURNED, S.CANCELLED, S.FAILED,
        },
    ),
    # An attempt on hold has the transitions of `resume_to`, the state that the hold interrupted.
    S.ON_HOLD: NO_TRANSITIONS,
    # Only the module `reopening` revives an attempt that has ended.
    S.DELIVERED: NO_TRANSITIONS,
    S.RETURNED: NO_TRANSITIONS,
    S.CANCELLED: NO_TRANSITIONS,
    S.REJECTED: NO_TRANSITIONS,
    S.FAILED: NO_TRANSITIONS,
}  # fmt: skip
"""The transitions of every state."""


def allows(source: AttemptState, target: AttemptState, resume_to: AttemptState | None = None) -> bool:
    """Return whether a report may move an attempt forward from `source` to `target`.

    `resume_to` is the state that `on_hold` interrupted.
    """
    if source == S.ON_HOLD and resume_to is not None:
        return target == resume_to or allows(resume_to, target)
    return target in TRANSITIONS[source].forward


def allows_reassignment(source: AttemptState, target: AttemptState, resume_to: AttemptState | None = None) -> bool:
    """Return whether a report may move an attempt back from `source` to `target`, because another courier took over.

    The caller checks that the report of `target` is certainly newer than the report of `source`. `resume_to` is the
    state that `on_hold` interrupted.
    """
    interrupted = resume_to if source == S.ON_HOLD and resume_to is not None else source
    return target in TRANSITIONS[interrupted].reassigned


def interrupts(target: AttemptState, source: AttemptState) -> AttemptState | None:
    """Return the state that a change from `source` to `target` interrupts.

    If `target` is `on_hold`, the hold interrupts `source`. No other change interrupts a state, so the result is None.
    """
    return source if target == S.ON_HOLD else None
