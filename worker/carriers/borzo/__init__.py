"""Borzo, Business API 1.6 (Brazil by default; host, country and token belong together).

What is special: every error is HTTP 400, and only the error codes differ. `active`, `canceled`, `delayed` and `draft`
mean one thing for an order and another for a delivery. A create has no idempotency key, so our reference is sent as the
`client_order_id` of the customer's point. After an unknown outcome, the newest orders are searched for that reference.
Callbacks are signed.
"""

from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.codec import Borzo

__all__ = ["Borzo", "BorzoAccount"]
