"""Carriers: find out whether an account that shut us out lets us in again."""

from celery import shared_task

from worker.container import container
from worker.services import account_health


@shared_task(name="carriers.probe")
def probe(carrier: str) -> None:
    """Try a paused account with a harmless call, and let it go again when that is answered."""
    account_health.retry(container(), carrier)
