"""The Celery tasks. Each calls one method of a service and keeps no result.

The arguments of a task are ids and account names. Only `orders.receive` carries a whole order. Its request hides the
order from logs and task events. Tasks that belong to no order (sweep, relay, retention) send no task events, because
they would hide all others in Flower.
"""
