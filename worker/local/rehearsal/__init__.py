"""The rehearsal: a day in fast motion, with the product's own engine and simulated carriers."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from schemas.stores import Store
from worker.config.settings import Settings
from worker.folders import make_private, write_private
from worker.local.rehearsal.carriers import Conditions, Outage, outages_between
from worker.local.rehearsal.day import Edge, PlacedOrder, rehearsal
from worker.local.rehearsal.figures import figures_of
from worker.local.rehearsal.page import page
from worker.local.supervisor import Supervisor, start_redis

__all__ = ["Conditions", "Outage", "PlacedOrder", "outages_between", "rehearsal", "rehearse", "write_report"]
MEMORY, ROOMY = Path("/dev/shm"), 4_000_000_000  # noqa: S108 - a private folder is made in it
"""A file system in memory, and how many bytes it must have free, so that no commit waits for a disk."""


def rehearse(
    settings: Settings,
    stores: Mapping[str, Store],
    orders: Sequence[PlacedOrder],
    start: datetime,
    folder: Path,
    edge: Edge,
    conditions: Conditions,
    show: Callable[[str], object],
) -> dict[str, Any]:
    """Rehearse these orders and write `report.html` and `report.json` to a folder; return the figures."""
    said = -1

    def progress(now: datetime, placed: int) -> None:
        nonlocal said
        if now.hour != said:
            said = now.hour
            show(f"{now:%Y-%m-%d %H:%M} UTC  {placed} of {len(orders)} orders")

    with (
        TemporaryDirectory(prefix="rehearsal-", dir=_work_folder()) as work,
        _redis(Path(work)) as url,
        rehearsal(settings, stores, start, Path(work), url, edge, conditions) as day,
    ):
        day.run(orders, progress)
        figures = figures_of(day, len(orders))
    write_report(figures, folder)
    show(f"The report is in {folder}/report.html")
    return figures


def write_report(figures: Mapping[str, Any], folder: Path) -> None:
    """Write the figures as `report.html` and `report.json`."""
    make_private(folder)
    write_private(folder / "report.json", json.dumps(figures, indent=1))
    write_private(folder / "report.html", page(figures))


def _work_folder() -> Path | None:
    """Return a folder in memory if there is one with enough room; None for the usual temporary folder."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOMY else None


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    with Supervisor({}, folder / "log") as supervisor:
        yield start_redis(supervisor, folder / "redis")
