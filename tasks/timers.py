"""Timers: the sweep."""

from celery import shared_task

from worker.container import container


@shared_task(name="timers.sweep")
def sweep() -> None:
    """Hand out whatever is due."""
    container().sweep.run()
