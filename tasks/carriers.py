"""The task that probes an account whose credentials were rejected."""

from celery import shared_task

from worker.container import container


@shared_task(name="carriers.probe")
def probe(carrier: str) -> None:
    """Probe a paused account with a harmless call, and resume it when the carrier accepts the call."""
    container().account_health.probe_paused(carrier)
