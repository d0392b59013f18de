"""Keeping: what may be forgotten."""

from celery import shared_task

from worker import log
from worker.container import container

logger = log.get(__name__)
LATE_SECONDS = 3600


@shared_task(name="maintenance.purge")
def purge() -> None:
    """Trim the streams behind their slowest group, and name the groups that keep them from being trimmed."""
    made = container()
    made.bus.trim(made.settings.events_keep)
    for (stream, group), seconds in made.bus.lags(made.clock()).items():
        if seconds > LATE_SECONDS:
            logger.warning("group.late", stream=stream, group=group, seconds=round(seconds))
