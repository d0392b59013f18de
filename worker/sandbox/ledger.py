"""What the sandbox really did, in order. Nothing is ever changed or removed but by a reset."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: an order created, offered, accepted, denied, edited or cancelled."""

    seq: int
    at: datetime
    carrier: str
    action: str
    reference: str
    carrier_id: str
    detail: dict[str, Any] = field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        """Return the entry as JSON can carry it."""
        return {**asdict(self), "at": self.at.isoformat()}


class Ledger:
    """An append-only list of entries; `seq` counts from 1."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, at: datetime, carrier: str, action: str, reference: str, carrier_id: str, **detail: object) -> None:
        """Append one entry."""
        self.entries.append(Entry(len(self.entries) + 1, at, carrier, action, reference, carrier_id, detail))

    def since(self, seq: int) -> list[Entry]:
        """Return the entries after number `seq`."""
        return self.entries[seq:]
