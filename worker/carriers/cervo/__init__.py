"""Cervo Delivery API V2: create, read and cancel one order at a time, and an unsigned callback for each order.

Its oddities: the answer to a create is a bare number (C-21), errors are no JSON (C-22), nothing can be looked up by our
own reference (C-23), the sample shows a status that the table does not know (C-32), and a GET cancels (C-45).
"""

from worker.carriers.cervo.account import CervoAccount
from worker.carriers.cervo.codec import Cervo

__all__ = ["Cervo", "CervoAccount"]
