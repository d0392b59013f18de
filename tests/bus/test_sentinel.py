"""A client follows the master that Sentinel names, whatever happens to servers and Sentinels."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import redis

from tests.sentinel import MASTER, START_SECONDS, Cluster, wait_until
from worker.addresses.redis_url import RedisUrl
from worker.bus import sentinel, streams
from worker.bus.sentinel import MasterConnection, Sentinels
from worker.http.call import Operation
from worker.resilience.rate_limiter import RateLimiter

ALIVE = {"ip": "h", "port": 1, "is_master": True, "is_sdown": False, "is_odown": False, "num-other-sentinels": 2}


class Answering:
    """A Sentinel that answers; meanwhile, something else happens."""

    def __init__(self, masters: dict[str, Any], meanwhile: Callable[[], object] = lambda: None) -> None:
        self.masters, self.meanwhile = masters, meanwhile

    def sentinel_masters(self) -> dict[str, Any]:
        self.meanwhile()
        return self.masters

    def get_connection_kwargs(self) -> dict[str, Any]:
        return {"host": "s", "port": 26379}


def asking(*each: Answering) -> Any:
    sentinels: Any = Sentinels([])  # type: ignore[no-untyped-call]
    sentinels.sentinels = list(each)
    return sentinels


def test_threads_that_ask_at_the_same_time_lose_no_sentinel() -> None:
    first, second, third = (Answering({}), Answering({MASTER: ALIVE}), Answering({MASTER: ALIVE}))
    sentinels = asking(first, second, third)

    def ask_as_another_thread() -> None:
        second.meanwhile = lambda: None
        sentinels.discover_master(MASTER)

    second.meanwhile = ask_as_another_thread
    assert sentinels.discover_master(MASTER) == ("h", 1)
    assert sentinels.sentinels == [second, first, third]


def test_a_sentinel_that_knows_no_living_master_is_passed_over() -> None:
    down = {**ALIVE, "is_odown": True}
    assert asking(Answering({MASTER: down}), Answering({MASTER: ALIVE})).discover_master(MASTER) == ("h", 1)


def test_the_error_says_what_each_sentinel_answered() -> None:
    def fail() -> None:
        raise redis.ConnectionError("refused")

    down = {**ALIVE, "is_sdown": True}
    with pytest.raises(redis.ConnectionError) as raised:
        asking(Answering({}, fail), Answering({}), Answering({MASTER: down})).discover_master(MASTER)
    assert str(raised.value) == (
        "no Sentinel names the master main: s:26379 does not answer (ConnectionError refused), "
        "s:26379 does not know it, s:26379 counts it as down"
    )


# --- on real servers ---


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("CONFIG SET min-replicas-to-write 1", "the master has not enough replicas, and may have been replaced"),
        ("REPLICAOF 127.0.0.1 1", "the server is a replica, and no longer the master"),
    ],
)
def test_a_sentinel_that_still_names_the_old_master_is_not_asked_again_first(
    redis_url: str, embedded_redis: Callable[..., AbstractContextManager[str]], command: str, fault: str, prefix: str
) -> None:
    new = RedisUrl.parse(redis_url)
    with embedded_redis() as old_url, redis.Redis.from_url(old_url) as admin:
        admin.execute_command(*command.split())
        named = [{**ALIVE, "ip": each.name, "port": each.port} for each in (*RedisUrl.parse(old_url).hosts, *new.hosts)]
        sentinels = asking(*(Answering({MASTER: each}) for each in named))
        client = sentinels.master_for(MASTER, connection_class=MasterConnection, retry=None, **new.login)
        with client, pytest.raises(redis.ConnectionError) as raised:
            client.set(f"{prefix}key", 1)
        assert str(raised.value) == fault
        with client:
            assert client.set(f"{prefix}key", 1, px=1)


def insist(work: Callable[[], Any]) -> Any:
    """Return the result of work that is repeated until it succeeds."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return work()
        except redis.RedisError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.long
def test_a_connection_leaves_a_master_that_was_cut_off(cluster: Cluster) -> None:
    with streams.connect(cluster.url) as client:
        client.xadd("orders", {"event": "before"})
        old = cluster.cut_off()
        with pytest.raises(redis.ConnectionError, match="has not enough replicas"):
            client.xadd("orders", {"event": "lost"})
        insist(lambda: client.xadd("orders", {"event": "after"}))
        found: Any = client.xrange("orders")
        assert [fields[b"event"] for _, fields in found] == [b"before", b"after"]
    assert cluster.master is not old


@pytest.mark.long
def test_a_rate_limit_counts_on_after_a_fail_over(cluster: Cluster) -> None:
    with streams.connect(cluster.url) as client:
        limiter = RateLimiter(client)
        assert limiter.acquire("borzo", "2/hour", Operation.CREATE, 1) == (1, 0.0)
        old = cluster.master
        old.ask("WAIT", "2", "5000")
        cluster.fail_over()
        insist(lambda: client.set("osync:test", 1))
        granted, wait = insist(lambda: RateLimiter(client).acquire("borzo", "2/hour", Operation.CREATE, 2))
    assert (granted, wait > 3000) == (1, True)


@pytest.mark.long
def test_a_sentinel_or_a_master_that_hangs_costs_seconds_and_not_the_work(cluster: Cluster) -> None:
    cluster.sentinels[0].freeze()
    with streams.connect(cluster.url) as client:
        assert client.ping()
        cluster.master.freeze()
        insist(lambda: client.xadd("orders", {"event": "after"}))
    fault, *_ = sentinel.faults(RedisUrl.parse(cluster.url))
    assert fault.startswith(f"the Sentinel localhost:{cluster.sentinels[0].port} does not answer (TimeoutError")


@pytest.mark.long
def test_faults_of_sentinels_and_replicas_are_named(cluster: Cluster) -> None:
    address = RedisUrl.parse(cluster.url)
    assert list(sentinel.faults(address)) == []
    dead, one, _ = cluster.sentinels
    dead.kill()
    one.ask("SENTINEL", "REMOVE", MASTER)
    master, *replicas = cluster.servers
    for each in replicas:
        each.kill()
    wait_until(lambda: not master.info()["connected_slaves"], master.log)
    found = list(sentinel.faults(address))
    assert found[0].startswith(f"the Sentinel localhost:{dead.port} does not answer (ConnectionError")
    assert found[1:] == [
        f"the Sentinel localhost:{one.port} does not know the master main",
        "the master has no replica: without it, there is nothing to fail over to",
    ]


@pytest.mark.long
def test_a_user_that_reads_the_masters_may_do_nothing_else(cluster: Cluster) -> None:
    options: Any = sentinel.options_of(RedisUrl.parse(cluster.url))
    with redis.Redis("localhost", cluster.sentinels[0].port, **options) as client:
        assert list(client.sentinel_masters()) == [MASTER]
        for command in (f"SENTINEL FAILOVER {MASTER}", f"SENTINEL REMOVE {MASTER}", "ACL LIST", "INFO", "SHUTDOWN"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())


@pytest.mark.long
def test_the_users_of_replicas_and_sentinels_may_do_what_a_fail_over_needs(cluster: Cluster) -> None:
    old = cluster.master
    with streams.connect(cluster.url) as client:
        cluster.fail_over()
        wait_until(lambda: insist(lambda: cluster.master) is not old, old.log)
        cluster.await_ready()
        old = cluster.master
        old.kill()
        insist(lambda: client.xadd("orders", {"event": "after"}))
        old.start()
        cluster.await_ready()
    assert cluster.denied() == []
