"""The task that trims the streams."""

from celery import shared_task

from worker.container import container


@shared_task(name="maintenance.purge")
def purge() -> None:
    """Trim each stream up to its slowest consumer group."""
    container().retention.purge()
