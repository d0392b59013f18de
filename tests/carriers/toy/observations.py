"""What the toy carrier's answers show of an order."""

import re
from collections.abc import Mapping
from typing import Any

from schemas.status import DeliveryStatus, Reason
from tests.carriers.toy.errors import PROBLEMS
from tests.carriers.toy.status import STATUS_TABLE
from tests.carriers.toy.wire import parse_amount
from worker.carriers.abilities import Quote
from worker.carriers.port import Observation, Price, Raw
from worker.errors import Uncertain, Unreadable
from worker.http.redaction import single_line

ORDER_ID = re.compile(r"[A-Za-z0-9-]{1,40}")
"""An order id becomes part of a path, so it may have no other character."""
MAX_STATUS = 40


def observe_created(document: Mapping[str, Any]) -> Observation:
    """Return what the answer to a create shows. Raises Uncertain without an order id."""
    ref = document.get("id")
    if not isinstance(ref, str) or not ORDER_ID.fullmatch(ref):
        raise Uncertain("the create was answered without an id")
    return Observation(DeliveryStatus.CREATED, Raw("order", "waiting"), ref=ref)


def observe_order(document: Mapping[str, Any]) -> Observation:
    """Return what an order shows; an unknown status stays unknown. Raises Unreadable without a status."""
    state = document.get("state")
    if not isinstance(state, str):
        raise Unreadable("the order has no state")
    return Observation(STATUS_TABLE.get(state), Raw("order", single_line(state, MAX_STATUS)))


def quote_of(document: Mapping[str, Any]) -> Quote:
    """Return the price, which an order has even when it would be refused."""
    amount, problem = parse_amount(document.get("price")), document.get("problem")
    price = None if amount is None else Price(amount, "EUR", "included")
    if not isinstance(problem, str):
        return Quote(price)
    return Quote(price, orderable=False, why=(single_line(problem),), reason=PROBLEMS.get(problem, Reason.UNKNOWN))
