"""Carriers: probe an account that shut us out."""

from celery import shared_task

from worker.container import container


@shared_task(name="carriers.probe")
def probe(carrier: str) -> None:
    """Probe a paused account with a harmless call, and resume it when that is answered."""
    container().account_health.probe_paused(carrier)
