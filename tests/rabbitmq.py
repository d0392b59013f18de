"""RabbitMQ for tests: the server that answers, or a node of an installed package with everything in one folder."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import amqp

from tests.tls import CERTIFICATE
from worker.addresses.amqp_url import AmqpUrl
from worker.local.supervisor import free_port

DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
SERVER = DEBIAN if DEBIAN.exists() else Path(shutil.which("rabbitmq-server") or DEBIAN)
CONTROL = SERVER.with_name("rabbitmqctl")
START_SECONDS = 120.0


def connected(url: str) -> Any:
    """Return an open connection. Raises OSError or AMQPError."""
    connection = amqp.Connection(**AmqpUrl.parse(url).servers[0], connect_timeout=5)
    try:
        connection.connect()
    except BaseException:
        connection.collect()  # py-amqp leaves the socket of a failed handshake open
        raise
    connection.transport.sock.settimeout(10)
    return connection


def responds(url: str) -> bool:
    """Return whether a server lets us in at this address."""
    try:
        connected(url).close()
    except (OSError, amqp.exceptions.AMQPError):
        return False
    return True


@dataclass
class Node:
    """A RabbitMQ node of our own, which can be killed, started again and put under an alarm."""

    folder: Path
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    name: str = field(default_factory=lambda: f"osync{secrets.token_hex(4)}@localhost")
    _server: "subprocess.Popen[bytes] | None" = None
    _commands: "list[Future[None]]" = field(default_factory=list)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "rabbitmqctl"))

    @property
    def url(self) -> str:
        """The address of the node."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def _environ(self) -> dict[str, str]:
        ours = {
            "HOME": self.folder,
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder / "log",
            "RABBITMQ_PID_FILE": self.folder / "pid",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "enabled_plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 1:1",
        }
        return {**os.environ, **{name: str(value) for name, value in ours.items()}}

    def launch(self) -> None:
        """Start the node, and do not wait for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rabbitmq.conf").write_text(
            "disk_free_limit.absolute = 50MB\nlog.file.level = warning\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\nssl_options.verify = verify_none\n"
            + "".join(f"ssl_options.{name}file = {CERTIFICATE}\n" for name in ("cacert", "cert", "key"))
        )
        (self.folder / "enabled_plugins").write_text("[].\n")
        with (self.folder / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [str(SERVER)], env=self._environ, stdout=output, stderr=output, start_new_session=True
            )

    def start(self) -> None:
        """Start the node, and wait until it lets us in."""
        self.launch()
        server, deadline = self._server, time.monotonic() + START_SECONDS
        assert server is not None
        while not responds(self.url):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "output").read_text(errors="replace")[-2000:])
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.2)

    def kill(self) -> None:
        """End the node with SIGKILL."""
        if self._server is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def control(self, *arguments: str) -> str:
        """Run a command of `rabbitmqctl` on the node; return what it writes."""
        done = subprocess.run(self._command(arguments), env=self._environ, capture_output=True, text=True, check=True)
        return done.stdout

    def control_soon(self, *arguments: str) -> None:
        """Run a command after the earlier ones, again and again until it works, and do not wait for its end."""
        self._commands.append(self._thread.submit(self._insist, arguments))

    def _insist(self, arguments: Sequence[str]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(subprocess.CalledProcessError):
                self.control(*arguments)
                return
            time.sleep(0.5)

    def await_commands(self) -> None:
        """Wait for the ends of the commands that run or wait."""
        while self._commands:
            self._commands.pop(0).result()

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [str(CONTROL), "--quiet", "--node", self.name, *arguments]


@contextmanager
def own_node(folder: Path) -> Iterator[Node]:
    """Run a node of our own. Raises OSError without Debian's package, and RuntimeError if it does not start."""
    node = Node(folder)
    try:
        node.start()
        yield node
    finally:
        node.await_commands()
        node.kill()
