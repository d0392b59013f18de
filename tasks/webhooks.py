"""The task that sends events to a subscriber over HTTP."""

from celery import shared_task

from worker.container import container


@shared_task(name="webhooks.deliver", send_events=False)
def deliver(subscriber: str) -> None:
    """Begin to send a subscriber the events that it has not had."""
    container().webhooks.deliver(subscriber)
