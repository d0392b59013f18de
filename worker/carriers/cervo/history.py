"""Which entries of `OrderStatus` are news: those behind what was told before, and not overtaken by `Status` (C-37).

An attempt remembers the words of the history it has told, the last word it was told at all, and whether the goods
have left the shop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from worker.carriers.cervo.status import GOODS_WORDS, rank

TOLD, WORD, GOODS = "told", "word", "goods"
UNREADABLE = "?"
REWRITTEN = "history_rewritten"
UNORDERED = "history_unordered"


@dataclass(frozen=True, slots=True)
class Memory:
    """What was told of an attempt: the history's words, the last word of all, and that the goods have left."""

    told: tuple[str, ...] = ()
    word: str | None = None
    goods: bool = False

    def then(self, word: str, told: tuple[str, ...], *, gone: bool) -> "Memory":
        """Remember one more word, the history as far as it is told by now, and whether the goods have left."""
        return Memory(told, word, goods=self.goods or gone or word in GOODS_WORDS)

    @property
    def ahead(self) -> str | None:
        """The last word told, when the history did not have it yet (C-38)."""
        return None if self.told[-1:] == (self.word,) else self.word


def recall(refs: Mapping[str, str]) -> Memory:
    """Read the memory of an attempt."""
    told = tuple(refs[TOLD].split(",")) if refs.get(TOLD) else ()
    return Memory(told, refs.get(WORD) or None, GOODS in refs)


def refs_of(memory: Memory) -> dict[str, str]:
    """Write a memory down whole, for the engine merges the refs of one observation after the other."""
    refs = {TOLD: ",".join(memory.told), WORD: memory.word or "", GOODS: "1" if memory.goods else ""}
    return {key: value for key, value in refs.items() if value}


@dataclass(frozen=True, slots=True)
class News:
    """The positions of the entries that are news, what is told after them, and notes on an odd history."""

    positions: range
    told: tuple[str, ...]
    notes: tuple[str, ...] = ()


def news(words: tuple[str, ...], memory: Memory, *, ordered: bool) -> News:
    """Compare a history with what was told of it; one that is missing or out of order brings no news."""
    known = len(memory.told)
    if words == memory.told[: len(words)]:
        return News(range(0), memory.told)
    if not ordered:
        return News(range(0), words, (UNORDERED,))
    if words[:known] != memory.told:
        return News(range(0), words, (REWRITTEN,))
    return News(range(known + _overtaken(words[known:], memory.ahead), len(words)), words)


def _overtaken(words: Sequence[str], ahead: str | None) -> int:
    """Count the entries that come late: what was told from `Status` lies behind them."""
    if ahead is None:
        return 0
    passed = sum(1 for _ in takewhile(lambda word: _before(word, ahead), words))
    return passed + (tuple(words[passed : passed + 1]) == (ahead,))


def _before(word: str, ahead: str) -> bool:
    earlier, later = rank(word), rank(ahead)
    return earlier is not None and later is not None and earlier < later
