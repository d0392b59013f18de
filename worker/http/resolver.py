"""Host names and connections. Each look-up has its own thread, so a silent name server delays only the names it serves.

asyncio would look up all names in the same few threads. One silent name server could then stop the calls to all
accounts.
"""

import asyncio
import socket
import ssl
import threading
from asyncio.staggered import staggered_race
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import uvloop

HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds until the next address of a host is tried beside those that have not answered."""
LookUp = Callable[..., list[tuple[Any, ...]]]
"""Returns the addresses of a host, as `socket.getaddrinfo` does."""
Admit = Callable[[list[str]], object]
"""Raises an error if a connection to a host with these addresses must not be opened."""


def admit_all(_addresses: list[str]) -> None:
    """Admit a host, whatever its addresses are."""


class ResolvingLoop(uvloop.Loop):
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
        with suppress(socket.gaierror):  # an address is its own answer
            return socket.getaddrinfo(host, port, **options | {"flags": socket.AI_NUMERICHOST})
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


async def connect(
    protocol: asyncio.Protocol, host: str, port: int, tls: ssl.SSLContext | None, admit: Admit = admit_all
) -> asyncio.Transport:
    """Connect a protocol to a host, by Happy Eyeballs if the host has several addresses (RFC 8305). Raises OSError.

    uvloop can do neither: it would look up the host by itself, and try one address after the other. The connection goes
    to an address that `admit` has seen, even if the name gets another address meanwhile.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    admit([str(address[4][0]) for address in addresses])
    name = host if tls else None
    target: dict[str, Any]
    if len(addresses) == 1:  # this needs less processor time than a socket of our own
        address = addresses[0][4]
        target = {"host": address[0], "port": address[1]}
    else:
        target = {"sock": await _first_connected(addresses)}
    transport, _ = await loop.create_connection(lambda: protocol, ssl=tls, server_hostname=name, **target)
    return transport


async def _first_connected(addresses: Iterable[tuple[Any, ...]]) -> socket.socket:
    connected: socket.socket | None
    attempts = [partial(_attempt, *address) for address in _alternating(addresses)]
    connected, _, errors = await staggered_race(attempts, HAPPY_EYEBALLS_DELAY)
    if connected is None:
        raise OSError(f"no address of the host answers: {errors}")
    return connected


async def _attempt(family: int, kind: int, protocol: int, _name: str, address: Any) -> socket.socket:
    attempt = socket.socket(family, kind, protocol)
    try:
        attempt.setblocking(False)
        await asyncio.get_running_loop().sock_connect(attempt, address)
    except BaseException:
        attempt.close()
        raise
    return attempt


def _alternating(addresses: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the addresses with those of IPv4 and IPv6 in turn, because one of the two may not work at all."""
    numbers: defaultdict[int, Iterator[int]] = defaultdict(count)
    return sorted(addresses, key=lambda address: next(numbers[address[0]]))
