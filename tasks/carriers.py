"""The task that probes an account whose credentials were rejected."""

from celery import shared_task

from worker.container import container


@shared_task(name="carriers.probe")
def probe(carrier: str) -> str:
    """Probe an account whose carrier rejected our credentials; resume the account if the carrier accepts them again."""
    return container().account_health.probe_paused(carrier)
