"""How the demo shows what it sees: a live table on a terminal, one plain line for each change anywhere else."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schemas.status import FINAL, DeliveryStatus
from worker.local.demo.orders import Sample

COLOURS = {
    DeliveryStatus.DELIVERED: "green",
    DeliveryStatus.RETURNED: "yellow",
    DeliveryStatus.CANCELLED: "yellow",
    DeliveryStatus.REJECTED: "red",
    DeliveryStatus.FAILED: "red",
    DeliveryStatus.SUBMIT_UNKNOWN: "red",
    DeliveryStatus.QUEUED: "dim",
}
WIDTHS = (
    (125, ("order", "what happens", "carrier", "status", "since", "courier")),
    (95, ("order", "what happens", "carrier", "status")),
    (0, ("order", "carrier", "status")),
)
"""The columns that fit into a terminal of at least so many characters."""


@dataclass
class Seen:
    """What the bus has told of one sample."""

    sample: Sample
    status: DeliveryStatus | None = None
    detail: str | None = None
    carrier: str | None = None
    courier: str | None = None
    since: float = field(default_factory=time.monotonic)
    path: list[str] = field(default_factory=list)
    answered: bool = False
    unchanged: bool = False

    def take(self, data: Mapping[str, Any]) -> bool:
        """Take one event in; tell whether the status or its detail is another one now."""
        status, before = DeliveryStatus(data["status"]), (self.status, self.detail)
        if status != self.status:
            self.since = time.monotonic()
            self.path.append(status.value)
        self.status, self.detail = status, data["detail"]
        self.carrier = data["carrier"] or self.carrier
        self.courier = (data["courier"] or {}).get("name") or self.courier
        return before != (self.status, self.detail)

    @property
    def ended(self) -> bool:
        """Whether its life is over."""
        return self.status in FINAL

    @property
    def right(self) -> bool:
        """Whether it ended as its script says."""
        return (self.status, self.carrier) == (self.sample.ends, self.sample.carrier) and not self.unchanged


Show = Callable[[Seen | None], None]
"""Shows the present state; told which sample changed, None when only time has passed."""


@contextmanager
def display(console: Console, seen: Collection[Seen]) -> Iterator[Show]:
    """Show the samples for as long as the context lasts."""
    if not console.is_terminal:
        yield _line_by_line(console)
        return
    with Live(table(seen, console.width), console=console, refresh_per_second=4) as live:
        yield lambda _: live.update(table(seen, console.width))


def _line_by_line(console: Console) -> Show:
    started = time.monotonic()

    def show(changed: Seen | None) -> None:
        if changed is not None:
            age, sample = time.monotonic() - started, changed.sample
            say(console, f"{age:4.0f} s  {sample.order_id}  {changed.carrier or '-':9}  {_status(changed)}")

    return show


def say(console: Console, text: object) -> None:
    """Print one line as it is, however narrow the terminal."""
    console.print(text, soft_wrap=True, highlight=False)


def table(seen: Collection[Seen], width: int) -> Table:
    """Draw the samples in a terminal of this many characters."""
    columns = next(names for least, names in WIDTHS if width >= least)
    drawn = Table(title="Order Sync", title_style="bold", expand=False)
    for heading in columns:
        drawn.add_column(heading, no_wrap=True, overflow="ellipsis")
    for each in seen:
        cells = _cells(each)
        drawn.add_row(*(cells[name] for name in columns))
    return drawn


def _cells(each: Seen) -> dict[str, Text | str]:
    return {
        "order": each.sample.order_id,
        "what happens": each.sample.tells,
        "carrier": each.carrier or "",
        "status": _status(each),
        "since": "" if each.ended else f"{time.monotonic() - each.since:.0f} s",
        "courier": each.courier or "",
    }


def _status(each: Seen) -> Text:
    if each.status is None:
        return Text("on the bus", style="dim")
    status = Text(each.status.value, style=COLOURS.get(each.status, "cyan"))
    return status.append(f" ({each.detail})", style="dim") if each.detail else status
