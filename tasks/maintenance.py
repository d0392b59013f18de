"""Keeping: what may be forgotten."""

from celery import shared_task

from worker.wiring import house


@shared_task(name="maintenance.purge")
def purge() -> None:
    """Trim the streams behind their slowest group."""
    made = house()
    made.bus.trim(made.settings.events_keep)
