"""Borzo, Business API 1.6 (Brazil by default; host, country and token belong together).

Its oddities: every error is HTTP 400 and only its codes tell them apart; `active`, `canceled`, `delayed` and `draft`
are said of orders and of deliveries and mean different things; create has no idempotency key, so our tag travels as the
customer point's `client_order_id` and a lost answer is found in the newest-first list; callbacks are signed.
"""

from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.codec import Borzo

__all__ = ["Borzo", "BorzoAccount"]
