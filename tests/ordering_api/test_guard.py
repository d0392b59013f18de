"""What the platform is told of a delivery, and what may be written over what."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.orders import Cancellation
from schemas.status import FINAL, GOODS_WITH_COURIER, RANK, AttemptState, CancelledBy, DeliveryStatus, Evidence
from tests.domain.scenario import START, a_blank, an_order
from worker.domain.delivery import Attempt, Delivery, Gate
from worker.ordering_api.write_policy import (  # fmt: skip
    BEFORE_DISPATCH,
    CLOSED,
    GATE_LOOK,
    PROGRESS,
    TAKEN_BACK,
    WRITABLE,
    Verdict,
    WriteBackState,
    WritePolicy,
    decide,
    may_need_write_back,
    next_look,
    waits,
    wanted,
)

S = DeliveryStatus
DEFAULT = WritePolicy(frozenset({22, 25, 8, 3, 9, 11, 12}))
ALL = WritePolicy(WRITABLE)
BLANK = a_blank(an_order())
WISH = Cancellation(order_id="2011")


def an_attempt(rank: int) -> Attempt:
    return Attempt(
        id=1, delivery_id="d-2011", number=1, carrier="borzo", state=AttemptState.CREATED, token="t", pickup_at=START,
        submitted_at=START, changed_at=START, rank=rank,
    )  # fmt: skip


def at(status: str, **what: Any) -> Delivery:
    """Put a delivery where a carrier was asked and took it."""
    return replace(BLANK, status=S(status), attempts=(an_attempt(10),), **what)


# --- what is to be told ---


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
        (at("cancelled", detail="with_items", cancel=WISH, cancelled_by=CancelledBy.MERCHANT), 12),
        (at("failed", detail="with_items"), 12),
        (at("cancelled", cancel=WISH, cancelled_by=CancelledBy.MERCHANT), None),
        (at("cancelled", cancelled_by=CancelledBy.CUSTOMER), None),
        (at("cancelled", cancelled_by=CancelledBy.COURIER), None),
        (at("rejected"), None),
        (at("failed"), None),
    ],
    ids=lambda each: f"{each.status} {each.detail or ''}" if isinstance(each, Delivery) else None,
)
@pytest.mark.trap("O-12", "O-14", "O-16")
def test_each_status_has_one_word_for_the_platform_or_none(delivery: Delivery, code: int | None) -> None:
    assert wanted(delivery, DEFAULT, START) == code


@pytest.mark.parametrize(
    ("delivery", "code"),
    [
        (at("dropoff_enroute"), 23),
        (at("reattempting"), 23),
        (at("dropoff_arrived"), 19),
        (at("rejected"), 6),
        (at("cancelled", cancelled_by=CancelledBy.COURIER), 6),
        (at("failed"), 6),
        (at("rejected", cancel=WISH), None),
        (at("cancelled", cancelled_by=CancelledBy.CUSTOMER), None),
    ],
)
@pytest.mark.trap("O-13", "O-15")
def test_what_the_platform_may_do_by_itself_or_a_person_decides_is_written_where_a_deployment_says_so(
    delivery: Delivery, code: int | None
) -> None:
    assert wanted(delivery, ALL, START) == code


def test_every_code_can_be_switched_off() -> None:
    without = [wanted(at(status), WritePolicy(frozenset()), START) for status in S]
    assert without == [None] * len(S)
    assert wanted(at("rejected"), WritePolicy(frozenset({10})), START) == 10
    assert wanted(at("delivered", evidence=Evidence.WEAK), replace(DEFAULT, weak_ends=False), START) is None


@pytest.mark.trap("O-16")
def test_nobody_is_said_to_be_looked_for_before_it_is_time_or_while_the_shop_has_something_to_do() -> None:
    later = replace(BLANK, dispatch_at=START + timedelta(hours=1))
    assert wanted(later, DEFAULT, START) is None
    assert wanted(later, DEFAULT, START + timedelta(hours=1) - BEFORE_DISPATCH) == 22
    assert wanted(replace(BLANK, gate=Gate.ACCEPTED), DEFAULT, START) is None


# --- what may be written over what ---


def verdict(
    delivery: Delivery, seen: int, *, memory: WriteBackState | None = None, licence: WritePolicy = ALL
) -> Verdict:
    return decide(delivery, memory or WriteBackState(), seen, licence, START)[0]


def written_over(delivery: Delivery, licence: WritePolicy = ALL) -> set[int]:
    return {seen for seen in range(30) if verdict(delivery, seen, licence=licence) is Verdict.WRITE}


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
@pytest.mark.trap("O-13", "O-15", "O-17", "O-18", "O-19", "O-25")
def test_nothing_is_written_but_what_is_ahead_of_what_stands_there(delivery: Delivery, over: set[int]) -> None:
    assert written_over(delivery) == over
    assert not over & CLOSED


@pytest.mark.trap("O-20")
def test_an_order_that_the_shop_must_accept_first_is_not_taken_from_pending() -> None:
    assert written_over(BLANK, replace(ALL, gate="accepted")) == {4, 7}
    assert written_over(at("created"), replace(ALL, gate="accepted")) == {0, 4, 7, 13, 22}


def test_what_is_written_is_known_and_not_written_again() -> None:
    delivery = at("courier_assigned")
    first, known = decide(delivery, WriteBackState(25, written=True, reported=True, failures=3), 7, DEFAULT, START)
    assert (first, known) == (Verdict.WRITE, WriteBackState(8, replaced=7, seen=7))
    taken = replace(known, written=True)
    assert [verdict(delivery, seen, memory=taken) for seen in (8, 18, 3, 4, 14, 24, 9, 11)] == [Verdict.SKIP] * 8


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
@pytest.mark.trap("O-17", "O-18")
def test_what_does_not_stay_is_told_once_and_not_fought_over(delivery: Delivery, code: int, seen: int) -> None:
    taken = WriteBackState(code, replaced=7, written=True)
    told, known = decide(delivery, taken, seen, DEFAULT, START)
    assert (told, known) == (Verdict.REPORT, WriteBackState(code, replaced=7, written=True, reported=True, seen=seen))
    assert decide(delivery, known, seen, DEFAULT, START) == (Verdict.SKIP, known)


@pytest.mark.parametrize(
    ("status", "seen"), [("delivered", 12), ("delivered", 16), ("delivered", 6), ("returned", 11), ("returning", 1)]
)
def test_an_end_that_is_not_ours_is_told_and_never_written_over(status: str, seen: int) -> None:
    told, known = decide(at(status), WriteBackState(9, written=True), seen, DEFAULT, START)
    assert (told, decide(at(status), known, seen, DEFAULT, START)[0]) == (Verdict.REPORT, Verdict.SKIP)


def test_a_pause_forgets_nothing_of_what_was_written() -> None:
    held = decide(at("on_hold"), WriteBackState(8, written=True), 8, DEFAULT, START)
    assert held == (Verdict.SKIP, WriteBackState(8, written=True, seen=8))


# --- when to look ---


@pytest.mark.parametrize(
    ("delivery", "after"),
    [
        (BLANK, None),
        (replace(BLANK, dispatch_at=START), None),
        (replace(BLANK, dispatch_at=START + timedelta(hours=3)), timedelta(hours=3) - BEFORE_DISPATCH),
        (replace(BLANK, gate=Gate.READY), GATE_LOOK),
        (replace(BLANK, gate=Gate.READY, dispatch_at=START - timedelta(minutes=9)), GATE_LOOK),
        (replace(BLANK, gate=Gate.READY, dispatch_at=START + timedelta(hours=10)), timedelta(hours=1)),
        (replace(BLANK, gate=Gate.READY, dispatch_at=START + timedelta(seconds=80)), timedelta(seconds=20)),
        (at("created", dispatch_at=START + timedelta(hours=3)), None),
        (replace(BLANK, status=S.CANCELLED, gate=Gate.READY), None),
    ],
)
@pytest.mark.trap("O-20")
def test_what_waits_is_looked_at_before_it_goes(delivery: Delivery, after: timedelta | None) -> None:
    assert next_look(delivery, START) == (None if after is None else START + after)


def test_what_only_a_carrier_or_a_clock_cares_about_stirs_nobody() -> None:
    assert not may_need_write_back(
        BLANK, replace(BLANK, next_run_at=START, failures=3, sequence=4, tracking_url="https://e")
    )
    assert may_need_write_back(BLANK, replace(BLANK, gate=Gate.READY))
    assert may_need_write_back(BLANK, at("created"))


# --- whatever happens (I8) ---


@st.composite
def moments(draw: st.DrawFn) -> Delivery:
    """Draw a delivery in any state, be it one that no carrier could bring about."""
    status = draw(st.sampled_from(list(S)))
    rank = draw(st.sampled_from([0, 10, 40, GOODS_WITH_COURIER]))
    return replace(
        BLANK,
        status=status,
        previous_status=draw(st.none() | st.sampled_from(list(S))),
        detail=draw(st.sampled_from([None, "with_items", "pending_verification", "fallback"])),
        evidence=draw(st.sampled_from(list(Evidence))),
        cancelled_by=draw(st.none() | st.sampled_from(list(CancelledBy))) if status in FINAL else None,
        cancel_request=draw(st.none() | st.just(WISH)),
        gate=draw(st.sampled_from([None, None, Gate.READY])),
        attempts=(an_attempt(rank),) if draw(st.booleans()) else (),
    )


class Platform:
    """A platform that anybody may write to, that may lose a write, take it and not say so, or take it and ignore it."""

    def __init__(self) -> None:
        self.status, self.memory = 0, WriteBackState()

    def look(self, delivery: Delivery, licence: WritePolicy, fate: str) -> None:
        """Look and write as the task does; hold every write against what must never be."""
        seen, before = self.status, self.memory
        verdict_, self.memory = decide(delivery, before, seen, licence, START)
        if verdict_ is not Verdict.WRITE:
            return
        code = self.memory.status
        assert code in licence.codes
        assert seen not in CLOSED
        assert code not in {0, 1, 2, 4, 5, 7, 13, 14, 15, 16, 17, 18, 20, 21, 24}
        assert PROGRESS[seen] < 80
        if code == 22 and PROGRESS[seen] >= 10:
            assert seen in TAKEN_BACK
            assert delivery.attempts[0].rank >= RANK[S.CREATED]
        assert not (before.status == code and before.written), "written twice for one state"
        if fate in {"taken", "unsaid"}:
            self.status = code
        if fate in {"taken", "ignored"}:
            self.memory = replace(self.memory, written=True)


LICENCES = st.sampled_from([DEFAULT, ALL, WritePolicy(WRITABLE, weak_ends=False, gate="accepted")])
FATES = st.sampled_from(["taken", "taken", "ignored", "lost", "unsaid"])


@given(
    licence=LICENCES,
    story=st.lists(st.tuples(moments(), st.none() | st.integers(0, 27), st.lists(FATES, min_size=1, max_size=3))),
)
@pytest.mark.trap("O-13", "O-18")
def test_no_forbidden_status_is_ever_written_none_over_a_closed_order_and_none_twice_for_one_state(
    licence: WritePolicy, story: list[tuple[Delivery, int | None, list[str]]]
) -> None:
    platform = Platform()
    for delivery, others, fates in story:
        platform.status = platform.status if others is None else others
        for fate in fates:
            platform.look(delivery, licence, fate)


@given(delivery=moments(), licence=LICENCES)
def test_nothing_is_wanted_that_is_never_written(delivery: Delivery, licence: WritePolicy) -> None:
    code = wanted(delivery, licence, START)
    assert code is None or code in licence.codes
    assert code is None or not waits(delivery, START) or delivery.status is not S.QUEUED
