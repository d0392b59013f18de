"""A real worker and beat with a Redis server that fails in every way: no order and no event is lost.

The same processes meet one failure after the other. All orders are for an unknown store, so they need no carrier, but
the reader, the sweep, Celery's queues and the relay.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.chaos.proxy import Network
from tests.runtime.machine import Machine
from worker.bus.streams import SOCKET_SECONDS
from worker.local.supervisor import Process, Supervisor

MOMENT = 2.0
LONGER_THAN_ANY_TIMEOUT = SOCKET_SECONDS + MOMENT


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, _sqlite_with_tables: Path) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    database = folder / "order-sync.db"
    database.write_bytes(_sqlite_with_tables.read_bytes())
    with Supervisor(dict(os.environ), folder / "log") as supervisor, Network(seed=0) as network:
        made = Machine(supervisor, network, folder, f"sqlite:///{database}")
        made.check()
        yield made
        made.close()


def pid(process: Process) -> int:
    assert process.running is not None
    return process.running.pid


GARBAGE = {
    "no JSON": b"garbage",
    "a list": b"[1, 2]",
    "no properties": b'{"body": "e30=", "headers": {"task": "events.publish"}}',
    "a known task without an id": json.dumps(
        {
            "body": "W1tdLCB7fSwge31d",
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": "events.publish", "lang": "py"},
            "properties": {
                "delivery_tag": "foreign",
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": "events"},
            },
        }
    ).encode(),
}


@pytest.mark.fault("F-48")
def test_foreign_messages_on_celery_s_queues_neither_end_nor_delay_the_worker(machine: Machine) -> None:
    before, accepted = pid(machine.worker), machine.accept()
    for queue in ("events", "orders", "timers"):
        machine.redis.rpush(f"osync:{queue}", *GARBAGE.values())
    machine.until(lambda: machine.settles(accepted) and not machine.redis.exists("osync:orders", "osync:events"))
    machine.check()
    assert pid(machine.worker) == before
    assert "foreign" not in cast("dict[str, str]", machine.redis.hgetall("osync:unacked"))


def kill(machine: Machine) -> None:
    """Kill the server. It comes back with what it has persisted."""
    machine.server.signal(signal.SIGKILL)
    machine.server.wait(10)
    machine.accept()


def flush(machine: Machine) -> None:
    """Empty the server."""
    machine.redis.flushall()


def freeze(machine: Machine) -> None:
    """Stop the server for longer than every timeout."""
    machine.server.signal(signal.SIGSTOP)
    machine.accept()
    machine.server.wait(LONGER_THAN_ANY_TIMEOUT)
    machine.server.signal(signal.SIGCONT)


def half_open(machine: Machine) -> None:
    """Keep every connection open and silent."""
    machine.network.silence(machine.link)


def read_only(machine: Machine) -> None:
    """Make the server a replica for a while, as in a fail-over."""
    machine.redis.replicaof("127.0.0.1", 1)
    machine.accept()
    machine.server.wait(MOMENT)
    machine.redis.replicaof("NO", "ONE")


def full(machine: Machine) -> None:
    """Let the server be full for a while."""
    machine.redis.config_set("maxmemory", 1)
    machine.accept()
    machine.server.wait(MOMENT)
    machine.redis.config_set("maxmemory", 0)


@pytest.mark.long
@pytest.mark.fault("F-12", "F-13", "F-14", "F-15", "F-17", "F-18")
@pytest.mark.parametrize("failure", [kill, flush, freeze, half_open, read_only, full])
def test_whatever_happens_to_redis_orders_come_in_and_events_come_out(
    machine: Machine, failure: Callable[[Machine], None]
) -> None:
    placed = machine.check()
    failure(machine)
    later = machine.check()
    machine.until(lambda: machine.settles(*placed, *later))
