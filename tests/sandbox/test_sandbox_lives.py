from datetime import UTC, datetime, timedelta

import pytest

from worker.sandbox import lives
from worker.sandbox.lives import Life, Moment

START = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
STEP = timedelta(seconds=5)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", "happy"),
        (None, "happy"),
        ("#AB12 sandbox:returned, 2nd floor", "returned"),
        ("sandbox:nonsense", "happy"),
        ("sandbox:offered_late", "offered_late"),
        ("sandbox:deliverit=closed sandbox:cervo=returned", "returned"),
        ("sandbox:deliverit=closed", "happy"),
    ],
)
def test_a_script_is_named_anywhere_in_the_text(text: str | None, script: str) -> None:
    assert lives.script_in("cervo", "notes", text) == script


@pytest.mark.parametrize(
    ("seconds", "word"), [(-1, "1"), (0, "1"), (4.9, "1"), (5, "2"), (10, "3"), (15, "4"), (1e6, "4")]
)
def test_a_word_depends_on_the_time_alone(seconds: float, word: str) -> None:
    assert lives.begin(lives.CERVO, "happy", START, 5).word(at(seconds)) == word


def test_a_life_without_steps_is_over_at_once() -> None:
    life = lives.begin(lives.CERVO, "happy", START, 0)
    assert life.history(START) == tuple(Moment(word, START) for word in "1234")


def test_the_next_change_is_known_until_the_last_word() -> None:
    life = lives.begin(lives.CERVO, "cancelled", START, 5)
    assert [life.next_change(at(seconds)) for seconds in (0, 5, 9, 10)] == [at(5), at(10), at(10), None]


def test_a_turned_life_keeps_its_past_and_has_no_future() -> None:
    life = lives.begin(lives.CERVO, "happy", START, 5)
    life.turn(at(6), "0")
    expected = (Moment("1", START), Moment("2", at(5)), Moment("0", at(6)))
    assert (life.history(at(100)), life.next_change(at(6))) == (expected, None)


def test_an_advanced_life_goes_on_from_now() -> None:
    life = Life(("a", "b", "c"), START, STEP)
    life.advance(at(1))
    assert life.history(at(6)) == (Moment("a", START), Moment("b", at(1)), Moment("c", at(6)))


def test_a_life_that_is_over_does_not_advance() -> None:
    life = Life(("a",), START, STEP)
    life.advance(at(1))
    assert (life.word(at(2)), life.next_change(at(2))) == ("a", None)


def test_an_earlier_instant_is_not_changed_by_a_later_turn() -> None:
    life = lives.begin(lives.CERVO, "happy", START, 5)
    life.turn(at(6), "0")
    life.restart(at(8), ("1", "2"), STEP)
    assert [life.word(at(seconds)) for seconds in (-1, 0, 5, 6, 7, 8, 13)] == ["1", "1", "2", "0", "0", "1", "2"]
    assert life.history(at(5)) == (Moment("1", START), Moment("2", at(5)))
