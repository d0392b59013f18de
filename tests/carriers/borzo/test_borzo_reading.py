"""Following orders by their ids, finding one by our tag, cancelling and probing."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.status import CancelledBy, Evidence, Reason
from schemas.status import DeliveryStatus as S
from worker.carriers.account import Account
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.borzo.listing import load_groups, store_groups
from worker.carriers.port import (
    Attempt,
    Cadence,
    Call,
    Capabilities,
    Courier,
    Observation,
    Operation,
    Price,
    Proof,
    Raw,
    Reading,
    Reply,
    tag_of,
)
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable

Orders = Callable[..., dict[str, Any]]
Listed = Callable[..., Reply]
ORDERS = "/api/business/1.6/orders"
AT = "~2024-11-23T12:38:40+00:00 -"


def _ids(call: Call) -> list[str]:
    """Name the orders a request asks for, and see that it asks for all of them on one page."""
    ids = [value for name, value in call.query if name == "order_id[]"]  # B-15
    counts = [("count", str(len(ids)))] if len(ids) > 10 else []
    assert [pair for pair in call.query if pair[0] != "order_id[]"] == counts
    return ids


def _many(attempt: Attempt, count: int) -> list[Attempt]:
    return [replace(attempt, id=n, ref=str(n)) for n in range(1, count + 1)]


@pytest.mark.parametrize("sample", ["orders", "orders_php"])
def test_the_documented_list_is_read_in_whole(
    codec: Borzo, attempt: Attempt, document: Callable[[str], bytes], now: datetime, sample: str
) -> None:
    other = replace(attempt, id=2, ref="1250035", refs={"point_id": "202695"})
    [call] = codec.track([attempt, other], now)
    assert (call.operation, call.method, call.path, call.covers) == (Operation.READ, "GET", ORDERS, (attempt.id, 2))
    assert _ids(call) == ["1250032", "1250035"]
    seen = Observation(
        status=S.CREATED,
        raw=Raw("delivery", "planned"),
        ref="1250032",
        refs={"order_word": f"{AT} available", "delivery_word": f"{AT} planned", "point_id": "202686"},
        price=Price(Decimal("18.00"), "BRL"),
    )
    refs = {**seen.refs, "point_id": "202695"}
    expected = Reading(seen={attempt.id: (seen,), 2: (replace(seen, ref="1250035", refs=refs),)})
    assert codec.read(call, Reply(200, document(sample)), [attempt, other], now) == expected


def test_everything_beside_the_status_is_read_too(
    codec: Borzo, attempt: Attempt, order_of: Orders, listed: Listed, document: Callable[[str], bytes], now: datetime
) -> None:
    order = order_of(
        {"status": "finished", "status_datetime": "2024-11-23T09:37:00-03:00"},
        status="completed",
        payment_amount=18.5,
        courier=json.loads(document("courier"))["courier"],
    )
    order["points"][0] |= {"estimated_arrival_datetime": "2024-11-23T10:08:35-03:00"}
    order["points"][1] |= {
        "delivery_id": 11712,
        "tracking_url": "https://borzodelivery.com/track/1",
        "place_photo_url": "https://borzodelivery.com/place.jpg",
        "sign_photo_url": "http://borzodelivery.com/sign.jpg",
        "checkin": {"recipient_full_name": "Jackson de Souza Santana", "recipient_position": None},
        "estimated_arrival_datetime": "2024-11-23T11:08:35-03:00",
    }
    [seen] = codec.read(codec.track([attempt], now)[0], listed(order), [attempt], now).seen[attempt.id]
    changed_at = datetime(2024, 11, 23, 12, 37, tzinfo=UTC)
    assert seen == Observation(
        status=S.DELIVERED,
        raw=Raw("delivery", "finished"),
        occurred_at=changed_at,
        ref="1250032",
        refs={
            "point_id": "202686",
            "delivery_id": "11712",
            "order_word": f"{AT} completed",
            "delivery_word": f"{AT[:-1]}{changed_at.isoformat()} finished",
            "picked_up_seen": "1",
        },
        courier=Courier("Name Surname", "+5511900000001", latitude=-23.562747, longitude=-46.6576753),
        tracking_url="https://borzodelivery.com/track/1",
        pickup_eta=datetime(2024, 11, 23, 13, 8, 35, tzinfo=UTC),
        dropoff_eta=datetime(2024, 11, 23, 14, 8, 35, tzinfo=UTC),
        price=Price(Decimal("18.5"), "BRL"),
        proof=Proof("Jackson de Souza Santana", place_photo_url="https://borzodelivery.com/place.jpg"),
    )


@pytest.mark.parametrize(
    ("phone", "expected"),
    [
        ("5511900000001", ("+5511900000001", False)),
        ("+5511900000001", ("+5511900000001", False)),
        ("(11) 90000-0001", ("+5511900000001", True)),
        ("none", ("none", False)),
        (None, (None, False)),
    ],
)
def test_a_couriers_number_is_written_out_when_that_can_be_done(
    codec: Borzo,
    attempt: Attempt,
    order_of: Orders,
    listed: Listed,
    now: datetime,
    phone: str | None,
    expected: tuple[str | None, bool],
) -> None:
    reply = listed(order_of(courier={"name": "Name", "phone": phone, "latitude": "1", "longitude": None}))
    courier = codec.read(codec.track([attempt], now)[0], reply, [attempt], now).seen[attempt.id][0].courier
    assert courier == Courier("Name", *expected)


def test_fifty_orders_share_one_request(codec: Borzo, attempt: Attempt, now: datetime) -> None:  # B-50
    without = replace(attempt, id=999, ref=None)
    calls = codec.track([*_many(attempt, 120), without], now)
    assert [len(_ids(call)) for call in calls] == [50, 50, 20]
    assert [n for call in calls for n in call.covers] == list(range(1, 121))


def test_only_the_orders_asked_for_are_read(
    codec: Borzo, attempt: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.track([attempt], now)
    reading = codec.read(call, listed(order_of(order_id=1), order_of(order_id=2)), [attempt], now)
    assert reading == Reading()


def test_one_bad_row_blocks_no_other(
    codec: Borzo, attempt: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:  # X-14, B-51
    rows: list[Any] = [None, "x", {}, order_of(order_id="1"), {"order_id": 2}, order_of(status=None, order_id=3)]
    odd = order_of({"status": 7}, courier=[], payment_amount="many", is_return_required="no")
    odd["points"].append(None)
    odd["points"][1] |= {"checkin": 5, "tracking_url": "javascript:alert(1)", "delivery_id": -1}
    asked = [attempt, replace(attempt, id=2, ref="2"), replace(attempt, id=3, ref="3")]
    [call] = codec.track(asked, now)
    reading = codec.read(call, listed(*rows, odd), asked, now)
    assert {key: [seen.status for seen in value] for key, value in reading.seen.items()} == {attempt.id: [S.CREATED]}


def test_what_a_list_leaves_out_is_asked_for_again(
    codec: Borzo, attempt: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:  # B-50
    asked = _many(attempt, 3)
    [call] = codec.track(asked, now)
    first = codec.read(call, listed(order_of(order_id=2)), asked, now)
    assert first.more
    assert (set(first.seen), _ids(first.more), first.more.covers) == ({2}, ["1", "3"], (1, 3))
    assert codec.read(first.more, listed(), asked, now) == Reading()


def test_a_refused_chunk_is_halved_until_the_bad_id_stands_alone(
    codec: Borzo, attempt: Attempt, order_of: Orders, listed: Listed, refused: Listed, now: datetime
) -> None:
    asked = _many(attempt, 5)
    call: Call | None = codec.track(asked, now)[0]
    seen, calls = set(), 0
    while call:
        calls += 1
        assert set(map(str, call.covers)) >= set(_ids(call))
        bad = "4" in _ids(call)
        if bad and _ids(call) == ["4"] and not call.memo:
            break
        rows = [order_of(order_id=int(ref)) for ref in _ids(call)]
        reading = codec.read(call, refused("invalid_parameters") if bad else listed(*rows), asked, now)
        seen |= set(reading.seen)
        call = reading.more
    assert seen == {1, 2, 3, 5}
    assert calls <= 7


def test_a_single_refused_id_is_unreadable(codec: Borzo, attempt: Attempt, refused: Listed, now: datetime) -> None:
    with pytest.raises(Unreadable):
        codec.read(codec.track([attempt], now)[0], refused("invalid_parameters"), [attempt], now)


@given(st.lists(st.lists(st.integers(1, 99).map(str), min_size=1, max_size=4).map(tuple), max_size=5))
def test_groups_survive_the_memo(groups: list[tuple[str, ...]]) -> None:
    assert load_groups(store_groups(groups)) == groups


@pytest.mark.parametrize(
    ("reply", "error", "account"),
    [
        (Reply(401, b""), Unavailable, True),
        (Reply(403, b""), Unavailable, True),
        (Reply(429, b""), Unavailable, False),
        (Reply(500, b"<html>"), Unavailable, False),
        (Reply(503, b""), Unavailable, False),
        (Reply(404, b""), Unreadable, None),
        (Reply(302, b""), Unreadable, None),
        (Reply(400, b""), Unreadable, None),
        (Reply(200, b"<html>"), Unreadable, None),
        (Reply(200, b'{"is_successful": false}'), Unreadable, None),
        (Reply(200, b'{"is_successful": true}'), Unreadable, None),
        (Reply(200, b'{"is_successful": true, "orders": {}}'), Unreadable, None),
    ],
)
def test_a_list_that_cannot_be_read_changes_nothing(
    codec: Borzo, attempt: Attempt, now: datetime, reply: Reply, error: type[CarrierError], *, account: bool | None
) -> None:
    for call in (*codec.track([attempt], now), *codec.find([attempt], now)):
        with pytest.raises(error) as raised:
            codec.read(call, reply, [attempt], now)
        assert getattr(raised.value, "account", None) is account


@given(st.binary(max_size=200))
def test_garbage_raises_carrier_errors_only(body: bytes) -> None:
    codec = Borzo(BorzoAccount(name="b", kind="borzo", token="t"), {})
    with pytest.raises(CarrierError):
        codec.read(Call(Operation.READ, "GET", ORDERS), Reply(200, body), [], datetime(2024, 1, 1, tzinfo=UTC))


# Finding


def _row(order_of: Orders, order_id: int, minutes: float = 0, **fields: Any) -> dict[str, Any]:
    """An order made so many minutes after the doubtful create was sent."""
    at = datetime(2024, 11, 23, 12, 38, 34, tzinfo=UTC) + timedelta(minutes=minutes)
    return order_of(**{"order_id": order_id, "created_datetime": at.isoformat(), "tag": None, **fields})


def test_a_lost_order_is_found_by_its_tag(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:  # B-60
    [call] = codec.find([doubtful], now)
    assert (call.operation, call.path, call.query, call.covers) == (Operation.FIND, ORDERS, (), (doubtful.id,))
    order = order_of({"status": "planned"}, status="new", payment_amount=None)
    reading = codec.read(call, listed(order, _row(order_of, 5, -6)), [doubtful], now)
    seen = Observation(
        status=S.CREATED,
        raw=Raw("delivery", "planned", None),
        detail="pending_verification",
        ref="1250032",
        refs={"order_word": f"{AT} new", "delivery_word": f"{AT} planned", "point_id": "202686"},
    )
    seen = replace(seen, raw=Raw("delivery", "planned"))
    assert reading == Reading(seen={doubtful.id: (seen,)})


@pytest.mark.parametrize("status", ["unheard_of", "completed", None])
def test_a_found_order_exists_whatever_it_says(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime, status: str | None
) -> None:
    [call] = codec.find([doubtful], now)
    [seen] = codec.read(call, listed(order_of(status=status)), [doubtful], now).seen[doubtful.id]
    assert (seen.status, seen.evidence, seen.ref) == (S.CREATED, Evidence.ORDER_LEVEL, "1250032")


def test_absence_is_said_once_the_list_is_older_than_the_create(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:
    rows = [_row(order_of, 9, 1), _row(order_of, 8, -4), _row(order_of, 7, -6)]
    [call] = codec.find([doubtful], now)
    assert codec.read(call, listed(*rows), [doubtful], now) == Reading(absent=frozenset({doubtful.id}))


def test_absence_waits_for_the_last_page(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([doubtful], now)
    first = codec.read(call, listed(_row(order_of, 9, 1), _row(order_of, 8, 0)), [doubtful], now)
    assert first.more
    assert (first.absent, first.more.query) == (frozenset(), (("offset", "2"), ("count", "50")))
    second = codec.read(first.more, listed(_row(order_of, 8, 0), _row(order_of, 7, 0)), [doubtful], now)
    assert second.more
    assert second.more.query == (("offset", "4"), ("count", "50"))
    assert codec.read(second.more, listed(), [doubtful], now) == Reading(absent=frozenset({doubtful.id}))


def test_an_empty_account_proves_absence(codec: Borzo, doubtful: Attempt, listed: Listed, now: datetime) -> None:
    [call] = codec.find([doubtful], now)
    assert codec.read(call, listed(), [doubtful], now).absent == frozenset({doubtful.id})


@pytest.mark.parametrize("flaw", [None, {}, {"order_id": 4}, {"order_id": 4, "points": [None]}])
def test_a_row_that_cannot_be_read_might_be_the_one(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime, flaw: object
) -> None:
    [call] = codec.find([doubtful], now)
    first = codec.read(call, listed(_row(order_of, 9, 1), flaw), [doubtful], now)
    assert first.more
    assert codec.read(first.more, listed(_row(order_of, 3, -6)), [doubtful], now) == Reading()


def test_a_list_that_does_not_page_proves_nothing(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([doubtful], now)
    page = listed(_row(order_of, 9, 1), _row(order_of, 8, 0))
    first = codec.read(call, page, [doubtful], now)
    assert first.more
    assert codec.read(first.more, page, [doubtful], now) == Reading()


def test_a_look_up_goes_back_no_further_than_a_thousand_orders(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:
    call: Call | None = codec.find([doubtful], now)[0]
    highest, pages = 10**6, 0
    while call:
        rows = [_row(order_of, highest - n, 1) for n in range(200)]
        highest, pages = highest - 200, pages + 1
        reading = codec.read(call, listed(*rows), [doubtful], now)
        call = reading.more
    assert (pages, reading.absent) == (5, frozenset())


def test_a_list_in_no_order_ends_only_when_all_of_it_is_old(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:  # B-50
    [call] = codec.find([doubtful], now)
    mixed = codec.read(call, listed(_row(order_of, 7, -6), _row(order_of, 9, 1)), [doubtful], now)
    assert mixed.more
    old = codec.read(call, listed(_row(order_of, 7, -7), _row(order_of, 9, -6)), [doubtful], now)
    assert old.absent == frozenset({doubtful.id})


def test_the_oldest_of_several_orders_is_adopted_and_the_others_are_named(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:
    rows = [
        _row(order_of, 9, 2, tag=doubtful.tag),
        _row(order_of, 8, 1, tag=doubtful.tag),
        _row(order_of, 7, 0, tag=doubtful.tag, status="canceled"),
        _row(order_of, 6, -6),
    ]
    [call] = codec.find([doubtful], now)
    reading = codec.read(call, listed(*rows), [doubtful], now)
    assert (reading.seen[doubtful.id][0].ref, reading.extras) == ("8", {doubtful.id: ("9",)})


def test_an_order_of_a_later_page_is_a_further_one(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.find([doubtful], now)
    first = codec.read(call, listed(_row(order_of, 9, 2, tag=doubtful.tag)), [doubtful], now)
    assert first.more
    later = listed(_row(order_of, 8, 1, tag=doubtful.tag), _row(order_of, 7, -6))
    assert (first.seen[doubtful.id][0].ref, codec.read(first.more, later, [doubtful], now)) == (
        "9",
        Reading(extras={doubtful.id: ("8",)}),
    )


def test_one_look_up_serves_many_attempts(
    codec: Borzo, doubtful: Attempt, order_of: Orders, listed: Listed, now: datetime
) -> None:
    earlier = replace(doubtful, id=5, submitted_at=doubtful.submitted_at - timedelta(hours=1))
    [call] = codec.find([doubtful, earlier], now)
    rows = [_row(order_of, 9, -6), _row(order_of, 8, -50, tag=tag_of(5)), _row(order_of, 7, -66)]
    reading = codec.read(call, listed(*rows), [doubtful, earlier], now)
    assert (set(reading.seen), reading.absent, reading.more) == ({5}, frozenset({doubtful.id}), None)


def test_nobody_to_find_needs_no_request(codec: Borzo, now: datetime) -> None:
    assert codec.find([], now) == []


# Cancelling


def test_a_cancel_names_the_order(codec: Borzo, attempt: Attempt, now: datetime) -> None:
    call = codec.cancel(attempt, now, allow_paid=False)
    assert (call.operation, call.method, call.path, call.body, call.covers) == (
        Operation.CANCEL,
        "POST",
        "/api/business/1.6/cancel-order",
        b'{"order_id": 1250032}',
        (attempt.id,),
    )


@pytest.mark.parametrize("ref", [None, "", "abc", "²"])
def test_an_order_without_an_id_cannot_be_cancelled(
    codec: Borzo, attempt: Attempt, now: datetime, ref: str | None
) -> None:
    with pytest.raises(Refused):
        codec.cancel(replace(attempt, ref=ref), now, allow_paid=True)


def test_the_documented_cancel_is_taken_and_reads_as_cancelled(
    codec: Borzo, attempt: Attempt, document: Callable[[str], bytes], listed: Listed, now: datetime
) -> None:  # B-71
    codec.read_cancel(Reply(200, document("cancel_order")), attempt)
    asked = replace(attempt, cancelling=True)
    reply = listed(json.loads(document("cancel_order"))["order"])
    [seen] = codec.read(codec.track([asked], now)[0], reply, [asked], now).seen[attempt.id]
    assert (seen.status, seen.cancelled_by, seen.reason_text, seen.raw) == (
        S.CANCELLED,
        CancelledBy.MERCHANT,
        "O cliente não está respondendo",
        Raw("order", "canceled", "O cliente não está respondendo"),
    )


def test_a_cancel_too_late_is_refused(codec: Borzo, attempt: Attempt, refused: Listed) -> None:  # B-99
    with pytest.raises(Refused, match=r"^order_cannot_be_canceled$"):
        codec.read_cancel(refused("order_cannot_be_canceled"), attempt)


@pytest.mark.parametrize("reply", [Reply(500, b""), Reply(200, b"{}"), Reply(200, b'{"is_successful": false}')])
def test_an_unclear_cancel_must_be_asked_about(codec: Borzo, attempt: Attempt, reply: Reply) -> None:
    with pytest.raises(Uncertain):
        codec.read_cancel(reply, attempt)


# The account


def test_the_documented_client_tells_the_payment_methods_and_nothing_personal(
    codec: Borzo, document: Callable[[str], bytes]
) -> None:  # B-55
    call = codec.probe()
    assert (call.operation, call.method, call.path) == (Operation.PROBE, "GET", "/api/business/1.6/client")
    assert codec.read_probe(Reply(200, document("client"))) == {"allowed_payment_methods": "bank_card,cash"}


def test_a_successful_probe_without_details_is_still_one(codec: Borzo, document: Callable[[str], bytes]) -> None:
    assert codec.read_probe(Reply(200, document("root"))) == {"allowed_payment_methods": ""}


def test_a_bad_token_shuts_the_account_out(codec: Borzo, refused: Listed) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_probe(refused("invalid_auth_token"))
    assert error.value.account


def test_borzo_offers_nothing_to_confirm(codec: Borzo, attempt: Attempt, now: datetime) -> None:
    with pytest.raises(Refused):
        codec.confirm(attempt, accept=True)
    with pytest.raises(Refused):
        codec.read_confirmation(Reply(200, b""), attempt, accept=True, now=now)


def test_the_account_has_the_published_defaults() -> None:
    account = BorzoAccount.model_validate({"name": "borzo", "kind": "borzo", "token": "t"})
    assert account.model_dump(exclude={"name", "kind", "token"}) == {
        "base_url": "https://robot-br.borzodelivery.com",
        "allow_http": False,
        "connect_timeout": 5,
        "read_timeout": 30,
        "deadline": 45,
        "rate": "80/minute;4500/day",
        "poll_interval": 60,
        "callback_wait": 120,
        "callback_secret": None,
        "payment_method": "balance",
        "bank_card_id": None,
        "vehicle_type_id": 8,
        "timezone": "America/Sao_Paulo",
    }


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"token": ""}, "token"),
        ({"vehicle_type_id": 6}, "forbidden"),
        ({"payment_method": "bank_card"}, "bank_card_id"),
        ({"payment_method": "non_cash"}, "payment_method"),
        ({"timezone": "Mars/Olympus"}, "IANA"),
        ({"callback_secret": "a,b,c"}, "one or two"),
        ({"rate": "often"}, "rate"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(settings: dict[str, Any], fault: str) -> None:  # B-34, B-36
    with pytest.raises(ValidationError, match=fault):
        BorzoAccount.model_validate({"name": "borzo", "kind": "borzo", "token": "t", **settings})


def test_a_codec_takes_only_its_own_kind_of_account() -> None:
    with pytest.raises(TypeError):
        Borzo(Account(name="x", kind="x", base_url="https://x.test", poll_interval=1), {})


@pytest.mark.parametrize(
    ("secret", "cadence"),
    [
        (None, Cadence(60, 60, 300, 300, together=True)),
        ("s3cret", Cadence(300, 300, 300, 300, unheard=60, together=True)),
    ],
    ids=["polling", "callbacks"],
)
def test_callbacks_make_polling_a_safety_net(make: Callable[..., Borzo], secret: str | None, cadence: Cadence) -> None:
    assert make(callback_secret=secret).capabilities == Capabilities(
        find=True, cadence=cadence, track_batch=50, max_creates=2, callbacks="signed"
    )  # B-87


def test_a_refusal_has_a_reason(refused: Listed, codec: Borzo, attempt: Attempt) -> None:
    with pytest.raises(Refused) as refusal:
        codec.read_cancel(refused("invalid_parameters"), attempt)
    assert refusal.value.reason is Reason.VALIDATION
