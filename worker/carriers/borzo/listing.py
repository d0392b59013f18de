"""The list of orders, as the codec uses it: by ids to follow orders, newest first to find one by our tag.

The document shows neither a page size nor how a chunk with one bad id is answered, so nothing here relies on either:
what a reply lacks is asked for again, a refused chunk is halved, and absence is said only of a range seen whole.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from worker.carriers.borzo.sighting import tagged
from worker.carriers.borzo.wire import RawOrder, is_whole, order_of
from worker.carriers.port import AttemptView

CHUNK = 50
PAGE = 50
SHORT_PAGE = 10
MAX_SCAN = 1000
"""How many orders a look-up goes back before it gives up without a verdict."""
SKEW = timedelta(minutes=5)

Group = tuple[str, ...]


def chunks(refs: Sequence[str]) -> list[Group]:
    """Cut order ids into what one request may carry (B-50)."""
    return [tuple(refs[start : start + CHUNK]) for start in range(0, len(refs), CHUNK)]


def missing(asked: Group, got: Collection[str]) -> list[Group]:
    """Name what is to be asked for again: what a reply that knew some of the ids left out (B-50)."""
    rest = tuple(ref for ref in asked if ref not in got)
    return [rest] if rest and len(rest) < len(asked) else []


def halves(asked: Group) -> list[Group]:
    """Split a chunk that was refused as a whole, so that one bad id cannot blind us for the others (X-14)."""
    middle = len(asked) // 2
    return [asked[:middle], asked[middle:]] if middle else []


def store_groups(groups: Sequence[Group]) -> str:
    """Write the groups still to be asked for into a call's memo."""
    return ";".join(",".join(group) for group in groups)


def load_groups(memo: str) -> list[Group]:
    """Read them back."""
    return [tuple(group.split(",")) for group in memo.split(";") if group]


@dataclass(frozen=True, slots=True)
class Page:
    """Where a look-up stands: how many orders it has passed, and what it met on the way."""

    offset: int = 0
    lowest: int = 0
    flawed: bool = False
    found: list[int] = field(default_factory=list)

    def store(self) -> str:
        """Write it into a call's memo."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, memo: str) -> Self:
        """Read it back; the first page has none."""
        return cls(**json.loads(memo)) if memo else cls()


@dataclass(frozen=True, slots=True)
class Scan:
    """One page read for these attempts: who was found in which orders, and whether the look-up is at its end."""

    hits: dict[int, list[RawOrder]]
    following: Page | None
    proves_absence: bool


def scan(raw_orders: list[Any], page: Page, attempts: Sequence[AttemptView], total: int | None = None) -> Scan:
    """Look for the attempts' tags on one page (Borzo, "List of orders", B-60).

    An empty page is the end, unless `orders_count` says that there is more.
    """
    orders = [order for order in map(order_of, raw_orders) if order]
    hits = {attempt.id: _matching(orders, attempt.id) for attempt in attempts}
    following = _following(raw_orders, orders, page, [attempt_id for attempt_id, found in hits.items() if found])
    is_last = not raw_orders and (total or 0) <= page.offset
    ended = is_last or _is_past(orders, min(attempt.submitted_at for attempt in attempts) - SKEW)
    stuck = page.lowest > 0 and following.lowest >= page.lowest
    goes_on = bool(raw_orders) and not ended and not stuck and following.offset < MAX_SCAN
    return Scan(
        hits={attempt_id: found for attempt_id, found in hits.items() if found},
        following=following if goes_on else None,
        proves_absence=ended and not following.flawed,
    )


def _matching(orders: Sequence[RawOrder], attempt_id: int) -> list[RawOrder]:
    """Sort the orders that carry a tag: those still alive first, then the oldest (B-60)."""
    found = [order for order in orders if attempt_id in tagged(order.points)]
    return sorted(found, key=lambda order: (order.status == "canceled", order.order_id))


def _following(raw_orders: list[Any], orders: Sequence[RawOrder], page: Page, found: list[int]) -> Page:
    ids = [order.order_id for order in orders] + ([page.lowest] if page.lowest else [])
    return Page(
        offset=page.offset + len(raw_orders),
        lowest=min(ids, default=0),
        flawed=page.flawed or not all(map(is_whole, raw_orders)),
        found=sorted({*page.found, *found}),
    )


def _is_past(orders: Sequence[RawOrder], horizon: datetime) -> bool:
    """Tell whether all that follows is older: the list descends by id, and so by time; both are looked at (B-50).

    An order may be older than its id, such as one that was made out of a draft.
    """
    times = [order.created_datetime for order in orders if order.created_datetime]
    ids = [order.order_id for order in orders]
    if not times:
        return False
    descends = ids == sorted(ids, reverse=True) and times == sorted(times, reverse=True)
    return (min(times) if descends else max(times)) < horizon
