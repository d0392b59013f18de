from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from schemas.messages import Cancellation, Message
from tests.database.samples import events, message, order, place, rows, take_in
from worker.database.database import Database
from worker.domain.delivery import Delivery

QUEUED = (1, "delivery.status_changed")


def together(*jobs: Callable[[], list[Delivery]]) -> list[list[Delivery]]:
    """Run jobs in threads that begin at the same moment."""
    gate = Barrier(len(jobs))

    def run(job: Callable[[], list[Delivery]]) -> list[Delivery]:
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def test_two_readers_with_the_same_message_insert_it_once(store: Database) -> None:
    made = together(*[lambda: take_in(store, message(order()))] * 4)
    assert sorted(len(each) for each in made) == [0, 0, 0, 1]
    assert events(store) == [QUEUED]


@pytest.mark.fault("F-46")
def test_two_readers_with_the_same_order_in_different_messages_insert_it_once(store: Database) -> None:
    jobs = [lambda name=name: take_in(store, message(order(), name)) for name in "abcd"]
    assert sorted(len(each) for each in together(*jobs)) == [0, 0, 0, 1]
    assert events(store) == [QUEUED]


def test_readers_with_the_same_orders_in_opposite_sequence_do_not_block_each_other(store: Database) -> None:
    ids = [str(number) for number in range(30)]
    place(store, *ids[:10])

    def messages(name: str) -> list[Message]:
        return [message(order(each, revision=2, notes="ring"), f"{name} {each}") for each in ids]

    made = together(lambda: take_in(store, *messages("a")), lambda: take_in(store, *reversed(messages("b"))))
    assert sorted(len(each) for each in made) == [0, 30]


def test_an_order_and_its_cancellation_in_two_readers_never_miss_each_other(store: Database) -> None:
    ids = [str(number) for number in range(8)]
    for each in ids:
        wish = Cancellation(order_id=each)
        together(
            lambda each=each: take_in(store, message(order(each))),  # type: ignore[misc]
            lambda wish=wish: take_in(store, message(wish, f"cancel {wish.order_id}")),  # type: ignore[misc]
        )
    assert [row["status"] for row in rows(store, "delivery")] == ["cancelled"] * 8
