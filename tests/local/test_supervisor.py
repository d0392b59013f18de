import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from worker.local.supervisor import (
    LOG_BYTES,
    STABLE_SECONDS,
    Process,
    Supervisor,
    earlier_url,
    free_port,
    lock_file,
    read_tail,
    rotate,
    start_redis,
    wait_for,
)

PATIENCE = 10


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(dict(os.environ), tmp_path / "log", grace=PATIENCE) as made:
        yield made


class Lifeline:
    """A pipe that every process of a family holds open: it ends when the last of them has ended."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lifeline"
        os.mkfifo(self.path)
        self._end = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self) -> str:
        """Wait for a line; empty once no process is left."""
        assert select.select([self._end], [], [], PATIENCE)[0], "a process is alive and writes nothing"
        return os.read(self._end, 100).decode()

    def close(self) -> None:
        os.close(self._end)


@pytest.fixture
def lifeline(tmp_path: Path) -> Iterator[Lifeline]:
    made = Lifeline(tmp_path)
    yield made
    made.close()


def run(supervisor: Supervisor, lifeline: Lifeline, script: str) -> Process:
    return supervisor.start("family", ["sh", "-c", f"exec 3>{lifeline.path}; {script}"])


def ended(process: Process) -> int:
    assert process.running is not None
    return process.running.wait(PATIENCE)


# --- start and stop ---


def test_a_process_writes_its_log_and_has_the_supervisor_s_environment(tmp_path: Path) -> None:
    with Supervisor({"WORD": "hello"}, tmp_path / "log") as supervisor:
        process = supervisor.start("talker", [sys.executable, "-c", "import os; print(os.environ['WORD'])"])
        assert (ended(process), read_tail(process.log)) == (0, "hello\n")


def test_stopping_leaves_no_process_not_even_a_grandchild_that_ignores_sigterm(
    supervisor: Supervisor, lifeline: Lifeline
) -> None:
    run(supervisor, lifeline, "(trap '' TERM; echo ready >&3; sleep 1000) & wait")
    assert lifeline.read() == "ready\n"
    supervisor.stop()
    assert (lifeline.read(), supervisor.processes) == ("", [])


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(
    supervisor: Supervisor, lifeline: Lifeline
) -> None:
    process = run(supervisor, lifeline, "trap '' TERM; echo ready >&3; sleep 1000; sleep 1000")
    assert lifeline.read() == "ready\n"
    supervisor.grace = 0
    supervisor.stop()
    assert (ended(process), lifeline.read()) == (-signal.SIGKILL, "")


def test_an_error_in_the_context_ends_every_process(tmp_path: Path, lifeline: Lifeline) -> None:
    with contextlib.suppress(KeyboardInterrupt), Supervisor(dict(os.environ), tmp_path) as supervisor:
        run(supervisor, lifeline, "echo ready >&3; sleep 1000")
        assert lifeline.read() == "ready\n"
        raise KeyboardInterrupt
    assert lifeline.read() == ""


def test_a_second_interruption_only_ends_the_wait(supervisor: Supervisor, lifeline: Lifeline) -> None:
    class Interrupted(Process):
        def wait(self, seconds: float) -> None:
            if seconds > 1.0:
                raise KeyboardInterrupt
            super().wait(seconds)

    process = Interrupted(
        "family",
        ["sh", "-c", f"exec 3>{lifeline.path}; trap '' TERM; echo ready >&3; sleep 1000"],
        os.environ,
        supervisor.logs / "x",
    )
    process.start()
    supervisor.processes.append(process)
    assert lifeline.read() == "ready\n"
    with pytest.raises(KeyboardInterrupt):
        supervisor.stop()
    assert lifeline.read() == ""


# --- restarts ---


def test_an_ended_process_is_restarted_after_a_wait(supervisor: Supervisor) -> None:
    process = supervisor.start("short", ["sh", "-c", "echo once"])
    ended(process)
    first, ended_now = process.running, [supervisor.watch(), supervisor.watch()]
    assert (ended_now, process.running is first) == ([["short"], []], True)
    process.restart_at = 0.0
    assert supervisor.watch() == []
    assert (process.running is first, ended(process), read_tail(process.log)) == (False, 0, "once\nonce\n")


def test_repeated_failures_are_counted_until_a_process_is_stable(supervisor: Supervisor) -> None:
    process = supervisor.start("short", ["sh", "-c", "exit 1"])
    failures = []
    for _ in range(3):
        ended(process)
        supervisor.watch()
        failures.append(process.failures)
        process.restart_at = 0.0
        supervisor.watch()
    process.started_at -= STABLE_SECONDS
    ended(process)
    supervisor.watch()
    assert (failures, process.failures) == ([1, 2, 3], 1)


def test_the_children_of_an_ended_process_end_before_it_is_restarted(
    supervisor: Supervisor, lifeline: Lifeline
) -> None:
    process = run(supervisor, lifeline, "(trap '' TERM HUP; sleep 1000) & echo ready >&3")
    assert (lifeline.read(), ended(process)) == ("ready\n", 0)
    assert (supervisor.watch(), lifeline.read()) == (["family"], "")


# --- commands of this environment ---


def test_a_command_beside_this_python_is_found_without_an_active_environment(supervisor: Supervisor) -> None:
    supervisor.environ = {}
    supervisor.run_command([Path(sys.executable).name, "-c", "pass"])
    with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
        supervisor.run_command([Path(sys.executable).name, "-c", "raise SystemExit(3)"])


def test_the_embedded_redis_answers_and_is_gone_afterwards(supervisor: Supervisor, tmp_path: Path) -> None:
    url = start_redis(supervisor, tmp_path / "redis")
    with redis.Redis.from_url(url) as client:
        found = client.config_get("maxmemory-policy"), client.config_get("appendonly"), client.config_get("bind")
        assert found == ({"maxmemory-policy": "noeviction"}, {"appendonly": "yes"}, {"bind": "127.0.0.1"})
        supervisor.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_the_embedded_redis_asks_for_a_password_that_only_its_owner_can_read(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "redis"
    url = start_redis(supervisor, folder)
    password = urlsplit(url).password
    assert password
    with (
        redis.Redis.from_url(url.replace(f"default:{password}@", "")) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    assert [password in part for part in supervisor.processes[0].command] == [False, False]
    modes = [path.stat().st_mode & 0o777 for path in (folder.parent, folder, folder / "redis.conf")]
    assert modes == [0o700, 0o700, 0o600]


def test_a_redis_that_does_not_respond_in_time_is_an_error() -> None:
    with pytest.raises(redis.ConnectionError):
        wait_for("redis://127.0.0.1:1/0", seconds=0)


def test_a_lock_has_one_holder_and_ends_with_its_file(tmp_path: Path) -> None:
    lock = tmp_path / "var" / "up.lock"
    with lock_file(lock), pytest.raises(BlockingIOError):
        lock_file(lock)
    lock_file(lock).close()


# --- ports and logs ---


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", free_port(20_000))) as taken:
        wanted = taken.getsockname()[1]
        assert 0 < free_port(wanted) - wanted < 200


def test_any_free_port_will_do_for_0() -> None:
    port = free_port()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        assert probe.getsockname() == ("127.0.0.1", port)


@pytest.mark.parametrize(("wanted", "host"), [(65_536, "127.0.0.1"), (70_000, "127.0.0.1"), (8000, "192.0.2.1")])
def test_without_a_free_port_an_error_is_raised(wanted: int, host: str) -> None:
    with pytest.raises(OSError, match=f"no free port from {wanted} on at {host}"):
        free_port(wanted, host)


def test_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert read_tail(log) == ""
    log.write_bytes("é".encode() * 10)
    assert (read_tail(log, 4), read_tail(log, 3)) == ("éé", "\ufffdé")


# --- rotation ---


def parts(log: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(log.parent.iterdir())}


def test_a_log_that_is_too_large_begins_anew_and_its_earlier_parts_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    for text in ("one", "two", "three", "four"):
        log.write_text(text)
        rotate(log, size=2, kept=2)
    assert parts(log) == {"x.log": "", "x.log.1": "four", "x.log.2": "three"}


def test_a_log_that_is_small_enough_or_missing_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    rotate(log)
    log.write_text("one")
    rotate(log, size=3)
    assert parts(log) == {"x.log": "one"}


def test_a_process_goes_on_writing_to_its_log_after_a_rotation(
    supervisor: Supervisor, lifeline: Lifeline, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    process = run(supervisor, lifeline, f"echo one; echo ready >&3; read line < {gate}; echo two")
    assert lifeline.read() == "ready\n"
    rotate(process.log, size=0)
    gate.write_text("go\n")
    ended(process)
    assert parts(process.log) == {"family.log": "two\n", "family.log.1": "one\n"}


def test_watching_keeps_the_logs_small(supervisor: Supervisor) -> None:
    process = supervisor.start("talker", ["true"])
    ended(process)
    with process.log.open("ab") as log:
        log.truncate(LOG_BYTES + 1)
    supervisor.watch()
    assert [path.stat().st_size for path in sorted(supervisor.logs.iterdir())] == [0, LOG_BYTES + 1]


def test_a_log_is_emptied_although_its_content_cannot_be_kept(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("one")
    (tmp_path / "x.log.1").symlink_to("/dev/full")
    rotate(log, size=1, kept=1)
    assert log.read_text() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_process_whose_log_cannot_be_written_goes_on() -> None:
    script = "from worker import log; log.setup('INFO', 'json'); [log.get('x').error('y') for _ in range(9)]; print(7)"
    with Path("/dev/full").open("ab") as full:
        done = subprocess.run([sys.executable, "-c", script], stderr=full, stdout=subprocess.PIPE, check=False)
    assert done.stdout == b"7\n"


def test_the_embedded_server_keeps_its_address_when_it_is_started_again(tmp_path: Path) -> None:
    urls = []
    for _ in range(2):
        with Supervisor(dict(os.environ), tmp_path / "log") as supervisor:
            urls.append(start_redis(supervisor, tmp_path / "redis"))
    assert urls == [earlier_url(tmp_path / "redis")] * 2
