"""The display of the demo: a live table on a terminal. On any other output, every change is one plain line."""

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
"""Pairs of a terminal's smallest width and the columns of its table. The first pair that fits the terminal is used."""


@dataclass
class OrderView:
    """One sample order, as the events on the bus describe it."""

    sample: Sample
    status: DeliveryStatus | None = None
    detail: str | None = None
    carrier: str | None = None
    courier: str | None = None
    since: float = field(default_factory=time.monotonic)
    statuses: list[str] = field(default_factory=list)
    answered: bool = False
    """Whether the sample's second message was sent."""
    change_not_sent: bool = False
    """Whether a change of the order could not be sent to its carrier."""

    def apply(self, data: Mapping[str, Any]) -> bool:
        """Apply the data of one event; return whether the status or its detail changed."""
        status, before = DeliveryStatus(data["status"]), (self.status, self.detail)
        if status != self.status:
            self.since = time.monotonic()
            self.statuses.append(status.value)
        self.status, self.detail = status, data["detail"]
        self.carrier = data["carrier"] or self.carrier
        self.courier = (data["courier"] or {}).get("name") or self.courier
        return before != (self.status, self.detail)

    @property
    def ended(self) -> bool:
        """Whether the delivery has a final status."""
        return self.status in FINAL

    @property
    def as_scripted(self) -> bool:
        """Whether the delivery has the expected final status and carrier, and every change reached the carrier."""
        expected = (self.sample.ends, self.sample.carrier)
        return (self.status, self.carrier) == expected and not self.change_not_sent


Refresh = Callable[[OrderView | None], None]
"""A function that refreshes the display. Its argument is the order that changed, or None when none changed."""


@contextmanager
def display(console: Console, orders: Collection[OrderView]) -> Iterator[Refresh]:
    """Display the orders for as long as the context lasts."""
    if not console.is_terminal:
        yield _line_by_line(console)
        return
    with Live(table(orders, console.width), console=console, refresh_per_second=4) as live:
        yield lambda _: live.update(table(orders, console.width))


def _line_by_line(console: Console) -> Refresh:
    started = time.monotonic()

    def refresh(changed: OrderView | None) -> None:
        if changed is not None:
            age, sample = time.monotonic() - started, changed.sample
            line = f"{age:4.0f} s  {sample.order_id}  {changed.carrier or '-':9}  {_status(changed)}"
            print_line(console, line)

    return refresh


def print_line(console: Console, text: object) -> None:
    """Print one line that is never wrapped, even on a narrow terminal."""
    console.print(text, soft_wrap=True, highlight=False)


def table(orders: Collection[OrderView], width: int) -> Table:
    """Return the table of the orders for a terminal that is `width` characters wide."""
    columns = next(names for least, names in WIDTHS if width >= least)
    drawn = Table(title="Order Sync", title_style="bold", expand=False)
    for heading in columns:
        drawn.add_column(heading, no_wrap=True, overflow="ellipsis")
    for each in orders:
        cells = _cells(each)
        drawn.add_row(*(cells[name] for name in columns))
    return drawn


def _cells(order: OrderView) -> dict[str, Text | str]:
    return {
        "order": order.sample.order_id,
        "what happens": order.sample.description,
        "carrier": order.carrier or "",
        "status": _status(order),
        "since": "" if order.ended else f"{time.monotonic() - order.since:.0f} s",
        "courier": order.courier or "",
    }


def _status(order: OrderView) -> Text:
    if order.status is None:
        return Text("on the bus", style="dim")
    status = Text(order.status.value, style=COLOURS.get(order.status, "cyan"))
    return status.append(f" ({order.detail})", style="dim") if order.detail else status
