"""The list of orders. It is read by ids to track orders, and newest first to find an order by our reference.

The document gives no page size, and does not say how a request with one bad id is answered. Therefore orders that a
reply leaves out are requested again, and a refused request is split in halves. An order counts as absent only if the
list was read completely, back to a time before the create.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from worker.carriers.borzo.errors import read_error
from worker.carriers.borzo.observations import referenced_attempts
from worker.carriers.borzo.wire import RawOrder, has_readable_points, parse_order, parse_success
from worker.carriers.port import AttemptView
from worker.errors import Unreadable
from worker.http.call import Reply

CHUNK = 50
PAGE = 50
SHORT_PAGE = 10
MAX_SEARCHED = 1000
"""How many orders a search reads before it ends without a result."""
SKEW = timedelta(minutes=5)

Group = tuple[str, ...]
"""Order ids for one request."""


def orders_in(reply: Reply, now: datetime) -> list[object]:
    """Return the orders in a reply. Raises Unavailable or Unreadable."""
    document = parse_success(reply)
    if document is None:
        raise read_error(reply, now)
    raw_orders = document.get("orders")
    if not isinstance(raw_orders, list):
        raise Unreadable("the list of orders is missing")
    return raw_orders


def total_in(reply: Reply) -> int | None:
    """Return the number of all orders, as a reply reports it; None when the reply has no number."""
    total = (parse_success(reply) or {}).get("orders_count")
    return total if isinstance(total, int) else None


def chunks(refs: Sequence[str]) -> list[Group]:
    """Split order ids into groups of the size that one request may have (B-50)."""
    return [tuple(refs[start : start + CHUNK]) for start in range(0, len(refs), CHUNK)]


def left_out(requested: Group, listed: Collection[str]) -> list[Group]:
    """Return the requested ids that a reply does not list; none if it lists no requested id at all (B-50)."""
    rest = tuple(ref for ref in requested if ref not in listed)
    return [rest] if rest and len(rest) < len(requested) else []


def halves(requested: Group) -> list[Group]:
    """Split a refused group, so that one bad id does not hide the others (X-14). Drop a group of one id."""
    middle = len(requested) // 2
    return [requested[:middle], requested[middle:]] if middle else []


def dump_groups(groups: Sequence[Group]) -> str:
    """Write the groups that are still to be requested into a call's context."""
    return ";".join(",".join(group) for group in groups)


def load_groups(context: str) -> list[Group]:
    """Read groups that `dump_groups` has written."""
    return [tuple(group.split(",")) for group in context.split(";") if group]


@dataclass(frozen=True, slots=True)
class Position:
    """The progress of a search."""

    offset: int = 0
    """The number of orders that the search has read."""
    lowest: int = 0
    """The lowest order id that the search has read; 0 while it has read no order."""
    flawed: bool = False
    """Whether the search has found an unreadable order."""
    found: list[int] = field(default_factory=list)
    """The ids of the attempts whose orders the search has found."""

    def dump(self) -> str:
        """Write the position into a call's context."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, context: str) -> Self:
        """Read a position that `dump` has written; an empty context is the start of the list."""
        return cls(**json.loads(context)) if context else cls()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found on one page."""

    hits: dict[int, list[RawOrder]]
    """The orders on the page by attempt id, only for attempts with at least one order."""
    next_position: Position | None
    """The position at which the search continues; None when the search has ended."""
    proves_absence: bool


def search(
    raw_orders: list[Any], position: Position, attempts: Sequence[AttemptView], total: int | None = None
) -> SearchResult:
    """Search one page for the attempts' references (Borzo, "List of orders", B-60).

    An empty page is the last, unless `orders_count` shows that there are more orders.
    """
    orders = [order for order in map(parse_order, raw_orders) if order]
    hits = {attempt.id: _matching(orders, attempt.id) for attempt in attempts}
    after = _advance(position, raw_orders, orders, [attempt_id for attempt_id, found in hits.items() if found])
    is_last = not raw_orders and (total or 0) <= position.offset
    ended = is_last or _is_past(orders, min(attempt.submitted_at for attempt in attempts) - SKEW)
    stuck = position.lowest > 0 and after.lowest >= position.lowest
    goes_on = bool(raw_orders) and not ended and not stuck and after.offset < MAX_SEARCHED
    return SearchResult(
        hits={attempt_id: found for attempt_id, found in hits.items() if found},
        next_position=after if goes_on else None,
        proves_absence=ended and not after.flawed,
    )


def absent(searched: Sequence[AttemptView], found: Sequence[int], hits: Mapping[int, object]) -> frozenset[int]:
    """Return the ids of the attempts for which no page of a search has shown an order."""
    return frozenset(attempt.id for attempt in searched) - frozenset(found) - frozenset(hits)


def duplicates(hits: Mapping[int, Sequence[RawOrder]], found: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return the ids of the live duplicate orders on one page, by attempt id (B-60).

    The first order that the search found for an attempt is the attempt's own order, and all others are duplicates. An
    attempt in `found` has its own order on an earlier page, so all its live orders here are duplicates.
    """
    further = {attempt_id: orders if attempt_id in found else orders[1:] for attempt_id, orders in hits.items()}
    alive = {key: tuple(str(o.order_id) for o in orders if o.status != "canceled") for key, orders in further.items()}
    return {attempt_id: refs for attempt_id, refs in alive.items() if refs}


def _matching(orders: Sequence[RawOrder], attempt_id: int) -> list[RawOrder]:
    """Return the orders with the attempt's reference, the oldest first; cancelled orders come last (B-60)."""
    found = [order for order in orders if attempt_id in referenced_attempts(order.points)]
    return sorted(found, key=lambda order: (order.status == "canceled", order.order_id))


def _advance(position: Position, raw_orders: list[Any], orders: Sequence[RawOrder], found: list[int]) -> Position:
    ids = [order.order_id for order in orders] + ([position.lowest] if position.lowest else [])
    return Position(
        offset=position.offset + len(raw_orders),
        lowest=min(ids, default=0),
        flawed=position.flawed or not all(map(has_readable_points, raw_orders)),
        found=sorted({*position.found, *found}),
    )


def _is_past(orders: Sequence[RawOrder], horizon: datetime) -> bool:
    """Return whether every order on the following pages is older than `horizon`.

    The list descends by id, and usually by time, so the oldest order of this page usually decides. But an order
    from a draft may be older than its id suggests. If the page does not descend by both id and time, the result is True
    only if every order on the page is older than `horizon` (B-50).
    """
    times = [order.created_datetime for order in orders if order.created_datetime]
    ids = [order.order_id for order in orders]
    if not times:
        return False
    descends = ids == sorted(ids, reverse=True) and times == sorted(times, reverse=True)
    return (min(times) if descends else max(times)) < horizon
