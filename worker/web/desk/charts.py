"""Bar charts as geometry: a template draws them as SVG, in the colours of the sheet. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, GAP = 240.0, 72.0, 1.0
"""The size of the area of the bars, and the gap between two bars, in units of the SVG."""
LABEL_WIDTH = 28.0
"""The least distance between two labels."""
MINUTES_OF_BAR, MOST_MINUTES = 10, 120


@dataclass(frozen=True, slots=True)
class Bar:
    """One value. `x` and `y` are its upper left corner."""

    label: str
    value: int
    x: float
    y: float
    width: float
    height: float
    labelled: bool
    """Whether there is room for the label below the bar."""

    @property
    def middle(self) -> float:
        """The middle of the bar."""
        return round(self.x + self.width / 2, 1)


@dataclass(frozen=True, slots=True)
class Chart:
    """Values with their labels, and what they are."""

    title: str
    unit: str
    bars: tuple[Bar, ...]

    @property
    def summary(self) -> str:
        """The chart as a sentence, for those who do not see it."""
        highest = max(self.bars, key=lambda each: each.value)
        total = sum(each.value for each in self.bars)
        return f"Orders in all: {total}. Highest bar: {highest.value} ({self.unit} {highest.label})."


def bar_chart(title: str, unit: str, values: Sequence[tuple[str, int]]) -> Chart:
    """Return the chart of values with their labels; `unit` is what the labels count. There is at least one value."""
    slot, most = WIDTH / len(values), max(1, *(value for _, value in values))
    every = -(-LABEL_WIDTH // slot)
    bars = (
        Bar(
            label,
            value,
            round(index * slot + GAP / 2, 1),
            round(HEIGHT - HEIGHT * value / most, 1),
            round(slot - GAP, 1),
            round(HEIGHT * value / most, 1),
            index % every == 0,
        )
        for index, (label, value) in enumerate(values)
    )
    return Chart(title, unit, tuple(bars))


def by_hour(title: str, counts: Counter[int]) -> Chart:
    """Return the chart of a day, with a bar for each hour."""
    return bar_chart(title, "hour", [(f"{hour:02}", counts[hour]) for hour in range(24)])


def by_minutes(title: str, counts: Counter[int]) -> Chart:
    """Return the chart of how often durations of so many minutes occurred. The last bar has all longer ones."""
    bars: Counter[int] = Counter()
    for minutes, count in counts.items():
        bars[min(minutes, MOST_MINUTES) // MINUTES_OF_BAR] += count
    last = MOST_MINUTES // MINUTES_OF_BAR
    values = [(f"{index * MINUTES_OF_BAR}{'+' if index == last else ''}", bars[index]) for index in range(last + 1)]
    return bar_chart(title, "from minute", values)
