"""Checks with a time limit: a server that hangs delays an answer by two seconds at most, and hides no other server."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

SECONDS = 2.0
"""Seconds within which a check must answer."""
T = TypeVar("T")


@dataclass(eq=False)
class Check(Generic[T]):
    """A function with a thread of its own.

    While a run has not ended, `start` returns this run. So a server that hangs occupies one thread, however often it is
    checked, and requests at the same time share one run.
    """

    run: Callable[[], T]
    _thread: ThreadPoolExecutor = field(init=False, default_factory=lambda: ThreadPoolExecutor(1, "check"))
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _running: "Future[T] | None" = field(init=False, default=None)

    def start(self) -> "Future[T]":
        """Start a run, and return it."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = self._thread.submit(self.run)
            return self._running


def run_all(checks: Mapping[str, Check[T]], seconds: float = SECONDS) -> dict[str, T | Exception]:
    """Run checks at the same time; return the result or the error of each, TimeoutError for one that is too slow."""
    running = {name: check.start() for name, check in checks.items()}
    wait(running.values(), seconds)
    return {name: _outcome(future) for name, future in running.items()}


def _outcome(future: "Future[Any]") -> Any:
    if not future.done():
        return TimeoutError()
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Exception):
        return error
    raise error
