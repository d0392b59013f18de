"""The Celery tasks. Each calls one method of a service and keeps no result.

The arguments of a task are ids and account names. Only `orders.receive` carries a whole order. Its request hides the
order from logs and task events.
"""
