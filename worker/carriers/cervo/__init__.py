"""Cervo Delivery API V2: create, read and cancel one order at a time. Cervo sends unsigned callbacks about each order.

The main quirks: a create is answered with a bare number (C-21), errors are not JSON (C-22), an order cannot be looked
up by our reference (C-23), the API document's sample has an undocumented status (C-32), and a cancel is a GET (C-45).
"""

from worker.carriers.cervo.account import CervoAccount
from worker.carriers.cervo.codec import Cervo

__all__ = ["Cervo", "CervoAccount"]
