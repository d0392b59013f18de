"""The task that deletes old records and trims the streams."""

from celery import shared_task

from worker.container import container
from worker.services.retention import Part


@shared_task(name="maintenance.purge", send_events=False)
def purge(*part: str | int) -> None:
    """Delete what is too old, trim the streams, and log the consumer groups that are too slow.

    A task deletes a part, and sends the task for the next part. The arguments say where its part begins.
    """
    container().retention.purge(Part(*part))  # type: ignore[arg-type] # JSON has no tuples
