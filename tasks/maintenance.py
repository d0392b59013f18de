"""Maintenance: retention."""

from celery import shared_task

from worker.container import container


@shared_task(name="maintenance.purge")
def purge() -> None:
    """Trim the streams."""
    container().retention.purge()
