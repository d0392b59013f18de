"""A subscriber that writes down every event it sees, also across restarts and floods of the server."""

import contextlib
import json
import threading
from typing import Any, Self

import redis

STREAM = "deliveries"
REST = 0.1


class Recorder:
    """Reads the stream in a thread of its own, straight from the server. Use it as a context manager."""

    def __init__(self, url: str) -> None:
        self._server = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        self._after = "0-0"
        self._reading = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.seen: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        while not self._ended.wait(REST):
            with contextlib.suppress(redis.RedisError, OSError):
                self.read()

    def read(self) -> None:
        """Read what is new. Raises RedisError."""
        with self._reading:
            while found := self._server.xrange(STREAM, min=f"({self._after}", count=1000):
                self._take(found)

    def flush(self) -> None:
        """Empty the server, and miss nothing that it held. Raises RedisError."""
        with self._reading:
            pipe = self._server.pipeline(transaction=True)
            pipe.xrange(STREAM, min=f"({self._after}")
            pipe.flushall()
            self._take(pipe.execute()[0])
            self._after = "0-0"  # whatever stands there now is new

    def _take(self, found: Any) -> None:
        for identity, fields in found:
            self.seen.append(json.loads(fields[b"event"]))
            self._after = identity.decode()
