"""What the shop has yet to do before a courier is asked (O-20)."""

from collections.abc import Mapping
from datetime import datetime

from schemas.order import Order
from schemas.ordering import Reaction, reaction_to

PLACED = "placed"
OPENS: Mapping[str, frozenset[Reaction]] = {
    PLACED: frozenset(Reaction) - {Reaction.SCHEDULE},
    "accepted": frozenset({Reaction.ACCEPTED, Reaction.READY, Reaction.NOT_READY, Reaction.SEEKING}),
    "ready": frozenset({Reaction.READY}),
}
"""Every gate, and the statuses that open it: whatever proves that the shop is that far, or farther."""
WAITING = "waiting_for_shop"
"""The detail of a queued delivery whose gate is closed."""


def is_open(gate: str, status: int | None) -> bool:
    """Tell whether a status opens a gate; one that is not told opens only `placed`."""
    return gate == PLACED if status is None else reaction_to(status) in OPENS[gate]


def closed_gate(gate: str, order: Order) -> str | None:
    """Name the gate that a new order waits at, None when it is open.

    A preorder passes the gate `placed` when it says when it is wanted: it waits for that (O-19).
    """
    timed = gate == PLACED and order.deliver_at is not None
    return None if timed or is_open(gate, order.status) else gate


def with_ready_time(order: Order, now: datetime) -> Order:
    """Note when the kitchen was ready for an order as soon as possible, if it is: the courier may come at once."""
    told = order.ready_at is not None or order.deliver_at is not None
    ready = not told and reaction_to(order.status) is Reaction.READY
    return order.model_copy(update={"ready_at": now}) if ready else order
