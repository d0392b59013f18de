"""Platform: write a delivery's status back."""

from celery import shared_task

from worker.container import container


@shared_task(name="platform.write_back")
def write_back(delivery_id: str) -> None:
    """Compare a delivery with the platform, and write its status there."""
    container().write_back.run(delivery_id)
