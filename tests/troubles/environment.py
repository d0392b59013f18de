"""What a run with troubles consists of: the product's processes, its servers, Prometheus and somebody to notify."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import redis
from ruamel.yaml import YAML

from tests.chaos.clock import FastClock
from tests.chaos.environment import port_of
from tests.chaos.postgres import embedded
from tests.chaos.processes import ROOT, command, environment, platform, write_single_carrier_stores
from tests.chaos.proxy import Network
from tests.chaos.sandbox import Sandbox
from worker.database.database import Database
from worker.local.supervisor import Process, Supervisor, free_port, start_redis

RATE = 10.0
"""How many seconds of the product's clock pass in a second."""
STEP = 1e6
"""Seconds that a status of an order lasts: the carriers do only what a trouble says."""
POLL_INTERVAL = "20"
"""Seconds between two reads of an order at the carrier that also sends callbacks."""
START_SECONDS = 120.0
ALERTS = ROOT / "deploy" / "alerts.yaml"


class Environment:
    """The processes of a deployment on one machine, between simulated carriers, Prometheus and a webhook."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self.clock = folder, FastClock.begin(RATE)
        self.archive = folder / "archive"
        self.supervisor = stack.enter_context(Supervisor(dict(os.environ), folder / "log", grace=8))
        url = start_redis(self.supervisor, folder / "redis")
        postgres = stack.enter_context(embedded())
        web, desk, flower = free_port(), free_port(), free_port()
        self.callbacks = f"http://127.0.0.1:{web}/callbacks"
        self.sandbox = stack.enter_context(
            closing(Sandbox(self.supervisor, self.clock, STEP, f"{self.callbacks}/borzo"))
        )
        self.network = stack.enter_context(Network(seed=1))
        self.redis_link, self.database_link = (self.network.link(each) for each in (port_of(url), postgres.entrance))
        self.webhook = stack.enter_context(Webhook())
        self.redis = stack.enter_context(closing(redis.Redis.from_url(url, socket_timeout=2)))
        self.desk, self.flower = f"http://127.0.0.1:{desk}", f"http://127.0.0.1:{flower}"
        carriers = self.sandbox.port
        self.supervisor.environ = environment(
            self.clock,
            database=f"postgresql://postgres@127.0.0.1:{self.database_link.port}/postgres",
            redis_url=url.replace(f":{port_of(url)}/", f":{self.redis_link.port}/"),
            sandbox=carriers,
            journal=folder / "journal",
            web=web,
            more={
                "STORES_FILE": _stores(folder / "stores.toml"),
                **platform(carriers),
                "CARRIERS__BORZO__POLL_INTERVAL": POLL_INTERVAL,
                "DESK_ADDRESS": f"127.0.0.1:{desk}",
                "FLOWER_ADDRESS": f"127.0.0.1:{flower}",
                "FLOWER_FOLDER": str(folder / "flower"),
                "ARCHIVE_FOLDER": str(self.archive),
                "NOTIFY__OPERATORS__URL": f"json://127.0.0.1:{self.webhook.port}/",
            },
        )
        self.database = stack.enter_context(closing(Database(postgres.url)))
        self.database.upgrade()
        self.worker = self.supervisor.start("worker", _command("worker"))
        self.beat = self.supervisor.start("beat", command("beat", str(folder / "schedule")))
        self.supervisor.start("web", _command("web"))
        self.supervisor.start_command("flower", ["order-sync", "flower"])
        self.prometheus = self._start_prometheus(desk)
        self._await_start()

    def _start_prometheus(self, desk: int) -> str:
        """Start Prometheus with the rules of the deployment, whose `for` is a second here; return its address."""
        program = shutil.which("prometheus")
        assert program, "Prometheus was not found (apt-get install prometheus)"
        yaml, port = YAML(typ="safe"), free_port()
        rules = yaml.load(ALERTS)
        for rule in rules["groups"][0]["rules"]:
            rule["for"] = "1s"
        yaml.dump(rules, self._folder / "alerts.yaml")
        settings = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yaml"],
            "scrape_configs": [{"job_name": "order-sync", "static_configs": [{"targets": [f"127.0.0.1:{desk}"]}]}],
        }
        yaml.dump(settings, self._folder / "prometheus.yaml")
        address = f"127.0.0.1:{port}"
        where = [f"--config.file={self._folder / 'prometheus.yaml'}", f"--storage.tsdb.path={self._folder / 'tsdb'}"]
        self.supervisor.start("prometheus", [program, *where, f"--web.listen-address={address}"])
        return f"http://{address}"

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        addresses = [f"{self.desk}/readyz", f"{self.flower}/metrics", f"{self.prometheus}/-/ready"]
        while not (all(map(_answers, addresses)) and "flower_worker_online{" in httpx.get(addresses[1]).text):
            assert time.monotonic() < deadline, "the processes have not started"
            self.watch()

    def watch(self, seconds: float = 0.2) -> None:
        """Wait, and start again the processes that have ended by themselves."""
        self.supervisor.watch()
        time.sleep(seconds)

    def end(self, process: Process, signal: int) -> None:
        """End a process for as long as a trouble lasts."""
        self.supervisor.processes.remove(process)
        process.signal(signal)
        process.wait(10)

    def begin_again(self, process: Process) -> None:
        """Start a process that was ended."""
        process.start()
        self.supervisor.processes.append(process)

    def begin_status(self) -> Callable[[], dict[str, str]]:
        """Start `order-sync status`; return what waits for the troubles that it shows: titles and severities."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(_command("cli", "status", "--json"), env=dict(self.supervisor.environ), **pipes)  # type: ignore[call-overload]

        def troubles() -> dict[str, str]:
            written, errors = process.communicate()
            assert written, errors[-2000:]
            return {each["title"]: each["severity"] for each in json.loads(written)["troubles"]}

        return troubles

    def run(self, *arguments: str, code: int = 0) -> None:
        """Run a command of `order-sync`, which must end with this code."""
        command, environ = _command("cli", *arguments), dict(self.supervisor.environ)
        done = subprocess.run(command, env=environ, check=False, capture_output=True)
        assert done.returncode == code, done.stderr[-2000:]

    def alerts(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that fire."""
        found = httpx.get(f"{self.prometheus}/api/v1/alerts").json()["data"]["alerts"]
        return [each["labels"] for each in found if each["state"] == "firing"]


class Webhook:
    """A service that is notified of troubles. Use it as a context manager."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        received = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.append((sent["title"], sent["message"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, title: str) -> tuple[int, int]:
        """Return how many messages say that a trouble began, and how many that it is over."""
        began = over = 0
        for head, body in self.messages:
            lines = body.split("\n")
            is_end = head.startswith("Over: ") or head.endswith(" are over")
            named = title == head.removeprefix("Over: ") or f"- {title}" in lines
            began, over = began + (named and not is_end), over + (named and is_end)
        return began, over


def _command(kind: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.troubles.process", kind, *arguments]


def _stores(path: Path) -> str:
    """Write the stores, each with one carrier, and one store whose carrier has no account; return the path."""
    write_single_carrier_stores(path)
    first = path.read_text().split("\n\n")[0].split("\n", 1)[1]
    without = "\n".join(line for line in first.splitlines() if not line.startswith("carriers"))
    path.write_text(f'{path.read_text()}\n[stores.78]\n{without}\ncarriers = ["nobody"]\n')
    return str(path)


def _answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(address).is_success
    return False
