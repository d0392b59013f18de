"""Cervo Delivery API V2: create, read and cancel one order at a time, with an unsigned callback for each order.

Its main quirks: a create is answered with a bare number (C-21), errors are not JSON (C-22), an order cannot be looked
up by our reference (C-23), the document's sample shows an undocumented status (C-32), and a GET cancels (C-45).
"""

from worker.carriers.cervo.account import CervoAccount
from worker.carriers.cervo.codec import Cervo

__all__ = ["Cervo", "CervoAccount"]
