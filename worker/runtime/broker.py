"""Celery's broker on Redis, hardened against queue entries that are not Celery messages.

In kombu, an unreadable entry ends the worker, or makes the worker reconnect for ever. Here, the entry is removed and
logged, and the worker continues.
"""

from typing import Any

from kombu import transport
from kombu.exceptions import InconsistencyError
from kombu.transport import redis as kombu_redis

from worker import log
from worker.bus.port import OUTAGES

logger = log.get(__name__)
PING_SECONDS = 3
CONNECTION_ERRORS = (*OUTAGES, InconsistencyError)
"""Errors of the connection to Redis. `Transport` raises them unchanged, because kombu handles them."""


class Channel(kombu_redis.Channel):
    """A channel that survives an entry that cannot be parsed."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, RecursionError) as error:  # the entry is already removed, so it cannot come back
            transport: Any = self.connection
            transport.drop(None, error)


class Transport(kombu_redis.Transport):
    """kombu's transport, except that it drops a message that cannot be delivered."""

    Channel = Channel
    dropped = 0

    def _deliver(self, message: Any, queue: str | None) -> None:
        try:
            super()._deliver(message, queue)
        except CONNECTION_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - no error of one message concerns the next one
            self.drop(queue, error)
            self._forget(message)

    def drop(self, queue: str | None, error: Exception) -> None:
        """Log that a message was dropped, without its content, which may be private."""
        self.dropped += 1
        logger.error("broker.message_dropped", queue=queue, error=type(error).__name__, count=self.dropped)

    def _forget(self, message: Any) -> None:
        """Remove a message from the unacknowledged messages, so that it is not delivered again."""
        properties = message.get("properties") if isinstance(message, dict) else None
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        channels: Any = self.channels
        for channel in channels:
            if isinstance(tag, str) and tag in channel.qos._delivered:  # noqa: SLF001 - kombu has no public name for it
                channel.basic_reject(tag, requeue=False)


def install() -> None:
    """Use this transport for every broker URL with the scheme `redis` or `rediss`."""
    for name in ("redis", "rediss"):
        transport.TRANSPORT_ALIASES[name] = f"{__name__}:{Transport.__name__}"


def ping(app: Any) -> None:
    """Check that the broker responds. Raises the errors of kombu if it does not."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=PING_SECONDS)
