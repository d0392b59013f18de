"""How often carriers are read: requests for each hour of an active delivery, with 500 active deliveries.

The whole program runs on a virtual clock in one process, in the simulation that the tests use. All deliveries begin at
the same time, and end three quarters of an hour later with the last status of the sandbox's script.
"""

import logging
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.programs import STORES
from benchmarks.report import Options, Report
from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from worker import log
from worker.database import deliveries
from worker.http.call import Operation
from worker.sandbox import scenarios

ORDERS = 500
LIFETIME_SECONDS = 2_700
SCRIPTS = {"cervo": scenarios.CERVO, "borzo": scenarios.BORZO, "deliverit": scenarios.DELIVERIT}
WITHOUT_CALLBACKS = {"PUBLIC_URL": "", "CARRIERS__BORZO__CALLBACK_SECRET": ""}


def run(report: Report, options: Options) -> bool:
    """Measure each carrier without callbacks, and those that have them also with callbacks."""
    orders = options.orders or ORDERS
    log.setup("ERROR", "console")
    logging.getLogger("httpx").setLevel(logging.ERROR)
    for carrier in SCRIPTS:
        _report(report, carrier, orders, callbacks=False)
    for carrier in ("cervo", "borzo"):
        _report(report, carrier, orders, callbacks=True)
    return True


def _report(report: Report, carrier: str, orders: int, *, callbacks: bool) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(Simulation(Path(folder), **({} if callbacks else WITHOUT_CALLBACKS))) as simulation,
    ):
        hours, requests = _deliver(simulation, carrier, orders, callbacks=callbacks)
    case = f"{carrier}, {'with' if callbacks else 'without'} callbacks"
    report.add("polling", case, "requests", "per delivery-hour", [requests / hours])


def _deliver(simulation: Simulation, carrier: str, orders: int, *, callbacks: bool) -> tuple[float, int]:
    """Deliver all orders; return the hours of all deliveries together, and the number of reads meanwhile."""
    gateway, config = ScriptedGateway(simulation), simulation.sandbox.world.config
    step = LIFETIME_SECONDS / (len(SCRIPTS[carrier]["happy"]) - 1)
    url = config.borzo_callback_url if callbacks else None
    simulation.sandbox.world.config = replace(config, step=step, borzo_callback_url=url)
    for number in range(orders):
        simulation.place(store_id=STORES[carrier], order_id=f"B{number:06}")
    simulation.work()
    began = simulation.now
    simulation.until(_all_delivered, step=1, limit=10 * LIFETIME_SECONDS)
    hours = orders * (simulation.now - began).total_seconds() / 3600
    return hours, sum(operation == Operation.READ for _, operation in gateway.sent)


def _all_delivered(simulation: Simulation) -> bool:
    return not simulation.container.database.read(deliveries.status_counts)
