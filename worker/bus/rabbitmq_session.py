"""Connections to RabbitMQ on which every operation has a timeout, and publishing that the server confirms.

py-amqp waits for ever where the server does not answer. While an alarm is on, RabbitMQ reads nothing from connections
that publish, so each kind of work has a connection of its own.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import amqp
from amqp.exceptions import RecoverableConnectionError
from amqp.method_framing import frame_handler
from amqp.serialization import decode_properties_basic

from worker.bus.port import OUTAGES

SOCKET_SECONDS = 5.0
CONFIRM_SECONDS = 5.0
"""How long the confirms of a group of messages may take. It is shorter than the relay's lease."""
HEARTBEAT_SECONDS = 15
"""How often both ends show that a connection lives. After twice this time it counts as lost."""
IDLE_SECONDS = 10.0
"""After this time without use, a new connection is opened: nobody has sent heartbeats on the old one."""

CONTENT_HEADER, PROPERTIES_AT, NO_PROPERTIES = 2, 12, b"\0\0"
"""The type of the frame with a message's properties, where they begin in it, and how none are written."""

Servers = Sequence[Mapping[str, Any]]
"""The nodes of a cluster, as arguments of py-amqp's connection. They are tried in turn until one connects."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish, and its route."""

    exchange: str
    routing_key: str
    id: str
    body: str | bytes
    content_type: str
    type: str = ""
    headers: dict[str, Any] = field(default_factory=dict)

    def message(self) -> amqp.Message:
        """Return the persistent message. Its timestamp is the time of publishing, in seconds."""
        optional = {"type": self.type} if self.type else {}
        return amqp.Message(
            self.body,
            message_id=self.id,
            content_type=self.content_type,
            delivery_mode=2,
            timestamp=int(time.time()),
            application_headers=self.headers,
            **optional,
        )


class Session:
    """A connection with one channel, which one thread uses at a time.

    It connects when it is first used, and again after any error: the channel of an error may be in any state.
    """

    def __init__(
        self,
        servers: Servers,
        name: str,
        set_up: Callable[[Any], None],
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """Take the servers, and the name that RabbitMQ shows for the connection.

        `set_up` is called with every new channel.
        """
        self._servers, self._name, self._set_up, self._idle_seconds = deque(servers), name, set_up, idle_seconds
        self._lock = threading.RLock()
        self._connection: Any = None
        self._channel: Any = None
        self._used_at = 0.0
        self._published = 0

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """Yield the channel. Raises one of `OUTAGES` while RabbitMQ is unreachable or refuses the work."""
        with self._lock:
            try:
                self._open()
                yield self._channel
            except AttributeError as error:  # py-amqp raises it when the connection is lost in the middle of its work
                self.close()
                raise RecoverableConnectionError(f"the connection was lost: {error}") from error
            except BaseException:
                self.close()
                raise
            self._used_at = time.monotonic()

    def _open(self) -> None:
        if self._connection and time.monotonic() - self._used_at < self._idle_seconds:
            return
        self.close(ask=True)
        for _ in range(len(self._servers) - 1):
            try:
                self._connect()
            except OUTAGES:
                self.close()
                self._servers.rotate(-1)
            else:
                return
        self._connect()

    def _connect(self) -> None:
        """Connect to the first server."""
        self._connection = amqp.Connection(
            **self._servers[0],
            connect_timeout=SOCKET_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            client_properties={"connection_name": self._name},
            on_blocked=_raise_blocked,
            frame_handler=_tolerant_frame_handler,
        )
        self._connection.connect()
        self._connection.transport.sock.settimeout(SOCKET_SECONDS)
        self._channel, self._published = self._connection.channel(), 0
        self._channel.auto_decode = False  # bodies stay bytes
        self._set_up(self._channel)

    def close(self, *, ask: bool = False) -> None:
        """Close the connection; with `ask`, as the protocol wants it, which a failed connection cannot do."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                (connection.close if ask else connection.collect)()

    def publish(self, messages: Sequence[Outgoing]) -> list[bool]:
        """Publish messages, and wait for their confirms; return for each whether a queue has it.

        Raises one of `OUTAGES` if the connection fails before any confirm. A message without a confirm may be in its
        queues nevertheless.
        """
        confirmed: set[int] = set()
        try:
            with self.channel() as channel:
                confirms = _Confirms(channel, messages, confirmed)
                for number in range(len(messages)):
                    self._published += 1
                    confirms.send(self._published, number)
                    if self._published == 1:  # under an alarm, RabbitMQ takes it and blocks the connection
                        confirms.wait(CONFIRM_SECONDS)
                confirms.wait(CONFIRM_SECONDS)
                if confirms.returned:
                    self.close(ask=True)  # the next connection declares the missing route again
        except OUTAGES:
            if not confirmed:
                raise
        return [number in confirmed for number in range(len(messages))]


class _Confirms:
    """Collects the answers to the messages of one call; `confirmed` gets the numbers of those that a queue has."""

    def __init__(self, channel: Any, messages: Sequence[Outgoing], confirmed: set[int]) -> None:
        self._channel, self._messages, self._confirmed = channel, messages, confirmed
        self._waiting: dict[int, int] = {}
        self.returned: set[str] = set()
        channel.events["basic_ack"] = {self._acked}
        channel.events["basic_nack"] = {self._take}
        channel.events["basic_return"] = {self._return}

    def send(self, tag: int, number: int) -> None:
        """Send the message with this number, which is the channel's message `tag`."""
        self._waiting[tag], message = number, self._messages[number]
        self._channel.basic_publish(message.message(), message.exchange, message.routing_key, mandatory=True)

    def wait(self, seconds: float) -> None:
        """Wait until the server has answered for every message. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self._waiting:
            self._channel.connection.drain_events(timeout=max(0.001, deadline - time.monotonic()))

    def _acked(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - as py-amqp calls it
        for number in self._take(tag, multiple):
            if self._messages[number].id not in self.returned:  # an unroutable message comes back before its ack
                self._confirmed.add(number)

    def _return(self, error: Any, _exchange: str, _key: str, message: Any) -> None:  # noqa: ARG002 - as py-amqp calls it
        self.returned.add(message.properties["message_id"])

    def _take(self, tag: int, multiple: bool) -> list[int]:  # noqa: FBT001 - as py-amqp calls it
        tags = [each for each in self._waiting if each <= tag] if multiple else [tag]
        return [self._waiting.pop(each) for each in tags if each in self._waiting]


def _tolerant_frame_handler(connection: Any, callback: Any) -> Callable[[Any], bool]:
    """Return a handler of frames that ignores the properties of a message if they cannot be decoded.

    py-amqp would end the connection, the broker would deliver the message again, and so on for ever.
    """
    handle: Callable[[Any], bool] = frame_handler(connection, callback)

    def on_frame(frame: tuple[int, int, bytes]) -> bool:
        kind, channel, content = frame
        if kind == CONTENT_HEADER:
            try:
                decode_properties_basic(content, PROPERTIES_AT)
            except Exception:  # noqa: BLE001 - whatever an alien client has written
                return handle((kind, channel, bytes(content[:PROPERTIES_AT]) + NO_PROPERTIES))
        return handle(frame)

    return on_frame


def _raise_blocked(_reason: str) -> None:
    raise ConnectionRefusedError("RabbitMQ accepts no messages: it has a memory or disk alarm")
