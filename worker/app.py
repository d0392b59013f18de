"""The Celery app: queues, routes, beat table and process set-up. The only Celery configuration.

A Celery message here is only a hint that something is due: Redis may lose it, and the sweep hands the work out again.
So no result backend, no ETA, no countdown, no Celery retry: what is to be done later stands in the database.
"""

import faulthandler
import signal
import sys
from datetime import timedelta
from functools import cache
from typing import Any

from celery import Celery, Task, signals
from kombu import Queue
from kombu.exceptions import OperationalError

from worker import log
from worker.config.settings import Settings, load
from worker.errors import SettingsError
from worker.runtime import broker
from worker.runtime.watchdog import Watchdog
from worker.services.crash_recovery import JournalReader
from worker.services.ingest import OrdersReader, away

KEY_PREFIX = "osync:"
VISIBILITY_SECONDS = 300
"""Longer than any task (a task waits at most one deadline and its margin); a lost task is swept long before."""
SWEEP_SECONDS = 1.0
QUEUES = ("orders", "callbacks", "events", "platform", "timers")
ELSEWHERE = {"orders.fetch": "platform", "orders.backfill": "platform", "maintenance.purge": "timers"}
"""Tasks whose queue is not their family's."""
AUDIT_SECONDS = 30.0
PURGE_SECONDS = 3600.0
BACKFILL_SECONDS = 300.0


_BACKFILL: dict[str, Any] = {
    "backfill": {
        "task": "orders.backfill",
        "schedule": timedelta(seconds=BACKFILL_SECONDS),
        "options": {"expires": BACKFILL_SECONDS},
    },
}


def carrier_queues(account: str) -> tuple[str, str]:
    """Name an account's two queues: money and reads never wait for each other."""
    return f"carrier.{account}", f"carrier.{account}.reads"


def _queues(settings: Settings) -> list[Queue]:
    names = [*QUEUES, *(queue for account in settings.accounts for queue in carrier_queues(account))]
    return [Queue(name, routing_key=name) for name in names]


def _route(name: str, args: Any, _kwargs: Any, _options: Any, **_more: Any) -> dict[str, str] | None:
    """Find a task's queue by its name; `deliveries.*` and `carriers.*` go to their carrier's."""
    family, _, verb = name.partition(".")
    if family in {"deliveries", "carriers"}:
        money, reads = carrier_queues(args[0])
        return {"queue": reads if verb == "track" else money}
    queue = ELSEWHERE.get(name, family)
    return {"queue": queue} if queue in QUEUES else None


class WakeUpTask(Task[Any, Any]):
    """A task whose trouble with the database or Redis is noted in one line: the sweep hands its work out again."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what is due."""
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            if not (away(error) or isinstance(error, OperationalError)):
                raise
            log.get(__name__).warning("task.put_off", task=self.name, error=type(error).__name__)


def configure(settings: Settings) -> Celery:
    """Configure the app for these settings."""
    broker.install()
    made: Celery = Celery("order-sync", broker=settings.broker, task_cls=WakeUpTask, set_as_current=True)
    redis_options: dict[str, Any] = {
        "visibility_timeout": VISIBILITY_SECONDS,
        # What a dead worker held comes back after 10 s; by default kombu looks every 100 s.
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        # Without a socket timeout a half-open connection is never noticed.
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 5,  # twice this until a connection that went silent is given up
        # No retry_on_timeout: it would send a write twice.
        "global_keyprefix": KEY_PREFIX,
        "client_name": "osync",
        "max_connections": 20,
    }
    made.conf.update(
        include=[
            f"tasks.{name}"
            for name in ("callbacks", "carriers", "deliveries", "events", "maintenance", "orders", "platform", "timers")
        ],
        broker_transport_options=redis_options if not settings.broker.startswith("amqp") else {},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # for ever; the default gives up after 100
        broker_channel_error_retry=True,  # a fail-over's READONLY would otherwise end the worker
        task_queues=_queues(settings),
        task_routes=(_route,),
        task_create_missing_queues=False,
        # A hint is acknowledged when its task is over, however it ended: the database knows what is still to do.
        task_acks_late=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        task_reject_on_worker_lost=False,  # would start a task that kills its worker again and again
        task_ignore_result=True,
        result_backend=None,
        accept_content=["json"],
        task_serializer="json",
        enable_utc=True,
        timezone="UTC",
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
        # Threads: calls wait in the gateway's loop, engines and clients are shared, and there is no fork to survive.
        worker_pool="threads",
        worker_concurrency=settings.worker_concurrency,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # A create in flight must not be cut off because Redis blinked.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=max((each.deadline for each in settings.accounts.values()), default=45) + 5,
        worker_send_task_events=True,  # Flower lives on these
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        beat_schedule={
            # Two beats are harmless: what a sweep hands out is leased. `expires` keeps ticks from piling up.
            "sweep": {
                "task": "timers.sweep",
                "schedule": timedelta(seconds=SWEEP_SECONDS),
                "options": {"expires": 5},
            },
            "publish": {
                # Also when nothing is told: the relay is who notices that the bus has lost something.
                "task": "events.publish",
                "schedule": timedelta(seconds=AUDIT_SECONDS),
                "options": {"expires": AUDIT_SECONDS},
            },
            "purge": {
                "task": "maintenance.purge",
                "schedule": timedelta(seconds=PURGE_SECONDS),
                "options": {"expires": PURGE_SECONDS},
            },
            **(_BACKFILL if settings.ordering.backfill else {}),
        },
    )
    made.steps["worker"].update((OrdersReader, JournalReader, Watchdog))
    made.set_default()  # the current app is a thread's own; hints are given from many threads
    return made


@cache
def _app() -> Celery:
    try:
        return configure(load())
    except SettingsError as error:
        sys.stderr.write(f"order-sync: the settings cannot work:\n{error}\n")
        raise SystemExit(2) from None


def __getattr__(name: str) -> Celery:
    """Make `app` when it is first asked for, so that a module of ours can be imported without any settings."""
    if name == "app":
        return _app()
    raise AttributeError(name)


@signals.setup_logging.connect
def _log(**_: Any) -> None:
    read = load()
    log.setup(read.log_level, read.log_format)


@signals.worker_ready.connect
def _say_where(**_: Any) -> None:
    """Let SIGUSR1 show where every thread is; Celery would write down all that they hold, credentials too."""
    faulthandler.register(signal.SIGUSR1)


def _unusable(sender: Any = None, **what: Any) -> None:  # noqa: ARG001 - Celery passes itself
    """Note what another program put on our queues: Celery has already taken it off."""
    log.get(__name__).error("task.unusable", name=what.get("name"), error=type(what.get("exc")).__name__)


signals.task_unknown.connect(_unusable)
signals.task_rejected.connect(_unusable)
