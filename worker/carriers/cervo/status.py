"""Cervo's status codes in our words, row by row (Cervo, "Status codes"; statuses.md, table a)."""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.status import GOODS_WITH_COURIER, RANK, CancelledBy, DeliveryStatus
from worker.carriers.port import AttemptView

S = DeliveryStatus

STATUS_OF_WORD: dict[str, DeliveryStatus] = {
    "1": S.CREATED,  # New
    "2": S.COURIER_ASSIGNED,  # Accepted by driver
    "3": S.PICKED_UP,  # Order on hand (C-35)
    "4": S.DELIVERED,  # Completed
    "5": S.COURIER_WITHDRAWN,  # Canceled by driver (C-34)
    "0": S.CANCELLED,  # Canceled (C-33)
}
"""What each documented code means. 6 of the sample is not among them and stays unknown (C-32)."""

COURIER_GONE = frozenset({"0", "1", "5"})
"""With these words a driver's name is at best the name of the one who has left."""

GOODS_WORDS = frozenset({"3", "4"})
"""Words after which the goods are no longer in the shop."""

WITH_ITEMS = "with_items"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one word means for one attempt; a `status` of None means that we do not know the word."""

    status: DeliveryStatus | None
    detail: str | None = None
    cancelled_by: CancelledBy | None = None


def verdict(word: str, attempt: AttemptView, *, goods_gone: bool) -> Verdict:
    """Say what a code means for an attempt whose goods have left the shop or not (C-32, C-33, C-34)."""
    status = STATUS_OF_WORD.get(word)
    if status is S.CANCELLED:
        by = CancelledBy.MERCHANT if attempt.cancel_requested else CancelledBy.UNKNOWN
        return Verdict(S.CANCELLED, _items(goods_gone=goods_gone), by)
    # C-34: with the goods gone nobody else can be sent, and a withdrawal that has ended the attempt stays its end.
    if status is S.COURIER_WITHDRAWN and (goods_gone or attempt.state == S.CANCELLED):
        return Verdict(S.CANCELLED, _items(goods_gone=goods_gone), CancelledBy.COURIER)
    return Verdict(status)


def goods_gone(attempt: AttemptView, words: Iterable[str], *, remembered: bool) -> bool:
    """Tell whether the goods have left the shop, from the rank, our memory and the words before this one.

    A rank of 100 does not count: a cancelled attempt has it too.
    """
    return remembered or GOODS_WITH_COURIER <= attempt.rank < RANK[S.DELIVERED] or not GOODS_WORDS.isdisjoint(words)


def rank(word: str) -> int | None:
    """Give the rank of a code, None for one that we do not know."""
    status = STATUS_OF_WORD.get(word)
    return None if status is None else RANK[status]


def _items(*, goods_gone: bool) -> str | None:
    return WITH_ITEMS if goods_gone else None
