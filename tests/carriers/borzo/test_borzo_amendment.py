"""Changing an order: an edit lists the whole current order, and changes only values that differ."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.order import Order
from tests.carriers.borzo.conftest import ATTEMPT_ID, ORDER, REFERENCE, STORE, make_codec
from worker.carriers.abilities import Amends
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Booking
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Unreadable
from worker.http.call import Operation, Reply

Documents = Callable[[str], bytes]
Replies = Callable[..., Reply]
Changed = Callable[..., AttemptView]
OWED = {"prepaid": False, "amount": "118.00", "currency": "BRL"}
PIECES = [{"name": "Chapéu", "quantity": 3, "unit_price": "118.00"}]
OLD = {
    "street": "Av. Paulista, 1439 - 12 - Bela Vista",
    "postal_code": "01310-100",
    "city": "São Paulo - SP",
    "latitude": -23.562747,
    "longitude": -46.6576753,
}
NEW = {"street": "Rua Augusta, 5", "unit": "apto 4", "city": "São Paulo - SP", "notes": "Tocar\na campainha"}


@pytest.fixture
def changed(attempt: AttemptView) -> Changed:
    """The attempt with a changed order."""

    def change(**order: Any) -> AttemptView:
        return replace(attempt, order=Order(**{**attempt.order.model_dump(mode="json"), **order}))

    return change


@pytest.fixture
def current(
    codec: Borzo, booking: Booking, order_of: Callable[..., dict[str, Any]], now: datetime
) -> Callable[..., dict[str, Any]]:
    """The order at Borzo as our create has made it, with changes."""

    def build(
        maker: Borzo = codec, wanted: Booking = booking, delivery: str = "planned", **fields: Any
    ) -> dict[str, Any]:
        sent = json.loads(maker.book(wanted, now).body)
        raw = order_of({"status": delivery}, matter=sent["matter"], **fields)
        raw["points"] = [{**old, **new} for old, new in zip(raw["points"], sent["points"], strict=True)]
        for point in raw["points"]:
            point["packages"] = [{"order_package_id": 7 + at, **line} for at, line in enumerate(point["packages"])]
        return raw

    return build


@pytest.fixture
def amend(codec: Borzo, listed: Replies, now: datetime) -> Callable[..., dict[str, Any] | None]:
    """Return the parameters of the edit for an order that is at Borzo like this; None for no edit."""

    def ask(attempt: AttemptView, raw: dict[str, Any], using: Borzo = codec) -> dict[str, Any] | None:
        call = using.amend(attempt, listed(raw), now)
        return json.loads(call.body) if call else None

    return ask


Current = Callable[..., dict[str, Any]]
Amend = Callable[..., dict[str, Any] | None]


@pytest.mark.quirk("B-95", "B-98")
def test_a_change_begins_with_a_read_and_lists_every_point(
    codec: Borzo, changed: Changed, current: Current, listed: Replies, now: datetime
) -> None:
    assert isinstance(codec, Amends)
    assert codec.capabilities.amends
    attempt = changed(notes="Sem cebola")
    read = codec.before_amend(attempt, now)
    assert (read.operation, read.method, read.path, read.query, read.attempt_ids) == (
        Operation.FIND,
        "GET",
        "/api/business/1.6/orders",
        (("order_id[]", "1250032"),),
        (attempt.id,),
    )
    call = codec.amend(attempt, listed(current(order_id=9), current()), now)
    assert call is not None
    assert (call.operation, call.method, call.path, call.attempt_ids) == (
        Operation.AMEND,
        "POST",
        "/api/business/1.6/edit-order",
        (attempt.id,),
    )
    assert json.loads(call.body) == {
        "order_id": 1250032,
        "points": [{"point_id": 202685}, {"point_id": 202686, "note": "apto 4 / Tocar / a campainha / Sem cebola"}],
    }


OWN_POINT = {"point_id": 202686}


@pytest.mark.quirk("B-08", "B-09", "B-97")
@pytest.mark.parametrize(
    ("order", "of_order", "of_drop"),
    [
        ({}, None, None),
        ({"revision": 9, "status": 8}, None, None),
        ({"order_number": "78"}, {"matter": "Order 78 (3 items)"}, {}),
        (
            {"customer": {"name": "Rui", "phone": "11 90000-0002"}},
            {},
            {"contact_person": {"phone": "5511900000002", "name": "Rui"}},
        ),
        (
            {"dropoff": {**NEW, "latitude": -23.5, "longitude": -46.6}},
            {},
            {"address": "Rua Augusta, 5, São Paulo - SP", "latitude": "-23.5000000", "longitude": "-46.6000000"},
        ),
        # The old coordinates would lead the courier to the old place; null removes them.
        ({"dropoff": NEW}, {}, {"address": "Rua Augusta, 5, São Paulo - SP", "latitude": None, "longitude": None}),
        ({"dropoff": {**OLD, "unit": "", "notes": ""}}, {}, {"note": None}),
        ({"payment": OWED}, {}, {"taking_amount": "118.00"}),
        (
            {"deliver_at": "2024-11-23T15:00:00Z"},
            {},
            {
                "required_start_datetime": "2024-11-23T12:00:00-03:00",
                "required_finish_datetime": "2024-11-23T12:30:00-03:00",
            },
        ),
    ],
    ids=["nothing", "no news", "number", "customer", "place", "address", "note", "money", "time"],
)
def test_only_values_that_differ_are_changed(
    changed: Changed,
    current: Current,
    amend: Amend,
    order: dict[str, Any],
    of_order: dict[str, Any] | None,
    of_drop: dict[str, Any] | None,
) -> None:
    attempt = replace(changed(**order), pickup_at=datetime(2024, 11, 23, 14, 30, tzinfo=UTC))
    pickup = {
        "required_start_datetime": "2024-11-23T11:30:00-03:00",
        "required_finish_datetime": "2024-11-23T12:00:00-03:00",
    }
    first = {"point_id": 202685, **(pickup if "deliver_at" in order else {})}
    expected = of_drop is not None and {"order_id": 1250032, **(of_order or {}), "points": [first, OWN_POINT | of_drop]}
    assert amend(attempt, current()) == (expected or None)


def test_an_applied_change_is_not_repeated(
    changed: Changed, current: Current, amend: Amend, booking_of: Callable[..., Booking]
) -> None:
    order = {"customer": {"name": "Rui", "phone": "11 90000-0002"}, "payment": OWED, "notes": "Sem cebola"}
    assert amend(changed(**order), current(wanted=booking_of(order=order))) is None


def test_an_order_that_was_paid_since_is_not_collected(
    changed: Changed, current: Current, amend: Amend, booking_of: Callable[..., Booking]
) -> None:
    body = amend(changed(), current(wanted=booking_of(order={"payment": OWED})))
    assert body is not None
    assert body["points"][1] == OWN_POINT | {"taking_amount": "0.00"}


@pytest.mark.quirk("B-95", "B-96")
def test_points_and_packages_of_others_are_kept(changed: Changed, amend: Amend, document: Documents) -> None:
    raw = json.loads(document("edit_order_packages") + b"}")["order"]
    raw["points"].append({"point_id": 202688, "is_return_point": True, "packages": [{"order_package_id": 5}]})
    body = amend(changed(dropoff=NEW, order_number="9", items=[]), raw)
    assert body == {
        "order_id": 1250032,
        "matter": "Order 9",
        "points": [
            {"point_id": 202685, "packages": [{"order_package_id": 3632252}]},
            {
                "point_id": 202686,
                "packages": [{"order_package_id": 3632253}],
                "address": "Rua Augusta, 5, São Paulo - SP",
                "contact_person": {"phone": "5511900000001", "name": "Ana"},
                "note": "apto 4 / Tocar / a campainha",
                "is_cod_cash_voucher_required": False,
                "latitude": None,
                "longitude": None,
            },
            {"point_id": 202687},
            {"point_id": 202688, "packages": [{"order_package_id": 5}]},
        ],
    }


@pytest.mark.quirk("B-95", "B-96")
@pytest.mark.parametrize(
    ("items", "packages"),
    [
        (PIECES * 2, None),
        (PIECES, [{"order_package_id": 7}]),
        (
            [PIECES[0], {**PIECES[0], "quantity": 4}],
            [{"order_package_id": 7}, {"order_package_id": 8, "items_count": 4}],
        ),
        ([], None),
        (PIECES * 3, None),
    ],
    ids=["same", "one less", "another number", "none", "one more"],
)
def test_packages_change_with_the_order_and_none_is_ever_added(
    make: Callable[..., Borzo],
    booking_of: Callable[..., Booking],
    changed: Changed,
    current: Current,
    amend: Amend,
    items: list[dict[str, Any]],
    packages: list[dict[str, Any]] | None,
) -> None:
    codec = make(packages=True)
    raw = current(codec, booking_of(order={"items": PIECES * 2}))
    body = amend(changed(items=items), {**raw, "matter": "x"}, codec)
    assert body is not None
    kept = [{"order_package_id": 7}, {"order_package_id": 8}]
    assert body["points"][1] == OWN_POINT | {"packages": kept if packages is None else packages}


def test_a_package_whose_price_is_unknown_now_loses_the_old_price(
    make: Callable[..., Borzo], booking_of: Callable[..., Booking], changed: Changed, current: Current, amend: Amend
) -> None:
    codec = make(packages=True)
    body = amend(
        changed(items=[{"name": "Suco", "quantity": 3}]), current(codec, booking_of(order={"items": PIECES})), codec
    )
    assert body is not None
    assert body["points"][1] == OWN_POINT | {
        "packages": [{"order_package_id": 7, "description": "Suco", "item_payment_amount": "0.00"}]
    }


@pytest.mark.quirk("B-40", "B-98")
def test_an_order_for_later_cannot_be_changed_into_one_for_now(
    booking_of: Callable[..., Booking], changed: Changed, current: Current, amend: Amend
) -> None:
    later, wanted = {"deliver_at": "2024-11-23T21:00:00Z"}, datetime(2024, 11, 23, 20, 30, tzinfo=UTC)
    raw = current(wanted=booking_of(order=later, pickup_at=wanted, deliver_at=datetime(2024, 11, 23, 21, tzinfo=UTC)))
    assert amend(replace(changed(**later), pickup_at=wanted), raw) is None
    with pytest.raises(Refused, match="booked for a later time"):
        amend(replace(changed(), pickup_at=wanted), raw)


@pytest.mark.quirk("B-35", "B-95")
def test_a_change_whose_receipt_needs_another_package_is_refused(
    make: Callable[..., Borzo], booking_of: Callable[..., Booking], changed: Changed, current: Current, amend: Amend
) -> None:
    codec, order = make(cod_voucher=True), {"payment": OWED, "items": PIECES}
    raw = current(codec, booking_of(order=order))
    assert amend(changed(**order), raw, codec) is None
    with pytest.raises(Refused, match="another line"):
        amend(changed(**order | {"items": PIECES * 2}), raw, codec)


def test_an_insured_order_is_insured_for_its_new_amount(
    make: Callable[..., Borzo], changed: Changed, current: Current, amend: Amend
) -> None:
    codec, dearer = make(insurance="order"), {"prepaid": True, "amount": "200.00", "currency": "BRL"}
    assert amend(changed(), current(insurance_amount="118.00"), codec) is None
    body = amend(changed(payment=dearer), current(insurance_amount="118.00"), codec)
    assert body == {"order_id": 1250032, "insurance_amount": "200.00", "points": [{"point_id": 202685}, OWN_POINT]}


@pytest.mark.quirk("B-98")
@pytest.mark.parametrize(
    "status", ["new", "available", "active", "delayed", "completed", "canceled", "reactivated", "x"]
)
def test_an_order_can_be_changed_in_the_four_documented_statuses(
    changed: Changed, current: Current, amend: Amend, status: str
) -> None:
    raw = current(status=status)
    assert amend(changed(), raw) is None  # without a difference, the status does not matter
    if status in {"new", "available", "active", "delayed"}:
        assert amend(changed(notes="x"), raw) is not None
        return
    with pytest.raises(Refused, match="can no longer be changed"):
        amend(changed(notes="x"), raw)


@pytest.mark.parametrize(
    ("known", "delivery"),
    [
        ({"rank": 50}, "planned"),
        ({"codec_state": {"point_id": "202686", "picked_up_seen": "1"}}, "active"),
        ({}, "courier_arrived"),
    ],
)
def test_nothing_is_changed_once_the_courier_has_the_goods(
    changed: Changed, current: Current, amend: Amend, known: dict[str, Any], delivery: str
) -> None:
    with pytest.raises(Refused, match="the courier has the goods"):
        amend(replace(changed(notes="x"), **known), current(delivery=delivery, status="active"))


@pytest.mark.quirk("B-74", "B-95")
@pytest.mark.parametrize("spoil", ["a point", "its id", "a package", "no package", "packages", "our point"])
def test_an_order_that_an_edit_cannot_list_completely_is_not_changed(
    changed: Changed, current: Current, amend: Amend, spoil: str
) -> None:
    raw, attempt = current(), changed(notes="x")
    match spoil:
        case "a point":
            raw["points"].append(None)
        case "its id":
            raw["points"].append({"address": "somewhere"})
        case "a package":
            raw["points"][0]["packages"] = [{"description": "no id"}]
        case "no package":
            raw["points"][0]["packages"] = [None]
        case "packages":
            del raw["points"][1]["packages"]
        case _:
            raw["points"][1] |= {"client_order_id": None}
            attempt = replace(attempt, codec_state={})
    with pytest.raises(Refused, match="cannot list"):
        amend(attempt, raw)


def test_an_order_that_was_not_read_is_not_changed(
    codec: Borzo, changed: Changed, listed: Replies, refused: Replies, now: datetime
) -> None:
    attempt = changed(notes="x")
    replies: list[tuple[Reply | None, type[CarrierError]]] = [
        (None, Unreadable),
        (listed(), Unreadable),
        (Reply(200, b""), Unreadable),
        (refused("service_unavailable"), Unavailable),
        (refused("requests_limit_exceeded"), Throttled),
    ]
    for reply, error in replies:
        with pytest.raises(error):
            codec.amend(attempt, reply, now)
    with pytest.raises(Refused):
        codec.before_amend(replace(attempt, ref=None), now)


def test_a_change_to_an_order_that_borzo_would_refuse_is_refused(
    changed: Changed, current: Current, amend: Amend
) -> None:
    with pytest.raises(Refused, match=r"^customer\.phone"):
        amend(changed(customer={"name": "Ana", "phone": "12"}), current())


NUMBERS = st.integers(1, 10**6)
LINES = st.lists(NUMBERS.map(lambda key: {"order_package_id": key, "items_count": 1}), max_size=3)
OTHER_POINTS = st.builds(
    lambda key, packages, back: {"point_id": key, "packages": packages, "is_return_point": back, "note": "theirs"},
    NUMBERS,
    LINES,
    st.booleans(),
)


@pytest.mark.quirk("B-95", "B-96", "B-97")
@settings(deadline=None)
@given(
    before=st.lists(OTHER_POINTS, max_size=3),
    after=st.lists(OTHER_POINTS, max_size=3),
    packages=LINES,
    lines=st.booleans(),
)
def test_no_edit_ever_loses_or_adds_a_point_or_a_package(
    before: list[dict[str, Any]], after: list[dict[str, Any]], packages: list[dict[str, Any]], *, lines: bool
) -> None:
    items = [{"name": "Pizza", "quantity": 1}] * 3 if lines else []
    order = Order(**{**ORDER, "notes": "Sem cebola", "items": items})
    at = datetime(2024, 11, 23, 12, tzinfo=UTC)
    attempt = AttemptView(
        ATTEMPT_ID, 1, "borzo", "created", order, STORE, at, at, ref="5", codec_state={"point_id": "9999999"}
    )
    current = [*before, {"point_id": 9999999, "packages": packages}, *after]
    raw = {"order_id": 5, "status": "active", "points": current}
    reply = Reply(200, json.dumps({"is_successful": True, "orders": [raw]}).encode())
    call = make_codec(packages=True).amend(attempt, reply, at)
    assert call is not None
    sent = json.loads(call.body)["points"]
    assert [point["point_id"] for point in sent] == [point["point_id"] for point in current]
    named = [[line["order_package_id"] for line in point.get("packages", [])] for point in sent]
    assert named == [[line["order_package_id"] for line in point["packages"]] for point in current]
    for point, others in zip(sent, current, strict=True):
        attempt = others["point_id"] == 9999999
        assert attempt or {name for name in point if name not in {"point_id", "packages"}} == set()


anything = st.dictionaries(
    st.sampled_from(["status", "points", "matter", "insurance_amount"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["point_id", "client_order_id", "packages", "order_package_id", "delivery", "address"]),
                inner | st.just(REFERENCE),
                max_size=4,
            )
        ),
        max_leaves=10,
    ),
)


@settings(deadline=None)
@given(anything)
def test_an_arbitrary_current_order_raises_nothing_but_carrier_errors(raw: Any) -> None:
    at = datetime(2024, 11, 23, 12, tzinfo=UTC)
    attempt = AttemptView(ATTEMPT_ID, 1, "borzo", "created", Order(**ORDER), STORE, at, at, ref="5")
    codec = make_codec()
    shown = {"is_successful": True, "orders": [raw | {"order_id": 5}], "order": raw | {"order_id": 5}}
    reply = Reply(200, json.dumps(shown).encode())
    with suppress(CarrierError):
        codec.amend(attempt, reply, at)
    with suppress(CarrierError):
        codec.read_amended(attempt, reply, at)
