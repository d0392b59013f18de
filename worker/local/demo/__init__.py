"""The demo: everything on this machine, with the sandbox in place of the carriers and the platform.

The demo acts like a platform: it only publishes orders on the bus and reads the events.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from schemas.events import EventType
from worker import log
from worker.addresses.redis_url import RedisUrl
from worker.bus import streams
from worker.bus.streams import Bus
from worker.carriers import KINDS
from worker.local.demo.orders import ACCEPTED, MALFORMED, SAMPLES, first_message, next_message
from worker.local.demo.platform import DELIVERED, MISSED, final_status, place_missed_order
from worker.local.demo.show import OrderView, display, print_line
from worker.local.samples import sample_file, sandbox_account
from worker.local.supervisor import Supervisor, free_port, read_tail, start_redis, write_variables

FOLDER = Path("var/demo")
SETTINGS = FOLDER / "settings.sh"
STEP = 2.5
LIMIT = 110.0
GATE = "accepted"
SHOP_ACCEPTED = f'Orders   need "status": {ACCEPTED}, as `order-sync sample-order` writes it: others wait for the shop'
"""What a user of the demo has to know about their own orders, because of its gate."""
CHANGE_NOT_SENT = "order_changed_after_dispatch"
"""The attention reason when a change could not be sent to the carrier."""


def environment(redis_url: str, sandbox: int, web: int, desk: int, flower: int) -> dict[str, str]:
    """Return the environment of the demo. Its settings call the sandbox, and its intervals are short."""
    origin, folder = f"http://127.0.0.1:{sandbox}", FOLDER.absolute()  # other shells may be in another folder
    settings = {
        "CONFIG": os.devnull,  # an order-sync.toml here is for real accounts
        "DATABASE_URL": f"sqlite:///{folder}/order-sync.db",
        "JOURNAL_FOLDER": str(folder / "journal"),
        "FLOWER_FOLDER": str(folder / "flower"),
        "REDIS_URL": redis_url,
        "WEB_ADDRESS": f"127.0.0.1:{web}",
        "DESK_ADDRESS": f"127.0.0.1:{desk}",
        "FLOWER_ADDRESS": f"127.0.0.1:{flower}",
        "PUBLIC_URL": f"http://127.0.0.1:{web}",
        "STORES_FILE": str(sample_file("stores.toml")),
        "API_KEYS__PLATFORM": secrets.token_hex(32),
        "CARRIERS__CERVO__POLL_INTERVAL": "1",
        "CARRIERS__CERVO__RATE": "20/second",
        "CARRIERS__BORZO__POLL_INTERVAL": "5",
        "CARRIERS__DELIVERIT__POLL_INTERVAL": "1",
        "WEBHOOKS__PRIVATE_HOSTS": "127.0.0.1,localhost",
        "CARRIERS__DELIVERIT__OFFER_WAIT": "3",  # the demo has no operator who would answer
        "ORDERING__BASE_URL": origin,
        "ORDERING__API_KEY": "sandbox-ordering-key",
        "ORDERING__SOURCE": "sandbox",  # the platform of the messages in the documentation does not know their orders
        "ORDERING__GATE": GATE,
        "ORDERING__RATE": "20/second",
    }
    for kind in KINDS:
        account = sandbox_account(kind, origin)
        settings |= {f"CARRIERS__{kind}__{name}".upper(): value for name, value in account.items()}
    others = {key: value for key, value in os.environ.items() if not key.startswith("ORDER_SYNC_")}
    return {**others, **{f"ORDER_SYNC_{key}": value for key, value in settings.items()}}


def run(console: Console, *, keep: bool) -> bool:
    """Run the demo; return whether every order ended as its script says. Ctrl-C ends it and all its processes."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    sandbox, web, flower = free_port(), free_port(8000), free_port(5555)
    desk = free_port(web + 1)
    with Supervisor({**os.environ}, FOLDER / "log") as supervisor:
        console.print("Starting Redis, the sandbox, worker, beat, web and Flower ...", style="dim")
        url = start_redis(supervisor, FOLDER / "redis")
        supervisor.environ = environment(url, sandbox, web, desk, flower)
        write_variables(SETTINGS, supervisor.environ)
        _start_sandbox(supervisor, sandbox, web)
        supervisor.run_command(["order-sync", "db", "upgrade"])
        log.setup("ERROR", "console")  # the warnings about the missed order are expected
        place_missed_order(supervisor.environ)
        supervisor.start_all()
        as_scripted = _watch(console, supervisor, Bus(streams.connect(url), orders="orders", events="deliveries"))
        if keep:
            _keep(console, supervisor, url, sandbox, desk, flower)
        return as_scripted


def _start_sandbox(supervisor: Supervisor, port: int, web: int) -> None:
    callback = ["--borzo-callback", f"http://127.0.0.1:{web}/callbacks/borzo"]
    supervisor.start_command("sandbox", ["order-sync", "sandbox", "--port", str(port), "--step", str(STEP), *callback])


def _watch(console: Console, supervisor: Supervisor, bus: Bus) -> bool:
    orders = {sample.order_id: OrderView(sample) for sample in (*SAMPLES, MISSED)}
    quarantined = 0
    bus.add_order(MALFORMED)
    for sample in SAMPLES:
        bus.add_order(first_message(sample))
    started = time.monotonic()
    with display(console, orders.values()) as refresh:
        for event in _events(bus):
            supervisor.watch()
            quarantined += event.get("type") == EventType.QUARANTINED
            refresh(apply_event(orders, event, bus.add_order))
            if all(each.ended for each in orders.values()) or time.monotonic() - started > LIMIT:
                break
    return _summarise(console, supervisor, list(orders.values()), quarantined, time.monotonic() - started)


def _events(bus: Bus) -> Iterator[dict[str, Any]]:
    for _, document in bus.follow("0-0", block_ms=250):
        yield json.loads(document) if document else {}


def apply_event(
    orders: Mapping[str, OrderView], event: Mapping[str, Any], publish: Callable[[str], object]
) -> OrderView | None:
    """Apply one event to its order, and return the order if it changed, else None.

    If the sample's next message is due, publish it.
    """
    order = orders.get(event.get("subject", ""))
    if order is None or not event["type"].startswith("delivery."):
        return None
    changed = order.apply(event["data"])
    order.change_not_sent |= event["data"]["reason_text"] == CHANGE_NOT_SENT
    if not order.answered and order.status and (message := next_message(order.sample, order.status, order.detail)):
        order.answered = True
        publish(message)
    return order if changed else None


def _summarise(
    console: Console, supervisor: Supervisor, orders: list[OrderView], quarantined: int, seconds: float
) -> bool:
    for each in orders:
        expected = f"[red]expected {each.sample.ends} at {each.sample.carrier}[/]"
        mark = "[green]as scripted[/]" if each.as_scripted else expected
        print_line(console, f"{each.sample.order_id}  {' > '.join(each.statuses)}  {mark}")
    print_line(console, f"1 malformed message, {quarantined} quarantined; {len(orders)} orders in {seconds:.0f} s")
    status = final_status(supervisor.environ)
    print_line(console, f"final status of {MISSED.order_id} on the platform: {status}")
    if all(each.as_scripted for each in orders) and quarantined == 1 and status == DELIVERED:
        print_line(console, "[bold green]Every order ended as its script says.[/]")
        return True
    print_line(console, "[bold red]Not every order ended as its script says.[/]")
    for process in supervisor.processes:
        console.print(f"--- {process.name} ---\n{read_tail(process.log, 1500)}", markup=False, style="dim")
    return False


def _keep(console: Console, supervisor: Supervisor, url: str, sandbox: int, desk: int, flower: int) -> None:
    console.print(f"Flower   http://127.0.0.1:{flower}\nSandbox  http://127.0.0.1:{sandbox}/sandbox")
    console.print(f"Desk     http://127.0.0.1:{desk}\nRedis    {RedisUrl.parse(url).masked}")
    console.print(f"Operate  . {SETTINGS}   in another shell, then `order-sync deliveries`", soft_wrap=True)
    console.print(SHOP_ACCEPTED, soft_wrap=True)
    console.print("Ctrl-C ends everything.")
    while True:
        supervisor.watch()
        time.sleep(0.5)
