"""Draw the newest results of `var/benchmarks.jsonl` as bars: `python -m benchmarks.chart > var/benchmarks.svg`.

One group of bars for each measure that several cases of a benchmark share. A line on a bar is its lowest and highest
round.
"""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from benchmarks.report import FILE

WIDTH, LABEL, BAR, ROW, HEAD = 860, 250, 420, 20, 34
"""The widths of the drawing, of the labels and of the longest bar, and the heights of a bar and of a heading."""
STYLE = "text{font:12px sans-serif}.head{font-weight:bold}rect{fill:#4878a8}line{stroke:#222;stroke-width:1.5}"
Result = dict[str, Any]


def newest() -> dict[tuple[str, str, str], dict[str, Result]]:
    """Return the newest result of each case, by benchmark, measure and unit."""
    groups: dict[tuple[str, str, str], dict[str, Result]] = {}
    for line in FILE.read_text().splitlines():
        found = json.loads(line)
        groups.setdefault((found["benchmark"], found["measure"], found["unit"]), {})[found["case"]] = found
    return {key: cases for key, cases in groups.items() if len(cases) > 1}


def draw() -> str:
    """Return the drawing."""
    parts, top = [], 10
    for (benchmark, measure, unit), cases in newest().items():
        heading = escape(f"{benchmark}: {measure}, {unit}")
        parts.append(f'<text class="head" x="10" y="{top + 18}">{heading}</text>')
        parts += _bars(cases, top + HEAD - 8)
        top += HEAD + ROW * len(cases)
    size = f'width="{WIDTH}" height="{top + 10}" viewBox="0 0 {WIDTH} {top + 10}"'
    background = '<rect width="100%" height="100%" style="fill:#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{background}{"".join(parts)}</svg>'


def _bars(cases: dict[str, Result], top: int) -> Iterator[str]:
    scale = BAR / (max(each["high"] for each in cases.values()) or 1)
    for number, (case, result) in enumerate(cases.items()):
        y, low, value, high = top + number * ROW, *(max(0, result[key]) * scale for key in ("low", "value", "high"))
        yield f'<text x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(case)}</text>'
        yield f'<rect x="{LABEL}" y="{y + 2}" width="{value:.1f}" height="{ROW - 6}"/>'
        yield f'<line x1="{LABEL + low:.1f}" x2="{LABEL + high:.1f}" y1="{y + 9}" y2="{y + 9}"/>'
        yield f'<text x="{LABEL + high + 8:.1f}" y="{y + 13}">{result["value"]:,.4g}</text>'


if __name__ == "__main__":
    print(draw())
