"""The settings of an account, and the login that returns its company."""

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from schemas.status import Reason
from tests.carriers.deliverit.replies import error_of, make_reply, without_company
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Booking
from worker.errors import Refused, Unavailable, Unreadable
from worker.http.call import Call, Operation


def test_the_default_settings_are_the_documented_ones() -> None:
    account = DeliverItAccount(name="deliverit", kind="deliverit", username="a", password=SecretStr("b"))
    assert account.model_dump(exclude={"password"}) == {
        "name": "deliverit", "kind": "deliverit", "base_url": "https://butik.deliverit.dk", "allow_http": False,
        "connect_timeout": 5, "read_timeout": 30, "deadline": 45, "rate": "", "poll_interval": 30, "callback_wait": 0,
        "postal_codes": "", "hours": "", "username": "a", "company": None, "timezone": "Europe/Copenhagen",
        "max_push": 15, "offer_wait": 180, "mode": "book", "encoding": "form",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mode": "sell"}, "'book' or 'transfer'"),
        ({"timezone": "Europe/Odense"}, "not an IANA time zone"),
        ({"username": "a:b"}, "colon"),
        ({"company": "odense"}, "pattern"),
        ({"encoding": "xml"}, "'form' or 'json'"),
        ({"max_push": -1}, "greater than or equal to 0"),
        ({"offer_wait": 0}, "greater than 0"),
        ({"offer_wait": 181}, "less than or equal to 180"),
    ],
)
def test_a_wrong_setting_is_refused_with_an_explanation(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        DeliverItAccount(
            **{"name": "deliverit", "kind": "deliverit", "username": "a", "password": SecretStr("b"), **changes}
        )


def test_a_company_may_be_configured_as_a_number(account: DeliverItAccount) -> None:
    assert DeliverItAccount(**{**account.model_dump(), "company": 14}) == account


# --- login ---


@pytest.mark.quirk("D-03", "D-05")
def test_the_probe_is_the_login(codec: DeliverIt) -> None:
    call = codec.probe()
    assert call == Call(
        Operation.PROBE, "POST", "/api/v1/login",
        headers=(
            ("Authorization", "Basic " + base64.b64encode("shop@example.com:æble:1".encode()).decode()),  # D-03, D-05
            ("Accept", "application/json"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ),
        body=b"username=shop%40example.com&password=%C3%A6ble%3A1",
    )  # fmt: skip


def test_the_repr_of_a_call_shows_no_credential(codec: DeliverIt) -> None:
    assert "Basic" not in repr(codec.probe())
    assert "password" not in repr(codec.probe())


@pytest.mark.quirk("D-04")
@pytest.mark.parametrize("status", [200, 201])
def test_the_login_returns_the_company(account: DeliverItAccount, status: int) -> None:
    codec = without_company(account)
    assert codec.read_probe(make_reply(status, '{"login": true, "company": 1, "msg": "Welcome"}')) == {"company": "1"}


def test_a_login_without_a_company_confirms_the_configured_one(codec: DeliverIt) -> None:
    assert codec.read_probe(make_reply(201, '{"login": true, "msg": "Welcome"}')) == {"company": "14"}


@pytest.mark.quirk("D-04")
def test_a_login_of_another_company_than_the_configured_one_is_refused(codec: DeliverIt) -> None:
    error = error_of(lambda: codec.read_probe(make_reply(201, '{"login": true, "company": 1, "msg": "Welcome"}')))
    assert isinstance(error, Refused)
    assert (error.reason, error.text) == (Reason.CONFIG, "the login belongs to company 1, the setting says 14")


@pytest.mark.parametrize(
    ("status", "body", "account_rejected"),
    [
        (401, '{"login": false, "msg": "nope, try again"}', True),
        (403, "", True),
        (201, '{"login": false, "msg": "nope, try again"}', True),
        (500, "", False),
        (429, "", False),
    ],
)
def test_a_failed_login_rejects_the_account_only_for_its_credentials(
    codec: DeliverIt, status: int, body: str, *, account_rejected: bool
) -> None:
    error = error_of(lambda: codec.read_probe(make_reply(status, body)))
    assert isinstance(error, Unavailable)
    assert error.account is account_rejected


@pytest.mark.parametrize(("status", "body"), [(201, "hello"), (404, "{}"), (201, '{"login": true, "company": "../1"}')])
def test_an_undocumented_reply_to_a_login_is_unreadable(account: DeliverItAccount, status: int, body: str) -> None:
    assert isinstance(error_of(lambda: without_company(account).read_probe(make_reply(status, body))), Unreadable)


def test_no_call_is_built_before_the_company_is_known(
    account: DeliverItAccount,
    booking: Booking,
    attempt: AttemptView,
    offered: AttemptView,
    tracking: Call,
    now: datetime,
) -> None:
    codec = without_company(account)
    acts: list[Callable[[], object]] = [
        lambda: codec.book(booking, now),
        lambda: codec.track([attempt], now),
        lambda: codec.find([attempt], now),
        lambda: codec.read(tracking, make_reply(200, '{"error": false, "orders": []}'), [attempt], now),
        lambda: codec.confirm(offered, accept=True),
        lambda: codec.cancel(attempt, now, allow_paid=False),
    ]
    assert [type(error_of(act)) for act in acts] == [Unavailable] * len(acts)


@pytest.mark.quirk("D-04")
@pytest.mark.parametrize(
    ("company", "facts", "needed"),
    [
        ("14", {}, True),
        ("14", {"company": "14"}, False),
        ("14", {"company": "1"}, True),
        (None, {}, True),
        (None, {"company": "1"}, False),
    ],
)
def test_a_login_is_needed_until_it_has_returned_the_company(
    account: DeliverItAccount, company: str | None, facts: dict[str, str], *, needed: bool
) -> None:
    assert DeliverIt(account.model_copy(update={"company": company}), facts).needs_login is needed


def test_the_company_of_the_login_is_used_when_none_is_configured(
    account: DeliverItAccount, offered: AttemptView
) -> None:
    codec = DeliverIt(account.model_copy(update={"company": None}), {"company": "149"})
    assert codec.confirm(offered, accept=True).path == "/api/v1/orderdriver/accept/149/acceptTOKEN01"
