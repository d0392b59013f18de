"""Celery's broker on Redis, made to outlive what is no Celery message.

kombu lets whatever stands on a queue end the worker, or take it into an endless round of reconnecting, when it cannot
be read as a message. Here it is taken off and logged, and the worker goes on.
"""

from typing import Any

from kombu import transport
from kombu.exceptions import InconsistencyError
from kombu.transport import redis as kombu_redis
from redis.exceptions import RedisError

from worker import log

logger = log.get(__name__)
PING_SECONDS = 3
THEIRS = (RedisError, OSError, InconsistencyError)
"""What is about the connection: of this kombu takes care."""


class Channel(kombu_redis.Channel):
    """A channel that survives what cannot even be parsed."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, RecursionError) as error:  # it is off the queue already, and stands nowhere else
            ours: Any = self.connection
            ours.drop(None, error)


class Transport(kombu_redis.Transport):
    """kombu's transport, but a message that cannot be delivered is dropped."""

    Channel = Channel
    dropped = 0

    def _deliver(self, message: Any, queue: str | None) -> None:
        try:
            super()._deliver(message, queue)
        except THEIRS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the next message has nothing to do with it
            self.drop(queue, error)
            self._forget(message)

    def drop(self, queue: str | None, error: Exception) -> None:
        """Note that a message was dropped; what it held may be anybody's."""
        self.dropped += 1
        logger.error("broker.message_dropped", queue=queue, error=type(error).__name__, count=self.dropped)

    def _forget(self, message: Any) -> None:
        """Take a message off the list of those that come back when nobody has acknowledged them."""
        properties = message.get("properties") if isinstance(message, dict) else None
        tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
        channels: Any = self.channels
        for channel in channels:
            if isinstance(tag, str) and tag in channel.qos._delivered:  # noqa: SLF001 - kombu has no name for it
                channel.basic_reject(tag, requeue=False)


def install() -> None:
    """Let every broker on Redis be reached this way, however its URL spells it."""
    for name in ("redis", "rediss"):
        transport.TRANSPORT_ALIASES[name] = f"{__name__}:{Transport.__name__}"


def ping(app: Any) -> None:
    """Prove that the broker answers; raises what kombu raises."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=PING_SECONDS)
