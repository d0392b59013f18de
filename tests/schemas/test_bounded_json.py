import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.json_reader import MAX_DEPTH, MAX_MESSAGE_BYTES, MalformedError, read_object


def refusal(raw: Any) -> str:
    with pytest.raises(MalformedError) as caught:
        read_object(raw)
    return str(caught.value)


def outcome(raw: bytes | dict[str, Any]) -> dict[str, Any] | str:
    try:
        return read_object(raw)
    except MalformedError as error:
        return str(error)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_an_object_is_read_unchanged() -> None:
    assert read_object(b'{"a": [1, 2.5, null, true, "\\ud83c\\udf55 \xc3\xa6"]}') == {"a": [1, 2.5, None, True, "🍕 æ"]}


def test_a_dict_is_read_like_its_json() -> None:
    assert read_object({"a": [1, {"b": "🍕"}]}) == {"a": [1, {"b": "🍕"}]}


def test_a_byte_order_mark_before_the_document_is_skipped() -> None:
    assert read_object(b'\xef\xbb\xbf{"a": "\xef\xbb\xbf"}') == {"a": "\ufeff"}


@pytest.mark.fault("F-47")
@pytest.mark.quirk("X-11")
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "message: not JSON"),
        (b"{} x", "message: not JSON"),
        (b"\xff\xfe{\x00}\x00", "message: not UTF-8"),
        (b'{"a": "\x00"}', "message: not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "message: not JSON"),
        (b"[1]", "message: not a JSON object"),
        (b"null", "message: not a JSON object"),
        (b'"text"', "message: not a JSON object"),
        (b'{"a": "\xff"}', "message: not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "message: not UTF-8"),
        (b'{"a": 1, "a": 2}', "message: an object repeats a key"),
        (b'{"a": {"b": NaN}}', "a.b: not a finite number"),
        (b'{"a": [0, -Infinity]}', "a.1: not a finite number"),
        (b'{"a": 1e400}', "a: not a finite number"),
        (b'{"a": "\\ud800"}', "a: contains a NUL character or an unpaired surrogate"),
        (b'{"a": "\\u0000"}', "a: contains a NUL character or an unpaired surrogate"),
        (b'{"\\u0000 Jane": 1}', "?: contains a NUL character or an unpaired surrogate"),
        (b'{"Jane Doe": "\\u0000"}', "?: contains a NUL character or an unpaired surrogate"),
        (b"[" * 100_000, "message: nested too deeply"),
        (b'{"a":' * 100_000, "message: nested too deeply"),
        (b" " * (MAX_MESSAGE_BYTES + 1), "message: more than 5000000 bytes"),
    ],
    ids=range(21),
)
def test_bytes_that_are_not_a_valid_object_are_refused_with_a_reason(raw: bytes, reason: str) -> None:
    assert refusal(raw) == reason


@pytest.mark.fault("F-49")
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"a": float("nan")}, "a: not a finite number"),
        ({"a": "\x00"}, "a: contains a NUL character or an unpaired surrogate"),
        ({"a": "\ud800"}, "message: not UTF-8"),
        ({"a": object()}, "message: contains a value that JSON cannot represent"),
        ({("a",): 1}, "message: contains a value that JSON cannot represent"),
        ({"a": 10**5000}, "message: contains a value that JSON cannot represent"),
        ({"a": "x" * MAX_MESSAGE_BYTES}, "message: more than 5000000 bytes"),
        (nested(100_000), "message: nested too deeply"),
        ("text", "message: not a JSON object"),
        (None, "message: not a JSON object"),
    ],
    ids=range(10),
)
def test_a_dict_that_is_not_a_valid_object_is_refused_with_a_reason(raw: Any, reason: str) -> None:
    assert refusal(raw) == reason


def test_a_dict_that_contains_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    assert refusal(endless) == "message: contains a value that JSON cannot represent"


@pytest.mark.fault("F-47")
def test_the_maximum_depth_is_read_and_one_level_more_is_refused() -> None:
    assert read_object(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    assert refusal(nested(MAX_DEPTH + 1)) == "message: nested too deeply"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(raw: bytes) -> None:
    read = outcome(raw)
    assert isinstance(read, dict) or read.startswith("message: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_dict_and_its_json_have_the_same_outcome(value: dict[str, Any]) -> None:
    assert outcome(value) == outcome(json.dumps(value).encode())
