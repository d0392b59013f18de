"""The hosts of a run: this machine alone, or several hosts in network namespaces of their own.

A run with several hosts starts itself again in new namespaces, which end with it, so it leaves nothing behind:

    10.77.0.1            the run itself with the servers, the proxies in front of them, the load and the faults
    10.77.0.11, .12, ... the hosts, each with workers, a beat, a web process and a journal of its own
"""

import math
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.chaos.postgres import programs
from tests.chaos.proxy import Link, Mode, Network
from tests.database.pooler import PGBOUNCER
from worker.local.supervisor import Process

HERE = "127.0.0.1"
SERVERS = "10.77.0.1"
BRIDGE = "servers"
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
AS_USER = ("--user", "--map-current-user", "--keep-caps")
"""Rights in the new namespaces alone, for a user who is not root. Such a user keeps their number."""
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NEEDS = "several hosts need Linux with network namespaces, for root or for every user: "
KILLED_SECONDS = 10.0
SECONDS_AHEAD = (0.0, 20.0, -20.0)
"""How far the wall clock of each host is ahead, in real seconds. Only the messages of beat carry its time."""


def isolated(command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command in new namespaces, which end with it."""
    return [*UNSHARE, *(AS_USER if os.geteuid() else ()), *command]


def missing() -> str:
    """Return what this machine lacks for a run with several hosts; empty if nothing."""
    if PGBOUNCER is None or programs() is None:
        return f"{NEEDS}PgBouncer and PostgreSQL's pg_basebackup must be installed too (package pgbouncer)"
    return without_namespaces()


def without_namespaces() -> str:
    """Return what this machine lacks for namespaces of the network; empty if nothing."""
    for program in ("unshare", "nsenter", "ip"):
        if not shutil.which(program, path=PATH):
            return f"{NEEDS}{program} is not installed (packages util-linux and iproute2)"
    probe = "ip link add probe type bridge && ip link add one type veth peer name other"
    tried = subprocess.run(
        isolated(["sh", "-c", probe]), env=_environ(), capture_output=True, text=True, check=False, timeout=60
    )
    return f"{NEEDS}{tried.stderr.strip()}" if tried.returncode else ""


def _environ() -> dict[str, str]:
    return {**os.environ, "PATH": PATH}


def begin_isolated(variables: Mapping[str, str], command: Sequence[str]) -> NoReturn:
    """Replace this process by a command in new namespaces."""
    os.execvpe(UNSHARE[0], isolated(command), {**_environ(), **variables})


def build_network() -> None:
    """Prepare the network of the servers, in the namespaces of this process."""
    _do("mount -t tmpfs hosts /run")
    _do("mkdir /run/netns")
    _do("ip link set lo up")
    _do(f"ip link add {BRIDGE} type bridge")
    _do(f"ip addr add {SERVERS}/24 dev {BRIDGE}")
    _do(f"ip link set {BRIDGE} up")


def _do(command: str) -> None:
    subprocess.run(command.split(), env=_environ(), check=True)


@dataclass
class Host:
    """A host with its links to the servers. Number 0 is this machine, without namespaces."""

    number: int
    folder: Path
    links: Mapping[str, Link]
    network: Network
    web_port: int
    clock_ahead: float = 0.0
    beats: int = 1
    """How many hosts have a beat."""
    workers: list[Process] = field(default_factory=list)
    beat: Process = field(init=False)
    web: Process = field(init=False)

    @property
    def name(self) -> str:
        """The name of the host and of its namespace."""
        return f"host{self.number}"

    @property
    def address(self) -> str:
        """The address of the host in the network."""
        return f"10.77.0.{10 + self.number}" if self.number else HERE

    @property
    def servers(self) -> str:
        """The address at which the host reaches the servers."""
        return SERVERS if self.number else HERE

    @property
    def journal(self) -> Path:
        """The folder of the journal, on the disk of the host."""
        return self.folder / (f"journal-{self.name}" if self.number else "journal")

    @property
    def processes(self) -> list[Process]:
        """Every process of the host."""
        return [*self.workers, self.beat, self.web]

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command on the host."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *command] if self.number else [*command]

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the host: where the servers are, and how far its wall clock is ahead."""
        return {
            "CHAOS_SERVERS": self.servers,
            "CHAOS_WALL_CLOCK": str(self.clock_ahead),
            "CHAOS_BEATS": str(self.beats),
            "PATH": PATH,
        }

    # --- the link of the host ---

    def connect(self) -> None:
        """Make the namespace and its link."""
        _do(f"ip netns add {self.name}")
        _do(f"ip link add {self.name} type veth peer name eth0 netns {self.name}")
        _do(f"ip -n {self.name} addr add {self.address}/24 dev eth0")
        _do(f"ip -n {self.name} link set lo up")
        _do(f"ip -n {self.name} link set eth0 up")
        _do(f"ip link set {self.name} up")
        self.heal()

    def cut(self) -> None:
        """Lose every packet from and to the host, without an error on either side."""
        _do(f"ip link set {self.name} nomaster")

    def deafen(self) -> None:
        """Lose every packet to the host, while what it sends arrives."""
        _do(f"ip route add blackhole {self.address}/32")

    def heal(self) -> None:
        """Lose nothing any more."""
        _do(f"ip link set {self.name} master {BRIDGE}")
        subprocess.run(
            ["ip", "route", "del", "blackhole", f"{self.address}/32"], env=_environ(), check=False, capture_output=True
        )

    def turn(self, mode: Mode) -> None:
        """Change the mode of every link to a server."""
        for link in self.links.values():
            self.network.turn(link, mode)

    # --- the host itself ---

    def go_down(self) -> None:
        """End every process at once, as without power; none starts again by itself."""
        for each in self.processes:
            each.signal(signal.SIGKILL)
            each.wait(KILLED_SECONDS)
            each.restart_at = math.inf

    def lose_disk(self) -> None:
        """Go down, and lose the journal."""
        self.go_down()
        shutil.rmtree(self.journal, ignore_errors=True)

    def come_up(self) -> None:
        """Start every process."""
        for each in self.processes:
            each.failures = 0
            each.start()
