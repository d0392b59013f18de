"""The speed of this machine: on a busy one, the same work of the product takes longer."""

import os
import time
from collections.abc import Callable


def slowness() -> float:
    """Return how many processes compete for each core, at least one: so much longer does work take."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Stopwatch:
    """Counts the seconds that an idle machine would have needed for what this one did since the start."""

    def __init__(self, slowness: Callable[[], float] = slowness, clock: Callable[[], float] = time.monotonic) -> None:
        self._slowness, self._clock = slowness, clock
        self._counted, self._read_at = 0.0, clock()

    def __call__(self) -> float:
        """Return the seconds; read it often, because each interval counts by the load at its end."""
        now = self._clock()
        self._counted += (now - self._read_at) / self._slowness()
        self._read_at = now
        return self._counted
