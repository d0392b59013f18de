"""The desk over HTTP, with the troubles of an evening in its database: for the browser tests and the screenshots."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import uvicorn

from tests.services.simulation import Simulation, order_document
from worker.database import accounts
from worker.local.supervisor import free_port
from worker.web import desk

UNKNOWN_STORE = "77"
START_SECONDS = 60.0


def make_troubles(simulation: Simulation) -> None:
    """Make one trouble of most kinds, each with made-up orders, beside orders that go well."""
    simulation.pass_time()
    simulation.place_at("cervo", "2004", "2005")
    simulation.place("unknown_word", store_id="21", order_id="2007")
    simulation.place("deliverit=offered_late", store_id="17", order_id="2008")
    simulation.work()
    for _ in range(12):
        simulation.pass_time(60)
    simulation.inject_fault("error_before", "cervo", operation="create", times=1)
    simulation.place_at("cervo", "2011")
    simulation.until(lambda it: it.delivery("2011").attention is not None)
    simulation.place("deliverit=offered_late", store_id="17", order_id="2013")
    simulation.work()
    simulation.pass_time(60)
    simulation.container.database.write(accounts.pause, "borzo", "operator", "moves its office", simulation.now)
    simulation.place_at("borzo", "2012")
    for order_id in ("2014", "2015", "2016", "2017"):
        simulation.put(_at_unknown_store(order_id))
    simulation.put('{"specversion": "1.0", "type": "order.placed"}')
    simulation.pass_time()
    simulation.now += timedelta(seconds=29)


def _at_unknown_store(order_id: str) -> str:
    document = json.loads(order_document(order_id=order_id))
    document["data"]["store_id"] = UNKNOWN_STORE
    return json.dumps(document)


@contextmanager
def serve_desk(simulation: Simulation) -> Iterator[str]:
    """Serve the desk of a simulation in a thread; yield its address."""
    port = free_port()
    config = uvicorn.Config(desk.build(simulation.container), port=port, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="desk", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert thread.is_alive(), "the desk has not started"
        assert time.monotonic() < deadline, "the desk has not started"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True  # an open page never ends its stream of changes
        thread.join()
