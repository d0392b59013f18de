"""The problems of a task in one line that monitors may show: counts and our own words, never a carrier's text."""

from collections import Counter
from collections.abc import Iterable

from schemas.json_reader import MalformedError
from worker.errors import Held, Postponed, Refused, Unavailable
from worker.http.call import Verdict, verdict_of

_PROBLEMS = {Verdict.UNCERTAIN: "outcome unknown", Verdict.UNREADABLE: "answer unreadable"}


def describe(problems: Iterable[str | None]) -> str:
    """Return one line that counts equal problems, such as "1 outcome unknown, 2 refused (unserviceable)".

    None is no problem. Without any problem, the line is empty.
    """
    counts = Counter(each for each in problems if each is not None)
    return ", ".join(f"{count} {problem}" for problem, count in sorted(counts.items()))


def of_call(response: object) -> str | None:
    """Return the problem of a call that changes something; None after a success, and while a call waits its turn."""
    match response:
        case Refused():
            return f"refused ({response.reason.value})"
        case MalformedError():
            return _PROBLEMS[Verdict.UNREADABLE]
        case Unavailable():
            return _waiting(response)
    return _PROBLEMS.get(verdict_of(response))


def _waiting(response: Unavailable) -> str | None:
    if response.account:
        return "waiting (account paused)"
    if isinstance(response, Held):
        return "waiting (creates held)"
    return None if isinstance(response, Postponed) else "waiting (unavailable)"


def of_read(response: object) -> str | None:
    """Return the problem of a read. A read has no outcome that could be unknown."""
    return "without answer" if verdict_of(response) is Verdict.UNCERTAIN else of_call(response)
