"""The threads of a worker, parted among the carrier accounts, so that one that hangs cannot take them all.

A task that finds no room does not wait for one: it leaves its hint behind, and whoever leaves next sends it again.
"""

import threading
from collections import Counter, defaultdict, deque
from enum import Enum

from worker.enqueue import WakeUp

MOST_WAITING = 100


class Admission(Enum):
    """What a task finds: a room, room for its hint alone, or neither."""

    ADMITTED = "open"
    QUEUED = "queued"
    REJECTED = "shut"


class Bulkhead:
    """The rooms of each account in this process: its part of the threads, and half of that at most for reads."""

    def __init__(self, slots: int, accounts: int) -> None:
        self._most = max(1, slots // (accounts + 1))
        self._most_reads = max(1, self._most // 2)
        self._taken: Counter[tuple[str, bool]] = Counter()
        self._waiting: defaultdict[tuple[str, bool], deque[WakeUp]] = defaultdict(deque)
        self._lock = threading.Lock()

    def enter(self, account: str, hint: WakeUp, *, reading: bool) -> Admission:
        """Take a room, or leave the hint behind."""
        with self._lock:
            if self._has_room(account, reading=reading):
                self._taken[account, reading] += 1
                return Admission.ADMITTED
            waiting = self._waiting[account, reading]
            if len(waiting) >= MOST_WAITING:
                return Admission.REJECTED
            waiting.append(hint)
            return Admission.QUEUED

    def leave(self, account: str, *, reading: bool) -> list[WakeUp]:
        """Give a room back; return the hint that is to be sent again, if one waits. Reads come last."""
        with self._lock:
            self._taken[account, reading] -= 1
            for kind in (False, True):
                if self._waiting[account, kind] and self._has_room(account, reading=kind):
                    return [self._waiting[account, kind].popleft()]
            return []

    def _has_room(self, account: str, *, reading: bool) -> bool:
        reads = self._taken[account, True]
        return reads + self._taken[account, False] < self._most and not (reading and reads >= self._most_reads)
