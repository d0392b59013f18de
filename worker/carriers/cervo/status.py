"""Cervo's status codes, and our status for each of them (Cervo, "Status codes")."""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.status import GOODS_WITH_COURIER, RANK, CancelledBy, DeliveryStatus
from worker.carriers.port import AttemptView, Raw

S = DeliveryStatus

STATUS_BY_CODE: dict[str, DeliveryStatus] = {
    "1": S.CREATED,  # New
    "2": S.COURIER_ASSIGNED,  # Accepted by driver
    "3": S.PICKED_UP,  # Order on hand (C-35)
    "4": S.DELIVERED,  # Completed
    "5": S.COURIER_WITHDRAWN,  # Canceled by driver (C-34)
    "0": S.CANCELLED,  # Canceled (C-33)
}
"""Our status for each documented code. Code 6 of the sample is undocumented, so it is unmapped (C-32)."""

CODES_WITHOUT_COURIER = frozenset({"0", "1", "5"})
"""Codes without a current courier. A driver's name beside such a code is that of an earlier driver."""

CODES_AFTER_PICKUP = frozenset({"3", "4"})
"""Codes that prove that the courier has collected the goods."""

ENTITY = "order"
"""The `Raw.entity` of every status code: reads, histories and callbacks use the same codes."""
WITH_ITEMS = "with_items"


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of one code for one attempt. `status` is None for an unknown code."""

    status: DeliveryStatus | None
    detail: str | None = None
    cancelled_by: CancelledBy | None = None


def meaning_of(code: str, attempt: AttemptView, *, collected: bool) -> Meaning:
    """Return the meaning of a code. `collected` says whether the goods have left the shop (C-32, C-33, C-34)."""
    status = STATUS_BY_CODE.get(code)
    if status is S.CANCELLED:
        cancelled_by = CancelledBy.MERCHANT if attempt.cancel_requested else CancelledBy.UNKNOWN
        return Meaning(S.CANCELLED, _items(collected=collected), cancelled_by)
    # C-34: no other courier can deliver collected goods, and a withdrawal that ended the attempt must not reopen it.
    if status is S.COURIER_WITHDRAWN and (collected or attempt.state == S.CANCELLED):
        return Meaning(S.CANCELLED, _items(collected=collected), CancelledBy.COURIER)
    return Meaning(status)


def meanings(raw: Raw) -> frozenset[DeliveryStatus | None]:
    """Return every status that a code may mean, depending on the attempt (C-34)."""
    status = STATUS_BY_CODE.get(raw.code) if raw.entity == ENTITY else S.CREATED
    return frozenset({status, S.CANCELLED} if status is S.COURIER_WITHDRAWN else {status})


def goods_collected(attempt: AttemptView, earlier_codes: Iterable[str], *, recorded: bool) -> bool:
    """Return whether the goods have left the shop.

    One proof is enough: `recorded` from an earlier read, the attempt's rank, or one of the earlier codes. The rank of a
    final status proves nothing, because delivered and cancelled attempts have the same rank.
    """
    by_rank = GOODS_WITH_COURIER <= attempt.rank < RANK[S.DELIVERED]
    return recorded or by_rank or not CODES_AFTER_PICKUP.isdisjoint(earlier_codes)


def rank_of(code: str) -> int | None:
    """Return the rank of a code's status; None for an unknown code."""
    status = STATUS_BY_CODE.get(code)
    return None if status is None else RANK[status]


def _items(*, collected: bool) -> str | None:
    return WITH_ITEMS if collected else None
