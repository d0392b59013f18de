"""Signed events over HTTP, as Standard Webhooks specifies (https://www.standardwebhooks.com).

All requests wait in one event loop, so a slow receiver occupies no thread. Each request has a connection of its own, to
an address that was checked. Redirects are not followed.
"""

import asyncio
import base64
import binascii
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from standardwebhooks import Webhook

from worker import log
from worker.errors import CarrierError, Sent, Unavailable
from worker.http.call import Outcome, Reply
from worker.http.gateway import tls_context
from worker.http.receiver_url import forbidden_address, host_of, is_private_host
from worker.http.resolver import LookUp, ResolvingLoop
from worker.http.single_use import post_once

logger = log.get(__name__)
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
SECRET_PREFIX, SECRET_BYTES = "whsec_", 32
MIN_SECRET, MAX_SECRET = 24, 64
"""How many bytes a secret may have."""
SECONDS = 15.0
"""The longest time for a whole request."""
AT_ONCE = 8
"""The most requests that a receiver has at the same time."""
MAX_BODY = 10_000
"""The most bytes of an answer that are kept. A longer answer counts by its status."""
STORING_THREADS = 4
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Post:
    """One signed request."""

    url: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)


def new_secret() -> str:
    """Return a random secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_secret(secret: str) -> str:
    """Return a secret if it is usable. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not MIN_SECRET <= len(key) <= MAX_SECRET:
        raise ValueError(f"a secret is whsec_ and {MIN_SECRET} to {MAX_SECRET} bytes in base64")
    return secret


def signed(url: str, keys: Iterable[str], identity: str, at: datetime, body: str) -> Post:
    """Return the request that sends an event, signed with each of the secrets `keys`.

    `identity` is the id of the event. The receiver compares `at` with its own clock.
    """
    signatures = [Webhook(key).sign(identity, at.astimezone(UTC), body) for key in keys]
    headers = (
        ("Content-Type", CONTENT_TYPE),
        ("User-Agent", "order-sync"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        ("webhook-id", identity),
        ("webhook-timestamp", str(int(at.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    )
    return Post(url, headers, body.encode())


class WebhookSender:
    """The sender of signed requests. Build one in each process, after any fork."""

    def __init__(
        self,
        proxy_for: Callable[[str], str],
        *,
        private_hosts: Collection[str] = (),
        ca_bundle: str = "",
        look_up: LookUp = socket.getaddrinfo,
        seconds: float = SECONDS,
    ) -> None:
        """`proxy_for` returns the proxy of a URL, or nothing. `private_hosts` may have addresses that are not public.

        `seconds` is the longest time for a request.
        """
        self._proxy_for, self._private_hosts, self._seconds = proxy_for, private_hosts, seconds
        self._ca_bundle, self._look_up = ca_bundle, look_up
        self._opening = threading.Lock()
        self._opened: asyncio.AbstractEventLoop | None = None
        self._storing = ThreadPoolExecutor(STORING_THREADS, thread_name_prefix="webhooks")
        self._under_way: set[Future[Any]] = set()
        self.stopping = threading.Event()
        """Set when no further request begins."""

    def post(self, post: Post) -> Reply:
        """Send one request and wait for its reply. Raises Unavailable or Uncertain."""
        reply: Reply = self._start(self._post(post)).result()
        return reply

    def check(self, url: str) -> None:
        """Look up the host of a URL, and check its addresses. Raises Unavailable."""
        self._start(self._check(url)).result()

    def send(
        self,
        chains: Mapping[K, Sequence[T]],
        build: Callable[[T], Post],
        goes_on: Callable[[Iterable[Outcome]], bool],
        within: float,
        done: Callable[[Mapping[K, Sequence[Outcome]]], None],
    ) -> None:
        """Begin to send chains at the same time, and return. `done` gets the outcomes in another thread.

        `build` returns the request for an item. The items of a chain are sent one after the other, until one is not
        answered with 2xx. No request begins later than after `within` seconds, or when `goes_on` is false for the
        outcomes so far.
        """
        running = _Running(self._outcome, build, goes_on, time.monotonic() + within)
        self._start(self._run(running, chains, done))

    def close(self, seconds: float = SECONDS) -> None:
        """Begin no further request, wait for those under way, and stop the loop."""
        self.stopping.set()
        until = time.monotonic() + seconds
        for future in list(self._under_way):
            try:
                future.result(max(0.0, until - time.monotonic()))
            except Exception:  # noqa: BLE001, S112 - `_finished` has logged it, or it is repeated after the lease
                continue
        self._storing.shutdown()
        loop, self._opened = self._opened, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(_cancel_rest(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._opening:
            if self._opened is None:
                tls_context(self._ca_bundle)
                self._opened = ResolvingLoop(self._look_up)
                self._thread = threading.Thread(target=self._opened.run_forever, name="webhooks", daemon=True)
                self._thread.start()
            return self._opened

    def _start(self, work: Any) -> "Future[Any]":
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    async def _run(
        self, running: "_Running[T]", chains: Mapping[K, Sequence[T]], done: Callable[[Mapping[K, Any]], None]
    ) -> None:
        outcomes: dict[K, list[Outcome]] = {key: [] for key in chains}
        await asyncio.gather(*(running.follow(outcomes, key, chain) for key, chain in chains.items()))
        await asyncio.get_running_loop().run_in_executor(self._storing, partial(_finish, done, outcomes))

    async def _outcome(self, post: Post) -> Outcome | None:
        if self.stopping.is_set():
            return None
        began = datetime.now(UTC), time.perf_counter()
        try:
            reply = await self._post(post)
        except CarrierError as error:
            return error
        return Reply(reply.status, reply.body, reply.headers, Sent(began[0], time.perf_counter() - began[1]))

    async def _post(self, post: Post) -> Reply:
        host, proxy = host_of(post.url), self._proxy_for(post.url)
        if proxy:
            self._admit(host, _literal(host))
        return await post_once(
            post.url,
            post.headers,
            post.body,
            max_body=MAX_BODY,
            seconds=self._seconds,
            tls=tls_context(self._ca_bundle),
            proxy=proxy or None,
            admit=partial(self._admit, host),
        )

    async def _check(self, url: str) -> None:
        host = host_of(url)
        if self._proxy_for(url):
            return self._admit(host, _literal(host))
        try:
            async with asyncio.timeout(self._seconds):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"the host {host} has no address ({type(error).__name__})") from error
        return self._admit(host, [str(each[4][0]) for each in found])

    def _admit(self, host: str, addresses: Collection[str]) -> None:
        forbidden = forbidden_address(addresses)
        if forbidden is not None and not is_private_host(host, self._private_hosts):
            raise Unavailable(
                f"the address {forbidden} of {host} is not public; to allow it, list the host in "
                "ORDER_SYNC_WEBHOOKS__PRIVATE_HOSTS"
            )


class _Running(Generic[T]):
    """The requests of one call of `WebhookSender.send`."""

    def __init__(
        self,
        send: Callable[[Post], Any],
        build: Callable[[T], Post],
        goes_on: Callable[[Iterable[Outcome]], bool],
        until: float,
    ) -> None:
        self._send, self._build, self._goes_on, self._until = send, build, goes_on, until
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def follow(self, outcomes: Mapping[K, list[Outcome]], key: K, chain: Iterable[T]) -> None:
        """Send a chain until an item fails; add its outcomes to those of `key`."""
        for item in chain:
            async with self._slots:
                so_far = [outcome for each in outcomes.values() for outcome in each]
                if time.monotonic() >= self._until or not self._goes_on(so_far):
                    return
                outcome = await self._send(self._build(item))
            if outcome is None:
                return
            outcomes[key].append(outcome)
            if not isinstance(outcome, Reply) or not 200 <= outcome.status < 300:  # noqa: PLR2004 - the codes of success
                return


async def _cancel_rest() -> None:
    """Cancel what is still under way, so that its connections are closed before the loop."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.sleep(0)


def _finish(done: Callable[[Mapping[K, Any]], None], outcomes: Mapping[K, Any]) -> None:
    try:
        done(outcomes)
    except Exception as error:  # noqa: BLE001 - the events are sent again when the lease has ended
        logger.warning("webhooks.not_stored", error=type(error).__name__)


def _literal(host: str) -> list[str]:
    """Return a host that is written as an address, also in an unusual form such as 0x7f.1; nothing if it is a name."""
    try:
        return [str(each[4][0]) for each in socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)]
    except (OSError, UnicodeError):
        return []
