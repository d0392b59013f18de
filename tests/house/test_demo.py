"""The demo: what it sets, and how it shows what it sees on a terminal, a narrow one, and none."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from worker.demo import environment
from worker.demo.orders import SAMPLES
from worker.demo.show import Seen, display, table
from worker.settings import load

CREATED = {"status": "created", "detail": None, "carrier": "deliverit", "courier": None}


def test_the_demo_reads_no_setting_of_its_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order-sync.toml").write_text('broker_url = "redis://somewhere/0"\n')
    monkeypatch.setenv("ORDER_SYNC_BUS_URL", "redis://elsewhere/0")
    settings = load(environment("redis://127.0.0.1:1/0", 8100, 8000, 5555))
    assert (settings.broker, settings.bus) == ("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0")
    assert sorted(settings.accounts) == ["borzo", "cervo", "deliverit"]


@pytest.mark.parametrize("width", [40, 80, 95, 125, 200])
def test_the_table_fits_the_terminal_whatever_happens(width: int) -> None:
    seen = [Seen(sample) for sample in SAMPLES]
    for each in seen:
        each.take({**CREATED, "status": "awaiting_confirmation", "courier": {"name": "Maximiliana Longname"}})
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as drawn:
        console.print(table(seen, width))
    lines = drawn.get().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == len(SAMPLES) + 5


def test_without_a_terminal_each_change_is_one_line() -> None:
    out = StringIO()
    one, other = Seen(SAMPLES[0]), Seen(SAMPLES[1])
    with display(Console(file=out, width=30), [one, other]) as show:
        for told in [CREATED, CREATED, {**CREATED, "status": "pickup_arrived"}]:
            show(one if one.take(told) else None)
    assert [line.split()[2:] for line in out.getvalue().splitlines()] == [
        ["2011", "deliverit", "created"],
        ["2011", "deliverit", "pickup_arrived"],
    ]


def test_an_event_that_changes_no_status_is_no_news() -> None:
    seen = Seen(SAMPLES[0])
    assert [seen.take(CREATED), seen.take(CREATED), seen.take({**CREATED, "detail": "reassigned"})] == [
        True,
        False,
        True,
    ]
