"""Hints: Celery messages that say something is due. Losing one costs a second, because the sweep hands out the rest."""

from collections.abc import Iterable
from datetime import datetime

from celery import current_app
from kombu.exceptions import OperationalError

from worker import log
from worker.domain.delivery import LOCAL_STEPS, Delivery, Step
from worker.single_flight import RELAYING

logger = log.get(__name__)
BATCH = 25
TASKS: dict[Step, str] = {step: f"deliveries.{step.value}" for step in Step if step not in LOCAL_STEPS}
WakeUp = tuple[str, list[object]]
"""A task's name and its arguments; the app's routes know the queue."""


def send(hints: Iterable[WakeUp]) -> None:
    """Send hints. A broker that is away is only noted; a relay that is under way in this process needs no message."""
    wanted = [hint for hint in hints if hint != publish() or not RELAYING.request()]
    if not wanted:
        return
    try:
        with current_app.producer_or_acquire() as producer:
            for name, arguments in wanted:
                current_app.send_task(name, args=arguments, producer=producer)
    except (OperationalError, OSError) as error:
        logger.warning("hint.lost", error=type(error).__name__, count=len(wanted))


def batches(step: Step, carrier: str, ids: list[str], size: int = BATCH) -> list[WakeUp]:
    """Make the hints for one step at one carrier."""
    return [(TASKS[step], [carrier, ids[at : at + size]]) for at in range(0, len(ids), size)]


def publish() -> WakeUp:
    """Make the hint that events wait."""
    return "events.publish", []


def enqueue_next_steps(changed: Iterable[Delivery], now: datetime, *, told: bool = False) -> None:
    """Hint what follows at once from a change: the next step of each delivery that is due, and its events.

    `told` says that there are events besides those of the changed deliveries.
    """
    grouped: dict[tuple[Step, str], list[str]] = {}
    for delivery in changed:
        told = True
        if delivery.step in TASKS and delivery.step_carrier and delivery.next_run_at and delivery.next_run_at <= now:
            grouped.setdefault((delivery.step, delivery.step_carrier), []).append(delivery.id)
    hints = [hint for (step, carrier), ids in grouped.items() for hint in batches(step, carrier, ids)]
    send([*hints, publish()] if told else hints)
