"""The account's settings, the codec's capabilities, and the requests of a read, a cancel and a probe."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from worker.carriers.abilities import Amends
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.cervo.account import Bounds
from worker.carriers.port import AttemptView, Cadence, Capabilities
from worker.errors import Refused, Throttled, Unavailable
from worker.http.call import Call, Operation, Reply

MINIMUM: dict[str, Any] = {"name": "cervo", "kind": "cervo", "token": "WlhGWUtWT2Y2cTZhZ"}


def test_a_token_is_all_that_an_account_needs() -> None:
    account = CervoAccount.model_validate(MINIMUM)
    assert account.model_dump(exclude={"token"}) == {
        "name": "cervo",
        "kind": "cervo",
        "base_url": "https://carvo.isoft4is.com",
        "allow_http": False,
        "connect_timeout": 5,
        "read_timeout": 30,
        "deadline": 45,
        "rate": "1/second",
        "poll_interval": 20,
        "callback_wait": 180,
        "timezone": "Asia/Riyadh",
        "currency": "SAR",
        "id_location": "query",
        "resubmit_in_doubt": False,
        "payment_tokens": {"cash": "CASH", "card": "CREDIT", "credit": "CREDIT"},
        "prepaid_token": "ONLINE",
        "paid_token": "PAID",
        "unpaid_token": "NO PAID",
        "bounds": None,
        "postal_codes": "",
        "hours": "",
    }


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("token", ""),
        ("timezone", "Riyadh"),
        ("timezone", "../etc"),
        ("currency", "riyal"),
        ("id_location", "body"),
        ("rate", "fast"),
        ("rate", ""),
        ("poll_interval", 0),
        ("payment_tokens", {"cash": " "}),
        ("prepaid_token", ""),
        ("paid_token", "NO PAID"),
        ("paid_token", "no_paid"),
        ("paid_token", "Unpaid"),
        ("unpaid_token", " paid "),
        ("unpaid_token", "YES"),
        ("bounds", (1, 2, 3)),
        ("bounds", (50, 0, 40, 10)),
        ("bounds", "1,2,x,4"),
        ("colour", "red"),
    ],
)
def test_an_invalid_setting_is_refused(setting: str, value: object) -> None:
    with pytest.raises(ValidationError):
        CervoAccount.model_validate(MINIMUM | {setting: value})


@pytest.mark.parametrize(
    "bounds", ["24.4, 46.3, 25.1, 47", (24.4, 46.3, 25.1, 47), {"south": 24.4, "west": 46.3, "north": 25.1, "east": 47}]
)
def test_bounds_are_four_numbers(bounds: object) -> None:
    assert CervoAccount.model_validate(MINIMUM | {"bounds": bounds}).bounds == Bounds(24.4, 46.3, 25.1, 47.0)


@pytest.mark.quirk("C-23")
@pytest.mark.parametrize("resubmit", [False, True])
def test_a_create_is_repeated_only_when_the_account_allows_it(account: CervoAccount, *, resubmit: bool) -> None:
    codec = Cervo(account.model_copy(update={"resubmit_in_doubt": resubmit}), {})
    assert codec.capabilities == Capabilities(
        find=False,
        cadence=Cadence(fresh=20, moving=45, ahead=120, ceiling=300, aligned=False),
        track_batch=25,
        resubmits=resubmit,
        withdrawal_grace=600,
        callbacks="token",
    )


@pytest.mark.quirk("C-49")
def test_an_order_cannot_be_amended(codec: Cervo) -> None:
    assert (isinstance(codec, Amends), codec.capabilities.amends) == (False, False)


@pytest.mark.quirk("C-04")
def test_the_probe_reads_an_order_that_cannot_exist(codec: Cervo) -> None:
    call = codec.probe()
    assert (call.operation, call.method, call.path, call.query) == (
        Operation.PROBE,
        "GET",
        "/apis/v2/order",
        (("id", "0"),),
    )


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404])
def test_any_answer_about_a_missing_order_proves_that_the_token_works(codec: Cervo, status: int) -> None:
    assert codec.read_probe(Reply(status, b"")) == {}


@pytest.mark.parametrize(
    ("status", "error", "pauses_account"),
    [(401, Unavailable, True), (403, Unavailable, True), (429, Throttled, False), (503, Unavailable, False)],
)
def test_a_probe_fails_when_access_is_denied_or_cervo_is_down(
    codec: Cervo, status: int, error: type[Unavailable], *, pauses_account: bool
) -> None:
    with pytest.raises(Unavailable) as raised:
        codec.read_probe(Reply(status, b""))
    assert (type(raised.value), raised.value.account) == (error, pauses_account)


@pytest.mark.quirk("C-30", "C-45", "C-46")
@pytest.mark.parametrize(
    ("location", "path", "query", "headers"),
    [
        ("query", "", (("id", "25"),), ()),
        ("path", "/25", (), ()),
        ("header", "", (), (("id", "25"),)),
    ],
)
def test_the_id_goes_to_the_account_s_location_and_a_cancel_is_never_cached(
    account: CervoAccount,
    attempt: AttemptView,
    now: datetime,
    location: str,
    path: str,
    query: tuple[tuple[str, str], ...],
    headers: tuple[tuple[str, str], ...],
) -> None:
    codec = Cervo(account.model_copy(update={"id_location": location}), {})
    common = (("Authorization", "Bearer WlhGWUtWT2Y2cTZhZ"), ("Accept", "*/*"))
    uncached = ("Cache-Control", "no-store")
    assert [*codec.track([attempt], now), codec.cancel(attempt, now, allow_paid=False)] == [
        Call(Operation.READ, "GET", f"/apis/v2/order{path}", (2011,), query, (*common, *headers)),
        Call(Operation.CANCEL, "GET", f"/apis/v2/cancelorder{path}", (2011,), query, (*common, uncached, *headers)),
    ]


@pytest.mark.quirk("C-02")
@pytest.mark.parametrize(
    ("status", "pauses_account", "wait"), [(401, True, None), (403, True, None), (429, False, 30.0)]
)
def test_a_read_or_cancel_that_was_denied_access_may_be_repeated(
    codec: Cervo, attempt: AttemptView, now: datetime, status: int, *, pauses_account: bool, wait: float | None
) -> None:
    reply = Reply(status, b"", {"retry-after": "30"})
    [call] = codec.track([attempt], now)
    with pytest.raises(Unavailable) as of_read:
        codec.read(call, reply, [attempt], now)
    with pytest.raises(Unavailable) as of_cancel:
        codec.read_cancel(reply, attempt)
    errors = [(error.value.account, error.value.retry_after) for error in (of_read, of_cancel)]
    assert errors == [(pauses_account, wait), (pauses_account, wait)]


@pytest.mark.quirk("C-48")
def test_a_cancel_after_pickup_needs_permission(codec: Cervo, attempt: AttemptView, now: datetime) -> None:
    picked_up = replace(attempt, rank=50)
    with pytest.raises(Refused, match="the courier has the goods"):
        codec.cancel(picked_up, now, allow_paid=False)
    assert codec.cancel(picked_up, now, allow_paid=True).query == (("id", "25"),)


@pytest.mark.quirk("C-24")
@pytest.mark.parametrize("ref", [None, "2011 or 1=1"])
def test_a_cancel_without_cervo_s_id_is_left_to_an_operator(
    codec: Cervo, attempt: AttemptView, now: datetime, ref: str | None
) -> None:
    with pytest.raises(Refused, match="by hand"):
        codec.cancel(replace(attempt, ref=ref), now, allow_paid=True)
