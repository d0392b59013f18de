"""Read the recorded events after a position: every event once, those of a key in order, and none too early."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from worker.database import event_feed
from worker.database.connection import Connection
from worker.database.database import Database
from worker.database.event_feed import SCANNED, Horizon, Wanted
from worker.domain.delivery import OutgoingEvent

EVERYTHING = Wanted()
PAUSES = (0.005, 0.01, 0.02, 0.04)
"""Seconds between the looks at transactions that still write. Most of them end within milliseconds."""

FOLLOW_SECONDS = 0.5
"""Seconds between two reads of a reader that follows the feed."""
MOST_READ = 1000
"""The most events that such a reader reads at once."""


class CursorExpired(Exception):
    """The events after a cursor are no longer complete. Begin again at `first`."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """The next events, and the cursor that follows them."""

    events: list[OutgoingEvent]
    next: int
    """The position up to which the events were read; a page without events may move it, too."""
    complete: bool
    """Whether all settled events were read. Otherwise, read the next page at once."""


@dataclass(frozen=True)
class EventFeed:
    """Read the events of the outbox with a cursor, which is the position of an event.

    A reader that stores its cursor with what it makes of the events gets every event exactly once. What one process
    knows of the settled position is shared by its threads.
    """

    database: Database
    pause: Callable[[float], object] = time.sleep
    _horizon: Horizon = field(default_factory=Horizon)
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def settled(self) -> int:
        """Return the position up to which no event can appear any more. Raises DatabaseError.

        While transactions write, wait for them, up to a tenth of a second. While one of them hangs, the position stays.
        """
        newest, position = self._look()
        for seconds in PAUSES:
            if position >= newest:
                break
            self.pause(seconds)
            _, position = self._look()
        return position

    def first(self) -> int:
        """Return the cursor of the oldest events that are complete: retention has deleted no event after it."""
        return self.database.read(event_feed.deleted_until)

    def generation(self) -> int:
        """Return the generation of the positions. A position of another generation is no cursor."""
        return self.database.read(event_feed.generation)

    def read(self, after: int, wanted: Wanted = EVERYTHING, limit: int = 100) -> EventPage:
        """Return the wanted events after a cursor, at most `limit`. Raises CursorExpired and DatabaseError."""
        newest, settled = self._look()
        if after > newest:
            raise CursorExpired("no event has this position: the database is another one or has lost commits")
        if settled <= after < newest:
            settled = self.settled()
        until = max(after, min(settled, after + SCANNED))
        found = self.database.read(_complete_events, after, until, limit, wanted)
        position = found[-1].position if len(found) == limit else until
        return EventPage(found, position, complete=position >= settled)

    def follow(self, after: int, wanted: Wanted = EVERYTHING) -> Iterator[OutgoingEvent]:
        """Yield the wanted events after a cursor, and new ones as they are recorded, for ever."""
        while True:
            page = self.read(after, wanted, MOST_READ)
            yield from page.events
            after = page.next
            if page.complete:
                self.pause(FOLLOW_SECONDS)

    def _look(self) -> tuple[int, int]:
        with self._looking:  # the observations of a horizon have an order
            seen = self.database.read(event_feed.observe)
            return seen.newest, self._horizon.add(seen)


def _complete_events(connection: Connection, after: int, until: int, limit: int, wanted: Wanted) -> list[OutgoingEvent]:
    """Return events, if none of those after the cursor were deleted. Raises CursorExpired."""
    found = event_feed.events(connection, after, until, limit, wanted)
    if after < event_feed.deleted_until(connection):  # read last: what was deleted before the events were read is known
        raise CursorExpired("events after this position were deleted")
    return found
