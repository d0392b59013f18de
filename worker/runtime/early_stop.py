"""Lets other workers take over as soon as a worker is asked to stop, while its own calls still run.

Celery stops the worker's threads only afterwards. With REMAP_SIGTERM, it sleeps in its signal handler until then.
"""

import signal
import threading
from collections.abc import Iterable
from typing import Any

from worker.container import container
from worker.runtime.steps import Notifier, OrdersReader, Sweeper

SIGNALS = (signal.SIGTERM, signal.SIGQUIT)


def install(sender: Any = None, **_: Any) -> None:
    """Hand over at the first signal to stop, before Celery's own handler; `sender` is the consumer that is ready."""
    for number in SIGNALS:
        _wrap(number, sender.controller.steps)


def _wrap(number: int, steps: Iterable[Any]) -> None:
    handle: Any = signal.getsignal(number)

    def stop(received: int, frame: Any) -> None:
        # In another thread, because the one that was interrupted may hold any lock.
        threading.Thread(target=hand_over, args=(steps,), name="hand-over", daemon=True).start()
        if callable(handle):
            handle(received, frame)

    signal.signal(number, stop)


def hand_over(steps: Iterable[Any]) -> None:
    """Begin no more work that another worker can do: read no orders, publish no events, notify nobody.

    The worker is no longer listed, because it did not vanish if it is killed during its last calls.
    """
    container().queue.relay.stop()
    for step in steps:
        if isinstance(step, (OrdersReader, Notifier)):
            step.stop_soon()
        elif isinstance(step, Sweeper):
            step.say_goodbye()
