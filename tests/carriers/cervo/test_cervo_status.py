"""Every row of the status table, compared with the list in the API document."""

from dataclasses import replace

import pytest

from schemas.status import CancelledBy, DeliveryStatus
from worker.carriers.cervo.status import STATUS_BY_CODE, Meaning, meaning_of, meanings
from worker.carriers.port import AttemptView, Raw

S = DeliveryStatus

DOCUMENTED_CODES = """
1 New
2 Accepted by driver
3 Order on hand
4 Completed
5 Canceled by driver
0 Canceled
"""

ROWS = {
    "New": S.CREATED,
    "Accepted by driver": S.COURIER_ASSIGNED,
    "Order on hand": S.PICKED_UP,
    "Completed": S.DELIVERED,
    "Canceled by driver": S.COURIER_WITHDRAWN,
    "Canceled": S.CANCELLED,
}


def documented() -> dict[str, str]:
    return dict(line.split(" ", 1) for line in DOCUMENTED_CODES.strip().splitlines())


def test_the_table_has_every_documented_code_and_no_other() -> None:
    assert {code: ROWS[text] for code, text in documented().items()} == STATUS_BY_CODE


def test_every_status_that_a_code_may_get_is_among_its_meanings(attempt: AttemptView) -> None:
    ended = replace(attempt, state=S.CANCELLED)
    for code in (*STATUS_BY_CODE, "6"):
        found = {meaning_of(code, each, collected=goods).status for each in (attempt, ended) for goods in (True, False)}
        assert meanings(Raw("order", code)) == found
    assert meanings(Raw("response", "200")) == {S.CREATED}


@pytest.mark.quirk("C-32", "C-33", "C-34", "C-35")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1", Meaning(S.CREATED)),
        ("2", Meaning(S.COURIER_ASSIGNED)),
        ("3", Meaning(S.PICKED_UP)),
        ("4", Meaning(S.DELIVERED)),
        ("5", Meaning(S.COURIER_WITHDRAWN)),
        ("0", Meaning(S.CANCELLED, cancelled_by=CancelledBy.UNKNOWN)),
        ("6", Meaning(None)),
        ("7", Meaning(None)),
        ("00", Meaning(None)),
        ("-0", Meaning(None)),
        ("4.0", Meaning(None)),
        ("Completed", Meaning(None)),
    ],
    ids=["1", "2", "C-35", "4", "C-34", "C-33", "C-32", "7", "00", "-0", "4.0", "label"],
)
def test_each_code_has_one_meaning_while_the_goods_are_in_the_shop(
    attempt: AttemptView, code: str, expected: Meaning
) -> None:
    assert meaning_of(code, attempt, collected=False) == expected


@pytest.mark.quirk("C-34")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1", Meaning(S.CREATED)),
        ("2", Meaning(S.COURIER_ASSIGNED)),
        ("3", Meaning(S.PICKED_UP)),
        ("4", Meaning(S.DELIVERED)),
        ("5", Meaning(S.CANCELLED, "with_items", CancelledBy.COURIER)),
        ("0", Meaning(S.CANCELLED, "with_items", CancelledBy.UNKNOWN)),
        ("6", Meaning(None)),
    ],
)
def test_a_cancellation_after_pickup_is_one_with_items(attempt: AttemptView, code: str, expected: Meaning) -> None:
    assert meaning_of(code, attempt, collected=True) == expected


def test_a_cancellation_is_the_merchant_s_when_it_was_requested(attempt: AttemptView) -> None:
    requested = replace(attempt, cancel_requested=True)
    assert meaning_of("0", requested, collected=False) == Meaning(S.CANCELLED, cancelled_by=CancelledBy.MERCHANT)


@pytest.mark.quirk("C-34")
def test_a_withdrawal_that_ended_an_attempt_never_reopens_it(attempt: AttemptView) -> None:  # on a follow-up read
    ended = replace(attempt, state="cancelled", rank=100)
    assert meaning_of("5", ended, collected=False) == Meaning(S.CANCELLED, cancelled_by=CancelledBy.COURIER)
