"""The task that publishes the outbox on the bus."""

from celery import shared_task

from worker.container import container


@shared_task(name="events.publish", send_events=False)
def publish() -> None:
    """Publish every event that waits in the outbox, in order."""
    container().relay.publish()
