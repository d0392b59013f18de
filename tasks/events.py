"""Events out: publish the outbox."""

from celery import shared_task

from worker.container import container


@shared_task(name="events.publish")
def publish() -> None:
    """Publish every waiting event, in order."""
    container().relay.publish()
