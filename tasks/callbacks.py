"""The task that applies a carrier's callback after the web process stored it."""

from celery import shared_task

from worker.container import container


@shared_task(name="callbacks.apply")
def apply(callback_id: str) -> str:
    """Apply one stored callback."""
    return container().callbacks.apply(callback_id)
