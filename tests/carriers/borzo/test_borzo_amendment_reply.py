"""The answer to a change of an order."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pytest

from schemas.status import DeliveryStatus as S
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Observation, Price, Raw
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain
from worker.http.call import Reply

Documents = Callable[[str], bytes]
Replies = Callable[..., Reply]


@pytest.mark.parametrize("sample", ["edit_order_times", "edit_order_packages"])
def test_the_documented_answer_shows_the_current_order(
    codec: Borzo, attempt: AttemptView, document: Documents, now: datetime, sample: str
) -> None:
    with pytest.raises(Uncertain):
        codec.read_amended(attempt, Reply(200, document(sample)), now)  # the sample lacks its last brace
    at = "- -"
    assert codec.read_amended(attempt, Reply(200, document(sample) + b"}"), now) == Observation(
        status=S.CREATED,
        raw=Raw("delivery", "planned"),
        ref="1250032",
        codec_state={"order_status": f"{at} available", "delivery_status": f"{at} planned", "point_id": "202686"},
        price=Price(Decimal("18.00"), "BRL"),
    )


def test_an_answer_about_another_order_shows_nothing(
    codec: Borzo, attempt: AttemptView, document: Documents, now: datetime
) -> None:
    for body in (document("create_order").replace(b"1250032", b"7"), b'{"is_successful": true}'):
        assert codec.read_amended(attempt, Reply(200, body), now) is None


@pytest.mark.quirk("B-98")
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("order_cannot_be_edited", Refused),
        ("invalid_parameters", Refused),
        ("unexpected_error", Uncertain),
        ("card_payment_failed", Uncertain),
        ("service_unavailable", Uncertain),
        ("brand_new", Uncertain),
        ("requests_limit_exceeded", Throttled),
        ("invalid_auth_token", Unavailable),
    ],
)
def test_each_code_has_its_error_for_a_change(
    codec: Borzo, attempt: AttemptView, refused: Replies, now: datetime, code: str, error: type[CarrierError]
) -> None:
    with pytest.raises(error):
        codec.read_amended(attempt, refused(code), now)
