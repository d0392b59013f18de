"""The sequence of an event in the envelope is a text, and in the data a number."""

from schemas.events import written_sequence


def test_the_sequence_of_the_envelope_sorts_as_text() -> None:
    numbers = [1, 2, 9, 10, 99, 100, 2_147_483_647]
    texts = [written_sequence(number) for number in numbers]
    assert (sorted(texts), texts[0]) == (texts, "0000000001")
    assert [int(text) for text in texts] == numbers
