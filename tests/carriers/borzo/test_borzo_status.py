"""Every row of the status table, and the rules that combine order status and delivery status."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import CancelledBy, Evidence, Reason
from schemas.status import DeliveryStatus as S
from worker.carriers.borzo import Borzo
from worker.carriers.borzo.attempt_state import AttemptMemory, ReportedStatus
from worker.carriers.borzo.status import STATUS_TABLE, StatusReport, meanings, resolve
from worker.carriers.port import AttemptView, Observation, Raw
from worker.http.call import Reply

ORDER_STATUSES = ["new", "available", "active", "completed", "reactivated", "draft", "canceled", "delayed"]
"""Borzo, "Order statuses"."""
DELIVERY_STATUSES = [
    "invalid",
    "draft",
    "planned",
    "active",
    "finished",
    "canceled",
    "delayed",
    "courier_assigned",
    "courier_departed",
    "courier_at_pickup",
    "parcel_picked_up",
    "courier_arrived",
    "deleted",
    "return_planned",
    "return_courier_assigned",
    "return_courier_departed",
    "return_courier_picked_up",
    "return_finished",
    "reattempt_planned",
    "reattempt_courier_assigned",
    "reattempt_courier_departed",
    "reattempt_courier_picked_up",
    "reattempt_finished",
]
"""Borzo, "Delivery statuses"."""
SIBLING_STATUSES = ["failed"]

OBSERVED, ORDER_LEVEL, WEAK = Evidence.OBSERVED, Evidence.ORDER_LEVEL, Evidence.WEAK
ROWS: list[tuple[str, str, S, str | None, Evidence, Reason | None]] = [
    ("order", "new", S.CREATED, "pending_verification", ORDER_LEVEL, None),
    ("order", "available", S.CREATED, None, ORDER_LEVEL, None),
    ("order", "active", S.COURIER_ASSIGNED, None, ORDER_LEVEL, None),
    ("order", "reactivated", S.CREATED, None, ORDER_LEVEL, None),
    ("order", "draft", S.ON_HOLD, "draft", ORDER_LEVEL, Reason.DRAFT),
    ("order", "canceled", S.CANCELLED, None, OBSERVED, None),
    ("order", "delayed", S.ON_HOLD, None, ORDER_LEVEL, None),
    ("delivery", "planned", S.CREATED, None, OBSERVED, None),
    ("delivery", "courier_assigned", S.COURIER_ASSIGNED, None, OBSERVED, None),
    ("delivery", "courier_departed", S.PICKUP_ENROUTE, None, OBSERVED, None),
    ("delivery", "courier_at_pickup", S.PICKUP_ARRIVED, None, OBSERVED, None),
    ("delivery", "parcel_picked_up", S.PICKED_UP, None, OBSERVED, None),
    ("delivery", "active", S.COURIER_ASSIGNED, "in_process", WEAK, None),
    ("delivery", "courier_arrived", S.DROPOFF_ARRIVED, None, OBSERVED, None),
    ("delivery", "finished", S.DELIVERED, None, OBSERVED, None),
    ("delivery", "canceled", S.CANCELLED, None, OBSERVED, None),
    ("delivery", "delayed", S.ON_HOLD, None, OBSERVED, None),
    ("delivery", "draft", S.ON_HOLD, "draft", OBSERVED, Reason.DRAFT),
    ("delivery", "invalid", S.FAILED, None, OBSERVED, Reason.INVALID),
    ("delivery", "deleted", S.FAILED, None, OBSERVED, Reason.DELETED),
    ("delivery", "return_planned", S.RETURNING, "planned", OBSERVED, None),
    ("delivery", "return_courier_assigned", S.RETURNING, "courier_assigned", OBSERVED, None),
    ("delivery", "return_courier_departed", S.RETURNING, "courier_departed", OBSERVED, None),
    ("delivery", "return_courier_picked_up", S.RETURNING, "picked_up", OBSERVED, None),
    ("delivery", "return_finished", S.RETURNED, None, OBSERVED, None),
    ("delivery", "reattempt_planned", S.REATTEMPTING, "planned", OBSERVED, None),
    ("delivery", "reattempt_courier_assigned", S.REATTEMPTING, "courier_assigned", OBSERVED, None),
    ("delivery", "reattempt_courier_departed", S.REATTEMPTING, "courier_departed", OBSERVED, None),
    ("delivery", "reattempt_courier_picked_up", S.REATTEMPTING, "picked_up", OBSERVED, None),
    ("delivery", "reattempt_finished", S.DELIVERED, None, OBSERVED, None),
    ("delivery", "failed", S.DELIVERY_FAILED, None, OBSERVED, Reason.CUSTOMER_UNAVAILABLE),
]

Poll = Callable[..., Observation]


@pytest.fixture
def poll(
    codec: Borzo,
    attempt: AttemptView,
    now: datetime,
    order_of: Callable[..., dict[str, Any]],
    listed: Callable[..., Reply],
) -> Poll:
    def read(
        order: str, delivery: str | None = None, of: AttemptView | None = None, at: datetime = now, **fields: Any
    ) -> Observation:
        asked = of or attempt
        fields = {"status": order, "status_description": order, **fields}
        raw = order_of({"status": delivery} if delivery else None, **fields)
        reading = codec.read(codec.track([asked], at)[0], listed(raw), [asked], at)
        return reading.observations[asked.id][0]

    return read


@pytest.fixture
def after(attempt: AttemptView) -> Callable[..., AttemptView]:
    """The attempt after these observations were merged into it."""

    def merge(*seen: Observation, **changes: Any) -> AttemptView:
        refs = dict(attempt.codec_state)
        for observation in seen:
            refs |= observation.codec_state
        return replace(attempt, codec_state=refs, **changes)

    return merge


def test_the_table_has_exactly_the_documented_statuses_and_failed_of_the_sibling_api() -> None:
    documented = {f"order:{code}" for code in ORDER_STATUSES}
    documented |= {f"delivery:{code}" for code in DELIVERY_STATUSES + SIBLING_STATUSES}
    assert set(STATUS_TABLE) == documented
    assert {f"{entity}:{code}" for entity, code, *_ in ROWS} | {"order:completed"} == documented


def test_every_status_that_any_message_may_get_is_among_the_meanings() -> None:
    marks: tuple[dict[str, str], ...] = ({}, {"picked_up_seen": "1"}, {"completed_seen": "1"}, {"return_seen": "1"})
    memories = [
        AttemptMemory("R", "BR", mark, cancel_requested=asked, state=state)
        for mark in marks
        for asked in (False, True)
        for state in ("created", "pickup_arrived")
    ]
    orders = [None, *map(ReportedStatus, [*ORDER_STATUSES, "other"])]
    parcels = [None, *map(ReportedStatus, [*DELIVERY_STATUSES, *SIBLING_STATUSES, "other"])]
    reports = [StatusReport(order, parcel, polled=True) for order in orders for parcel in parcels]
    seen = [each for report in reports for memory in memories if (each := resolve(report, memory)) and each.raw]
    assert [each for each in seen if each.raw and each.status not in meanings(each.raw)] == []
    reached = {each.raw: set[S | None]() for each in seen}
    for each in seen:
        reached[each.raw].add(each.status)
    assert {raw: meanings(raw) - found for raw, found in reached.items() if raw and meanings(raw) - found} == {
        Raw("delivery", "active"): {S.PICKUP_ENROUTE}  # no memory above is on the way to the shop
    }


@pytest.mark.quirk("B-68", "B-69", "B-70")
@pytest.mark.parametrize(("entity", "code", "status", "detail", "evidence", "reason"), ROWS, ids=str)
def test_every_documented_status_has_the_meaning_of_the_table(
    poll: Poll, entity: str, code: str, status: S, detail: str | None, evidence: Evidence, reason: Reason | None
) -> None:
    seen = poll(code) if entity == "order" else poll("active", code)
    assert (seen.raw, seen.status, seen.detail, seen.evidence, seen.reason) == (
        Raw(entity, code),
        status,
        detail,
        evidence,
        reason,
    )


@pytest.mark.quirk("B-72")
@pytest.mark.parametrize("code", ["draft", "invalid", "deleted"])
def test_the_statuses_of_draft_deliveries_are_noted_in_the_log(poll: Poll, code: str) -> None:
    assert poll("active", code).notes == (code,)


@pytest.mark.quirk("B-70")
def test_an_unknown_delivery_status_stays_unknown(poll: Poll) -> None:
    seen = poll("active", "teleported")
    assert (seen.status, seen.raw) == (None, Raw("delivery", "teleported"))


def test_an_unknown_order_status_stays_unknown_without_a_delivery_status(poll: Poll) -> None:
    seen = poll("hyperactive")
    assert (seen.status, seen.raw) == (None, Raw("order", "hyperactive"))


def test_a_known_delivery_status_outweighs_an_unknown_order_status(poll: Poll) -> None:
    assert poll("hyperactive", "finished").status is S.DELIVERED


@pytest.mark.quirk("B-66")
def test_a_status_that_orders_and_deliveries_share_has_two_meanings(poll: Poll) -> None:
    assert (poll("active").detail, poll("active", "active").detail) == (None, "in_process")


def test_an_active_delivery_is_on_the_way_to_the_customer_only_after_the_pickup(
    poll: Poll, after: Callable[..., AttemptView]
) -> None:
    picked_up = poll("active", "parcel_picked_up")
    seen = poll("active", "active", after(picked_up))
    assert (seen.status, seen.evidence, seen.detail) == (S.DROPOFF_ENROUTE, WEAK, None)


@pytest.mark.quirk("B-68", "B-75")
def test_courier_departed_proves_no_pickup(poll: Poll, after: Callable[..., AttemptView]) -> None:
    assert poll("active", "active", after(poll("active", "courier_departed"))).status is S.COURIER_ASSIGNED


@pytest.mark.parametrize("state", [S.PICKUP_ENROUTE, S.PICKUP_ARRIVED])
def test_an_active_delivery_does_not_move_the_courier_back_from_the_shop(
    poll: Poll, attempt: AttemptView, state: S
) -> None:
    seen = poll("active", "active", replace(attempt, state=state))
    assert (seen.status, seen.detail, seen.evidence) == (state, "in_process", WEAK)


def test_a_reactivated_order_forgets_the_pickup_of_the_previous_courier(
    poll: Poll, after: Callable[..., AttemptView]
) -> None:
    picked_up = poll("active", "parcel_picked_up")
    again = poll("reactivated", None, after(picked_up))
    assert (again.status, again.reopens, again.codec_state["picked_up_seen"]) == (S.CREATED, True, "")
    assert poll("active", "active", after(picked_up, again)).status is S.COURIER_ASSIGNED


@pytest.mark.quirk("B-67")
def test_only_the_status_reactivated_reopens_an_order(poll: Poll) -> None:
    reopening = {code for code in ORDER_STATUSES if poll(code).reopens}
    assert reopening == {"reactivated"}


@pytest.mark.quirk("B-71")
@pytest.mark.parametrize(
    "delivery", ["planned", "courier_assigned", "parcel_picked_up", "courier_arrived", "unheard_of"]
)
def test_a_cancelled_order_outweighs_its_delivery_status(poll: Poll, delivery: str) -> None:
    seen = poll("canceled", delivery)
    assert (seen.status, seen.raw and seen.raw.entity) == (S.CANCELLED, "order")


@pytest.mark.parametrize(
    ("delivery", "status"),
    [("finished", S.DELIVERED), ("reattempt_finished", S.DELIVERED), ("return_finished", S.RETURNED)],
)
def test_a_finished_delivery_outweighs_the_cancel_of_its_order(poll: Poll, delivery: str, status: S) -> None:
    seen = poll("canceled", delivery)
    assert (seen.status, seen.notes) == (status, ("cancelled_but_finished",))


@pytest.mark.parametrize(
    ("cancelling", "by"), [(True, CancelledBy.MERCHANT), (False, CancelledBy.UNKNOWN)], ids=["ours", "theirs"]
)
def test_a_cancel_is_the_merchants_only_when_we_requested_it(
    poll: Poll, attempt: AttemptView, by: CancelledBy, *, cancelling: bool
) -> None:
    asked = replace(attempt, cancel_requested=cancelling)
    assert (poll("canceled", None, asked).cancelled_by, poll("active", "canceled", asked).cancelled_by) == (by, by)


@pytest.mark.quirk("B-72")
def test_a_deleted_delivery_is_cancelled_when_we_requested_a_cancel(poll: Poll, attempt: AttemptView) -> None:
    seen = poll("active", "deleted", replace(attempt, cancel_requested=True))
    assert (seen.status, seen.cancelled_by) == (S.CANCELLED, CancelledBy.MERCHANT)


def test_a_cancel_after_the_pickup_has_the_detail_with_items(
    poll: Poll, attempt: AttemptView, after: Callable[..., AttemptView]
) -> None:
    remembered = after(poll("active", "parcel_picked_up"))
    details = [
        poll("canceled", None, replace(attempt, rank=50)).detail,
        poll("canceled", "parcel_picked_up").detail,
        poll("canceled", None, remembered).detail,
        poll("canceled", "courier_at_pickup").detail,
    ]
    assert details == ["with_items", "with_items", "with_items", None]


def test_the_carriers_text_is_the_reason_of_a_cancel(poll: Poll) -> None:
    seen = poll("canceled", "planned", status_description="O cliente não está respondendo")
    assert seen.raw is not None
    assert seen.reason_text == seen.raw.text == "O cliente não está respondendo"
    assert poll("canceled", "planned").reason_text is None


@pytest.mark.quirk("B-73")
@pytest.mark.parametrize(
    ("delivery", "status", "detail"),
    [
        (None, S.ON_HOLD, None),
        ("planned", S.ON_HOLD, None),
        ("courier_assigned", S.COURIER_ASSIGNED, "delayed"),
        ("courier_arrived", S.DROPOFF_ARRIVED, "delayed"),
        ("return_planned", S.RETURNING, "delayed"),
        ("finished", S.DELIVERED, None),
        ("delayed", S.ON_HOLD, None),
    ],
)
def test_a_delayed_order_holds_only_a_delivery_without_a_courier(
    poll: Poll, delivery: str | None, status: S, detail: str | None
) -> None:
    seen = poll("delayed", delivery)
    assert (seen.status, seen.detail) == (status, detail)


@pytest.mark.quirk("B-72")
def test_a_draft_order_is_on_hold_and_not_created(poll: Poll) -> None:
    seen = poll("draft", "planned")
    assert (seen.status, seen.detail, seen.notes) == (S.ON_HOLD, "draft", ("draft",))


def test_a_new_order_stays_pending_although_its_delivery_is_planned(poll: Poll) -> None:
    seen = poll("new", "planned")
    assert (seen.status, seen.detail, seen.evidence) == (S.CREATED, "pending_verification", OBSERVED)


@pytest.mark.quirk("B-65")
def test_a_completed_order_needs_a_second_read_before_it_is_delivered(
    poll: Poll, after: Callable[..., AttemptView]
) -> None:
    first = poll("completed")
    second = poll("completed", None, after(first))
    assert (first.status, first.notes) == (None, ("completed_needs_second_read",))
    assert (second.status, second.evidence) == (S.DELIVERED, WEAK)


@pytest.mark.quirk("B-65")
def test_a_completed_order_is_never_delivered_after_a_return(
    poll: Poll, after: Callable[..., AttemptView]
) -> None:  # I12
    returning = after(poll("active", "return_courier_picked_up"))
    first = poll("completed", None, returning)
    second = poll("completed", None, replace(returning, codec_state={**returning.codec_state, **first.codec_state}))
    assert [(seen.status, seen.notes) for seen in (first, second)] == [(None, ("completed_after_return",))] * 2


@pytest.mark.quirk("B-41", "B-65")
def test_a_completed_order_is_never_delivered_when_a_return_is_required(
    poll: Poll, after: Callable[..., AttemptView]
) -> None:
    seen = poll("completed", None, after(poll("completed")), is_return_required=True)
    assert (seen.status, seen.notes) == (None, ("completed_after_return",))


def test_a_completed_order_follows_its_delivery_status_when_it_has_one(poll: Poll) -> None:
    assert [poll("completed", code).status for code in ("finished", "return_finished", "courier_arrived")] == [
        S.DELIVERED,
        S.RETURNED,
        S.DROPOFF_ARRIVED,
    ]


def test_a_completed_order_does_not_rely_on_a_stale_delivery_status(
    poll: Poll, after: Callable[..., AttemptView]
) -> None:
    arrived = after(poll("active", "courier_arrived"))
    assert poll("completed", None, arrived).notes == ("completed_needs_second_read",)
    finished = after(poll("active", "finished"))
    assert poll("completed", None, finished).status is S.DELIVERED


def test_a_completed_order_that_was_reactivated_needs_two_reads_again(
    poll: Poll, after: Callable[..., AttemptView]
) -> None:
    first, again = poll("completed"), poll("reactivated", None, after(poll("completed")))
    assert poll("completed", None, after(first, again)).status is None


@pytest.mark.quirk("B-74")
def test_the_customers_point_is_never_found_by_its_position(poll: Poll, attempt: AttemptView) -> None:
    back = {
        "point_id": 9,
        "is_return_point": True,
        "client_order_id": attempt.reference,
        "delivery": {"status": "finished"},
    }
    dropoff = {"point_id": 202686, "delivery": {"status": "courier_arrived"}}
    points = [{"point_id": 1, "delivery": None}, dropoff, back]
    by_id = poll("active", points=points)
    by_reference = poll(
        "active",
        None,
        replace(attempt, codec_state={}),
        points=[back, {**dropoff, "client_order_id": attempt.reference}],
    )
    by_nothing = poll("active", None, replace(attempt, codec_state={}), points=points)
    assert [by_id.status, by_reference.status, by_nothing.status] == [
        S.DROPOFF_ARRIVED,
        S.DROPOFF_ARRIVED,
        S.COURIER_ASSIGNED,
    ]


@pytest.mark.quirk("B-76")
def test_the_couriers_position_changes_no_status(poll: Poll) -> None:
    courier = {"name": "Name", "phone": "5511900000001", "latitude": "-23.562747", "longitude": "-46.6576753"}
    assert poll("active", "courier_assigned", courier=courier).status is S.COURIER_ASSIGNED


codes = st.sampled_from(ORDER_STATUSES + DELIVERY_STATUSES + SIBLING_STATUSES + ["unheard_of"])
times = st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(deadline=None)
@given(st.builds(ReportedStatus, codes, st.none() | times, st.none() | times))
def test_a_status_is_read_back_from_the_codec_state_as_it_was_written(status: ReportedStatus) -> None:
    assert ReportedStatus.load(status.dump()) == status


MESSAGES = st.lists(
    st.tuples(st.sampled_from(["order", "delivery"]), codes, st.integers(0, 30)), min_size=1, max_size=12
)


def _fold(messages: list[tuple[str, str, int]]) -> Observation | None:
    memory, seen = AttemptMemory("REFERENCE", "BR", {}), None
    for entity, code, minute in messages:
        status = ReportedStatus(code, datetime(2024, 11, 23, 12, tzinfo=UTC) + timedelta(minutes=minute))
        order, delivery = (status, None) if entity == "order" else (None, status)
        seen = resolve(StatusReport(order, delivery, polled=False), memory)
        assert seen is not None
        memory = replace(memory, codec_state={**memory.codec_state, **seen.codec_state})
    return seen


@settings(deadline=None)
@given(MESSAGES)
def test_a_completed_order_is_never_delivered_after_any_sequence_with_a_return(
    messages: list[tuple[str, str, int]],
) -> None:  # I12
    returned = any(entity == "delivery" and code.startswith("return_") for entity, code, _ in messages)
    seen = _fold([*messages, ("order", "completed", 59)])
    assert seen is not None
    assert not (returned and seen.status is S.DELIVERED and seen.raw and seen.raw.entity == "order")


@pytest.mark.fault("F-41")
@pytest.mark.quirk("B-84")
@settings(deadline=None)
@given(MESSAGES.filter(lambda messages: len({minute for *_, minute in messages}) == len(messages)), st.randoms())
def test_the_order_of_arrival_of_callbacks_does_not_change_the_last_status(
    messages: list[tuple[str, str, int]], random: Any
) -> None:
    unambiguous = [m for m in messages if m[1] not in {"completed", "reactivated", "active"}]
    if not unambiguous:
        return
    shuffled = random.sample(unambiguous, len(unambiguous))
    ended, late = _fold(sorted(unambiguous, key=lambda message: message[2])), _fold(shuffled)
    assert ended is not None
    assert late is not None
    assert (ended.status, ended.raw) == (late.status, late.raw)
