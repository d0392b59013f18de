"""Rounds: work that one thread of a process does at a time, again for as long as somebody asks meanwhile."""

import threading
from collections.abc import Callable


class SingleFlight:
    """Knows whether a round is under way in this process, and whether another was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._asked = False

    def request(self) -> bool:
        """Ask for another round after the one under way; False when there is none."""
        with self._lock:
            self._asked = self._running
            return self._running

    def run(self, go: Callable[[], bool]) -> None:
        """Go round for as long as somebody asks for more and `go` finds that it helps; one thread does, others ask."""
        if not self._begin():
            return
        try:
            while self._another(go()):
                pass
        except BaseException:
            self._another(helps=False)
            raise

    def _begin(self) -> bool:
        with self._lock:
            begins = not self._running
            self._running, self._asked = True, not begins
            return begins

    def _another(self, helps: bool) -> bool:  # noqa: FBT001 - what `go` said
        with self._lock:
            self._running, self._asked = helps and self._asked, False
            return self._running


RELAYING = SingleFlight()
"""Of the relay. Many changes need it at once, and a Celery message for each would cost more than the relaying."""
