"""Lets other workers take over as soon as a worker is asked to stop, while its own calls still run.

Celery stops the worker's threads only afterwards. With REMAP_SIGTERM, it sleeps in its signal handler until then: as
long as the soft shutdown may take, even if every call ends at once. Here, it sleeps only until the calls have ended.
"""

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from celery.worker import state

from worker import log
from worker.container import container
from worker.runtime.steps import Notifier, OrdersReader, Sweeper

logger = log.get(__name__)
SIGNALS = (signal.SIGTERM, signal.SIGQUIT)
LOOK_SECONDS = 0.1
"""Seconds between two looks at the running tasks."""


def install(sender: Any = None, **_: Any) -> None:
    """Hand over at the first signal to stop, before Celery's own handler; `sender` is the consumer that is ready."""
    controller = sender.controller
    seconds = controller.app.conf.worker_soft_shutdown_timeout
    controller.wait_for_soft_shutdown = partial(wait_for_tasks, state.active_requests, seconds)
    for number in SIGNALS:
        _wrap(number, controller.steps)


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

    The worker is no longer listed, because it did not vanish if it is killed during its last calls. What was claimed
    for tasks that wait here is due again at once. RabbitMQ gets their messages only when the connection is closed.
    """
    logger.info("worker.waits_for_tasks", tasks=len(state.active_requests))
    container().queue.relay.stop()
    for step in steps:
        if isinstance(step, (OrdersReader, Notifier)):
            step.stop_soon()
        elif isinstance(step, Sweeper):
            step.say_goodbye()
    waiting = state.reserved_requests - state.active_requests
    container().sweep.hand_over([(each.task.name, each.args) for each in waiting])


def has_begun() -> bool:
    """Return whether this worker hands over, so that it begins no more tasks."""
    return container().queue.relay.stopped


def wait_for_tasks(running: Collection[Any], seconds: float, pause: Callable[[float], object] = time.sleep) -> None:
    """Return when no task runs any more, at the latest after that many seconds."""
    left = round(seconds / LOOK_SECONDS)
    while running and left > 0:
        pause(LOOK_SECONDS)
        left -= 1
