"""The task that writes statuses to the Ordering platform."""

from celery import shared_task

from worker.container import container


@shared_task(name="platform.write_back")
def write_back(delivery_id: str) -> str:
    """Compare a delivery with its order on the platform, and write the delivery's status there if necessary."""
    return container().write_back.run(delivery_id)
