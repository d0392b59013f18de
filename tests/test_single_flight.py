"""Work that is requested many times at once is done by one thread, and once more for all requests meanwhile."""

from collections.abc import Callable, Iterable

import pytest

from worker.enqueue import SingleFlight


def runs(flight: SingleFlight, *meanwhile: Callable[[], object], helps: Iterable[bool] = ()) -> int:
    """Run work during each of whose runs something happens; return how many runs there were."""
    happens, results = list(meanwhile), list(helps)
    done: list[object] = []

    def work() -> bool:
        done.append(happens[len(done)]() if len(done) < len(happens) else None)
        return results[len(done) - 1] if results else True

    flight.run(work)
    return len(done)


def test_without_a_request_the_work_runs_once() -> None:
    assert runs(SingleFlight()) == 1


def test_a_request_meanwhile_causes_another_run() -> None:
    flight = SingleFlight()
    assert not flight.request()
    assert runs(flight, flight.request, flight.request) == 3
    assert not flight.request()


def test_many_requests_share_one_run() -> None:
    flight = SingleFlight()
    assert runs(flight, lambda: [flight.request() for _ in range(5)]) == 2


def test_running_it_meanwhile_is_only_a_request() -> None:
    flight = SingleFlight()
    assert runs(flight, lambda: runs(flight)) == 2


def test_work_that_says_that_no_other_run_helps_is_not_repeated() -> None:
    flight = SingleFlight()
    assert runs(flight, flight.request, helps=[False]) == 1
    assert not flight.request()


def test_after_a_stop_the_run_under_way_is_the_last() -> None:
    flight = SingleFlight()
    assert runs(flight, flight.stop, flight.request) == 1
    assert (runs(flight), flight.request(), flight.stopped) == (0, False, True)


def test_a_run_that_fails_is_the_last() -> None:
    flight = SingleFlight()

    def fail() -> None:
        flight.request()
        raise KeyError

    with pytest.raises(KeyError):
        runs(flight, fail)
    assert not flight.request()
    assert runs(flight) == 1
