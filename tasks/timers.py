"""The task of the sweep. Beat enqueues this task every second."""

from celery import shared_task

from worker.container import container


@shared_task(name="timers.sweep", send_events=False)
def sweep() -> None:
    """Enqueue a wake-up task for everything that is due."""
    container().sweep.run()
