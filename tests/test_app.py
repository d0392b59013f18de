"""The Celery app: its configuration, and what it adds to a worker."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from worker.app import create_app
from worker.config.settings import NO_REDIS, load

REDIS = "redis://127.0.0.1:1/0"
RELIABLE = {
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "task_create_missing_queues": False,
    "task_acks_late": True,
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    "task_reject_on_worker_lost": False,
    "task_ignore_result": True,
    "result_backend": None,
    "accept_content": ["json"],
    "task_serializer": "json",
    "enable_utc": True,
    "timezone": "UTC",
    "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
    "worker_pool": "threads",
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
}
TRANSPORT = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 5,
    "global_keyprefix": "osync:",
    "client_name": "osync",
    "max_connections": 20,
}
BEAT = {
    "sweep": ("timers.sweep", timedelta(seconds=1), {"expires": 5}),
    "publish": ("events.publish", timedelta(seconds=30), {"expires": 30}),
    "purge": ("maintenance.purge", timedelta(hours=1), {"expires": 3600}),
}


def app(**environment: str) -> Celery:
    return create_app(load({f"ORDER_SYNC_{key}": value for key, value in {"REDIS_URL": REDIS, **environment}.items()}))


@pytest.mark.fault("F-10")
@pytest.mark.quirk("X-06", "X-07")
def test_tasks_are_acknowledged_retried_and_kept_as_configured() -> None:
    conf: Any = app().conf
    assert {name: conf[name] for name in RELIABLE} == RELIABLE


@pytest.mark.quirk("X-06")
def test_every_wait_for_redis_has_a_timeout() -> None:
    assert app().conf.broker_transport_options == TRANSPORT


def test_rabbitmq_gets_no_options_of_redis() -> None:
    assert app(BROKER_URL="amqp://127.0.0.1").conf.broker_transport_options == {}


@pytest.mark.fault("F-11")
def test_a_soft_shutdown_outlasts_the_longest_call() -> None:
    borzo = {"CARRIERS__BORZO__TOKEN": "t", "CARRIERS__BORZO__DEADLINE": "70"}
    found = [app(**each).conf.worker_soft_shutdown_timeout for each in ({}, borzo)]
    assert found == [50, 75]


def test_the_beat_s_messages_expire_before_they_pile_up() -> None:
    found = {name: (each["task"], each["schedule"], each["options"]) for name, each in app().conf.beat_schedule.items()}
    assert {name: found[name] for name in BEAT} == BEAT
    assert all(options["expires"] >= schedule.total_seconds() for _, schedule, options in found.values())


STRAY = """
from worker.app import app
print(app.connection_for_write().as_uri(), app.connection_for_read().as_uri(), app.conf.result_backend)
"""


def test_the_variables_of_another_celery_program_change_no_setting(tmp_path: Path) -> None:
    stray = ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND")
    environment = {
        "PYTHONPATH": str(Path.cwd()),
        "ORDER_SYNC_REDIS_URL": REDIS,
        **{f"CELERY_{name}": "redis://elsewhere:6379/5" for name in stray},
    }
    done = subprocess.run(
        [sys.executable, "-c", STRAY], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert done.stdout == "redis://:**@127.0.0.1:1/0 redis://:**@127.0.0.1:1/0 None\n"


READY = """
import gc, os, signal
from celery import signals
from celery.apps.worker import install_cry_handler
from worker.app import create_app
from worker.config.settings import load
assert create_app(load({"ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0"})).conf.enable_utc
install_cry_handler()
signals.worker_ready.send(sender=None)
def carry(phone):
    os.kill(os.getpid(), signal.SIGUSR1)
carry("+4566112233")
print(gc.get_threshold()[0], gc.get_freeze_count() > 100_000)
"""


@pytest.fixture(scope="module")
def ready() -> "subprocess.CompletedProcess[str]":
    """Return what a process printed that became ready as a worker does, and then got a signal."""
    return subprocess.run([sys.executable, "-c", READY], capture_output=True, text=True, check=True)


def test_a_signal_shows_where_each_thread_is_and_none_of_its_variables(
    ready: "subprocess.CompletedProcess[str]",
) -> None:
    assert "in carry" in ready.stderr
    assert "66112233" not in ready.stdout + ready.stderr


def test_a_ready_worker_looks_for_garbage_seldom_and_not_in_what_it_has_loaded(
    ready: "subprocess.CompletedProcess[str]",
) -> None:
    assert ready.stdout == "20000 True\n"


LAZY = """
from celery import current_app, signals
from celery.app.utils import find_app
app = find_app("worker.app")
assert not signals.setup_logging.receivers
print(app.main, current_app.main)
app.conf.enable_utc
"""


@pytest.mark.parametrize(
    ("variables", "fault"), [({"ORDER_SYNC_TYPO": "x"}, "typo: there is no such setting"), ({}, NO_REDIS)]
)
def test_the_app_of_the_celery_command_reads_its_settings_only_when_it_is_used(
    variables: dict[str, str], fault: str, tmp_path: Path
) -> None:
    environment = {"PYTHONPATH": str(Path.cwd()), **variables}
    done = subprocess.run(
        [sys.executable, "-c", LAZY], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "order-sync default\n",
        f"order-sync: the settings cannot work:\n{fault}\n",
    )
