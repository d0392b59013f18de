"""The codec as a carrier: its capabilities, the callbacks that it never has, and arbitrary replies."""

import json
from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.carriers.deliverit.replies import PUSHED, REFERENCE
from worker.carriers.account import CarrierAccount
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Booking, Cadence, Callback, Capabilities, Carrier
from worker.errors import CarrierError, Forged, Unreadable
from worker.http.call import Call, Reply


def test_the_codec_is_a_carrier(codec: DeliverIt, account: DeliverItAccount) -> None:
    carrier: Carrier = codec
    kinds: dict[str, type[Carrier]] = {"deliverit": DeliverIt}
    assert kinds[carrier.kind].account_type is DeliverItAccount
    assert carrier.account == account
    assert carrier.capabilities == Capabilities(
        find=True, cadence=Cadence(30, 30, 60, 60, aligned=True), track_batch=1000,
        max_creates=2, offers=True, max_shift=15, callbacks="none", max_body=10_000_000,
    )  # fmt: skip


def test_an_account_of_another_carrier_is_refused() -> None:
    with pytest.raises(TypeError):
        DeliverIt(CarrierAccount(name="x", kind="x", base_url="https://x", poll_interval=1), {})


def test_every_callback_is_forged_because_deliverit_sends_none(
    codec: DeliverIt, attempt: AttemptView, now: datetime
) -> None:
    callback = Callback("POST", b"{}")
    with pytest.raises(Forged):
        codec.authenticate(callback)
    with pytest.raises(Unreadable):
        codec.callback_key(callback)
    assert codec.read_callback(callback, attempt, now) == ()


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["N/A", "20:15", "1", f"#{REFERENCE}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*PUSHED, "error", "message", "orders", "remarks", "created_at", "pickupTime", "canceUrl", "done"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
BODIES = st.binary(max_size=60) | JSONISH.map(lambda value: json.dumps(value).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(status=st.sampled_from([200, 201, 202, 302, 400, 401, 404, 429, 500]), body=BODIES)
def test_every_reply_is_read_or_raises_a_carrier_error(
    codec: DeliverIt, booking: Booking, offered: AttemptView, finding: Call, now: datetime, status: int, body: bytes
) -> None:
    reply = Reply(status, body)
    acts: list[Callable[[], object]] = [
        lambda: codec.read_probe(reply),
        lambda: codec.read_booking(booking, reply, now),
        lambda: codec.read_confirmation(reply, offered, accept=True, now=now),
        lambda: codec.read_confirmation(reply, offered, accept=False, now=now),
        lambda: codec.read_cancel(reply, offered),
        lambda: codec.read(finding, reply, [offered], now),
    ]
    for act in acts:
        try:
            act()
        except CarrierError:
            continue
