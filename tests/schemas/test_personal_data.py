"""The reason for refusing an order contains nothing that the customer wrote, because it is logged and published."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.json_reader import MalformedError
from schemas.messages import Message, read_message
from schemas.order import ORDER_SCHEMA
from schemas.ordering import ORDERING_SCHEMA
from tests.schemas.samples import ORDER, PERSONAL, PLATFORM_ORDER, event, paths, with_field

FIELDS = [(ORDER, ORDER_SCHEMA, path) for path in paths(ORDER)] + [
    (PLATFORM_ORDER, ORDERING_SCHEMA, path) for path in paths(PLATFORM_ORDER)
]
TEXTS = st.sampled_from([*PERSONAL, "".join(PERSONAL) * 40, "\x00" + "".join(PERSONAL)])
KEYS = st.sampled_from(["name", "Freja Holm", "+4520304050", "Ring twice"])  # a key of one plain word is shown
UNFIT = st.recursive(
    TEXTS | st.just(0),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
"""Values with personal data in texts, lists and keys."""


def outcome(raw: dict[str, Any]) -> Message | MalformedError:
    try:
        return read_message(raw)
    except MalformedError as error:
        return error


@pytest.mark.quirk("X-15")
@settings(max_examples=6 * settings().max_examples)
@given(field=st.sampled_from(FIELDS), value=UNFIT)
def test_no_reason_for_a_refusal_contains_personal_data(field: tuple[dict[str, Any], str, str], value: object) -> None:
    order, schema, path = field
    read = outcome(event(with_field(order, path, value), dataschema=schema))
    if isinstance(read, MalformedError):
        assert [each for each in PERSONAL if each in str(read)] == []
        assert read.__suppress_context__ or read.__context__ is None
