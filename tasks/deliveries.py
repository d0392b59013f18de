"""The tasks that call a carrier, one for each step.

A task says only that something may be due. The service skips a delivery for which nothing is due. A task
returns its problems in one line.
"""

from celery import shared_task

from worker.container import container


@shared_task(name="deliveries.book")
def book(carrier: str, delivery_ids: list[str]) -> str:
    """Create these deliveries' orders at the carrier."""
    services = container()
    return services.carrier_calls.execute(carrier, delivery_ids, services.carrier_actions.book)


@shared_task(name="deliveries.confirm")
def confirm(carrier: str, delivery_ids: list[str]) -> str:
    """Accept or deny the pickup times that the carrier offers."""
    services = container()
    return services.carrier_calls.execute(carrier, delivery_ids, services.carrier_actions.confirm)


@shared_task(name="deliveries.amend")
def amend(carrier: str, delivery_ids: list[str]) -> str:
    """Send the changes of these deliveries' orders to the carrier."""
    services = container()
    return services.carrier_calls.execute(carrier, delivery_ids, services.carrier_actions.amend)


@shared_task(name="deliveries.cancel")
def cancel(carrier: str, delivery_ids: list[str]) -> str:
    """Ask the carrier to cancel these deliveries. A later read confirms each cancel."""
    services = container()
    return services.carrier_calls.execute(carrier, delivery_ids, services.carrier_actions.cancel)


@shared_task(name="deliveries.track")
def track(carrier: str, delivery_ids: list[str]) -> str:
    """Read the statuses of these deliveries."""
    return container().tracking.track(carrier, delivery_ids)


@shared_task(name="deliveries.reconcile")
def reconcile(carrier: str, delivery_ids: list[str]) -> str:
    """Search the carrier for the orders of creates whose outcome is unknown."""
    return container().tracking.reconcile(carrier, delivery_ids)
