"""The task that trims the streams."""

from celery import shared_task

from worker.container import container


@shared_task(name="maintenance.purge", send_events=False)
def purge() -> None:
    """Remove stream entries that nobody needs any more, and log the consumer groups that are too slow."""
    container().retention.purge()
