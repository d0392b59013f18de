"""What many ask for at once is done by one thread, and once more for all who asked meanwhile."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from celery import Celery

from worker import enqueue
from worker.single_flight import RELAYING, SingleFlight


def go_round(rounds: SingleFlight, *each: Callable[[], object], helps: Iterable[bool] = ()) -> int:
    """Run with something happening in each round; return how many rounds there were."""
    wanted, found = list(each), list(helps)
    done: list[object] = []

    def go() -> bool:
        done.append(wanted[len(done)]() if len(done) < len(wanted) else None)
        return found[len(done) - 1] if found else True

    rounds.run(go)
    return len(done)


def test_without_a_request_the_work_runs_once() -> None:
    assert go_round(SingleFlight()) == 1


def test_a_request_meanwhile_causes_another_run() -> None:
    rounds = SingleFlight()
    assert not rounds.request()
    assert go_round(rounds, rounds.request, rounds.request) == 3
    assert not rounds.request()


def test_many_requests_share_one_run() -> None:
    rounds = SingleFlight()
    assert go_round(rounds, lambda: [rounds.request() for _ in range(5)]) == 2


def test_running_it_meanwhile_is_only_a_request() -> None:
    rounds = SingleFlight()
    assert go_round(rounds, lambda: go_round(rounds)) == 2


def test_work_that_says_that_no_other_run_helps_is_not_repeated() -> None:
    rounds = SingleFlight()
    assert go_round(rounds, rounds.request, helps=[False]) == 1
    assert not rounds.request()


def test_a_run_that_fails_is_the_last() -> None:
    rounds = SingleFlight()

    def fail() -> None:
        rounds.request()
        raise KeyError

    with pytest.raises(KeyError):
        go_round(rounds, fail)
    assert not rounds.request()
    assert go_round(rounds) == 1


def test_while_a_relay_runs_no_task_to_publish_is_sent() -> None:
    app = Celery(broker="memory://", set_as_current=True)

    def hinted() -> list[str]:
        enqueue.send([enqueue.publish(), ("other", [])])
        with app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            found = iter(lambda: channel.basic_get("celery", no_ack=True), None)
            return [got.headers["task"] for got in found]

    told = [hinted()]

    def go() -> bool:
        told.append(hinted())
        return len(told) < 3

    RELAYING.run(go)
    assert told == [["events.publish", "other"], ["other"], ["other"]]
    app.close()
