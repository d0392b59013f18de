"""The rows of a day list, compared with an attempt, for an operator who looks for an order.

A row may belong to another customer of the company, so only the results of the comparisons are kept (D-61).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from worker.carriers.abilities import ListedOrder
from worker.carriers.account import without_country
from worker.carriers.comparison import Comparison, compare_address, compare_phone
from worker.carriers.deliverit.observations import CURRENCY, observe_row
from worker.carriers.deliverit.request import split_street
from worker.carriers.deliverit.times import resolve_time
from worker.carriers.deliverit.wire import Row
from worker.carriers.port import AttemptView, Price


def compare_rows(
    rows: Sequence[Row], attempt: AttemptView, day: str, now: datetime, zone: ZoneInfo
) -> tuple[ListedOrder, ...]:
    """Return the rows of one day. The cancel token of a row is its id (D-51)."""
    blank = replace(attempt, ref=None, codec_state={})
    return tuple(_compare(row, blank, day, now, zone) for row in rows)


def _compare(row: Row, attempt: AttemptView, day: str, now: datetime, zone: ZoneInfo) -> ListedOrder:
    content, seen = row.content, observe_row(attempt, row, day, now, zone)[-1]
    return ListedOrder(
        ref=row.cancel_token,
        status=seen.status.value if seen.status else "no status",
        created_at=row.created_at,
        pickup_at=resolve_time(content.pickup_time, row.created_at or attempt.pickup_at, zone),
        price=Price(content.delivery_price, CURRENCY) if content.delivery_price is not None else None,
        attempt_ids=frozenset(filter(None, (row.attempt_id, *row.other_attempt_ids))),
        phone=compare_phone(attempt.order.customer.phone, row.phone),
        address=_compare_address(row, attempt),
    )


def _compare_address(row: Row, attempt: AttemptView) -> Comparison:
    """Compare the street, without the floor and the door, and the postal code (D-12, D-13)."""
    postal_code, dropoff = row.content.zip, attempt.order.dropoff
    if postal_code is not None and postal_code.zfill(4) != without_country(dropoff.postal_code).zfill(4):
        return Comparison.DIFFERS
    return compare_address(split_street(dropoff.street)[0], row.content.address)
