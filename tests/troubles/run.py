"""Cause each trouble of `cases.py`, check where it is shown, settle it at the desk, and check that it is gone.

`make troubles` runs all of them and writes the table of docs/operating.md; `python -m tests.troubles.run NAME ...` runs
some. The run is kept in `var/troubles/`.
"""

import argparse
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.desk_pages import log_in
from tests.chaos.processes import ROOT
from tests.troubles.case import Case
from tests.troubles.cases import CASES
from tests.troubles.environment import RATE, Environment
from tests.troubles.scene import PATIENCE, Scene
from worker.domain.trouble import Severity

PAGE = ROOT / "docs" / "operating.md"
BEGIN, END = "<!-- Written by `make troubles`. -->", "<!-- The end of the table. -->"
HEAD = "| trouble | harm | first page after | in Flower | in `status` | alert | messages | settled by | gone after |"


@dataclass
class Proof:
    """What was seen of a trouble. The seconds are those of the product's clock."""

    case: Case
    caused_at: float = 0.0
    settled_at: float = 0.0
    shown_after: float | None = None
    alerts_now: bool = False
    alerted: bool = False
    notified: tuple[int, int] = (0, 0)
    harm: str = ""
    """The severity in the status; empty if the trouble is not there."""
    in_flower: str = ""
    gone_after: float | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def is_shown(self) -> bool:
        """Whether the trouble is on the first page, fires its alert, and was notified of."""
        return self.shown_after is not None and self.alerted and self.notified[0] > 0

    def row(self) -> str:
        """Return the row of the table."""
        cells = (
            self.case.title,
            self.harm.replace("_", " "),
            _seconds(self.shown_after),
            self.in_flower or "no task",
            "yes" if self.harm else "no",
            self.case.alert["alertname"],
            f"{self.notified[0]} and {self.notified[1]}",
            self.case.settled_by,
            _seconds(self.gone_after),
        )
        return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run; exit with 1 when a trouble was not shown, not notified of once, or not gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"only these: {', '.join(each.name for each in CASES)}"
    )
    names = parser.parse_args().names
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cases = [each for each in CASES if not names or each.name in names]
    folder = ROOT / "var" / "troubles"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    proofs = prove(cases, folder)
    for each in proofs:
        for fault in each.faults:
            print(f"BROKEN {each.case.name}: {fault}")
    faults = sum(len(each.faults) for each in proofs)
    if not names and (unseen := set(Severity) - {each.harm for each in proofs}):
        print(f"BROKEN no trouble of the severities {sorted(unseen)}")
        faults += 1
    print(f"{len(proofs)} troubles, {faults} faults", flush=True)
    if not names and not faults:
        write_table(PAGE, proofs)
    sys.exit(1 if faults else 0)


def prove(cases: Collection[Case], folder: Path) -> list[Proof]:
    """Return what was seen of each trouble."""
    with ExitStack() as stack:
        scene = stack.enter_context(_scene(folder))
        return [proof for _, batch in groupby(cases, lambda each: each.batch) for proof in _prove_batch(scene, batch)]


@contextmanager
def _scene(folder: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        environment = Environment(folder, stack)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        stack.callback(browser.close)
        context = browser.new_context()
        desk = context.new_page()
        log_in(desk, environment.desk)
        yield Scene(environment, desk, context.new_page())


def _prove_batch(scene: Scene, batch: Iterator[Case]) -> list[Proof]:
    proofs = [Proof(each) for each in batch]
    scene.desk.goto(scene.environment.desk)
    for each in proofs:
        each.case.cause(scene)
        each.caused_at = time.monotonic()
        _look(scene, proofs)
    _observe(scene, proofs, lambda each: each.shown_after is not None)
    status = scene.environment.begin_status()
    _observe(scene, proofs, lambda each: each.is_shown)
    shown = status()
    for each in proofs:
        each.harm = shown.get(each.case.title, "")
        if each.case.flower:
            each.in_flower = scene.flower_reason(each.case.order_id)
        _print(each, "is shown")
    for each in proofs:
        each.case.settle(scene)
        each.settled_at = time.monotonic()
        _look(scene, proofs)
    _observe(scene, proofs, lambda each: each.gone_after is not None and not each.alerts_now and each.notified[1] > 0)
    left = scene.environment.begin_status()()
    for each in proofs:
        each.faults = list(_faults(each, left))
        _print(each, "is gone")
    return proofs


def _observe(scene: Scene, proofs: Sequence[Proof], done: Callable[[Proof], bool]) -> None:
    """Look until all that is awaited of the troubles was seen."""
    deadline = time.monotonic() + PATIENCE
    while not all(map(done, proofs)) and time.monotonic() < deadline:
        _look(scene, proofs)
        scene.environment.watch()


def _look(scene: Scene, proofs: Sequence[Proof]) -> None:
    """Look at the open page, which renews itself, the alerts and the messages."""
    titles, alerts = scene.titles(), scene.environment.alerts()
    for each in proofs:
        now, is_there = time.monotonic(), each.case.title in titles
        if each.caused_at and is_there and each.shown_after is None:
            each.shown_after = (now - each.caused_at) * RATE
        if each.settled_at and not is_there and each.gone_after is None:
            each.gone_after = (now - each.settled_at) * RATE
        each.alerts_now = any(each.case.alert.items() <= labels.items() for labels in alerts)
        each.alerted = each.alerted or each.alerts_now
        each.notified = scene.environment.webhook.count(each.case.title)


def _faults(proof: Proof, left: Collection[str]) -> Iterator[str]:
    case = proof.case
    if proof.shown_after is None:
        yield "was not on the first page"
    if not proof.harm:
        yield "was not in the status"
    if not re.search(case.flower, proof.in_flower):
        yield f"was in Flower as {proof.in_flower!r}, not as {case.flower!r}"
    if not proof.alerted:
        yield f"no alert {dict(case.alert)}"
    if proof.notified != (1, 1):
        yield f"{proof.notified[0]} messages of its beginning, {proof.notified[1]} of its end"
    if proof.gone_after is None or case.title in left or proof.alerts_now:
        yield "was not gone"


def write_table(page: Path, proofs: Sequence[Proof]) -> None:
    """Write the table between its markers."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    at_desk = sum(each.case.at_desk for each in proofs)
    counts = (
        f"{len(proofs)} troubles were caused; {at_desk} were settled at the desk, the others by ending their causes."
    )
    lines = (BEGIN, "", counts, "", HEAD, re.sub("[^|]+", " --- ", HEAD), *(each.row() for each in proofs), "", END)
    page.write_text(before + "\n".join(lines) + after)


def _seconds(duration: float | None) -> str:
    return "never" if duration is None else f"{duration:.0f} s"


def _print(proof: Proof, what: str) -> None:
    print(f"{proof.case.name:28} {what}: {proof.row()}", flush=True)


if __name__ == "__main__":
    main()
