"""Write the pictures in docs/images and the table of transitions in docs/statuses.md: `make pictures`, with Graphviz.

The pictures are committed, so GitHub, the site and a reader without a network show the same, and no page loads a script
for them. A picture names its nodes and edges in `title` elements: a test compares them, without Graphviz.
"""

import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from schemas.status import FINAL, GOODS_WITH_COURIER, RANK, AttemptState, DeliveryStatus
from worker.domain.transitions import TRANSITIONS

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
STATUSES = DOCS / "statuses.md"
S = DeliveryStatus

USUAL = (
    S.QUEUED, S.CREATED, S.COURIER_ASSIGNED, S.PICKUP_ENROUTE, S.PICKUP_ARRIVED, S.PICKED_UP,
    S.DROPOFF_ENROUTE, S.DROPOFF_ARRIVED, S.DELIVERED,
)  # fmt: skip
"""The usual way. A step that skips some of these statuses is allowed, and not drawn."""

FROM_ANYWHERE = {S.CANCELLED, S.FAILED, S.ON_HOLD}
"""Statuses that may follow nearly every other one; a sentence below the picture says so."""

OURS = {
    (S.SUBMIT_UNKNOWN, S.QUEUED): "never created",
    (S.AWAITING_CONFIRMATION, S.QUEUED): "denied",
    (S.COURIER_WITHDRAWN, S.QUEUED): "next carrier",
}
"""Steps that we decide ourselves; the table has only those that a carrier's report may set."""

HEAD = """\
// The life of a delivery. Written by docs/draw_pictures.py from worker/domain/transitions.py.
digraph life {
  graph [rankdir=TB, bgcolor=white, pad=0.2, nodesep=0.3, ranksep=0.35]
  node [shape=box, style="rounded,filled", color="#5b6b7b", fontname="Helvetica,Arial,sans-serif", fontsize=12, \
margin="0.15,0.06"]
  edge [color="#5b6b7b", fontname="Helvetica,Arial,sans-serif", fontsize=10, arrowsize=0.7]
"""
HEADER = ("| status | a report may set | only if another courier took over |", "| --- | --- | --- |")
BEGIN, END = "<!-- Written by `make pictures`. -->", "<!-- The end of the table. -->"


def allowed(source: DeliveryStatus) -> set[DeliveryStatus]:
    """Return the statuses that a report may set after this one. While an order is sent, its delivery is `queued`."""
    state = AttemptState.SUBMITTING if source == S.QUEUED else AttemptState(source)
    return {DeliveryStatus(target) for target in TRANSITIONS[state].forward}


def reassigned(source: DeliveryStatus) -> set[DeliveryStatus]:
    """Return the earlier statuses that a report may set because another courier took over."""
    return set(map(DeliveryStatus, TRANSITIONS[AttemptState(source)].reassigned))


def steps() -> Iterator[tuple[DeliveryStatus, DeliveryStatus]]:
    """Yield the steps that are drawn: those that the table allows and that skip no status of the usual way."""
    for source in S:
        for target in S:
            if target in allowed(source) - FROM_ANYWHERE and not _skips(source, target):
                yield source, target


def _skips(source: DeliveryStatus, target: DeliveryStatus) -> bool:
    between = [each for each in USUAL if RANK[source] < RANK[each] < RANK[target]]
    return any(each in allowed(source) and target in allowed(each) for each in between)


def life() -> str:
    """Return the source of the picture of a delivery's life."""
    lines = [f'  {each} [fillcolor="{_colour(each)}"]' for each in S if each not in FROM_ANYWHERE]
    usual = set(pairwise(USUAL))
    lines += [f"  {a} -> {b} [{'penwidth=2.2, weight=9' if (a, b) in usual else 'penwidth=0.8'}]" for a, b in steps()]
    lines += [
        f'  {a} -> {b} [style=dashed, color="#a05a2c", constraint=false]'
        for a in S
        for b in sorted(reassigned(a), key=RANK.__getitem__)[-1:]
    ]
    lines += [f'  {a} -> {b} [label=" {why}", style=dotted, constraint=false]' for (a, b), why in OURS.items()]
    return HEAD + "\n".join(lines) + "\n}\n"


def _colour(status: DeliveryStatus) -> str:
    if status in FINAL:
        return "#dff0e0" if status == S.DELIVERED else "#fdecea"
    return "#e3edf7" if RANK[status] >= GOODS_WITH_COURIER else "#f4f6f8"


def table() -> str:
    """Return the table of all transitions."""
    rows = (f"| `{each}` | {_names(allowed(each))} | {_names(reassigned(each))} |" for each in S if allowed(each))
    return "\n".join([*HEADER, *rows])


def _names(statuses: set[DeliveryStatus]) -> str:
    return ", ".join(f"`{each}`" for each in S if each in statuses)


def with_table(page: str) -> str:
    """Return the page of statuses with the present table."""
    return re.sub(f"{BEGIN}.*{END}", f"{BEGIN}\n\n{table()}\n\n{END}", page, flags=re.DOTALL)


def main() -> None:
    """Write the sources, the pictures and the table."""
    (IMAGES / "life.dot").write_text(life())
    STATUSES.write_text(with_table(STATUSES.read_text()))
    for source in IMAGES.glob("*.dot"):
        subprocess.run(["dot", "-Tsvg", f"-o{source.with_suffix('.svg')}", source], check=True)  # noqa: S603, S607


if __name__ == "__main__":
    main()
