"""Events out: relay the outbox to the bus, and first publish again what the bus has lost."""

import os
import socket
import threading

from celery import shared_task
from redis.exceptions import RedisError

from worker import log
from worker.bus.publisher import StreamMoved, newest_of, unpublished_keys
from worker.container import Container, container
from worker.enqueue import RELAYING

logger = log.get(__name__)
RELAY = "relay"
LEASE_SECONDS = 10.0
BATCH = 500
STUCK = 1000
"""Keys that the bus refuses, after which no more are tried: it is the bus, not they."""


@shared_task(name="events.publish")
def publish() -> None:
    """Put every waiting event on the bus, in order; one relay at a time, the others leave it to that one."""
    RELAYING.run(_relay)


def _relay() -> bool:
    """Relay under the lease; False when something had to be left behind, so that the sweep comes back.

    What was told while the lease was given back is looked for once more, because its hint found the lease taken.
    """
    made = container()
    holder = f"{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"
    try:
        while made.database.take_lease(RELAY, holder, made.clock(), LEASE_SECONDS):
            try:
                drained = _drain(made, holder)
            finally:
                made.database.drop_lease(RELAY, holder)
            if not drained or not made.database.awaits_publishing():
                return drained
    except (RedisError, StreamMoved) as error:
        logger.warning("events.publishing_failed", error=type(error).__name__)
        return False
    return True


def _drain(made: Container, holder: str) -> bool:
    """Publish until nothing waits; False when something had to be left behind."""
    database, newest = made.database.identity, _repaired(made)
    stuck: set[str] = set()
    while waiting := made.database.unsent(BATCH, stuck):
        told = made.bus.publisher.publish(database, waiting, newest)
        made.database.sent(told, made.clock())
        stuck |= unpublished_keys(waiting, told)
        if len(waiting) < BATCH or len(stuck) >= STUCK:
            break
        if not made.database.take_lease(RELAY, holder, made.clock(), LEASE_SECONDS):
            return False
        newest = newest_of(newest, told)
    if stuck:
        logger.warning("events.left_behind", keys=sorted(stuck)[:10], count=len(stuck))
    return not stuck


def _repaired(made: Container) -> str:
    """Let what the bus lost be published again; return the newest place on it."""
    known = made.database.newest_place()
    standing, newest = made.bus.publisher.last_surviving(known)
    if standing != known and (lost := made.database.unpublish(standing, known, made.settings.events_keep)):
        logger.warning("events.lost_by_the_bus", count=lost)
    return newest
