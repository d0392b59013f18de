"""Celery's broker, hardened: against what is not a Celery message, and on RabbitMQ against silence.

A message that Celery cannot handle ends the worker, or makes the worker reconnect for ever. Here, the message is
removed and logged, and the worker continues. On RabbitMQ, kombu waits for ever for a server that does not answer, or
that accepts no messages because of an alarm. Here, it gives up after a few seconds, and the sweep sends the task again.
"""

from contextlib import suppress
from typing import Any

from kombu import transport
from kombu.exceptions import InconsistencyError, OperationalError
from kombu.transport import pyamqp
from kombu.transport import redis as kombu_redis

from worker import log
from worker.addresses.amqp_url import with_server_name
from worker.bus import sentinel
from worker.bus.port import OUTAGES

logger = log.get(__name__)
PING_SECONDS = 3
SOCKET_SECONDS = 5.0
"""Seconds that RabbitMQ may take for an answer."""
CARRIES_AN_ORDER = "orders.receive"
"""The only task that the sweep cannot replace."""
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


class SentinelChannel(Channel, kombu_redis.SentinelChannel):
    """The same on a master that Sentinel names, with connections that leave a server which accepts no writes."""

    connection_class = sentinel.MasterConnection
    connection_class_ssl = sentinel.TlsMasterConnection


class SentinelTransport(Transport):
    """The same transport by way of Sentinel."""

    Channel = SentinelChannel
    default_port = kombu_redis.SentinelTransport.default_port


class AmqpChannel(pyamqp.Channel):
    """A channel that publishes nothing while RabbitMQ has an alarm, and waits for a confirm only where it matters."""

    def basic_publish(self, msg: Any, *where: Any, **options: Any) -> Any:
        """Publish a message. A task that carries an order is confirmed; any other is replaced if it is lost.

        Raises OperationalError while RabbitMQ accepts no messages.
        """
        self._refuse_while_blocked()
        if self.connection is None or (msg.headers or {}).get("task") != CARRIES_AN_ORDER:
            return super().basic_publish(msg, *where, **options)
        with self.connection.channel() as confirming:
            return confirming.basic_publish_confirm(msg, *where, **{**options, "confirm_timeout": SOCKET_SECONDS})

    def basic_consume(self, *where: Any, **options: Any) -> Any:
        """Consume a queue. A message that breaks its consumer is dropped, and does not end the worker."""
        callback = options["callback"]
        transport: Any = AmqpTransport
        outages = (OperationalError, *transport.connection_errors, *transport.channel_errors)

        def deliver(message: Any) -> None:
            try:
                callback(message)
            except outages:
                raise
            except Exception as error:  # noqa: BLE001 - no error of one message concerns the next one
                queue = message.delivery_info["routing_key"]
                logger.error("broker.message_dropped", queue=queue, error=type(error).__name__)
                self.basic_reject(message.delivery_tag, requeue=False)

        return super().basic_consume(*where, **{**options, "callback": deliver})

    def queue_declare(self, *queue: Any, **options: Any) -> Any:
        """Declare a queue. Raises OperationalError while RabbitMQ reads nothing from this connection."""
        self._refuse_while_blocked()
        return super().queue_declare(*queue, **options)

    def _refuse_while_blocked(self) -> None:
        if (connection := self.connection) is None:
            return  # kombu opens another one
        with suppress(TimeoutError):
            connection.drain_events(timeout=0)  # it may have news of an alarm
        if connection.blocked:
            connection.collect()  # to close it in order would take as long as the alarm
            raise OperationalError("RabbitMQ accepts no messages: it has a memory or disk alarm")


class AmqpConnection(pyamqp.Connection):
    """A connection that knows whether RabbitMQ has blocked it."""

    Channel = AmqpChannel
    blocked = False

    def __init__(self, *address: Any, **options: Any) -> None:
        notices = {"on_blocked": self._block, "on_unblocked": self._unblock}
        super().__init__(*address, **{**options, **notices})

    def _block(self, _reason: str) -> None:
        self.blocked = True

    def _unblock(self) -> None:
        self.blocked = False


class AmqpTransport(pyamqp.Transport):
    """kombu's transport for RabbitMQ, except that every operation has a timeout."""

    Connection = AmqpConnection

    def establish_connection(self) -> Any:
        """Return a connection whose socket gives up after `SOCKET_SECONDS`, to the host that the certificate names."""
        client: Any = self.client
        if client.ssl:  # kombu would write the name into the options, which are also those of the next host
            client.ssl = with_server_name(client.ssl, client.hostname)
        connection = super().establish_connection()
        connection.transport.sock.settimeout(SOCKET_SECONDS)
        return connection


ALIASES = {
    "redis": Transport,
    "rediss": Transport,
    "sentinel": SentinelTransport,
    "amqp": AmqpTransport,
    "amqps": AmqpTransport,
}


def install() -> None:
    """Use these transports for every broker URL with their schemes."""
    for name, ours in ALIASES.items():
        transport.TRANSPORT_ALIASES[name] = f"{__name__}:{ours.__name__}"


def ping(app: Any) -> None:
    """Check that the broker responds. Raises the errors of kombu if it does not."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=PING_SECONDS)
