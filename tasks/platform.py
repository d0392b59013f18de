"""Platform: tell the Ordering platform what became of an order."""

from celery import shared_task

from worker import write_back as writing
from worker.wiring import house


@shared_task(name="platform.write_back")
def write_back(delivery_id: str) -> None:
    """Look at an order on the platform, and write its status if that is due and may be."""
    writing.perform(house(), delivery_id)
