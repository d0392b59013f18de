"""The command that rehearses a day with the deployment's own orders."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import typer

from worker.cli.base import RUN, Json, app, console, fail, moment, open_container, write_json

FOLDER = typer.Option(Path("var/rehearsal"), help="The folder that gets report.html and report.json.")


@app.command(rich_help_panel=RUN)
def rehearse(
    *,
    since: str = typer.Option("1d", help="Orders placed since this age, such as 12h, or time."),
    until: str = typer.Option("", help="Orders placed before this age or time; by default until now."),
    folder: Path = FOLDER,
    seed: int = typer.Option(1, help="Seed of the simulated carriers. The same seed repeats a run."),
    calm: bool = typer.Option(False, "--calm", help="No outages, lost replies, refusals or withdrawn couriers."),
    as_json: bool = Json,
) -> None:
    """Rehearse a day: today's settings, your own orders with invented customers, and simulated carriers.

    Nothing is sent, and the database is only read. A Redis of its own is started, which needs the extra `local`.
    """
    from worker import log
    from worker.local.rehearsal import Conditions, outages_between, rehearse
    from worker.local.rehearsal.own_orders import own_orders, stores_of
    from worker.web import create_web_app

    services = open_container()
    now = services.clock()
    begin, end = moment(since, now), moment(until, now, "--until") if until else now
    if begin >= end:
        fail(f"--since {since} is not before --until {until or 'now'}", 2)
    outages = () if calm else outages_between(services.settings.accounts, begin, end)
    conditions = Conditions(seed, 0.0, {}, ()) if calm else Conditions(seed, outages=outages)
    with closing(services):
        orders, stores = list(own_orders(services, begin, end, conditions)), stores_of(services)
    if not orders:
        fail(f"no order was placed from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC")
    show = (lambda _line: None) if as_json else console.print
    with _stopped_cleanly(), log.only_errors():
        figures = rehearse(services.settings, stores, orders, begin, folder, create_web_app, conditions, show)
    if as_json:
        write_json(figures)
    raise typer.Exit(0 if figures["correct"] else 1)


@contextmanager
def _stopped_cleanly() -> Iterator[None]:
    """End Redis and delete the working folder also after Ctrl-C or SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        console.print("ended")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
