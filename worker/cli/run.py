"""Commands that run or set up Order Sync."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

import json
import os
import re
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer
from rich.console import Console

from worker.cli.base import RUN, Json, advice_on, app, complain, console, fail, open_container, report, write_json
from worker.cli.check import check_redis, redis_at
from worker.errors import SettingsError
from worker.folders import make_private, write_private

if TYPE_CHECKING:
    from worker.config.settings import Settings
    from worker.database.database import Database
    from worker.local.supervisor import Supervisor

CALL_GRACE_SECONDS = 15.0
"""Seconds that `up` waits for a worker to end, in addition to the longest deadline of a call.

Then `up` kills the worker.
"""
UP_SETTINGS = Path("var/settings.sh")
"""The file with the addresses that `up` has chosen and the keys of the platforms, for other shells."""
EMBEDDED_REDIS = Path("var/redis")
"""The folder of the server that `up` starts."""
EARLIER_URL = (
    "ORDER_SYNC_REDIS_URL is the address of an earlier `up` (var/settings.sh), which starts its Redis itself: unset it"
)
NO_CARRIER = (
    "no carrier is configured: `order-sync init` writes settings to start with, or set ORDER_SYNC_CARRIERS__<NAME>__..."
)
FLOWER_OPTIONS = (
    "--read_only",
    "--tasks_columns=name,args,state,exception,received,runtime,worker,uuid",
    "--persistent",
    "--max_tasks=10000",  # Flower answers no request while it saves its tasks
    "--state_save_interval=60000",  # milliseconds
)
"""What Flower shows and keeps; the page on operating explains it."""

database = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(database, name="db", rich_help_panel=RUN)


def _stop_on_term() -> None:
    """Handle SIGTERM like Ctrl-C, so that no process is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _keep_files_private() -> None:
    """Let only the owner read the files that this process and its children create, whatever the user's umask is."""
    os.umask(0o077)


def _lock(command: str) -> IO[str]:
    from worker.local.supervisor import lock_file

    try:
        return lock_file(Path(f"var/{command}.lock"))
    except BlockingIOError:
        fail(f"`order-sync {command}` already runs in this folder")


@app.command("demo", rich_help_panel=RUN)
def run_demo(*, keep: bool = typer.Option(False, "--keep", help="Keep everything running afterwards.")) -> None:
    """Run everything on this machine with simulated carriers, and show sample orders live."""
    from worker.local import demo

    _stop_on_term()
    _keep_files_private()
    with _lock("demo"):
        try:
            succeeded = demo.run(Console(), keep=keep)
        except KeyboardInterrupt:
            console.print("ended")
            raise typer.Exit(130) from None
    raise typer.Exit(0 if succeeded else 1)


@app.command(rich_help_panel=RUN)
def up() -> None:
    """Run everything on this machine: worker, beat, web, Flower, and Redis unless one is configured."""
    from worker.config.settings import REDIS_URL_FILE, load
    from worker.local.supervisor import Supervisor, earlier_url

    _stop_on_term()
    _keep_files_private()
    settings = load()
    # An idle worker ends at once; a worker that makes a call ends after the call.
    grace = max((account.deadline for account in settings.accounts.values()), default=0) + CALL_GRACE_SECONDS
    with _lock("up"), Supervisor(dict(os.environ), Path("var/log"), grace=grace) as supervisor:
        if settings.redis_url and settings.redis_url == earlier_url(EMBEDDED_REDIS):
            raise SettingsError(EARLIER_URL)
        try:
            _up(supervisor, settings)
        except KeyboardInterrupt:
            console.print("Stopping; waiting for running calls. Press Ctrl-C again to stop at once.")
        finally:
            UP_SETTINGS.unlink(missing_ok=True)
            if not settings.redis_url:
                REDIS_URL_FILE.unlink(missing_ok=True)


def _up(supervisor: "Supervisor", settings: "Settings") -> None:
    from worker.addresses.amqp_url import AmqpUrl, is_amqp
    from worker.addresses.redis_url import RedisUrl
    from worker.config.settings import REDIS_URL_FILE
    from worker.database.database import Database
    from worker.local.supervisor import start_redis, write_variables

    if not settings.accounts:
        raise SettingsError(NO_CARRIER)
    url = settings.redis_url or start_redis(supervisor, EMBEDDED_REDIS)
    if not settings.redis_url:
        write_private(REDIS_URL_FILE, url)
    web, flower = _free_address(settings.web_address), _free_address(settings.flower_address)
    desk = _free_address(settings.desk_address, taken=web)
    chosen = {"REDIS_URL": url, "WEB_ADDRESS": web, "DESK_ADDRESS": desk, "FLOWER_ADDRESS": flower}
    variables = {f"ORDER_SYNC_{key}": value for key, value in (settings.absolute_paths | chosen).items()}
    supervisor.environ = {**supervisor.environ, **variables}
    _wait_and_check_redis(url)
    if is_amqp(settings.bus_url):
        _check_rabbitmq(settings)
    with closing(Database(settings.database_url)) as opened:
        opened.upgrade()
    supervisor.start_all()
    write_variables(UP_SETTINGS, {**variables, **_keys(settings)})
    console.print(f"Redis   {RedisUrl.parse(url).masked}")
    for name, address in {"Broker": settings.broker_url, "Bus": settings.bus_url}.items():
        if is_amqp(address):
            console.print(f"{name:8}{AmqpUrl.parse(address).masked}")
    for name, address in {"Web": web, "Desk": desk, "Flower": flower}.items():
        console.print(f"{name:8}http://{address}")
    console.print(f"Logs    {supervisor.logs}/")
    console.print(f"Use     . {UP_SETTINGS}   in another shell, for programs that need these addresses or a key")
    console.print("Press Ctrl-C to stop everything.")
    _watch(supervisor, web)


def _watch(supervisor: "Supervisor", web: str) -> None:
    """Start processes again that end, and say once when the web process listens."""
    from worker.local.supervisor import listens, read_tail

    ready = False
    while True:
        if not ready and (ready := listens(web)):
            console.print("Ready: the web process listens.")
        for name in supervisor.watch():
            console.print(f"{name} ended and was started again. The end of its log:", style="yellow")
            for line in read_tail(supervisor.logs / f"{name}.log", 1000).splitlines():
                console.print(line, style="dim")
        time.sleep(0.5)


def _keys(settings: "Settings") -> dict[str, str]:
    """Return the variables with the keys of the platforms, except of a source that no variable can name."""
    return {
        f"ORDER_SYNC_API_KEYS__{source.upper()}": key.get_secret_value()
        for source, key in settings.api_keys.items()
        if re.fullmatch(r"[a-z0-9_]+", source)
    }


def _free_address(address: str, taken: str = "") -> str:
    """Return an address with a free port; `taken` is an address that was chosen before and is not yet in use."""
    from worker.local.supervisor import free_port

    host, _, port = address.rpartition(":")
    free = free_port(int(port), host.strip("[]"))
    if str(free) == taken.rpartition(":")[2]:
        free = free_port(free + 1, host.strip("[]"))
    found = f"{host}:{free}"
    if found != address and port != "0":
        console.print(f"{address} is in use, so {found} is used. Change your proxy and callback URLs.", style="yellow")
    return found


def _wait_and_check_redis(url: str) -> None:
    from worker.local.supervisor import wait_for

    wait_for(url)  # its settings can be checked only once it answers
    for fault in check_redis(redis_at(url)):
        console.print(f"Redis: {fault}", style="yellow")


def _check_rabbitmq(settings: "Settings") -> None:
    """Show why RabbitMQ does not work, if it does not. The processes try again until it does."""
    from worker.addresses.amqp_url import AmqpUrl
    from worker.bus import rabbitmq
    from worker.bus.port import OUTAGES

    server = AmqpUrl.parse(settings.bus_url).servers
    try:
        rabbitmq.Bus(server, orders=settings.orders_stream, events=settings.events_stream).ping()
    except OUTAGES as error:
        console.print(f"RabbitMQ: {type(error).__name__} {error} ({advice_on(error)})", style="yellow")


@app.command(rich_help_panel=RUN)
def sandbox(
    host: str = typer.Option("127.0.0.1"),
    port: int = typer.Option(8100),
    step: float = typer.Option(5.0, help="Seconds between the scripted steps of an order."),
    latency: float = typer.Option(0.0, help="Seconds before every reply."),
    seed: int = typer.Option(1, help="Seed of the random values."),
    borzo_callback: str = typer.Option("", help="The URL that gets Borzo's signed callbacks."),
) -> None:
    """Run only the sandbox of the four APIs, to integrate without credentials."""
    from worker.sandbox import SandboxConfig, serve

    console.print(f"The four APIs answer at http://{host}:{port}; http://{host}:{port}/sandbox describes them.")
    config = SandboxConfig(step=step, latency=latency, seed=seed, borzo_callback_url=borzo_callback or None)
    serve(host, port, config)


@app.command(rich_help_panel=RUN)
def trim(*, as_json: bool = Json) -> None:
    """Trim the streams now. The newest events, and all entries that a consumer group still needs, are kept."""
    for stream, removed in open_container().retention.trim().items():
        report(f"{stream}: {removed} removed", {"stream": stream, "removed": removed}, as_json=as_json)


@app.command(rich_help_panel=RUN)
def schema(folder: Path, *, as_json: bool = Json) -> None:
    """Write the JSON Schema of every message and the documents of the streams and of HTTP to a folder."""
    from schemas.documents import documents

    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        (folder / name).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if as_json:
            write_json({"file": str(folder / name)})


def _upgrade(opened: "Database") -> bool:
    from worker.database.connection import is_refused

    try:
        return opened.upgrade()
    except Exception as error:
        if is_refused(error):
            fail(f"{type(error).__name__}: {str(error).splitlines()[0]} (run it as the owner of the tables)")
        raise


@database.command()
def upgrade(*, as_json: bool = Json) -> None:
    """Upgrade the database's schema to this version."""
    from worker.config.settings import load
    from worker.database.database import Database

    with closing(Database(load().database_url)) as opened:
        if not _upgrade(opened):
            complain("a newer version has upgraded the database; this version works on it, and changes nothing")
        version = opened.version()
    report(f"the database is at version {version}", {"version": version}, as_json=as_json)


@app.command(hidden=True)
def web() -> None:
    """Run the HTTP edge (a process of the Procfile)."""
    from worker import log
    from worker.runtime.steps import notifying
    from worker.web import count_answers, create_web_app, server
    from worker.web.operators import create_desk_app

    services = open_container(creates_database=True)
    services.warm_up()
    settings = services.settings
    log.setup(settings.log_level, settings.log_format)
    answers = count_answers(services)
    public, desk = create_web_app(services, answers), create_desk_app(services, answers)
    threading.Thread(
        target=notifying().run, name="notifier", daemon=True
    ).start()  # it also notifies when no worker runs
    server.serve(public, settings.web_address, desk, settings.desk_address)


@app.command(hidden=True)
def flower() -> None:
    """Run Flower, read-only (a process of the Procfile)."""
    from worker.config.settings import load

    settings = load()
    host, _, port = settings.flower_address.rpartition(":")
    password = settings.password.get_secret_value()
    make_private(settings.flower_folder)
    where = [f"--address={host}", f"--port={port}", f"--db={settings.flower_folder / 'tasks'}"]
    command = ["celery", "--app", "worker.app", "flower", *where, *FLOWER_OPTIONS]
    for name in ("FLOWER_ADDRESS", "FLOWER_PORT"):  # Kubernetes sets a port of another form for a Service `flower`
        os.environ.pop(name, None)
    if password:
        # Not in the arguments, which every user of the machine can read.
        os.environ["FLOWER_BASIC_AUTH"] = f"operator:{password}"
    program = Path(sys.executable).parent / "celery"
    os.execvp(str(program) if program.exists() else "celery", command)  # noqa: S606 - our own arguments
