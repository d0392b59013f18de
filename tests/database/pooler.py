"""Poolers between a test and PostgreSQL: PgBouncer where it is installed, and a small proxy that refuses the same."""

import os
import pwd
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url

from worker.local.supervisor import free_port

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
ENCRYPTION_REQUESTS = (80877103, 80877104)
"""The first message of a client that asks for TLS or GSS encryption."""
START_SECONDS = 60


class PgBouncer:
    """PgBouncer with transaction pooling, which can be killed and started again in front of another server."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder, self._settings, self.port = folder, settings, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, url: str) -> None:
        """Start it in front of a server, and wait until it listens."""
        assert PGBOUNCER is not None
        server = make_url(url)
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": "2",
            "unix_socket_dir": "",
            **self._settings,
        }
        host, server_port = server.host or server.query["host"], server.port or 5432
        user = server.username or pwd.getpwuid(os.getuid())[0]
        lines = [f"[databases]\n* = host={host} port={server_port} user={user}"]
        lines += ["[pgbouncer]", *(f"{name} = {value}" for name, value in options.items())]
        configuration, log = self._folder / "pgbouncer.ini", self._folder / "pgbouncer.log"
        configuration.write_text("\n".join(lines))
        configuration.chmod(0o644)  # the other user opens it again, whatever the umask is
        demoted: dict[str, Any] = {"user": "nobody"} if os.getuid() == 0 else {}  # PgBouncer refuses to run as root
        # From its standard input: the folder is closed to another user.
        command = [PGBOUNCER, "/dev/stdin"]
        with configuration.open() as text, log.open("a") as written:
            self._process = subprocess.Popen(command, stdin=text, stderr=written, **demoted)
        _wait_for(self.port, self._process, log)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def pgbouncer(url: str, folder: Path, **settings: str) -> Iterator[str]:
    """Run PgBouncer in front of a server; yield the address of the database through it."""
    pooler = PgBouncer(folder, **settings)
    try:
        pooler.start(url)
        yield _through(make_url(url), pooler.port)
    finally:
        pooler.kill()


def _wait_for(port: int, process: "subprocess.Popen[Any]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()


def _through(server: URL, port: int) -> str:
    user = server.username or pwd.getpwuid(os.getuid())[0]
    through = server.set(host="127.0.0.1", port=port, username=user, query={})
    return through.render_as_string(hide_password=False)


# --- the proxy ---


@contextmanager
def strict_proxy(url: str) -> Iterator[str]:
    """Run a proxy that refuses the start-up parameter `options` and named prepared statements; yield its address."""
    server = make_url(url)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _StrictHandler) as proxy:
        proxy.daemon_threads = True
        proxy.upstream = (str(server.host or server.query["host"]), server.port or 5432)  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        yield _through(server, proxy.server_address[1])
        proxy.shutdown()


class _StrictHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        client: socket.socket = self.request
        with suppress(OSError), client.makefile("rb") as reader:
            while (start := _start_of(reader))[0] in ENCRYPTION_REQUESTS:
                client.sendall(b"N")
            if b"options\0" in start[1]:
                client.sendall(_fatal("unsupported startup parameter: options"))
                return
            with _connect(*self.server.upstream) as server:  # type: ignore[attr-defined]
                server.sendall(struct.pack("!ii", len(start[1]) + 8, start[0]) + start[1])
                threading.Thread(target=_return_answers, args=(server, client), daemon=True).start()
                while (message := _message_of(reader)) is not None:
                    kind, body = message
                    if kind == b"P" and not body.startswith(b"\0"):
                        client.sendall(_fatal("a prepared statement with a name does not work here"))
                        return
                    server.sendall(kind + struct.pack("!i", len(body) + 4) + body)


def _connect(host: str, port: int) -> socket.socket:
    if host.startswith("/"):
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server
    return socket.create_connection((host, port))


def _return_answers(server: socket.socket, client: socket.socket) -> None:
    """Return what the server says, with another number of its process, as a pooler does."""
    with suppress(OSError), server.makefile("rb") as reader:
        while (message := _message_of(reader)) is not None:
            kind, body = message
            if kind == b"K":
                body = struct.pack("!i", 1) + body[4:]
            client.sendall(kind + struct.pack("!i", len(body) + 4) + body)


def _start_of(reader: Any) -> tuple[int, bytes]:
    length, code = struct.unpack("!ii", reader.read(8))
    return code, reader.read(length - 8)


def _message_of(reader: Any) -> tuple[bytes, bytes] | None:
    head = reader.read(5)
    if len(head) < 5:
        return None
    return head[:1], reader.read(struct.unpack("!i", head[1:])[0] - 4)


def _fatal(text: str) -> bytes:
    body = b"SFATAL\0VFATAL\0C08P01\0M" + text.encode() + b"\0\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body
