"""The one table of what may follow what in an attempt's life.

A star marks reassignment: a step back that is legal only on news that is certainly newer.
"""

from schemas.status import FINAL, RANK, DeliveryStatus

_TABLE = """
created               -> courier_assigned pickup_enroute pickup_arrived picked_up dropoff_enroute dropoff_arrived
                         delivered courier_withdrawn on_hold delivery_failed reattempting returning returned
                         cancelled failed
courier_assigned      -> created* pickup_enroute pickup_arrived picked_up dropoff_enroute dropoff_arrived delivered
                         courier_withdrawn on_hold delivery_failed reattempting returning returned cancelled failed
pickup_enroute        -> created* courier_assigned* pickup_arrived picked_up dropoff_enroute dropoff_arrived delivered
                         courier_withdrawn on_hold delivery_failed reattempting returning returned cancelled failed
pickup_arrived        -> created* courier_assigned* pickup_enroute* picked_up dropoff_enroute dropoff_arrived delivered
                         courier_withdrawn on_hold delivery_failed reattempting returning returned cancelled failed
courier_withdrawn     -> created courier_assigned pickup_enroute pickup_arrived picked_up dropoff_enroute
                         dropoff_arrived delivered on_hold cancelled failed
picked_up             -> dropoff_enroute dropoff_arrived delivered on_hold delivery_failed reattempting returning
                         returned cancelled failed
dropoff_enroute       -> dropoff_arrived delivered on_hold delivery_failed reattempting returning returned cancelled
                         failed
dropoff_arrived       -> delivered on_hold delivery_failed reattempting returning returned cancelled failed
delivery_failed       -> reattempting returning returned delivered on_hold cancelled failed
reattempting          -> delivered delivery_failed returning returned on_hold cancelled failed
returning             -> returned reattempting delivered on_hold cancelled failed
"""

CARRIER_STATES = frozenset(status for status in RANK if RANK[status] >= RANK[DeliveryStatus.CREATED]) | {
    DeliveryStatus.ON_HOLD
}
"""What a carrier can say about an order it has."""


def _parse(table: str) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    onward: dict[str, frozenset[str]] = {}
    back: dict[str, frozenset[str]] = {}
    source = ""
    for line in table.strip().splitlines():
        head, _, tail = line.rpartition("->")
        source = head.strip() or source
        words = [DeliveryStatus(word.rstrip("*")).value + word[len(word.rstrip("*")) :] for word in tail.split()]
        onward[source] = onward.get(source, frozenset()) | {word for word in words if not word.endswith("*")}
        back[source] = back.get(source, frozenset()) | {word[:-1] for word in words if word.endswith("*")}
    return onward, back


ONWARD, REASSIGNED = _parse(_TABLE)
ONWARD |= {
    "submitting": CARRIER_STATES | {"awaiting_confirmation", "submit_unknown", "rejected"},
    "submit_unknown": CARRIER_STATES | {"awaiting_confirmation", "rejected"},
    "awaiting_confirmation": CARRIER_STATES | {"rejected"},
}
STICKY = frozenset(status.value for status in FINAL)


def allows(source: str, target: str, resume_to: str | None = None) -> bool:
    """Tell whether `target` may follow `source` on any news; `resume_to` is what an `on_hold` interrupted."""
    if source == DeliveryStatus.ON_HOLD and resume_to is not None:
        return target == resume_to or allows(resume_to, target)
    return target in ONWARD.get(source, frozenset())


def allows_back(source: str, target: str, resume_to: str | None = None) -> bool:
    """Tell whether `target` may follow `source` as a reassignment, on news that is certainly newer."""
    interrupted = resume_to if source == DeliveryStatus.ON_HOLD and resume_to is not None else source
    return target in REASSIGNED.get(interrupted, frozenset())


def interrupts(target: str, source: str) -> str | None:
    """Tell what an attempt in `target` goes back to: `source` if that is an `on_hold`, otherwise nothing."""
    return source if target == DeliveryStatus.ON_HOLD else None
