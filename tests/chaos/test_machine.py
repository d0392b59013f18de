from tests.chaos.machine import Stopwatch, slowness


def test_a_second_of_a_machine_that_is_three_times_as_slow_counts_a_third() -> None:
    loads, times = iter([1.0, 3.0, 1.0]), iter([100.0, 102.0, 105.0, 106.0])
    stopwatch = Stopwatch(loads.__next__, times.__next__)
    assert [stopwatch(), stopwatch(), stopwatch()] == [2.0, 3.0, 4.0]


def test_no_machine_counts_as_faster_than_an_idle_one() -> None:
    assert slowness() >= 1.0
