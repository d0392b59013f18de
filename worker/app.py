"""The Celery app: queues, routes, beat table and process set-up. The only Celery configuration.

Every Celery message except `orders.receive` is only a wake-up task. The loss of such a task does no harm, because
the sweep enqueues the work again. The database stores all work that is due later, so there is no result backend, no
ETA, no countdown and no Celery retry.
"""

import ctypes
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import Any

from celery import Celery, Task, signals
from celery.exceptions import Reject
from kombu import Queue
from kombu.exceptions import OperationalError

from worker import log, tracing
from worker.addresses.amqp_url import is_amqp
from worker.addresses.redis_url import RedisUrl
from worker.bus import sentinel
from worker.config.settings import Settings, load
from worker.enqueue import PLATFORM, carrier_queues, log_fields
from worker.errors import SettingsError
from worker.runtime import broker, early_stop
from worker.runtime.steps import JournalReader, Notifier, OrdersReader, Sweeper, Trimmer, WebhooksStopper
from worker.runtime.watchdog import Watchdog
from worker.services.ingest import is_outage

KEY_PREFIX, QUEUE_PREFIX = "osync:", "osync."
"""What the names of Celery's keys on Redis, and of its queues on RabbitMQ, begin with.

The queue `orders` of Celery is therefore never the stream or queue `orders` of the bus.
"""
EXCHANGE = "osync"
"""Celery's exchange on RabbitMQ. It is a topic exchange, because only such an exchange can delay a task."""
VISIBILITY_SECONDS = 300
"""Seconds after which Redis delivers an unacknowledged task again. No task runs that long.

The sweep enqueues the work of a lost task long before Redis delivers the task again.
"""
SWEEP_SECONDS = 1.0
ORDERS = "orders"
QUEUES = (ORDERS, "callbacks", "events", PLATFORM, "timers", "webhooks")
OTHER_QUEUES = {"orders.fetch": PLATFORM, "orders.backfill": PLATFORM, "maintenance.purge": "timers"}
"""Tasks with an unusual queue. The usual queue of a task is the part of its name before the dot."""
M_ARENA_MAX, ARENAS = -8, 2
"""The option of glibc for the number of memory arenas, and the number that a worker has."""
HEARTBEAT_SECONDS = 10
"""How often RabbitMQ and we show each other that a connection lives. After twice this time it counts as lost."""
AUDIT_SECONDS = 30.0
PURGE_SECONDS = 3600.0
BACKFILL_SECONDS = 300.0
TASK_MODULES = (
    "callbacks",
    "carriers",
    "deliveries",
    "events",
    "maintenance",
    "orders",
    "platform",
    "timers",
    "webhooks",
)
FOREIGN_VARIABLES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")
"""Environment variables that usually belong to another program. Celery would use them instead of our settings."""
REDIS_OPTIONS: dict[str, Any] = {
    "visibility_timeout": VISIBILITY_SECONDS,
    # Messages whose visibility timeout has passed are looked for every 10 s; by default every 100 s.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    # Without a socket timeout a half-open connection is never noticed.
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 5,  # a silent connection is closed after twice this time
    # There is no retry_on_timeout, because it might send a write twice.
    "global_keyprefix": KEY_PREFIX,
    "client_name": "osync",
    "max_connections": 20,
}
ENDLESS = 1_000_000
"""The delivery limit of the queue `orders`. The broker drops a task beyond it, and no sweep can replace this one."""
DELIVERY_LIMIT = 20
"""The delivery limit of every other queue."""


class TaskFailure(Exception):
    """What monitors show of a failed task: one line without personal data or markup, which Flower would not escape."""

    def __repr__(self) -> str:
        return str(self)


class Problems(TaskFailure):
    """The problems of a task that did all its work: everything is stored, and nothing runs again because of this."""


class WakeUpTask(Task[Any, Any]):
    """A wake-up task. If the database or Redis is unreachable, the task logs one line instead of an exception.

    The sweep then enqueues the work again. A task that returns problems has failed for Flower and other monitors.
    """

    throws = (Problems,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task. In a worker, raise Problems if there are any; a direct call returns them.

        Raises Reject in a worker that hands over: the broker gives the task to another one.
        """
        if not self.request.called_directly and early_stop.has_begun():
            raise Reject("the worker ends", requeue=True)
        problems = self._run(*args, **kwargs)
        if problems and not self.request.called_directly:
            raise Problems(problems)
        return problems

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:  # noqa: ARG002
        """Hide the text of an error from monitors, because it may contain anything. The log has the traceback."""
        einfo.traceback = None
        if not isinstance(exc, Problems):
            einfo.exception = TaskFailure(type(exc).__name__)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        fields = log_fields(self.name, args)
        with log.about(**fields), _task_span(self.name, fields):
            try:
                return super().__call__(*args, **kwargs)
            except Exception as error:
                if not (is_outage(error) or isinstance(error, OperationalError)):
                    raise
                log.get(__name__).warning("task.postponed", error=type(error).__name__)
                return f"postponed ({type(error).__name__})"


def _task_span(name: str, fields: Mapping[str, object]) -> AbstractContextManager[object]:
    """Return the span of a task. The sweep has none, because it runs every second, mostly without any work."""
    if name == "timers.sweep":
        return tracing.NO_SPAN
    attributes = {f"order_sync.{field}": str(value) for field, value in fields.items() if field != "task"}
    return tracing.span(name, tracing.Kind.CONSUMER, attributes)


def create_app(settings: Settings) -> Celery:
    """Build the Celery app, and make it the current app of the process."""
    celery_app = _build(lambda: _configuration(settings))
    celery_app.set_current()
    celery_app.set_default()  # Celery's current app belongs to one thread, and many threads send tasks
    return celery_app


def _build(configuration: Callable[[], dict[str, Any]]) -> Celery:
    """Build an app that calls `configuration` when Celery first needs a setting.

    `FOREIGN_VARIABLES` are removed from the environment now, because Celery reads them before the configuration.
    """
    for name in FOREIGN_VARIABLES:
        os.environ.pop(name, None)
    celery_app: Celery = Celery("order-sync", task_cls=WakeUpTask, set_as_current=False)
    celery_app.steps["worker"].update(
        (OrdersReader, JournalReader, Sweeper, Trimmer, Notifier, WebhooksStopper, Watchdog)
    )
    celery_app.on_configure.connect(_set_up)
    celery_app.add_defaults(configuration)
    return celery_app


# --- configuration ---


def _configuration(settings: Settings) -> dict[str, Any]:
    url, on_rabbitmq = settings.broker, is_amqp(settings.broker)
    _ = settings.redis  # a wrong or missing address must end the process at its start, whatever the broker is
    return {
        **(_on_rabbitmq() if on_rabbitmq else {"broker_transport_options": _redis_options(settings.sentinel)}),
        "broker_url": url,
        "broker_use_ssl": settings.broker_ssl or False,  # by default, kombu accepts any certificate
        "include": [f"tasks.{name}" for name in TASK_MODULES],
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # retries for ever; the default is 100 tries
        "broker_channel_error_retry": True,  # otherwise, a READONLY error in a fail-over ends the worker
        "task_queues": _queues(settings, on_rabbitmq=on_rabbitmq),
        "task_routes": (_route,),
        "task_create_missing_queues": False,
        # A message is acknowledged however its task ends, because the database stores the remaining work.
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_reject_on_worker_lost": False,  # if True, a task that kills its worker would be started again and again
        "task_ignore_result": True,
        "result_backend": None,
        "accept_content": ["json"],
        "task_serializer": "json",
        "enable_utc": True,
        "timezone": "UTC",
        "task_publish_retry_policy": {
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        # The pool uses threads: calls wait in the gateway's loop, threads share engines and clients, and nothing forks.
        "worker_pool": "threads",
        "worker_concurrency": settings.worker_concurrency,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": not on_rabbitmq,  # only Redis can do it
        # A create under way must not be cut off by a short outage of Redis.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": max((each.deadline for each in settings.accounts.values()), default=45) + 5,
        "worker_send_task_events": True,  # Flower shows these
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "beat_schedule": _beat(settings),
    }


def _redis_options(by_sentinel: RedisUrl | None) -> dict[str, Any]:
    """Return the options of a broker on Redis, also for a master that Sentinel names."""
    if by_sentinel is None:
        return REDIS_OPTIONS
    return {**REDIS_OPTIONS, "master_name": by_sentinel.master, "sentinel_kwargs": sentinel.options_of(by_sentinel)}


def _on_rabbitmq() -> dict[str, Any]:
    """Return the settings for a broker on RabbitMQ."""
    return {
        "broker_heartbeat": HEARTBEAT_SECONDS,
        "task_default_exchange": EXCHANGE,
        "task_default_exchange_type": "topic",
        # An exclusive queue belongs to a connection that may be lost, and locks the worker out until RabbitMQ notices.
        **{f"{kind}_queue_exclusive": False for kind in ("control", "event")},
        **{f"{kind}_queue_durable": True for kind in ("control", "event")},
    }


def _queues(settings: Settings, *, on_rabbitmq: bool) -> list[Queue]:
    names = [*QUEUES, *(queue for account in settings.accounts for queue in carrier_queues(account))]
    return [_quorum_queue(name) if on_rabbitmq else Queue(name, routing_key=name) for name in names]


def _quorum_queue(name: str) -> Queue:
    """Return a queue for RabbitMQ, of which Celery knows the name without the prefix as an alias."""
    limit = ENDLESS if name == ORDERS else DELIVERY_LIMIT
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": limit}
    full_name = f"{QUEUE_PREFIX}{name}"
    return Queue(full_name, alias=name, routing_key=full_name, queue_arguments=arguments)


def _route(name: str, args: Any, _kwargs: Any, _options: Any, **_more: Any) -> dict[str, str] | None:
    """Return the queue of a task; None for a task that is not ours.

    The tasks `deliveries.*` and `carriers.*` go to a queue of the account in their first argument.
    """
    family, _, action = name.partition(".")
    if family in {"deliveries", "carriers"}:
        changes, reads = carrier_queues(args[0])
        return {"queue": reads if action == "track" else changes}
    queue = OTHER_QUEUES.get(name, family)
    return {"queue": queue} if queue in QUEUES else None


def _beat(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the schedule of beat. A second beat is harmless, because a sweep leases the work that it enqueues."""
    table = {
        "sweep": _every(SWEEP_SECONDS, "timers.sweep", expires=5),
        # The relay also runs when there are no new events, because it checks whether the bus has lost events.
        "publish": _every(AUDIT_SECONDS, "events.publish", expires=AUDIT_SECONDS),
        "purge": _every(PURGE_SECONDS, "maintenance.purge", expires=PURGE_SECONDS),
    }
    if settings.ordering.backfill:
        table["backfill"] = _every(BACKFILL_SECONDS, "orders.backfill", expires=BACKFILL_SECONDS)
    return table


def _every(seconds: float, task: str, *, expires: float) -> dict[str, Any]:
    """Return an entry of beat's schedule. Each message expires, so messages do not pile up while no worker runs."""
    return {"task": task, "schedule": timedelta(seconds=seconds), "options": {"expires": expires}}


def _from_environment() -> dict[str, Any]:
    """Return the configuration from the environment. If the settings are wrong, end the process with one message."""
    try:
        return _configuration(load())
    except SettingsError as error:
        sys.stderr.write(f"order-sync: the settings cannot work:\n{error}\n")
        raise SystemExit(2) from None


# --- the process ---


def _set_up(**_: Any) -> None:
    """Prepare a process that uses the app. Celery calls this function before the configuration is read."""
    broker.install()
    signals.setup_logging.connect(_set_up_logs)
    signals.celeryd_init.connect(_share_memory)
    signals.worker_ready.connect(early_stop.install)
    signals.worker_ready.connect(_show_threads_on_signal)
    signals.worker_ready.connect(_exempt_from_garbage)
    signals.task_unknown.connect(_log_unusable)
    signals.task_rejected.connect(_log_unusable)


def _set_up_logs(**_: Any) -> None:
    settings = load()
    log.setup(settings.log_level, settings.log_format)


def _show_threads_on_signal(**_: Any) -> None:
    """Let SIGUSR1 print the stack of every thread. Celery's handler would also print variables with credentials."""
    faulthandler.register(signal.SIGUSR1)


def _share_memory(**_: Any) -> None:
    """Let all threads use the same memory. With an arena for each thread, no thread uses what another has freed.

    Only glibc has this option.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def _exempt_from_garbage(**_: Any) -> None:
    """Exempt everything that the worker has loaded so far from the collection of garbage."""
    gc.freeze()


def _log_unusable(sender: Any = None, **found: Any) -> None:  # noqa: ARG001 - Celery passes itself
    """Log a message that no task can handle, such as one from another program. Celery has removed it from the queue."""
    log.get(__name__).error("task.unusable", name=found.get("name"), error=type(found.get("exc")).__name__)


app = _build(_from_environment)
"""The app of `celery --app worker.app`. That command needs an instance, not a factory.

The instance calls `_from_environment` when Celery first needs a setting, so this module can be imported without any
settings.
"""
