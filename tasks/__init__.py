"""The Celery tasks. Each calls one method of a service and keeps no result.

Arguments are names of accounts and ids. Only `orders.receive` carries an order; its request hides the order from logs
and events.
"""
