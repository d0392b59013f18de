"""`order-sync up` and `demo` in an empty folder: they show no password, and leave nothing that others can read."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import redis

from worker.local.supervisor import free_port

pytestmark = pytest.mark.long

ORDER_SYNC = Path(sys.executable).parent / "order-sync"


def read_by_a_shell(path: Path) -> dict[str, str]:
    """Read the file with the addresses in another shell; return its variables."""
    assert path.stat().st_mode & 0o777 == 0o600
    command = ["sh", "-c", '. "$1"; env | grep ^ORDER_SYNC_', "sh", str(path)]
    shown = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in shown.splitlines())


def run_up(folder: Path, while_running: Callable[[], object] = lambda: None, **settings: str) -> str:
    """Run `up` until everything is started, and end it; return what it wrote."""
    return run("up", folder, while_running, until="Press Ctrl-C", code=0, **settings)


def run(
    command: str,
    folder: Path,
    while_running: Callable[[], object] = lambda: None,
    *,
    until: str,
    code: int,
    **settings: str,
) -> str:
    """Run a command until it has written a text, and end it; return what it wrote. It must end with this exit code."""
    variables = {
        "WEB_ADDRESS": f"127.0.0.1:{free_port()}",
        "DESK_ADDRESS": f"127.0.0.1:{free_port()}",
        "FLOWER_ADDRESS": f"127.0.0.1:{free_port()}",
        "CARRIERS__CERVO__TOKEN": "t",
        **settings,
    }
    environ = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        **{f"ORDER_SYNC_{key}": value for key, value in variables.items()},
    }
    with subprocess.Popen(
        [ORDER_SYNC, command],
        umask=0o022,
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        written = []
        for line in process.stdout:
            written.append(line)
            if until in line:
                while_running()
                process.send_signal(signal.SIGTERM)
                break
        written += process.stdout
    assert process.returncode == code, written
    return "".join(written)


def test_everything_that_up_creates_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    chosen: dict[str, str] = {}
    settings, key = tmp_path / "var" / "settings.sh", "k" * 40
    shown = run_up(tmp_path, lambda: chosen.update(read_by_a_shell(settings)), API_KEYS__PLATFORM=key)
    assert chosen["ORDER_SYNC_API_KEYS__PLATFORM"] == key
    assert key not in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("Redis")]
    assert line.startswith("Redis   redis://default:***@127.0.0.1:")
    names = [line.partition(" ")[0] for line in shown.splitlines()]
    assert names[names.index("Redis") :][:7] == ["Redis", "Web", "Desk", "Flower", "Logs", "Use", "Press"]
    for name in ("Web", "Desk", "Flower"):
        assert f"{name:8}http://{chosen[f'ORDER_SYNC_{name.upper()}_ADDRESS']}" in shown.splitlines()
    assert line.partition("@")[2] == chosen["ORDER_SYNC_REDIS_URL"].partition("@")[2]
    paths = {name: chosen[f"ORDER_SYNC_{name}"] for name in ("DATABASE_URL", "JOURNAL_FOLDER", "FLOWER_FOLDER")}
    assert paths == {
        "DATABASE_URL": f"sqlite:///{tmp_path}/var/order-sync.db",
        "JOURNAL_FOLDER": f"{tmp_path}/var/journal",
        "FLOWER_FOLDER": f"{tmp_path}/var/flower",
    }
    check_private(tmp_path, "order-sync.db", "up.lock", "redis.conf", "log")


def check_private(folder: Path, *names: str) -> None:
    """Check that files with these names were created, and that nothing is readable for others."""
    created = [folder / "var", *(folder / "var").rglob("*")]
    assert {*names} <= {path.name for path in created}
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in created}
    readable = [path.name for path in created if path.stat().st_mode & 0o077]
    assert (modes, readable) == ({True: 0o700, False: 0o600}, [])


def test_what_the_demo_creates_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    run("demo", tmp_path, until="Starting", code=130)
    check_private(tmp_path, "demo.lock")


def test_up_shows_no_password_of_a_configured_redis(
    tmp_path: Path, embedded_redis: Callable[..., AbstractContextManager[str]]
) -> None:
    with embedded_redis() as url, redis.Redis.from_url(url) as client:
        client.config_set("requirepass", "s3cret-word")
        shown = run_up(tmp_path, REDIS_URL=url.replace("redis://", "redis://:s3cret-word@"))
    assert "s3cret-word" not in shown
    assert url.replace("redis://", "Redis   redis://:***@") in shown
