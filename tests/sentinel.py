"""Redis with Sentinel for tests: three servers, three Sentinels, TLS, and the users of `deploy/`."""

import hashlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.tls import CERTIFICATE
from worker.local.supervisor import free_port

SERVER = Path(shutil.which("redis-server") or "/usr/bin/redis-server")
"""Debian's server. The embedded one has no TLS."""
DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
MASTER = "main"
PASSWORD = "a-password"
ADMIN = "user admin on nopass ~* &* +@all\n"
"""A user of the tests alone, who can do everything."""
START_SECONDS = 90.0
DOWN_MS = 1000
"""The milliseconds without an answer after which a Sentinel counts a server as down."""
TLS = f"ssl_ca_certs={CERTIFICATE}"


@dataclass
class Server:
    """A server or a Sentinel of our own, which can be killed, frozen and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    arguments: tuple[str, ...] = ()
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the process, and wait until it answers."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [str(SERVER), str(self.folder / "server.conf"), *self.arguments], stdout=output, stderr=output
            )
        wait_until(self.answers, self.log)

    def log(self) -> str:
        """Return the end of what the process has written."""
        return (self.folder / "output").read_text(errors="replace")[-2000:]

    def answers(self) -> bool:
        """Return whether the process lives and answers."""
        with self.admin() as client, suppress(redis.RedisError):
            return bool(client.ping())
        return False

    def admin(self) -> redis.Redis:
        """Return a client that may do everything."""
        return redis.Redis(
            "localhost",
            self.port,
            username="admin",
            password="any",
            ssl=True,
            ssl_ca_certs=str(CERTIFICATE),
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )

    def ask(self, *command: str) -> Any:
        """Return the reply to a command. Raises RedisError."""
        with self.admin() as client:
            return client.execute_command(*command)

    def info(self, section: str = "replication") -> dict[str, Any]:
        """Return a section of what the server says of itself. Raises RedisError."""
        with self.admin() as client:
            found: Any = client.info(section)
            return dict(found)

    def freeze(self) -> None:
        """Stop the process, which keeps its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def rejoin(self) -> None:
        """Let the server see the others again, after it was cut off."""
        self.ask("ACL", "LOAD")
        self.ask("CLIENT", "KILL", "USER", "default")  # connections on which nobody could log in meanwhile

    def kill(self) -> None:
        """End the process with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Cluster:
    """Three servers, of which one is the master, and three Sentinels that watch them."""

    folder: Path
    servers: list[Server] = field(default_factory=list)
    sentinels: list[Server] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.servers = [Server(self._folder(f"server-{at}")) for at in range(3)]
        self.sentinels = [Server(self._folder(f"sentinel-{at}"), arguments=("--sentinel",)) for at in range(3)]
        for each in self.servers:
            replica = "" if each is self.servers[0] else f"replicaof localhost {self.servers[0].port}\n"
            (each.folder / "server.conf").write_text(
                f"{self._common(each, 'redis.acl', 'redis-replication.acl')}{replica}"
                f"masteruser replica\nmasterauth {PASSWORD}\n"
                "appendonly yes\nsave ''\nmin-replicas-to-write 1\n"
                "min-replicas-max-lag 2\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n"
            )
        for each in self.sentinels:
            (each.folder / "server.conf").write_text(
                f"{self._common(each, 'sentinel.acl')}sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n"
                "sentinel announce-ip localhost\n"
                f"sentinel monitor {MASTER} localhost {self.servers[0].port} 2\nsentinel auth-user {MASTER} sentinel\n"
                f"sentinel auth-pass {MASTER} {PASSWORD}\nsentinel down-after-milliseconds {MASTER} {DOWN_MS}\n"
                f"sentinel failover-timeout {MASTER} 5000\n"
                f"sentinel sentinel-user sentinel\nsentinel sentinel-pass {PASSWORD}\n"
            )

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _common(self, server: Server, *files: str) -> str:
        users, digest = server.folder / "users.acl", hashlib.sha256(PASSWORD.encode()).hexdigest()
        users.write_text("".join((DEPLOY / name).read_text().replace("HASH", digest) for name in files) + ADMIN)
        return (
            f"port 0\ntls-port {server.port}\nbind 127.0.0.1\ndir {server.folder}\naclfile {users}\n"
            f"tls-cert-file {CERTIFICATE}\ntls-key-file {CERTIFICATE}\ntls-ca-cert-file {CERTIFICATE}\n"
            "tls-auth-clients no\ntls-replication yes\nreplica-announce-ip localhost\n"
        )

    @property
    def url(self) -> str:
        """The address as the program gets it."""
        hosts = ",".join(f"localhost:{each.port}" for each in self.sentinels)
        return (
            f"rediss+sentinel://order-sync:{PASSWORD}@{hosts}/{MASTER}/0"
            f"?sentinel_username=order-sync&sentinel_password={PASSWORD}&{TLS}"
        )

    @property
    def master(self) -> Server:
        """The server that most Sentinels name as the master. Raises RedisError while they do not agree."""
        named = [int(each.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1]) for each in self._living()]
        ports = {port for port in named if named.count(port) >= 2}
        if len(ports) != 1:
            raise redis.ConnectionError("the Sentinels do not agree")
        return next(each for each in self.servers if each.port in ports)

    def _living(self) -> list[Server]:
        return [each for each in self.sentinels if each.answers()]

    def start(self) -> None:
        """Start everything, and wait until it is ready for a fail-over."""
        for each in (*self.servers, *self.sentinels):
            each.start()
        self.await_ready()

    def is_ready(self) -> bool:
        """Return whether the master has its replicas, and every Sentinel knows the others and the replicas."""
        with suppress(redis.RedisError, OSError):
            return self.master.info().get("min_slaves_good_slaves") == 2 and all(map(self._knows_all, self._living()))
        return False

    @staticmethod
    def _knows_all(sentinel: Server) -> bool:
        with sentinel.admin() as client:
            state: Any = client.sentinel_masters()
            replicas: Any = client.sentinel_slaves(MASTER)
        flags = [each["is_sdown"] or each["is_disconnected"] for each in replicas]
        return state[MASTER]["num-other-sentinels"] == 2 and flags == [False, False]

    def await_ready(self) -> None:
        """Wait until the servers and Sentinels are ready for a fail-over."""
        wait_until(self.is_ready, self._state)

    def _state(self) -> str:
        servers = [f"{each.port} {each.info() if each.answers() else each.log()}" for each in self.servers]
        return "\n".join([*servers, *(each.log() for each in self.sentinels)])

    def cut_off(self) -> Server:
        """Cut the master off from the replicas and Sentinels, but not from clients; return it."""
        master = self.master
        master.ask("ACL", "SETUSER", "default", "-@all")  # otherwise it would still answer a PING of the Sentinels
        master.ask("ACL", "DELUSER", "replica", "sentinel")
        return master

    def denied(self) -> list[tuple[str, str, str]]:
        """Return the user, the reason and the object of everything that a server or Sentinel has denied."""
        found: list[tuple[str, str, str]] = []
        for each in (*self.servers, *self.sentinels):
            with each.admin() as client:
                entries: Any = client.acl_log()
            found += [(entry["username"], entry["reason"], entry["object"]) for entry in entries]
        return found

    def fail_over(self) -> None:
        """Let Sentinel promote a replica while the master lives."""
        self._living()[0].ask("SENTINEL", "FAILOVER", MASTER)

    def stop(self) -> None:
        """End every process."""
        for each in (*self.sentinels, *self.servers):
            each.kill()


def wait_until(done: Callable[[], bool], why: Callable[[], str]) -> None:
    """Wait until something is so. Raises RuntimeError with the reason after a while."""
    deadline = time.monotonic() + START_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(why())
        time.sleep(0.05)


@contextmanager
def own_cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster of our own. Raises OSError without Debian's server, and RuntimeError if it does not start."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
