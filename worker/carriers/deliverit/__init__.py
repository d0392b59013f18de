"""DeliverIt, "DeliverIt bestilling" (butik.deliverit.dk): couriers for shops in Odense and Aarhus.

Its oddities: a create has no key of ours, so our tag travels in the remarks (D-10); a 201 may be an offer of another
time (D-20); there is no status, only a day list of clock faces without order ids (D-51, D-56); an empty day is a 404
(D-54); its links are read but never followed (D-02); and it cannot collect money (D-19).
"""

from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.codec import DeliverIt

__all__ = ["DeliverIt", "DeliverItAccount"]
