"""Clients of the Redis server that Sentinel names as the master.

A client asks a Sentinel each time it connects. A connection to a server that may accept no more writes is closed, so
that the next one leads to the new master, which another Sentinel may know.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelManagedConnection

from worker.addresses.parts import Host
from worker.addresses.redis_url import RedisUrl

SENTINEL_SECONDS = 2
"""Seconds that a Sentinel may take to connect and to answer."""
CUT_OFF = "NOREPLICAS"
"""The error of a master that has fewer replicas than `min-replicas-to-write`, and may have been replaced."""


class MasterConnection(SentinelManagedConnection):
    """A connection that is closed when its server accepts no writes, as a replica or without enough replicas."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply. Raises ConnectionError if the server accepts no writes."""
        try:
            # Not that of SentinelManagedConnection, which would also ask the same Sentinel again.
            return super(SentinelManagedConnection, self).read_response(*args, **options)
        except ReadOnlyError:
            self._leave("the server is a replica, and no longer the master")
        except ResponseError as error:
            if not str(error).startswith(CUT_OFF):
                raise
            self._leave("the master has not enough replicas, and may have been replaced")

    def _leave(self, why: str) -> NoReturn:
        """Close the connection, and let another Sentinel be asked first: this one may be cut off with the server."""
        self.disconnect()  # type: ignore[no-untyped-call]
        sentinels: Any = self.connection_pool.sentinel_manager
        sentinels.sentinels = [*sentinels.sentinels[1:], *sentinels.sentinels[:1]]
        raise redis.ConnectionError(why) from None


class TlsMasterConnection(MasterConnection, redis.SSLConnection):
    """The same with TLS."""


class Sentinels(Sentinel):
    """Sentinels that several threads may ask at once, and an error that says what each of them answered."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the host and the port of the master. Raises MasterNotFoundError."""
        answers: list[str] = []
        for each in (sentinels := self.sentinels):
            try:
                state = _masters(each).get(service_name)
            except RedisError as error:
                answers.append(f"{_host(each)} {_fault(error)}")
                continue
            if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]
                # A new list, because another thread may be reading this one.
                self.sentinels = [each, *(other for other in sentinels if other is not each)]
                return state["ip"], state["port"]
            answers.append(f"{_host(each)} {'counts it as down' if state else 'does not know it'}")
        raise MasterNotFoundError(f"no Sentinel names the master {service_name}: {', '.join(answers)}")


def options_of(url: RedisUrl) -> dict[str, Any]:
    """Return the arguments of the connections to the Sentinels, except their hosts."""
    return {
        **url.sentinel_login,
        "socket_connect_timeout": SENTINEL_SECONDS,
        "socket_timeout": SENTINEL_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }


def connect(url: RedisUrl, **options: Any) -> redis.Redis:
    """Return a client of the master, whose connections have further options."""
    kind = TlsMasterConnection if url.ssl else MasterConnection
    sentinels: Any = Sentinels(url.hosts, sentinel_kwargs=options_of(url))  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinels.master_for(
        url.master, connection_class=kind, **url.login, **(url.ssl or {}), **options
    )
    return client


def faults(url: RedisUrl) -> Iterator[str]:
    """Yield what is wrong with each Sentinel, and with the replicas of the master."""
    for host in url.hosts:
        with redis.Redis(host.name, host.port, **options_of(url)) as client:
            try:
                masters = _masters(client)
            except RedisError as error:
                yield f"the Sentinel {host} {_fault(error)}"
                continue
            if url.master not in masters:
                yield f"the Sentinel {host} does not know the master {url.master}"
    with connect(url, socket_timeout=SENTINEL_SECONDS, socket_connect_timeout=SENTINEL_SECONDS) as client:
        try:
            yield from _replica_faults(cast("dict[str, Any]", client.info("replication")))
        except RedisError:
            return  # the check of the master says so


def _replica_faults(info: Mapping[str, Any]) -> Iterator[str]:
    replicas, limited = info["connected_slaves"], "min_slaves_good_slaves" in info
    if not replicas:
        yield "the master has no replica: without it, there is nothing to fail over to"
    elif replicas == 1 and limited:
        yield "the master has one replica: after a fail-over, min-replicas-to-write lets the new master accept nothing"
    if not limited:
        yield "min-replicas-to-write is 0: a master that is cut off accepts what is lost later"


def _masters(sentinel: redis.Redis) -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", sentinel.sentinel_masters())


def _host(sentinel: redis.Redis) -> Host:
    options = sentinel.get_connection_kwargs()
    return Host(options["host"], options["port"])


def _fault(error: RedisError) -> str:
    first_line = (str(error).splitlines() or [""])[0]
    return f"does not answer ({type(error).__name__} {first_line})"
