"""Callbacks: apply one that was stored."""

from celery import shared_task

from worker.container import container


@shared_task(name="callbacks.apply")
def apply(callback_id: str) -> None:
    """Apply a stored callback."""
    container().callbacks.apply(callback_id)
