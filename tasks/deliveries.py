"""Deliveries: one task for each thing that can be due at a carrier. A task is only a wake-up."""

from celery import shared_task

from worker.container import container


@shared_task(name="deliveries.book")
def book(carrier: str, delivery_ids: list[str]) -> None:
    """Create the carrier orders of these deliveries."""
    services = container()
    services.carrier_calls.execute(carrier, delivery_ids, services.carrier_actions.book)


@shared_task(name="deliveries.confirm")
def confirm(carrier: str, delivery_ids: list[str]) -> None:
    """Accept or deny what the carrier offers."""
    services = container()
    services.carrier_calls.execute(carrier, delivery_ids, services.carrier_actions.confirm)


@shared_task(name="deliveries.amend")
def amend(carrier: str, delivery_ids: list[str]) -> None:
    """Carry changes of these deliveries' orders to their carrier."""
    services = container()
    services.carrier_calls.execute(carrier, delivery_ids, services.carrier_actions.amend)


@shared_task(name="deliveries.cancel")
def cancel(carrier: str, delivery_ids: list[str]) -> None:
    """Ask the carrier to cancel; a later read confirms it."""
    services = container()
    services.carrier_calls.execute(carrier, delivery_ids, services.carrier_actions.cancel)


@shared_task(name="deliveries.track")
def track(carrier: str, delivery_ids: list[str]) -> None:
    """Read the status of these deliveries."""
    container().tracking.track(carrier, delivery_ids)


@shared_task(name="deliveries.reconcile")
def reconcile(carrier: str, delivery_ids: list[str]) -> None:
    """Settle creates with an unknown outcome."""
    container().tracking.reconcile(carrier, delivery_ids)
