"""The record of a run, as its checks read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """The record of a run. Times are ISO strings of the fast clock."""

    ledger: Sequence[Row] = ()
    """The calls that the carriers carried out, in order."""
    couriers: Sequence[Row] = ()
    """Every order at a carrier in its last state, with the history of its statuses."""
    placed: Sequence[str] = ()
    """The ids of the orders that were placed, with a message or on the platform alone."""
    deliveries: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    outbox: Sequence[Row] = ()
    """The events of the database in order: key, sequence, stream_id and the event itself."""
    bus: Sequence[Row] = ()
    """The events in the order in which a subscriber received them, repeats included."""
    on_bus: Sequence[str] = ()
    """The ids of the events that are on the bus at the end."""
    logs: Mapping[str, str] = field(default_factory=dict)
    platform_ledger: Sequence[Row] = ()
    """The calls that the platform carried out, in order."""
    platform_orders: Sequence[Row] = ()
    """Every order of the platform in its last state, with the history of its statuses."""
    unannounced: Sequence[str] = ()
    """The ids of the placed orders for which no message was sent."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """The last note for the courier at the customer's door, by Borzo's order id."""
    troubles: Sequence[Row] = ()
    """The faults of the run: whose creates and statuses each may delay, its times, and its step of the clock."""
    callbacks: Sequence[Row] = ()
    """The callbacks that were stored, with their results."""
    slowness: float = 1.0
    """How many processes competed for each core of the machine at the worst time."""
    private: Sequence[str] = ()
    """The texts that must not appear in any log: personal data and credentials."""
