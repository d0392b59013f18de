"""DeliverIt, "DeliverIt bestilling" (butik.deliverit.dk): couriers for shops in Odense and Aarhus.

A create has no field for our reference, so the reference is in the remarks (D-10). A 201 may be an offer of another
pickup time (D-20). No call returns a status: the progress of an order is read from a day list with clock times and
without order ids (D-51, D-56). The reply for an empty day is a 404 (D-54). Links in replies are read and never followed
(D-02). DeliverIt cannot collect money (D-19).
"""

from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.codec import DeliverIt

__all__ = ["DeliverIt", "DeliverItAccount"]
