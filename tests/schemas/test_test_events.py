"""The data of test events: valid, with the requested status, and about nothing that exists."""

from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.documents import OUTGOING, documents
from schemas.events import DATA_SCHEMAS, CarrierEvent, DeliveryEvent, EventType, OrderEvent
from schemas.platform_status import TO_PLATFORM
from schemas.samples import data_of_test
from schemas.status import FINAL, DeliveryStatus

NOW = datetime(2026, 11, 21, 17, 40, tzinfo=UTC)
DELIVERY = "8d2ff9c8-7b0e-4c43-9b0c-2f7a8f9a1b11"
SCHEMAS = {model: documents()[f"{name}.schema.json"] for name, (model, _) in OUTGOING.items()}
MODELS = {"delivery": DeliveryEvent, "order": OrderEvent, "carrier": CarrierEvent}


def written(kind: EventType, status: DeliveryStatus | None = None) -> dict[str, Any]:
    """Return the data as they are published, after a check that they are valid."""
    data = data_of_test(kind, status, "shop", DELIVERY, NOW)
    assert type(data) in DATA_SCHEMAS
    document = data.model_dump(mode="json")
    assert list(Draft202012Validator(SCHEMAS[type(data)]).iter_errors(document)) == []
    return document


@pytest.mark.parametrize("kind", EventType)
def test_every_type_has_data_about_nothing_that_exists(kind: EventType) -> None:
    data, known = written(kind), {"order_id": "test", "order_source": "shop", "store_id": "test", "carrier": "test"}
    assert type(data_of_test(kind, None, "shop", DELIVERY, NOW)) is MODELS[kind.partition(".")[0]]
    assert {name: data[name] for name in known if name in data} == {name: known[name] for name in known if name in data}
    assert (data.get("delivery_id", DELIVERY), data.get("sequence", 1)) == (DELIVERY, 1)
    times = {data[name] for name in ("occurred_at", "observed_at", "since") if data.get(name)}
    assert times <= {"2026-11-21T17:40:00Z"}


@pytest.mark.parametrize("status", DeliveryStatus)
def test_the_data_have_the_requested_status(status: DeliveryStatus) -> None:
    data = written(EventType.STATUS_CHANGED, status)
    assert (data["status"], data["final"], data["platform_status"]) == (status, status in FINAL, TO_PLATFORM[status])
    assert data["previous_status"] != status
