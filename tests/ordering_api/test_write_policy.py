"""Which status the platform should have for a delivery, and which status may be written over which."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.messages import Cancellation
from schemas.status import FINAL, GOODS_WITH_COURIER, RANK, AttemptState, CancelledBy, DeliveryStatus, Evidence
from tests.domain.scenario import START, a_blank, an_order
from worker.domain.delivery import Attempt, Delivery, Gate
from worker.ordering_api.write_policy import (  # fmt: skip
    BEFORE_DISPATCH,
    CLOSED,
    GATE_READ_INTERVAL,
    PROGRESS,
    REPLACED_BY_SEARCH,
    WRITABLE,
    Verdict,
    WriteBackState,
    WritePolicy,
    decide,
    desired_status,
    is_waiting,
    may_need_write_back,
    next_read,
)

S = DeliveryStatus
DEFAULT = WritePolicy(frozenset({22, 25, 8, 3, 9, 11, 12}))
ALL = WritePolicy(WRITABLE)
BLANK = a_blank(an_order())
CANCEL = Cancellation(order_id="2011")


def an_attempt(rank: int) -> Attempt:
    return Attempt(
        id=1, delivery_id="d-2011", number=1, carrier="borzo", state=AttemptState.CREATED, token="t", pickup_at=START,
        submitted_at=START, changed_at=START, rank=rank,
    )  # fmt: skip


def at(status: str, **fields: Any) -> Delivery:
    """Return a delivery with this status that a carrier has accepted."""
    return replace(BLANK, status=S(status), attempts=(an_attempt(10),), **fields)


# --- which status the platform should have ---


@pytest.mark.parametrize(
    ("delivery", "code"),
    [
        (BLANK, 22),
        (at("queued", detail="fallback", previous_status=S.QUEUED), 22),
        (at("submit_unknown"), 22),
        (at("awaiting_confirmation"), 22),
        (at("created", previous_status=S.QUEUED), 25),
        (at("created", detail="pending_verification"), 22),
        (at("created", previous_status=S.COURIER_WITHDRAWN), 22),
        (at("created", previous_status=S.COURIER_ASSIGNED, detail="reassigned"), 22),
        (at("created", previous_status=S.ON_HOLD), 25),
        (at("courier_withdrawn"), 22),
        (at("courier_assigned"), 8),
        (at("pickup_enroute"), 8),
        (at("pickup_arrived"), 3),
        (at("picked_up"), 9),
        (at("dropoff_enroute"), 9),
        (at("dropoff_arrived"), 9),
        (at("on_hold"), None),
        (at("delivery_failed"), None),
        (at("reattempting"), None),
        (at("returning"), 12),
        (at("returned"), 12),
        (at("delivered"), 11),
        (at("delivered", evidence=Evidence.WEAK), 11),
        (at("cancelled", detail="with_items", cancelled_by=CancelledBy.UNKNOWN), 12),
        (at("cancelled", detail="with_items", cancel_request=CANCEL, cancelled_by=CancelledBy.MERCHANT), 12),
        (at("failed", detail="with_items"), 12),
        (at("cancelled", cancel_request=CANCEL, cancelled_by=CancelledBy.MERCHANT), None),
        (at("cancelled", cancelled_by=CancelledBy.CUSTOMER), None),
        (at("cancelled", cancelled_by=CancelledBy.COURIER), None),
        (at("rejected"), None),
        (at("failed"), None),
    ],
    ids=lambda each: f"{each.status} {each.detail or ''}" if isinstance(each, Delivery) else None,
)
@pytest.mark.quirk("O-12", "O-14", "O-16")
def test_each_status_has_one_platform_status_or_none(delivery: Delivery, code: int | None) -> None:
    assert desired_status(delivery, DEFAULT, START) == code


@pytest.mark.parametrize(
    ("delivery", "code"),
    [
        (at("dropoff_enroute"), 23),
        (at("reattempting"), 23),
        (at("dropoff_arrived"), 19),
        (at("rejected"), 6),
        (at("cancelled", cancelled_by=CancelledBy.COURIER), 6),
        (at("failed"), 6),
        (at("rejected", cancel_request=CANCEL), None),
        (at("cancelled", cancelled_by=CancelledBy.CUSTOMER), None),
    ],
)
@pytest.mark.quirk("O-13", "O-15")
def test_the_optional_platform_statuses_are_written_where_the_settings_list_them(
    delivery: Delivery, code: int | None
) -> None:
    assert desired_status(delivery, ALL, START) == code


def test_every_code_can_be_switched_off() -> None:
    without = [desired_status(at(status), WritePolicy(frozenset()), START) for status in S]
    assert without == [None] * len(S)
    assert desired_status(at("rejected"), WritePolicy(frozenset({10})), START) == 10
    assert desired_status(at("delivered", evidence=Evidence.WEAK), replace(DEFAULT, weak_ends=False), START) is None


@pytest.mark.quirk("O-16")
def test_22_is_not_written_before_the_dispatch_or_while_the_gate_is_closed() -> None:
    later = replace(BLANK, dispatch_at=START + timedelta(hours=1))
    assert desired_status(later, DEFAULT, START) is None
    assert desired_status(later, DEFAULT, START + timedelta(hours=1) - BEFORE_DISPATCH) == 22
    assert desired_status(replace(BLANK, gate=Gate.ACCEPTED), DEFAULT, START) is None


# --- whether it may be written ---


def verdict(
    delivery: Delivery, seen: int, *, known: WriteBackState | None = None, policy: WritePolicy = ALL
) -> Verdict:
    return decide(delivery, known or WriteBackState(), seen, policy, START)[0]


def written_over(delivery: Delivery, policy: WritePolicy = ALL) -> set[int]:
    return {seen for seen in range(30) if verdict(delivery, seen, policy=policy) is Verdict.WRITE}


@pytest.mark.parametrize(
    ("delivery", "over"),
    [
        (BLANK, {0, 4, 7}),
        (at("courier_withdrawn"), {0, 4, 7, 25, 8, 18, 3}),
        (at("created"), {0, 4, 7, 13, 22}),
        (at("courier_assigned"), {0, 4, 7, 13, 22, 25}),
        (at("pickup_arrived"), {0, 4, 7, 13, 22, 25, 8, 18}),
        (at("picked_up"), {0, 4, 7, 13, 22, 25, 8, 18, 3, 14, 24}),
        (at("dropoff_enroute"), {0, 4, 7, 13, 22, 25, 8, 18, 3, 14, 24}),
        (at("dropoff_arrived"), {0, 4, 7, 13, 22, 25, 8, 18, 3, 14, 24, 9, 23}),
        (at("rejected"), {0, 4, 7, 13, 22, 25, 8, 18, 3, 14, 24}),
        (at("returning"), set(PROGRESS)),
        (at("delivered"), set(PROGRESS)),
    ],
    ids=lambda each: each.status.value if isinstance(each, Delivery) else None,
)
@pytest.mark.quirk("O-13", "O-15", "O-17", "O-18", "O-19", "O-25")
def test_a_status_is_written_only_over_one_that_is_less_far_along(delivery: Delivery, over: set[int]) -> None:
    assert written_over(delivery) == over
    assert not over & CLOSED


@pytest.mark.quirk("O-20")
def test_22_is_not_written_over_pending_where_the_shop_must_accept_first() -> None:
    assert written_over(BLANK, replace(ALL, gate=Gate.ACCEPTED)) == {4, 7}
    assert written_over(at("created"), replace(ALL, gate=Gate.ACCEPTED)) == {0, 4, 7, 13, 22}


def test_a_status_that_was_written_is_not_written_again() -> None:
    delivery = at("courier_assigned")
    first, known = decide(delivery, WriteBackState(25, written=True, reported=True, failures=3), 7, DEFAULT, START)
    assert (first, known) == (Verdict.WRITE, WriteBackState(8, replaced=7, seen=7))
    accepted = replace(known, written=True)
    assert [verdict(delivery, seen, known=accepted) for seen in (8, 18, 3, 4, 14, 24, 9, 11)] == [Verdict.SKIP] * 8


@pytest.mark.parametrize(
    ("delivery", "code", "seen"),
    [
        (at("courier_assigned"), 8, 22),
        (at("picked_up"), 9, 8),
        (at("courier_withdrawn"), 22, 8),
        (at("picked_up"), 9, 6),
        (at("created"), 25, 26),
        (at("created"), 25, 7),
        (at("picked_up"), 9, 0),
    ],
)
@pytest.mark.quirk("O-17", "O-18")
def test_a_status_that_was_replaced_is_reported_once_and_not_written_again(
    delivery: Delivery, code: int, seen: int
) -> None:
    accepted = WriteBackState(code, replaced=7, written=True)
    first, known = decide(delivery, accepted, seen, DEFAULT, START)
    assert (first, known) == (Verdict.REPORT, WriteBackState(code, replaced=7, written=True, reported=True, seen=seen))
    assert decide(delivery, known, seen, DEFAULT, START) == (Verdict.SKIP, known)


@pytest.mark.parametrize(
    ("status", "seen"), [("delivered", 12), ("delivered", 16), ("delivered", 6), ("returned", 11), ("returning", 1)]
)
def test_another_end_than_ours_is_reported_once_and_never_overwritten(status: str, seen: int) -> None:
    first, known = decide(at(status), WriteBackState(9, written=True), seen, DEFAULT, START)
    assert (first, decide(at(status), known, seen, DEFAULT, START)[0]) == (Verdict.REPORT, Verdict.SKIP)


def test_a_pause_keeps_what_is_known_of_the_last_write() -> None:
    held = decide(at("on_hold"), WriteBackState(8, written=True), 8, DEFAULT, START)
    assert held == (Verdict.SKIP, WriteBackState(8, written=True, seen=8))


# --- when to read again ---


@pytest.mark.parametrize(
    ("delivery", "after"),
    [
        (BLANK, None),
        (replace(BLANK, dispatch_at=START), None),
        (replace(BLANK, dispatch_at=START + timedelta(hours=3)), timedelta(hours=3) - BEFORE_DISPATCH),
        (replace(BLANK, gate=Gate.READY), GATE_READ_INTERVAL),
        (replace(BLANK, gate=Gate.READY, dispatch_at=START - timedelta(minutes=9)), GATE_READ_INTERVAL),
        (replace(BLANK, gate=Gate.READY, dispatch_at=START + timedelta(hours=10)), timedelta(hours=1)),
        (replace(BLANK, gate=Gate.READY, dispatch_at=START + timedelta(seconds=80)), timedelta(seconds=20)),
        (at("created", dispatch_at=START + timedelta(hours=3)), None),
        (replace(BLANK, status=S.CANCELLED, gate=Gate.READY), None),
    ],
)
@pytest.mark.quirk("O-20")
def test_a_waiting_order_is_read_again_before_its_dispatch(delivery: Delivery, after: timedelta | None) -> None:
    assert next_read(delivery, START) == (None if after is None else START + after)


def test_only_a_change_that_concerns_the_platform_may_need_a_write_back() -> None:
    assert not may_need_write_back(
        BLANK, replace(BLANK, next_run_at=START, failures=3, sequence=4, tracking_url="https://e")
    )
    assert may_need_write_back(BLANK, replace(BLANK, gate=Gate.READY))
    assert may_need_write_back(BLANK, at("created"))


# --- in any sequence of events (I8) ---


@st.composite
def deliveries(draw: st.DrawFn) -> Delivery:
    """Draw a delivery in any state, even in one that no carrier could cause."""
    status = draw(st.sampled_from(list(S)))
    rank = draw(st.sampled_from([0, 10, 40, GOODS_WITH_COURIER]))
    return replace(
        BLANK,
        status=status,
        previous_status=draw(st.none() | st.sampled_from(list(S))),
        detail=draw(st.sampled_from([None, "with_items", "pending_verification", "fallback"])),
        evidence=draw(st.sampled_from(list(Evidence))),
        cancelled_by=draw(st.none() | st.sampled_from(list(CancelledBy))) if status in FINAL else None,
        cancel_request=draw(st.none() | st.just(CANCEL)),
        gate=draw(st.sampled_from([None, None, Gate.READY])),
        attempts=(an_attempt(rank),) if draw(st.booleans()) else (),
    )


class Platform:
    """A platform that others write to as well, and that may lose a write, accept it without an answer, or ignore it."""

    def __init__(self) -> None:
        self.status, self.known = 0, WriteBackState()

    def read_and_write(self, delivery: Delivery, policy: WritePolicy, fate: str) -> None:
        """Read and write as the task does, and check that every write is allowed."""
        seen, before = self.status, self.known
        decided, self.known = decide(delivery, before, seen, policy, START)
        if decided is not Verdict.WRITE:
            return
        code = self.known.status
        assert code in policy.codes
        assert seen not in CLOSED
        assert code not in {0, 1, 2, 4, 5, 7, 13, 14, 15, 16, 17, 18, 20, 21, 24}
        assert PROGRESS[seen] < 80
        if code == 22 and PROGRESS[seen] >= 10:
            assert seen in REPLACED_BY_SEARCH
            assert delivery.attempts[0].rank >= RANK[S.CREATED]
        assert not (before.status == code and before.written), "written twice for one state"
        if fate in {"accepted", "unanswered"}:
            self.status = code
        if fate in {"accepted", "ignored"}:
            self.known = replace(self.known, written=True)


POLICIES = st.sampled_from([DEFAULT, ALL, WritePolicy(WRITABLE, weak_ends=False, gate=Gate.ACCEPTED)])
FATES = st.sampled_from(["accepted", "accepted", "ignored", "lost", "unanswered"])


@pytest.mark.fault("F-64")
@given(
    policy=POLICIES,
    story=st.lists(st.tuples(deliveries(), st.none() | st.integers(0, 27), st.lists(FATES, min_size=1, max_size=3))),
)
@pytest.mark.quirk("O-13", "O-18")
def test_no_forbidden_status_is_written_none_over_a_closed_order_and_none_twice_for_one_state(
    policy: WritePolicy, story: list[tuple[Delivery, int | None, list[str]]]
) -> None:
    platform = Platform()
    for delivery, others, fates in story:
        platform.status = platform.status if others is None else others
        for fate in fates:
            platform.read_and_write(delivery, policy, fate)


@given(delivery=deliveries(), policy=POLICIES)
def test_only_a_status_in_the_settings_is_ever_desired(delivery: Delivery, policy: WritePolicy) -> None:
    code = desired_status(delivery, policy, START)
    assert code is None or code in policy.codes
    assert code is None or not is_waiting(delivery, START) or delivery.status is not S.QUEUED
