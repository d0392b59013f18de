"""Callbacks: the attempt that they are about, and what they report."""

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import DeliveryStatus as S
from schemas.status import Evidence
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Callback, CallbackKey, Courier, Observation, Price, Proof, Raw
from worker.errors import Unreadable

EVENT = datetime(2024, 11, 23, 12, 38, 35, tzinfo=UTC)
SENT = datetime(2024, 11, 23, 13, tzinfo=UTC)
SECRET = "CALLBACK_SECRET_KEY"


def _signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _callback(body: bytes | dict[str, Any], signature: str | None = None) -> Callback:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Callback("POST", raw, {"x-dv-signature": _signed(raw) if signature is None else signature})


@pytest.fixture
def delivery(document: Callable[[str], bytes]) -> Callable[..., Callback]:
    """The document's delivery callback, with changes."""

    def build(status: str, minute: int = 0, **changes: Any) -> Callback:
        at = f"2024-11-23T13:{minute:02}:00+00:00"
        raw = json.loads(document("delivery_callback"))["delivery"] | {"point_id": 202686, "status": status}
        raw |= {"status_datetime": at, "status_description": status} | changes
        return _callback({"event_datetime": at, "event_type": "delivery_changed", "delivery": raw})

    return build


@pytest.fixture
def order(order_of: Callable[..., dict[str, Any]]) -> Callable[..., Callback]:
    def build(status: str, minute: int = 0, delivery: str | None = None, **changes: Any) -> Callback:
        raw = order_of({"status": delivery} if delivery else None, status=status, status_description=status, **changes)
        at = f"2024-11-23T13:{minute:02}:00+00:00"
        return _callback({"event_datetime": at, "event_type": "order_changed", "order": raw})

    return build


@pytest.fixture
def follow(codec: Borzo, attempt: AttemptView, now: datetime) -> Callable[..., list[S | None]]:
    """Read callbacks one after the other, and return their statuses."""

    def read(*callbacks: Callback) -> list[S | None]:
        current, statuses = attempt, []
        for callback in callbacks:
            [seen] = codec.read_callback(callback, current, now)
            current = replace(current, codec_state={**current.codec_state, **seen.codec_state})
            statuses.append(seen.status)
        return statuses

    return read


def test_the_documented_callbacks_identify_their_order(codec: Borzo, document: Callable[[str], bytes]) -> None:
    keys = [codec.callback_key(_callback(document(name))) for name in ("order_callback", "delivery_callback")]
    assert keys == [CallbackKey(ref="1250032", reported_at=EVENT, entity=entity) for entity in ("order", "delivery")]


@pytest.mark.quirk("B-86", "B-88")
def test_our_reference_identifies_the_attempt(
    codec: Borzo, attempt: AttemptView, order: Callable[..., Callback], delivery: Callable[..., Callback]
) -> None:
    referenced = delivery("planned", client_order_id=attempt.reference)
    unlinked = delivery("planned", client_order_id=attempt.reference, order_id=None)
    assert [codec.callback_key(callback) for callback in (order("new"), referenced, unlinked)] == [
        CallbackKey(ref="1250032", attempt_id=attempt.id, reported_at=SENT, entity="order"),
        CallbackKey(ref="1250032", attempt_id=attempt.id, reported_at=SENT, entity="delivery"),
        CallbackKey(attempt_id=attempt.id, reported_at=SENT, entity="delivery"),
    ]


def test_a_client_order_id_that_is_no_reference_identifies_no_attempt(
    codec: Borzo, delivery: Callable[..., Callback]
) -> None:
    key = codec.callback_key(delivery("planned", client_order_id="2011"))
    assert (key.ref, key.attempt_id) == ("1250032", None)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"order": null}', b'{"order": {"order_id": "1"}}', b"\xff"])
def test_a_body_without_order_or_delivery_is_unreadable(
    codec: Borzo, attempt: AttemptView, now: datetime, body: bytes
) -> None:
    with pytest.raises(Unreadable):
        codec.callback_key(_callback(body))
    with pytest.raises(Unreadable):
        codec.read_callback(_callback(body), attempt, now)


def test_a_delivery_without_any_id_is_unreadable(codec: Borzo, delivery: Callable[..., Callback]) -> None:
    with pytest.raises(Unreadable):
        codec.callback_key(delivery("planned", order_id=None))


def test_the_documented_order_callback_is_read_completely(
    codec: Borzo, attempt: AttemptView, document: Callable[[str], bytes], now: datetime
) -> None:
    assert codec.read_callback(_callback(document("order_callback")), attempt, now) == (
        Observation(
            status=S.CREATED,
            raw=Raw("delivery", "planned"),
            carrier_time=EVENT,
            occurred_at=EVENT,
            ref="1250032",
            codec_state={
                "point_id": "202686",
                "order_status": "2024-11-23T12:38:35+00:00 - available",
                "delivery_status": "2024-11-23T12:38:35+00:00 - planned",
            },
            price=Price(Decimal("18.00"), "BRL"),
        ),
    )


@pytest.mark.quirk("B-89")
def test_the_documented_delivery_callback_is_read_completely(
    codec: Borzo, attempt: AttemptView, document: Callable[[str], bytes], now: datetime
) -> None:
    attempt = replace(attempt, codec_state={"point_id": "203902"})
    assert codec.read_callback(_callback(document("delivery_callback")), attempt, now) == (
        Observation(
            status=S.COURIER_ASSIGNED,
            raw=Raw("delivery", "active"),
            evidence=Evidence.WEAK,
            carrier_time=EVENT,
            occurred_at=EVENT,
            detail="in_process",
            ref="1250032",
            codec_state={
                "point_id": "203902",
                "delivery_id": "11712",
                "delivery_status": "2024-11-23T12:38:35+00:00 2024-11-23T12:38:35+00:00 active",
            },
            price=Price(Decimal("18.00"), "BRL"),
        ),
    )


@pytest.mark.quirk("B-74", "B-88")
def test_a_delivery_of_another_point_reports_nothing(
    codec: Borzo, attempt: AttemptView, delivery: Callable[..., Callback], now: datetime
) -> None:
    assert codec.read_callback(delivery("finished", point_id=9), attempt, now) == ()


@pytest.mark.quirk("B-88")
def test_a_delivery_is_recognised_by_point_reference_or_delivery_id(
    codec: Borzo, attempt: AttemptView, delivery: Callable[..., Callback], now: datetime
) -> None:
    blank, known = replace(attempt, codec_state={}), replace(attempt, codec_state={"delivery_id": "11712"})
    referenced = delivery("finished", client_order_id=attempt.reference)
    seen = [
        codec.read_callback(delivery("finished"), attempt, now),
        codec.read_callback(referenced, blank, now),
        codec.read_callback(delivery("finished"), known, now),
        codec.read_callback(delivery("finished"), blank, now),
    ]
    assert [len(observations) for observations in seen] == [1, 1, 1, 0]


def test_another_order_with_our_reference_never_changes_the_attempt(
    codec: Borzo,
    attempt: AttemptView,
    order: Callable[..., Callback],
    delivery: Callable[..., Callback],
    now: datetime,
) -> None:
    other = delivery("finished", order_id=7, client_order_id=attempt.reference)
    assert codec.read_callback(order("canceled", order_id=7), attempt, now) == ()
    assert codec.read_callback(other, attempt, now) == ()


@pytest.mark.quirk("B-86")
def test_a_callback_may_arrive_before_the_answer_to_the_create(
    codec: Borzo,
    unanswered: AttemptView,
    order: Callable[..., Callback],
    delivery: Callable[..., Callback],
    now: datetime,
) -> None:
    by_order = codec.read_callback(order("new"), unanswered, now)
    by_delivery = codec.read_callback(delivery("planned", client_order_id=unanswered.reference), unanswered, now)
    unknown = codec.read_callback(order("unheard_of"), replace(unanswered, state="submitting"), now)
    assert [(seen.status, seen.ref) for [seen] in (by_order, by_delivery, unknown)] == [(S.CREATED, "1250032")] * 3
    assert codec.read_callback(order("new", reference=None), unanswered, now) == ()


def test_order_and_delivery_callbacks_are_read_together(
    follow: Callable[..., list[S | None]], order: Callable[..., Callback], delivery: Callable[..., Callback]
) -> None:
    assert follow(
        order("available"),
        delivery("courier_departed", 1),
        order("active", 2),
        delivery("parcel_picked_up", 3),
        order("delayed", 4),
        delivery("active", 5),
        delivery("finished", 6),
        order("completed", 7),
    ) == [
        S.CREATED,
        S.PICKUP_ENROUTE,
        S.PICKUP_ENROUTE,
        S.PICKED_UP,
        S.PICKED_UP,
        S.DROPOFF_ENROUTE,
        S.DELIVERED,
        S.DELIVERED,
    ]


@pytest.mark.quirk("B-84")
def test_a_late_callback_does_not_move_the_status_back(
    codec: Borzo, attempt: AttemptView, delivery: Callable[..., Callback], now: datetime
) -> None:
    [newer] = codec.read_callback(delivery("parcel_picked_up", 9), attempt, now)
    remembered = replace(attempt, codec_state={**attempt.codec_state, **newer.codec_state})
    [late] = codec.read_callback(delivery("courier_assigned", 5), remembered, now)
    assert newer.carrier_time is not None
    assert (late.status, late.carrier_time, late.codec_state["delivery_status"]) == (
        S.PICKED_UP,
        newer.carrier_time - timedelta(minutes=4),
        newer.codec_state["delivery_status"],
    )


@pytest.mark.fault("F-76")
@pytest.mark.quirk("B-84")
def test_within_one_second_the_status_that_arrived_last_is_the_newer(
    follow: Callable[..., list[S | None]], order: Callable[..., Callback], delivery: Callable[..., Callback]
) -> None:
    assert follow(delivery("courier_at_pickup"), delivery("courier_assigned")) == [S.PICKUP_ARRIVED, S.COURIER_ASSIGNED]
    assert follow(order("canceled"), order("reactivated")) == [S.CANCELLED, S.CREATED]


def test_a_late_reactivated_reopens_nothing(
    codec: Borzo, attempt: AttemptView, order: Callable[..., Callback], now: datetime
) -> None:
    [newer] = codec.read_callback(order("canceled", 9), attempt, now)
    [late] = codec.read_callback(
        order("reactivated", 5), replace(attempt, codec_state={**attempt.codec_state, **newer.codec_state}), now
    )
    assert (late.status, late.reopens) == (S.CANCELLED, False)


@pytest.mark.quirk("B-67")
def test_a_cancelled_order_can_be_reactivated(
    follow: Callable[..., list[S | None]], order: Callable[..., Callback]
) -> None:
    assert follow(order("canceled", 1), order("reactivated", 2), order("active", 3)) == [
        S.CANCELLED,
        S.CREATED,
        S.COURIER_ASSIGNED,
    ]


@pytest.mark.quirk("B-65")
def test_a_callback_alone_never_confirms_a_completed_order(
    follow: Callable[..., list[S | None]], order: Callable[..., Callback]
) -> None:  # B-65: the second read is a poll, not a second callback
    assert follow(order("completed", 1), order("completed", 2)) == [None, None]


@pytest.mark.quirk("B-90")
def test_proof_of_delivery_comes_with_the_delivery(
    codec: Borzo, attempt: AttemptView, delivery: Callable[..., Callback], now: datetime
) -> None:
    callback = delivery(
        "return_planned",
        checkin_issue_name="Cliente ausente",
        tracking_url="https://borzodelivery.com/track/1",
        place_photo_url="https://borzodelivery.com/place.jpg",
        checkin={"recipient_full_name": "Jackson de Souza Santana", "recipient_position": "porteiro"},
        courier={"courier_id": 72384, "surname": "Surname", "name": "Name", "phone": "5511900000001"},
    )
    [seen] = codec.read_callback(callback, attempt, now)
    assert (seen.reason_text, seen.tracking_url, seen.proof, seen.courier) == (
        "Cliente ausente",
        "https://borzodelivery.com/track/1",
        Proof("Jackson de Souza Santana", "porteiro", "https://borzodelivery.com/place.jpg"),
        Courier("Name Surname", "+5511900000001"),
    )


def test_a_callback_without_a_time_gets_none(
    codec: Borzo, attempt: AttemptView, order_of: Callable[..., dict[str, Any]], now: datetime
) -> None:
    [seen] = codec.read_callback(_callback({"order": order_of(status="active")}), attempt, now)
    assert (seen.carrier_time, seen.occurred_at, seen.status) == (None, None, S.COURIER_ASSIGNED)


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_in_a_callback_are_unreadable(body: bytes) -> None:
    codec = Borzo(Borzo.account_type.model_validate({"name": "b", "kind": "borzo", "token": "t"}), {})
    with pytest.raises(Unreadable):
        codec.callback_key(_callback(body))
