"""Events out: relay the outbox to the bus."""

import os
import socket
import threading

from celery import shared_task
from redis.exceptions import RedisError

from worker import log
from worker.wiring import House, house

logger = log.get(__name__)
RELAY = "relay"
LEASE_SECONDS = 10.0
BATCH = 500


@shared_task(name="events.publish")
def publish() -> None:
    """Put every waiting event on the bus, in order; one relay at a time, the others leave it to that one.

    What was told while the lease was given back is looked for once more, because its hint found the lease taken.
    """
    made = house()
    holder = f"{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"
    try:
        while made.store.take_lease(RELAY, holder, made.now(), LEASE_SECONDS):
            try:
                drained = _drain(made, holder)
            finally:
                made.store.drop_lease(RELAY, holder)
            if not drained or not made.store.awaits_publishing():
                return
    except RedisError as error:
        logger.warning("events.publishing_failed", error=type(error).__name__)


def _drain(made: House, holder: str) -> bool:
    """Publish until nothing waits; False when the bus took less than it was given, so that the sweep comes back."""
    while waiting := made.store.unsent(BATCH):
        published = made.bus.publish(waiting)
        made.store.sent(published, made.now())
        if len(waiting) < BATCH:
            return len(published) == len(waiting)
        if len(published) < BATCH or not made.store.take_lease(RELAY, holder, made.now(), LEASE_SECONDS):
            return False
    return True
