"""Events as rows of the outbox, each with the CloudEvent that goes to the bus."""

from datetime import datetime
from typing import Any

from schemas.events import (
    CARRIER_EVENT_SCHEMA,
    EVENT_SCHEMA,
    ORDER_EVENT_SCHEMA,
    CarrierEvent,
    CloudEvent,
    DeliveryEvent,
    EventType,
    OrderEvent,
    event_id,
)

Data = DeliveryEvent | OrderEvent | CarrierEvent
SCHEMAS: dict[type[Data], str] = {
    DeliveryEvent: EVENT_SCHEMA,
    OrderEvent: ORDER_EVENT_SCHEMA,
    CarrierEvent: CARRIER_EVENT_SCHEMA,
}


def row(kind: EventType, key: str, sequence: int, subject: str, data: Data, at: datetime) -> dict[str, Any]:
    """Write an event with its place in its key's sequence."""
    event = CloudEvent.model_construct(
        id=event_id(key, sequence),
        type=kind,
        subject=subject,
        time=at,
        dataschema=SCHEMAS[type(data)],
        partitionkey=key,
        sequence=str(sequence),
        data=data,
    )
    body = event.model_dump_json()
    return {"key": key, "sequence": sequence, "subject": subject, "body": body, "created_at": at}
