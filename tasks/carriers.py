"""Carriers: find out whether an account that shut us out lets us in again."""

from celery import shared_task

from worker.guard import standing
from worker.wiring import house


@shared_task(name="carriers.probe")
def probe(carrier: str) -> None:
    """Try a paused account with a harmless call, and let it go again when that is answered."""
    standing.retry(house(), carrier)
