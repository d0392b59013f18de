import pytest

from worker.resilience.bulkhead import MAX_WAITING, Admission, Bulkhead


def apart(_waiting: str, _more: str) -> None:
    """Join no tasks."""


def joined(waiting: str, more: str) -> str | None:
    """Join tasks whose names begin with the same letter, up to five letters."""
    return waiting + more[1:] if waiting[0] == more[0] and len(waiting + more[1:]) <= 5 else None


def fill(bulkhead: Bulkhead[str], account: str, *, reading: bool) -> int:
    """Enter until there is no slot; return how many there were. One task then waits."""
    slots = 0
    while bulkhead.enter(account, "task", reading=reading) is Admission.ADMITTED:
        slots += 1
    return slots


@pytest.mark.parametrize(
    ("slots", "accounts", "all_", "reads"), [(16, 1, 8, 4), (16, 3, 4, 2), (16, 40, 1, 1), (1, 1, 1, 1), (1, 0, 1, 1)]
)
def test_an_account_has_an_equal_share_of_the_threads_and_half_of_it_for_reads(
    slots: int, accounts: int, all_: int, reads: int
) -> None:
    calls, only_reads = Bulkhead[str](slots, accounts, apart), Bulkhead[str](slots, accounts, apart)
    assert (fill(calls, "a", reading=False), fill(only_reads, "a", reading=True)) == (all_, reads)


def test_reads_leave_slots_for_creates() -> None:
    bulkhead = Bulkhead[str](16, 1, apart)
    assert (fill(bulkhead, "a", reading=True), fill(bulkhead, "a", reading=False)) == (4, 4)


@pytest.mark.fault("F-39")
def test_a_full_account_leaves_the_slots_of_the_others_alone() -> None:
    bulkhead = Bulkhead[str](16, 3, apart)
    assert [fill(bulkhead, account, reading=False) for account in "abc"] == [4, 4, 4]


def test_leaving_returns_what_waits_and_creates_come_before_reads() -> None:
    bulkhead = Bulkhead[str](2, 0, apart)
    for name, reading in [("read 1", True), ("create 1", False), ("read 2", True), ("create 2", False)]:
        bulkhead.enter("a", name, reading=reading)
    assert bulkhead.leave("a", reading=False) == ["create 2"]
    assert bulkhead.leave("a", reading=True) == ["read 2"]
    assert bulkhead.enter("a", "read 3", reading=True) is Admission.ADMITTED
    assert bulkhead.leave("a", reading=True) == []


def test_a_slot_that_reads_may_not_use_is_given_to_no_read() -> None:
    bulkhead = Bulkhead[str](4, 0, apart)
    assert fill(bulkhead, "a", reading=True) == 2
    assert bulkhead.enter("a", "create", reading=False) is Admission.ADMITTED
    assert bulkhead.leave("a", reading=False) == []


def test_the_queue_for_a_slot_is_limited() -> None:
    bulkhead = Bulkhead[str](1, 1, apart)
    answers = [bulkhead.enter("a", "task", reading=False) for _ in range(MAX_WAITING + 2)]
    assert answers == [Admission.ADMITTED, *[Admission.QUEUED] * MAX_WAITING, Admission.REJECTED]


@pytest.mark.fault("F-92")
def test_tasks_of_one_kind_wait_as_one_task_up_to_a_size() -> None:
    bulkhead = Bulkhead[str](1, 1, joined)
    for task in ("book", "a1", "b2", "a3", "b4", "a5", "b6", "a7", "a8"):
        bulkhead.enter("a", task, reading=False)
    assert [bulkhead.leave("a", reading=False) for _ in range(4)] == [["a1357"], ["b246"], ["a8"], []]


@pytest.mark.fault("F-92")
def test_a_task_that_can_be_joined_is_queued_however_many_tasks_wait() -> None:
    bulkhead = Bulkhead[str](1, 1, joined)
    waiting = [chr(ord("a") + number) for number in range(MAX_WAITING)]
    answers = [bulkhead.enter("a", task, reading=False) for task in ("running", *waiting, waiting[-1] + "x", "!")]
    assert answers == [Admission.ADMITTED, *[Admission.QUEUED] * (MAX_WAITING + 1), Admission.REJECTED]
