"""Every block of the pages runs, in the folder of the tutorial and against the `up` that the tutorial starts.

A block that does not run is in one of the tables below with its reason, and a command that is refused with its answer.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.commands import CommandLine
from tests.house.pages import PAGES, ROOT, Block, block, blocks, prose
from worker.local.supervisor import free_port

RUNNABLE = ("sh", "bash", "python", "js")
TUTORIAL = "docs/tutorial.md"
SECONDS = 300
"""How long a program may take, however loaded the machine is."""
BIN = Path(sys.executable).parent
TOOLS = ("curl", "openssl", "redis-cli")
"""Programs that the pages use and that a machine may lack."""

RUN_PAGES = {
    TUTORIAL,
    "README.md",
    "docs/going-live.md",
    "docs/messages.md",
    "docs/operating.md",
    "docs/pulling.md",
    "docs/sandbox.md",
    "docs/sending-orders.md",
    "docs/statuses.md",
    "docs/subscribing.md",
    "docs/troubleshooting.md",
}
"""Only the blocks of these pages run. A block of another page may change the machine, so it runs only by hand."""
RUN_ELSEWHERE = {
    "docs/rabbitmq.md: import os": "test_snippets.py",
    'docs/pulling.md: read_events() { curl -sS -H "Authorization: Bearer $ORDER_SYNC_API_KEYS__PLATFORM" '
    '"http://$ORDER_SYNC_WEB_ADDRESS/events?$1"; }': "test_snippets.py",
    "docs/pulling.md: import json": "test_snippets.py",
    "docs/sending-orders.md: import os": "test_snippets.py",
    'docs/sending-orders.md: const fs = require("fs");': "test_snippets.py",
    "docs/sending-orders.md: import json": "test_snippets.py",
    'docs/sending-orders.md: order() { curl -sS -H "Authorization: Bearer $ORDER_SYNC_API_KEYS__PLATFORM" "$@"; }':
        "test_snippets.py",
    "docs/subscribing.md: import json": "test_snippets.py",
    'docs/subscribing.md: const { createClient } = require("redis");': "test_snippets.py",
    "docs/tutorial.md: order-sync sandbox --port 8100 --step 2": "the fixture",
    "docs/tutorial.md: order-sync up": "the fixture",
    "docs/tutorial.md: python listen.py": "the fixture",
}  # fmt: skip
NOT_RUN = {
    "CONTRIBUTING.md: make .venv/.ready": "it creates the environment of the tests",
    "CONTRIBUTING.md: .venv/bin/pytest -q tests/carriers": "these are the tests",
    "README.md: pipx install '.[local]'": "the demo takes a minute; .ci/run runs it",
    "README.md: order-sync init": "two commands run until Ctrl-C; the tutorial has them, and test_wheel.py the others",
    "docs/adding-a-carrier.md: Toy.kind: Toy,": "a line of the registry, for a carrier that does not exist",
    "docs/deploying.md: mkdir -m 700 secrets": "it needs a daemon of Docker",
    "docs/deploying.md: kubectl create secret generic order-sync --from-file=order-sync.toml": "it needs a cluster",
    "docs/deploying.md: # deploy/alerts.yaml as a resource of the operator": "it needs a cluster",
    "docs/deploying.md: # as root": "it changes the machine",
    "docs/deploying.md: createdb order_sync": "tests/deploy/test_rights.py runs the file of roles",
    "docs/deploying.md: # a backup": "it needs a database with orders",
    "docs/deploying.md: # a restore": "test_restoration.py and test_restored_command.py restore a database",
    "docs/operating.md: order-sync archived 2011": "test_archived_command.py has an archive",
    "docs/performance.md: python -m benchmarks orders latency": "they take minutes; .ci/run runs the short form",
    "docs/sandbox.md: order-sync init": "the same commands",
    "docs/scaling.md: order-sync rehearse --since 1d": "it needs yesterday's orders; test_rehearse_command.py has one",
    "docs/subscribing.md: . var/settings.sh": "tests/examples runs them",
    "docs/subscribing.md: python examples/subscriber.py screen-1 0/4": "tests/examples runs them",
    'docs/subscribing.md: import Ajv from "ajv/dist/2020.js";': "it needs packages that no other test needs",
    "docs/subscribing.md: npx json-schema-to-typescript docs/schemas/delivery-event.schema.json > delivery-event.d.ts":
        "it needs the network",
    "docs/webhooks.md: from standardwebhooks import Webhook": "webhook_receiver.py has it",
    'docs/webhooks.md: import { Webhook } from "standardwebhooks";': "webhook_receiver.mjs has it",
    "docs/webhooks.md: order-sync subscribers add https://kitchen.example.com/hooks --id kitchen":
        "it needs a receiver; test_subscribers_command.py has one",
    "docs/webhooks.md: order-sync events replay --to kitchen --order 2011": "the same",
    "docs/tutorial.md: git clone https://github.com/order-sync/order-sync.git": "it needs the network",
}  # fmt: skip
RUNS_ON = {
    "events --follow --since 10m": "until Ctrl-C",
    "listen": "until Ctrl-C",
    "listen --since 1h --order 2011": "until Ctrl-C",
    "listen --forward http://localhost:3000/hooks": "until Ctrl-C",
    "listen --forward localhost:3000 --secret whsec_... --after 4711": "until Ctrl-C",
}
REDIS = "redis://127.0.0.1:6379/0"
VALUES = {
    "--step 2": "--step 0.3",
    "poll_interval = 1 ": "poll_interval = 0.3 ",
    'token = "sandbox-cervo-token"': 'token = "sandbox-cervo-token"\nrate = "20/second"',
    "KEY=sandbox-ordering-key": "KEY=sandbox-ordering-key ORDER_SYNC_ORDERING__RATE=20/second",
    "/run/secrets/borzo_callback": "borzo_callback",
    "TOKEN=...": "TOKEN=sandbox-borzo-token",
    "postgresql://order_sync:PASSWORD@127.0.0.1/order_sync": "sqlite:///var/order-sync.db",
    "labels 2011": "labels 2012",  # the order 2012 is at Borzo, which has labels and positions
    "courier 2011": "courier 2012",
    "erase ID --reason TEXT": "erase 2011 --reason moved",
}
"""What the reader writes in place of a text of the pages: placeholders, and shorter times."""

OVER = "nothing to do: the delivery is delivered"
ANSWERS = {
    "accept 2011": "no carrier offers another pickup time",
    "attended 2011": OVER,
    "backfill --since 2h": "ORDER_SYNC_ORDERING__BASE_URL is not set",
    "cancel 2011": OVER,
    "desk password maria": "Can not control echo",
    "resolve 2011 absent --yes": OVER,
    "resolve 2011 exists 99999": OVER,
    "retry 2011": "a courier has had the goods",
}
"""The answers to commands that need another state of the order, a terminal, or the platform."""

AWAITED = {
    "place docs/order-placed.json": "2011 delivery.status_changed delivered deliverit",
    "place 2012.json": "2012 delivery.status_changed created borzo",
    "place 2013.json": "2013 delivery.attention_required awaiting_confirmation deliverit",
    "accept 2013": "2013 delivery.status_changed created deliverit",
}
"""What the subscriber of the tutorial hears after a command of the tutorial."""


@dataclass
class Program:
    """A program that the tutorial starts, and the lines that it has printed."""

    process: "subprocess.Popen[str]"
    printed: list[str] = field(default_factory=list)

    def wait_for(self, line: str) -> None:
        assert self.process.stdout
        while line not in self.printed:
            printed = self.process.stdout.readline()
            assert printed, f"it ended before it printed {line}: {self.printed}"
            self.printed.append(printed.strip())


@contextmanager
def running(*command: str, folder: Path) -> Iterator[Program]:
    """Run a program, and end it at the end of the test."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    environment |= {f"ORDER_SYNC_{each}_ADDRESS": "127.0.0.1:0" for each in ("WEB", "DESK", "FLOWER")}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        limit = threading.Timer(SECONDS, process.kill)
        limit.start()
        try:
            yield Program(process)
        finally:
            process.terminate()
            process.communicate()
            limit.cancel()


def wait_until_it_answers(port: int, program: Program) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            with pytest.raises(subprocess.TimeoutExpired):
                program.process.wait(0.05)
        else:
            return


def parts(each: Block) -> list[tuple[str, str]]:
    """Return the parts of a block in their order: a command of ours without `order-sync`, or other lines."""
    found = re.findall(r"^order-sync (.*)$|^((?:(?!order-sync ).*\n)+)", each.text, re.MULTILINE)
    return [(" ".join(ours.partition(" #")[0].split()), other) for ours, other in found]


@dataclass
class Reader:
    """Somebody who runs the blocks of the pages in the folder of the tutorial."""

    folder: Path
    values: dict[str, str]
    command_line: CommandLine
    failures: list[str] = field(default_factory=list)

    def with_values(self, text: str) -> str:
        for placeholder, value in self.values.items():
            text = text.replace(placeholder, value)
        return text

    def run(self, each: Block) -> None:
        """Run a block: our own commands in this process, which is quick, and everything else in a shell."""
        for ours, part in parts(each):
            if ours:
                self.run_ours(ours)
            else:
                self.run_in_shell(part)

    def run_ours(self, command: str) -> None:
        if command in RUNS_ON:
            return
        first, *then = self.with_values(command).split(" | order-sync ")
        written, _, file = first.partition(" > ")
        result = self.command_line(*shlex.split(written))
        if file:
            (self.folder / file).write_text(result.out)
        for following in then:
            result = self.command_line(*shlex.split(following), stdin=result.out.encode())
        answer = ANSWERS.get(command, "")
        refused = result.code != 0 and command != "status"  # it ends with 1 while anything needs an operator
        if refused != bool(answer) or answer not in result.err:
            self.failures.append(f"{command}: {result.code}, {result.out[-200:]}{result.err}")

    def run_in_shell(self, part: str) -> None:
        missing = [tool for tool in TOOLS if tool in part and not shutil.which(tool)]
        if missing and not os.environ.get("CI"):
            return
        script = f"set -e\n{self.with_values(part)}\nenv -0 > .env-of-shell"
        ran = subprocess.run(
            ["sh", "-c", script], cwd=self.folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if ran.returncode:
            self.failures.append(f"{part}: {ran.stderr}")
            return
        exported = (self.folder / ".env-of-shell").read_text().split("\0")
        ours = (each.removeprefix("ORDER_SYNC_").split("=", 1) for each in exported if each.startswith("ORDER_SYNC_"))
        self.command_line.set(**dict(ours))


def test_every_command_is_in_a_block_that_can_run() -> None:
    indented = [
        line for page in PAGES for line in prose(page).splitlines() if re.match(r" {4}(order-sync|make) ", line)
    ]
    assert indented == [], "fence it with ```sh"
    assert {each.language for each in blocks()} <= {
        *RUNNABLE, "", "console", "http", "json", "php", "ruby", "text", "toml", "ts", "yaml",
    }  # fmt: skip


def test_every_json_block_is_json() -> None:
    for each in blocks("json"):
        json.loads(each.text)


def test_every_block_runs_or_has_a_reason() -> None:
    found = {each.name for each in blocks(*RUNNABLE)}
    other = {each.name for each in blocks(*RUNNABLE[1:])}
    assert RUN_ELSEWHERE.keys() | NOT_RUN.keys() <= found, "a reason without its block"
    commands = {command for each in blocks("sh") for command, _ in parts(each) if command}
    assert RUNS_ON.keys() | ANSWERS.keys() | AWAITED.keys() <= commands, "a reason without its command"
    elsewhere = {each.name for each in blocks("sh") if each.page not in RUN_PAGES}
    assert elsewhere <= RUN_ELSEWHERE.keys() | NOT_RUN.keys(), "list its page in RUN_PAGES, or the block in NOT_RUN"
    assert other <= RUN_ELSEWHERE.keys() | NOT_RUN.keys(), "only blocks in `sh` run by themselves"


@pytest.mark.long
def test_the_tutorial_works_and_so_does_every_other_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, {"8100": str(port), **VALUES}, CommandLine(monkeypatch, capfd))
    skipped = RUN_ELSEWHERE.keys() | NOT_RUN.keys()
    pages = [each for each in blocks("sh") if each.page in RUN_PAGES and each.name not in skipped]
    settings, *steps = [each for each in pages if each.page == TUTORIAL]
    reader.run(settings)
    sandbox = reader.with_values(block(TUTORIAL, "sh", "order-sync sandbox")).split()
    with running(*sandbox, folder=tmp_path) as apis, running("order-sync", "up", folder=tmp_path) as up:
        up.wait_for("Ready: the web process listens.")
        web, desk = re.findall(r"^(?:Web|Desk) +(\S+)", "\n".join(up.printed), re.MULTILINE)
        reader.values |= {"https://delivery.example.com": web, "http://127.0.0.1:8001": desk}
        wait_until_it_answers(port, apis)
        reader.values[REDIS] = Path("var/redis.url").read_text()
        follow(reader, steps)
        reader.command_line.set(REDIS_URL=reader.values[REDIS])
        for each in pages:
            if each.page != TUTORIAL:
                reader.run(each)
    assert not reader.failures, "\n".join(reader.failures)


def prepare(folder: Path) -> None:
    """Put what the pages expect into the folder: the files of the project, an order and a secret."""
    for name in ("docs", "examples"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "docs" / "order-placed.json", folder / "order.json")
    (folder / "borzo_callback").write_text("sandbox-borzo-secret")


def follow(reader: Reader, tutorial: list[Block]) -> None:
    """Do the steps of the tutorial, and wait after each one until the subscriber has heard of it."""
    listening = next(number for number, each in enumerate(tutorial) if "listen.py" in each.text) + 1
    for each in tutorial[:listening]:
        reader.run(each)
    with running(sys.executable, "listen.py", folder=reader.folder) as subscriber:
        for each in tutorial[listening:]:
            reader.run(each)
            for command, line in AWAITED.items():
                if command in dict(parts(each)):
                    subscriber.wait_for(line)
        shown = block(TUTORIAL, "text", "2011 delivery").splitlines()
        heard = [line for line in subscriber.printed if line.startswith("2011")]
        assert (heard[0], heard[-1]) == (shown[0], shown[-1])
        assert [line for line in heard if line not in shown] == []
