"""The statuses that were published of each courier, compared with those that their carrier had."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from schemas.status import RANK, DeliveryStatus
from tests.chaos.history import History, Row

PART_OF: Mapping[tuple[str, str], Callable[[str], str]] = {
    ("cervo", "order"): lambda word: word,
    ("borzo", "order"): lambda word: word.partition("/")[0],
    ("borzo", "delivery"): lambda word: word.partition("/")[2],
}
"""How to read the code of an event's raw status in the sandbox's word for the status, by carrier and entity."""
CHANGES = frozenset({"delivery.status_changed", "delivery.reopened"})
"""The types of the events that give a delivery a status."""


def statuses_in_order(history: History) -> Iterator[str]:
    """R13: what is published of a courier is what the carrier had, and no older status takes a newer one back.

    An older status that is a step forward is late, and does no harm: a newer one was vague, or came out of turn.
    """
    published: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in history.outbox:
        data = row["event"]["data"]
        if row["event"]["type"] in CHANGES and data.get("raw") and data.get("carrier_ref"):
            published[data["carrier"], data["carrier_ref"]].append(data)
    for courier in history.couriers:
        carrier, words = courier["carrier"], [each["word"] for each in courier["history"]]
        if wrong := _out_of_order(published[carrier, courier["id"]], carrier, words):
            yield f"{carrier} {courier['id']}: {wrong} was published out of order; the carrier had {', '.join(words)}"


def _out_of_order(published: Sequence[Row], carrier: str, words: Sequence[str]) -> str | None:
    """Return the first published code that the carrier never had, or had before the last one, as a step back."""
    at, rank = 0, -1
    for data in published:
        code, part = str(data["raw"]["code"]), PART_OF.get((carrier, data["raw"]["entity"]))
        if part is None:
            continue
        places = [place for place, word in enumerate(words) if part(word) == code]
        before, rank = rank, RANK.get(DeliveryStatus(data["status"]), 0)
        earliest = 0 if rank > before else at  # a step forward may be late
        possible = [place for place in places if place >= earliest]
        if not possible:
            return code
        at = max(at, min(possible))
    return None
