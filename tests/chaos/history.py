"""What a run leaves behind for its checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """What a run left behind. Times are ISO texts of the fast clock."""

    ledger: Sequence[Row] = ()
    """What the carriers really did, in order."""
    couriers: Sequence[Row] = ()
    """Every order at a carrier as it ended, with its words."""
    placed: Sequence[str] = ()
    """The ids of the orders that were placed, on the bus or on the platform alone."""
    deliveries: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    outbox: Sequence[Row] = ()
    """The database's events in order: key, sequence, published_at and the event itself."""
    bus: Sequence[Row] = ()
    """The events as a subscriber saw them come, repeats included."""
    standing: Sequence[str] = ()
    """The ids of the events that stand on the bus at the end."""
    logs: Mapping[str, str] = field(default_factory=dict)
    platform: Sequence[Row] = ()
    """What was really done on the platform, in order."""
    seeded: Sequence[Row] = ()
    """Every order of the platform as it ended, with its words."""
    unsaid: Sequence[str] = ()
    """The ids of those among the placed orders that no message ever told of."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What Borzo's couriers are told at the customer's door in the end, by Borzo's order."""
    private: Sequence[str] = ()
    """What must stand in no log: customers and credentials."""
