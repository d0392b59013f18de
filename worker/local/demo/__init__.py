"""Everything on this machine, with the sandbox in the place of the carriers: the whole job, to be watched.

The demo knows nothing that a platform does not: it puts orders on the bus and reads the events that come out.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console

from schemas.events import EventType
from worker import log
from worker.bus import streams
from worker.bus.streams import Bus
from worker.local.demo.orders import MALFORMED, SAMPLES, first_word, next_word
from worker.local.demo.platform import DELIVERED, FOUND, put, told
from worker.local.demo.show import Seen, display, say
from worker.local.supervisor import Supervisor, free_port, read_tail, start_redis

FOLDER = Path("var/demo")
SETTINGS = FOLDER / "settings.sh"
STEP = 2.5
LIMIT = 110.0
UNCHANGED = "order_changed_after_dispatch"
"""What a person is told when a carrier could not be told of a change."""


def environment(redis_url: str, sandbox: int, web: int, flower: int) -> dict[str, str]:
    """Make the settings of the demo: those that any user has, pointed at the sandbox, with shorter cadences."""
    origin = f"http://127.0.0.1:{sandbox}"
    mine = {
        "CONFIG": os.devnull,  # an order-sync.toml here is for real accounts
        "DATABASE_URL": f"sqlite:///{FOLDER}/order-sync.db",
        "JOURNAL_FOLDER": str(FOLDER / "journal"),
        "REDIS_URL": redis_url,
        "WEB_ADDRESS": f"127.0.0.1:{web}",
        "FLOWER_ADDRESS": f"127.0.0.1:{flower}",
        "PUBLIC_URL": f"http://127.0.0.1:{web}",
        "STORES_FILE": str(Path(__file__).parent / "stores.toml"),
        "CARRIERS__CERVO__BASE_URL": origin,
        "CARRIERS__CERVO__TOKEN": "sandbox-cervo-token",
        "CARRIERS__CERVO__POLL_INTERVAL": "1",
        "CARRIERS__CERVO__RATE": "20/second",
        "CARRIERS__BORZO__BASE_URL": origin,
        "CARRIERS__BORZO__TOKEN": "sandbox-borzo-token",
        "CARRIERS__BORZO__CALLBACK_SECRET": "sandbox-borzo-secret",
        "CARRIERS__BORZO__POLL_INTERVAL": "5",
        "CARRIERS__DELIVERIT__BASE_URL": origin,
        "CARRIERS__DELIVERIT__USERNAME": "sandbox@deliverit.example",
        "CARRIERS__DELIVERIT__PASSWORD": "sandbox-deliverit-password",
        "CARRIERS__DELIVERIT__POLL_INTERVAL": "1",
        "CARRIERS__DELIVERIT__OFFER_WAIT": "3",  # nobody sits there to answer
        "ORDERING__BASE_URL": origin,
        "ORDERING__API_KEY": "sandbox-ordering-key",
        "ORDERING__GATE": "accepted",
        "ORDERING__RATE": "20/second",
    }
    others = {key: value for key, value in os.environ.items() if not key.startswith("ORDER_SYNC_")}
    return {**others, **{f"ORDER_SYNC_{key}": value for key, value in mine.items()}}


def run(console: Console, *, keep: bool) -> bool:
    """Run the demo; True when every order ended as its script says. Ctrl-C ends it and all its processes."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    sandbox, web, flower = free_port(), free_port(8000), free_port(5555)
    with Supervisor({**os.environ}, FOLDER / "log") as fleet:
        console.print("Starting Redis, the sandbox, worker, beat, web and Flower ...", style="dim")
        url = start_redis(fleet, FOLDER / "redis")
        fleet.environ = environment(url, sandbox, web, flower)
        port = ["--port", str(sandbox), "--step", str(STEP)]
        _write_down(fleet.environ)
        fleet.start_command(
            "sandbox", ["order-sync", "sandbox", *port, "--borzo-callback", f"http://127.0.0.1:{web}/callbacks/borzo"]
        )
        fleet.run_command(["order-sync", "db", "upgrade"])
        log.setup("ERROR", "console")  # a missed order is no news here
        put(fleet.environ)
        fleet.start_all()
        made = Bus(streams.connect(url), orders="orders", events="deliveries")
        right = _watch(console, fleet, made)
        if keep:
            _keep(console, fleet, url, sandbox, web, flower)
        return right


def _write_down(environ: Mapping[str, str]) -> None:
    """Leave the settings where another shell can take them from, to operate what the demo runs."""
    mine = (f"export {key}={quote(value)}\n" for key, value in environ.items() if key.startswith("ORDER_SYNC_"))
    SETTINGS.write_text("".join(mine))


def _watch(console: Console, fleet: Supervisor, made: Bus) -> bool:
    seen = {sample.order_id: Seen(sample) for sample in (*SAMPLES, FOUND)}
    quarantined = 0
    made.add_order(MALFORMED)
    for sample in SAMPLES:
        made.add_order(first_word(sample))
    started = time.monotonic()
    with display(console, seen.values()) as show:
        for event in _events(made):
            fleet.watch()
            quarantined += event.get("type") == EventType.QUARANTINED
            show(take(seen, event, made.add_order))
            if all(each.ended for each in seen.values()) or time.monotonic() - started > LIMIT:
                break
    return _summary(console, fleet, list(seen.values()), quarantined, time.monotonic() - started)


def _events(made: Bus) -> Iterator[dict[str, Any]]:
    for _, document in made.follow("0-0", block_ms=250):
        yield json.loads(document) if document else {}


def take(seen: Mapping[str, Seen], event: Mapping[str, Any], place: Callable[[str], object]) -> Seen | None:
    """Take one event in and place what a sample says to it; return the sample whose status it changed, if any."""
    about = seen.get(event.get("subject", ""))
    if about is None or not event["type"].startswith("delivery."):
        return None
    changed = about.take(event["data"])
    about.unchanged |= event["data"]["reason_text"] == UNCHANGED
    if not about.answered and about.status and (word := next_word(about.sample, about.status, about.detail)):
        about.answered = True
        place(word)
    return about if changed else None


def _summary(console: Console, fleet: Supervisor, seen: list[Seen], quarantined: int, seconds: float) -> bool:
    for each in seen:
        wanted = f"[red]expected {each.sample.ends} at {each.sample.carrier}[/]"
        mark = "[green]as scripted[/]" if each.right else wanted
        say(console, f"{each.sample.order_id}  {' > '.join(each.path)}  {mark}")
    say(console, f"1 malformed message, {quarantined} quarantined; {len(seen)} orders in {seconds:.0f} s")
    stands = told(fleet.environ)
    say(console, f"status of {FOUND.order_id} on the platform in the end: {stands}")
    right = all(each.right for each in seen) and quarantined == 1 and stands == DELIVERED
    say(console, "[bold green]Every order ended as its script says.[/]" if right else "[bold red]Not as scripted.[/]")
    if not right:
        for process in fleet.processes:
            console.print(f"--- {process.name} ---\n{read_tail(process.log, 1500)}", markup=False, style="dim")
    return right


def _keep(console: Console, fleet: Supervisor, url: str, sandbox: int, web: int, flower: int) -> None:
    console.print(f"Flower   http://127.0.0.1:{flower}\nSandbox  http://127.0.0.1:{sandbox}/sandbox")
    console.print(f"Web      http://127.0.0.1:{web}/readyz\nRedis    {url}")
    console.print(f"Operate  . {SETTINGS} && .venv/bin/order-sync deliveries\nCtrl-C ends everything.", soft_wrap=True)
    while True:
        fleet.watch()
        time.sleep(0.5)
