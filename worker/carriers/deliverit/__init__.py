"""DeliverIt, "DeliverIt bestilling" (butik.deliverit.dk): couriers for shops in Odense and Aarhus.

A create takes no key of ours, so our reference travels in the remarks (D-10), and a 201 may be an offer of another
pickup time (D-20). There is no status call: progress is read from a day list of clock times without order ids (D-51,
D-56), where an empty day is a 404 (D-54). Links in replies are read and never followed (D-02). DeliverIt cannot
collect money (D-19).
"""

from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.codec import DeliverIt

__all__ = ["DeliverIt", "DeliverItAccount"]
