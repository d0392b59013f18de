"""The look-up of host names. Each look-up has its own thread, so a silent name server delays only the names it serves.

asyncio would look up all names in the same few threads. One silent name server could then stop the calls to all
accounts.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LookUp = Callable[..., list[tuple[Any, ...]]]
"""Returns the addresses of a host, as `socket.getaddrinfo` does."""


class ResolvingLoop(asyncio.SelectorEventLoop):
    """An event loop that never runs the same look-up twice at once. All callers of a look-up share its answer.

    Two look-ups are the same if host name, port and options are equal. So the number of threads does not grow with the
    number of callers. If a caller gives up, the look-up continues for the other callers. The threads never delay the
    end of the process.
    """

    def __init__(self, look_up: LookUp = socket.getaddrinfo) -> None:
        super().__init__()
        self._look_up = look_up
        self._running: dict[tuple[Any, ...], asyncio.Future[Any]] = {}

    async def getaddrinfo(self, host: Any, port: Any, **options: int) -> Any:
        """Look up a host name. Raises OSError."""
        key = (host, port, *sorted(options.items()))
        if key not in self._running:
            self._running[key] = self._start(key, host, port, options)
        return await asyncio.shield(self._running[key])

    def _start(self, key: tuple[Any, ...], host: Any, port: Any, options: dict[str, int]) -> asyncio.Future[Any]:
        found: asyncio.Future[Any] = self.create_future()

        def finish(answer: Any, error: Exception | None) -> None:
            del self._running[key]
            if error is None:
                found.set_result(answer)
            else:
                found.set_exception(error)
                found.exception()  # marks the error as retrieved, because all callers may have given up

        def run() -> None:
            answer, error = None, None
            try:
                answer = self._look_up(host, port, **options)
            except Exception as raised:  # noqa: BLE001 - the callers get it
                error = raised
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self.call_soon_threadsafe(finish, answer, error)

        threading.Thread(target=run, name="resolver", daemon=True).start()
        return found
