"""The Celery tasks. Each calls one method of a service and keeps no result.

Arguments are accounts' names and ids. `orders.receive` alone carries an order, and its request hides it.
"""
