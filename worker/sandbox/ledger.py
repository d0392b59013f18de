"""The record of what the simulated APIs really did, whatever they replied."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One action: an order was created, offered, accepted, denied, edited, updated, cancelled or deleted."""

    seq: int
    at: datetime
    carrier: str
    action: str
    reference: str
    carrier_id: str
    detail: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return {**asdict(self), "at": self.at.isoformat()}


class Ledger:
    """An append-only list of entries; `seq` counts from 1."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(
        self, at: datetime, carrier: str, action: str, reference: str, carrier_id: str, **detail: object
    ) -> None:
        """Append one entry."""
        self.entries.append(Entry(len(self.entries) + 1, at, carrier, action, reference, carrier_id, detail))

    def since(self, seq: int) -> list[Entry]:
        """Return the entries after number `seq`."""
        return self.entries[seq:]
