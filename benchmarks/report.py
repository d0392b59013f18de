"""The results of a run: one line each, on the terminal and as JSON in `var/benchmarks.jsonl`, which shows trends."""

import json
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE = Path("var/benchmarks.jsonl")


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    long: bool = False
    short: bool = False
    tls: bool = False
    rounds: int | None = None
    orders: int | None = None


@dataclass(frozen=True)
class Result:
    """One figure: the median of its rounds, with the lowest and the highest round."""

    benchmark: str
    case: str
    measure: str
    unit: str
    value: float
    low: float
    high: float
    rounds: int
    goal: float | None = None
    """The value that should not be exceeded."""

    def __str__(self) -> str:
        spread = f"  ({_number(self.low)} to {_number(self.high)})" if self.rounds > 1 else ""
        goal = (
            f"  goal {_number(self.goal)}{'' if self.value <= self.goal else ': MISSED'}"
            if self.goal is not None
            else ""
        )
        name = f"{self.benchmark:10}{self.case:30}{self.measure:24}"
        return f"{name}{_number(self.value):>10} {self.unit}{spread}{goal}"


class Report:
    """Prints each result, and appends it to the file with the conditions of the run."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._conditions = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 2),
        }
        FILE.parent.mkdir(exist_ok=True)

    def add(
        self,
        benchmark: str,
        case: str,
        measure: str,
        unit: str,
        rounds: Sequence[float],
        *,
        goal: float | None = None,
    ) -> float:
        """Record a figure of one or more rounds; return their median."""
        value, low, high = (round(each, 4) for each in (statistics.median(rounds), min(rounds), max(rounds)))
        result = Result(benchmark, case, measure, unit, value, low, high, len(rounds), goal)
        line = json.dumps({**asdict(result), **self._conditions})
        with FILE.open("a") as file:
            file.write(f"{line}\n")
        print(line if self._as_json else result, flush=True)
        return value


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _commit() -> str:
    """Return the commit, with a `+` if files have changed since; empty outside a repository."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=8", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
