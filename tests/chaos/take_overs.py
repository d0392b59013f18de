"""How long the deliveries that were claimed when a host went away waited for another host."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]


@dataclass
class TakeOvers:
    """The claims that are watched, and the waits that have ended, in real seconds."""

    waits: list[float] = field(default_factory=list)
    _claims: dict[str, tuple[float, Any]] = field(default_factory=dict)

    def begin(self, now: float, deliveries: Iterable[Row], shared: datetime) -> None:
        """Watch the deliveries that are claimed now, at this time of the run and of the database."""
        for row in deliveries:
            if row["next_run_at"] is not None and row["lease_until"] is not None and row["lease_until"] > shared:
                self._claims.setdefault(row["id"], (now, _state(row)))

    @property
    def watching(self) -> bool:
        """Whether a claim has neither been renewed nor led to a change."""
        return bool(self._claims)

    def look(self, now: float, deliveries: Iterable[Row]) -> None:
        """End the waits of the deliveries that were claimed again, or changed, since their host went away."""
        for row in deliveries:
            watched = self._claims.get(row["id"])
            if watched is not None and watched[1] != _state(row):
                del self._claims[row["id"]]
                self.waits.append(now - watched[0])


def _state(row: Row) -> Any:
    return row["version"], row["lease_until"]
