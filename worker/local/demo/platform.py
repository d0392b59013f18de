"""The platform that the demo plays beside the bus: one order stands there whose message never comes."""

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

FOUND = Sample("2041", "17", "happy", DeliveryStatus.DELIVERED, "deliverit", "its message never came: it is found")
DELIVERED = 11
PATIENCE = 20.0
"""Seconds for the sandbox to come up, and for the platform to be told the end."""
BETWEEN = 0.5


def put(environ: Mapping[str, str]) -> None:
    """Put the order on the platform, as soon as that answers, and look for it there as `order-sync backfill` does.

    Raises CarrierError when the platform does not answer in time.
    """
    order = {
        "id": int(FOUND.order_id),
        "business_id": int(FOUND.store_id),
        "status": ACCEPTED,
        "delivery_datetime": None,
        "delivery_datetime_utc": None,
    }
    with closing(Container(load(environ))) as made:
        call = Call(Operation.AMEND, "POST", "/sandbox/ordering/orders", body=json.dumps(order).encode())
        until = time.monotonic() + PATIENCE
        while True:
            try:
                made.gateway.send_one(ordering_codec.ACCOUNT, call)
            except CarrierError:
                if time.monotonic() > until:
                    raise
                time.sleep(BETWEEN)
            else:
                break
        made.backfill.take_in(made.backfill.find())  # workers leave it two minutes for its message


def told(environ: Mapping[str, str]) -> int | None:
    """Read what status the order has there in the end, None when the platform tells none."""
    with closing(Container(load(environ))) as made:
        until, status = time.monotonic() + PATIENCE, None
        while status != DELIVERED and time.monotonic() < until:
            status = _status(made)
            time.sleep(0 if status == DELIVERED else BETWEEN)
        return status


def _status(made: Container) -> int | None:
    call = ordering_codec.fetch(made.settings.ordering, FOUND.order_id, Operation.READ)
    try:
        return ordering_codec.read_status(made.gateway.send_one(ordering_codec.ACCOUNT, call), FOUND.order_id)
    except CarrierError:
        return None
