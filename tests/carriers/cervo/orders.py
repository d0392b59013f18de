"""Orders that differ from the sample, answers to GET /order, and the observations that a codec makes of them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker.carriers.cervo import Cervo
from worker.carriers.port import AttemptView, Booking, Courier, Observation, Reading
from worker.http.call import Reply

ZONE = "Asia/Riyadh"

DOCUMENTED_ORDER = (
    b'{ "DriverName": "Fot testing", "DriverMobile": "599000111", "Status": 6, "OrderStatus": [{ '
    b'"Status": 2, "Date": "2023-04-29 10:44" }, { "Status": 3, "Date": "2023-04-29 10:44" }, { "Status": '
    b'6, "Date": "2023-04-29 10:44" }], "tracking": "https://...." }'
)
SAMPLE_TIME = datetime(2023, 4, 29, 7, 44, tzinfo=UTC)
DRIVER = Courier("Fot testing", "+966599000111", phone_guessed=True)


def with_order(booking: Booking, part: str | None = None, **changes: Any) -> Booking:
    """Return a booking with changes of its order, or of one part of the order."""
    order = booking.order
    if part is None:
        return replace(booking, order=order.model_copy(update=changes))
    return replace(booking, order=order.model_copy(update={part: getattr(order, part).model_copy(update=changes)}))


def body(status: object, history: Any = None, **fields: object) -> bytes:
    return json.dumps({"Status": status, "OrderStatus": history, **fields}).encode()


def entries(codes: Iterable[object], date: str | None = "2023-04-29 10:44") -> list[dict[str, object]]:
    return [{"Status": code, "Date": date} for code in codes]


def observations_of(codec: Cervo, attempt: AttemptView, payload: bytes, now: datetime) -> tuple[Observation, ...]:
    [call] = codec.track([attempt], now)
    reading = codec.read(call, Reply(200, payload), [attempt], now)
    assert reading == Reading({attempt.id: reading.observations[attempt.id]})
    return reading.observations[attempt.id]


def codes_of(observations: Iterable[Observation]) -> list[str]:
    return [each.raw.code for each in observations if each.raw]


def with_state(attempt: AttemptView, observations: Iterable[Observation]) -> AttemptView:
    """Return the attempt with the codec state that the engine would store."""
    codec_state = dict(attempt.codec_state)
    for each in observations:
        codec_state |= each.codec_state
    return replace(attempt, codec_state=codec_state)
