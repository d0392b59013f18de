"""The demo's use of the platform: place one order whose message never comes, and read its final status there."""

import json
import time
from collections.abc import Mapping
from contextlib import closing

from schemas.status import DeliveryStatus
from worker.config.settings import load
from worker.container import Container
from worker.errors import CarrierError
from worker.http.call import Call, Operation
from worker.local.demo.orders import ACCEPTED, Sample
from worker.ordering_api import codec as ordering_codec

MISSED = Sample(
    "2041", "17", "happy", DeliveryStatus.DELIVERED, "deliverit", "the message never comes: the back-fill finds it"
)
DELIVERED = 11
PATIENCE = 20.0
"""Seconds until the sandbox must answer, and until the platform must show the final status."""
INTERVAL = 0.5


def place_missed_order(environ: Mapping[str, str]) -> None:
    """Place the missed order on the platform, and store it as `order-sync backfill` does.

    Raises CarrierError when the platform does not answer in time.
    """
    with closing(Container(load(environ))) as container:
        _place(container)
        # The back-fill of the workers would wait two minutes for the message.
        container.backfill.store(container.backfill.find())


def _place(container: Container) -> None:
    order = {
        "id": int(MISSED.order_id),
        "business_id": int(MISSED.store_id),
        "status": ACCEPTED,
        "delivery_datetime": None,
        "delivery_datetime_utc": None,
    }
    call = Call(Operation.AMEND, "POST", "/sandbox/ordering/orders", body=json.dumps(order).encode())
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            container.gateway.send_one(ordering_codec.ACCOUNT, call)
        except CarrierError:
            if time.monotonic() > deadline:
                raise
            time.sleep(INTERVAL)
        else:
            return


def final_status(environ: Mapping[str, str]) -> int | None:
    """Wait for the final status of the missed order on the platform, and return the status that was read last.

    None when the last read failed.
    """
    with closing(Container(load(environ))) as container:
        deadline, status = time.monotonic() + PATIENCE, None
        while status != DELIVERED and time.monotonic() < deadline:
            status = _status(container)
            time.sleep(0 if status == DELIVERED else INTERVAL)
        return status


def _status(container: Container) -> int | None:
    call = ordering_codec.fetch(container.settings.ordering, MISSED.order_id, Operation.READ)
    try:
        reply = container.gateway.send_one(ordering_codec.ACCOUNT, call)
        return ordering_codec.read_status(reply, MISSED.order_id)
    except CarrierError:
        return None
