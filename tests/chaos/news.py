"""The statuses that were published of each courier, compared with those that their carrier had."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.chaos.history import History, Row

PART_OF: Mapping[tuple[str, str], Callable[[str], str]] = {
    ("cervo", "order"): lambda word: word,
    ("borzo", "order"): lambda word: word.partition("/")[0],
    ("borzo", "delivery"): lambda word: word.partition("/")[2],
}
"""How to read the code of an event's raw status in the sandbox's word for the status, by carrier and entity."""


def statuses_in_order(history: History) -> Iterator[str]:
    """R13: the statuses of a courier are published in the order in which the carrier had them."""
    published: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in history.outbox:
        data = row["event"]["data"]
        if row["event"]["type"] == "delivery.status_changed" and data.get("raw") and data.get("carrier_ref"):
            published[data["carrier"], data["carrier_ref"]].append(data["raw"])
    for courier in history.couriers:
        carrier, words = courier["carrier"], [each["word"] for each in courier["history"]]
        if wrong := _out_of_order(published[carrier, courier["id"]], carrier, words):
            yield f"{carrier} {courier['id']}: {wrong} was published out of order; the carrier had {', '.join(words)}"


def _out_of_order(published: Sequence[Row], carrier: str, words: Sequence[str]) -> str | None:
    """Return the first published code that the carrier did not have then or later; None when there is none."""
    at = 0
    for raw in published:
        part = PART_OF.get((carrier, raw["entity"]))
        if part is None:
            continue
        found = next((place for place in range(at, len(words)) if part(words[place]) == raw["code"]), None)
        if found is None:
            return str(raw["code"])
        at = found
    return None
