"""The bulkhead divides a worker's threads among the accounts, so that an account that hangs cannot occupy all of them.

A task that finds no free slot does not wait in its thread. Its wake-up task is added to a queue in memory, and a task
that frees a slot sends the wake-up task again. Queued wake-up tasks of one kind are joined. So a slot at a slow carrier
is used for a batch of calls, and not for a single call.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from enum import Enum
from typing import Generic, TypeVar

MAX_WAITING = 100
Waiting = TypeVar("Waiting")


class Admission(Enum):
    """The answer to a request for a slot: admitted, wake-up task queued, or rejected because the queue is full."""

    ADMITTED = "admitted"
    QUEUED = "queued"
    REJECTED = "rejected"


class Bulkhead(Generic[Waiting]):
    """The slots of each account in this process: an equal share of the threads. Reads use at most half of a share.

    `join` returns one wake-up task in place of two, or None when they cannot be joined.
    """

    def __init__(self, slots: int, accounts: int, join: Callable[[Waiting, Waiting], Waiting | None]) -> None:
        self._join = join
        self._limit = max(1, slots // (accounts + 1))
        self._read_limit = max(1, self._limit // 2)
        self._used: Counter[tuple[str, bool]] = Counter()
        self._waiting: defaultdict[tuple[str, bool], deque[Waiting]] = defaultdict(deque)
        self._promised: set[str] = set()
        """The accounts that have a slot for a wake-up task which was sent again and has not come back yet."""
        self._lock = threading.Lock()

    def enter(self, account: str, waiting: Waiting, *, reading: bool) -> Admission:
        """Occupy a slot. If none is free, queue the wake-up task, joined to a queued one if possible."""
        with self._lock:
            if not reading:
                self._promised.discard(account)
            if self._occupy(account, reading=reading):
                return Admission.ADMITTED
            queue = self._waiting[account, reading]
            for place, queued in enumerate(queue):
                if (joined := self._join(queued, waiting)) is not None:
                    queue[place] = joined
                    return Admission.QUEUED
            if len(queue) >= MAX_WAITING:
                return Admission.REJECTED
            queue.append(waiting)
            return Admission.QUEUED

    def try_enter(self, account: str) -> bool:
        """Occupy a slot for calls that change something; return False if none is free or a task waits for one."""
        with self._lock:
            waits = bool(self._waiting[account, False]) or account in self._promised
            return not waits and self._occupy(account, reading=False)

    def leave(self, account: str, *, reading: bool) -> list[Waiting]:
        """Free a slot; return at most one queued wake-up task, which the caller sends again.

        A task that reads is returned only if no other queued task can get a slot.
        """
        with self._lock:
            self._used[account, reading] -= 1
            for waits_to_read in (False, True):
                queue = self._waiting[account, waits_to_read]
                if queue and self._has_slot(account, reading=waits_to_read):
                    if not waits_to_read:
                        self._promised.add(account)
                    return [queue.popleft()]
            return []

    def _occupy(self, account: str, *, reading: bool) -> bool:
        free = self._has_slot(account, reading=reading)
        self._used[account, reading] += free
        return free

    def _has_slot(self, account: str, *, reading: bool) -> bool:
        reads = self._used[account, True]
        return reads + self._used[account, False] < self._limit and not (reading and reads >= self._read_limit)
