"""The virtual clock of a rehearsal."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

SECOND = 1.0


@dataclass
class VirtualClock:
    """A clock that moves only when the rehearsal moves it, by whole seconds."""

    now: datetime

    def __call__(self) -> datetime:
        """Return the virtual time."""
        return self.now

    def advance(self, until: datetime | None) -> None:
        """Move to the first whole second that is not before `until`, but by one second at least; None means that."""
        earliest = math.floor(self.now.timestamp()) + SECOND
        wanted = math.ceil(until.timestamp()) if until else earliest
        self.now = datetime.fromtimestamp(max(earliest, wanted), UTC)
