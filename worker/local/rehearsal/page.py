"""The report of a rehearsal as one HTML page, which loads nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

WIDTH, HEIGHT = 720.0, 120.0
"""The size of a chart's area, in units of the SVG."""
MINUTES_OF_BAR, MOST_MINUTES = 5, 60
HOUR = 60


@dataclass(frozen=True, slots=True)
class Chart:
    """A line or bars as the path of an SVG, beside a limit."""

    title: str
    path: str
    highest: float
    labels: Sequence[tuple[float, str]]
    """The texts below the chart, with their places."""
    limit: float | None = None
    limit_y: float | None = None

    @property
    def summary(self) -> str:
        """The chart as a sentence, for those who do not see it."""
        return f"Highest value: {self.highest:g}." + (f" Limit: {self.limit:g}." if self.limit else "")


def page(figures: Mapping[str, Any]) -> str:
    """Return the report of these figures."""
    return _template().render(
        figures=figures,
        requests=[
            line(f"{kind}: requests a minute", each["requests_per_minute"], each["budget_per_minute"])
            for kind, each in figures["carriers"].items()
        ],
        lateness=bars("Orders by the minutes of their pickup after the requested time", _late_bars(figures)),
        questions=bars("Questions to operators by the hour", _question_bars(figures)),
        accounts=sorted(figures["accounts"], key=_fullest, reverse=True)[:20],
    )


def line(title: str, values: Sequence[float], limit: float | None) -> Chart:
    """Return the chart of a value for each minute, with a label for every third hour."""
    highest = max(values, default=0)
    scale = HEIGHT / max(highest, limit or 0, 1)
    step = WIDTH / max(len(values), 1)
    points = (f"{index * step:.1f} {HEIGHT - value * scale:.1f}" for index, value in enumerate(values))
    labels = [(index * step, f"+{index // HOUR} h") for index in range(0, len(values), 3 * HOUR)]
    return Chart(title, "M" + "L".join(points), highest, labels, limit, limit and HEIGHT - limit * scale)


def bars(title: str, values: Mapping[str, int]) -> Chart:
    """Return the chart of a bar for each label."""
    highest = max(values.values(), default=0)
    slot = WIDTH / max(len(values), 1)
    shapes, labels = [], []
    for index, (label, value) in enumerate(values.items()):
        top = HEIGHT - HEIGHT * value / max(highest, 1)
        shapes.append(f"M{index * slot + 1:.1f} {HEIGHT:.0f}V{top:.1f}h{slot - 2:.1f}V{HEIGHT:.0f}z")
        labels.append((index * slot, label))
    return Chart(title, "".join(shapes), highest, labels)


def _late_bars(figures: Mapping[str, Any]) -> dict[str, int]:
    shown = dict.fromkeys(("in time", *map(str, range(0, MOST_MINUTES, MINUTES_OF_BAR)), f"{MOST_MINUTES}+"), 0)
    for minutes, count in figures["late_minutes"].items():
        shown[_late_bar(int(minutes))] += count
    return shown


def _late_bar(minutes: int) -> str:
    if minutes <= 0:
        return "in time"
    return f"{MOST_MINUTES}+" if minutes >= MOST_MINUTES else str(minutes // MINUTES_OF_BAR * MINUTES_OF_BAR)


def _question_bars(figures: Mapping[str, Any]) -> dict[str, int]:
    hours = [sum(each) for each in zip(*figures["questions"].values(), strict=True)]
    return {f"+{hour}": count for hour, count in enumerate(hours)}


def _fullest(account: Mapping[str, Any]) -> float:
    return max((float(each["share"]) for each in account["windows"]), default=0.0)


@cache
def _template() -> Template:
    loader = PackageLoader("worker.local.rehearsal", ".")
    return Environment(autoescape=True, undefined=StrictUndefined, loader=loader, trim_blocks=True).get_template(
        "report.html"
    )
