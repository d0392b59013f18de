import pytest

from worker.resilience.bulkhead import MOST_WAITING, Admission, Bulkhead


def fill(rooms: Bulkhead, account: str, *, reading: bool) -> int:
    """Enter until there is no room, and tell how often that went; one hint then waits."""
    entered = 0
    while rooms.enter(account, ("hint", []), reading=reading) is Admission.ADMITTED:
        entered += 1
    return entered


@pytest.mark.parametrize(
    ("slots", "accounts", "all_", "reads"), [(16, 1, 8, 4), (16, 3, 4, 2), (16, 40, 1, 1), (1, 1, 1, 1), (1, 0, 1, 1)]
)
def test_an_account_has_its_part_of_the_threads_and_half_of_that_for_reads(
    slots: int, accounts: int, all_: int, reads: int
) -> None:
    made = Bulkhead(slots, accounts), Bulkhead(slots, accounts)
    assert (fill(made[0], "a", reading=False), fill(made[1], "a", reading=True)) == (all_, reads)


def test_reads_leave_room_for_creates() -> None:
    rooms = Bulkhead(16, 1)
    assert (fill(rooms, "a", reading=True), fill(rooms, "a", reading=False)) == (4, 4)


@pytest.mark.fault("F-39")
def test_one_account_that_is_full_leaves_the_others_alone() -> None:
    rooms = Bulkhead(16, 3)
    assert [fill(rooms, account, reading=False) for account in "abc"] == [4, 4, 4]


def test_whoever_leaves_sends_a_hint_that_waits_again_and_money_goes_first() -> None:
    rooms = Bulkhead(2, 0)
    for name, reading in [("read 1", True), ("create 1", False), ("read 2", True), ("create 2", False)]:
        rooms.enter("a", (name, []), reading=reading)
    assert rooms.leave("a", reading=False) == [("create 2", [])]
    assert rooms.leave("a", reading=True) == [("read 2", [])]
    assert rooms.enter("a", ("read 3", []), reading=True) is Admission.ADMITTED
    assert rooms.leave("a", reading=True) == []


def test_a_room_that_only_a_create_may_have_is_offered_to_no_read() -> None:
    rooms = Bulkhead(4, 0)
    assert fill(rooms, "a", reading=True) == 2
    assert rooms.enter("a", ("create", []), reading=False) is Admission.ADMITTED
    assert rooms.leave("a", reading=False) == []


def test_only_so_many_hints_wait() -> None:
    rooms = Bulkhead(1, 1)
    doors = [rooms.enter("a", ("hint", []), reading=False) for _ in range(MOST_WAITING + 2)]
    assert doors == [Admission.ADMITTED, *[Admission.QUEUED] * MOST_WAITING, Admission.REJECTED]
