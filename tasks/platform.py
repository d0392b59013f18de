"""Platform: tell the Ordering platform what became of an order."""

from celery import shared_task

from worker.container import container
from worker.services import write_back as writing


@shared_task(name="platform.write_back")
def write_back(delivery_id: str) -> None:
    """Look at an order on the platform, and write its status if that is due and may be."""
    writing.perform(container(), delivery_id)
