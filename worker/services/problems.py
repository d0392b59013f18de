"""The problems of a task in one line that monitors may show: counts and our own words, never a carrier's text."""

from collections import Counter
from collections.abc import Iterable

from schemas.json_reader import MalformedError
from worker.errors import CarrierError, Held, Postponed, Refused, Unavailable, Uncertain

_PROBLEMS: tuple[tuple[type[Exception], str | None], ...] = (
    (Held, "waiting (creates held)"),
    (Postponed, None),
    (Unavailable, "waiting (unavailable)"),
    (Uncertain, "outcome unknown"),
    (CarrierError, "answer unreadable"),
    (MalformedError, "answer unreadable"),
)
"""The first class to which an error belongs decides."""


def describe(problems: Iterable[str | None]) -> str:
    """Return one line that counts equal problems, such as "1 outcome unknown, 2 refused (unserviceable)".

    None is no problem. Without any problem, the line is empty.
    """
    counts = Counter(each for each in problems if each is not None)
    return ", ".join(f"{count} {problem}" for problem, count in sorted(counts.items()))


def of_call(response: object) -> str | None:
    """Return the problem of a call that changes something; None after a success, and while a call waits its turn."""
    if isinstance(response, Refused):
        return f"refused ({response.reason.value})"
    if isinstance(response, Unavailable) and response.account:
        return "waiting (account paused)"
    return next((problem for error, problem in _PROBLEMS if isinstance(response, error)), None)


def of_read(response: object) -> str | None:
    """Return the problem of a read. A read has no outcome that could be unknown."""
    return "without answer" if isinstance(response, Uncertain) else of_call(response)
