"""The settings of an account, and their check at Borzo."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.status import Reason
from worker.carriers.account import CarrierAccount
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.port import AttemptView, Cadence, Capabilities
from worker.errors import Refused, Unavailable
from worker.http.call import Operation, Reply

Listed = Callable[..., Reply]


@pytest.mark.quirk("B-55")
def test_the_documented_client_profile_gives_the_payment_methods_and_nothing_personal(
    codec: Borzo, document: Callable[[str], bytes]
) -> None:
    call = codec.probe()
    assert (call.operation, call.method, call.path) == (Operation.PROBE, "GET", "/api/business/1.6/client")
    assert codec.read_probe(Reply(200, document("client"))) == {"allowed_payment_methods": "bank_card,cash"}


def test_a_probe_without_details_is_a_success(codec: Borzo, document: Callable[[str], bytes]) -> None:
    assert codec.read_probe(Reply(200, document("root"))) == {"allowed_payment_methods": ""}


@pytest.mark.quirk("B-01", "B-02")
def test_an_invalid_token_pauses_the_account(codec: Borzo, refused: Listed) -> None:
    with pytest.raises(Unavailable) as error:
        codec.read_probe(refused("invalid_auth_token"))
    assert error.value.account


@pytest.mark.quirk("B-34")
def test_the_payment_method_must_be_one_that_the_account_may_use(
    make: Callable[..., Borzo],
) -> None:
    facts = {"allowed_payment_methods": "bank_card,cash"}
    assert make(payment_method="cash").verify_account(facts) is None
    assert make().verify_account({"allowed_payment_methods": ""}) is None  # unknown, so nothing is refused
    with pytest.raises(Refused, match=r"^payment_method: Borzo allows this account bank_card, cash$") as refusal:
        make().verify_account(facts)
    assert refusal.value.reason is Reason.CONFIG


@pytest.mark.quirk("B-34", "B-55")
def test_the_bank_card_must_be_one_of_the_accounts(
    make: Callable[..., Borzo], document: Callable[[str], bytes], refused: Listed
) -> None:
    reply, codec = Reply(200, document("bank_cards")), make(payment_method="bank_card", bank_card_id=80)
    call = codec.verify_account({"allowed_payment_methods": "bank_card"})
    assert call is not None
    assert (call.operation, call.method, call.path) == (Operation.PROBE, "GET", "/api/business/1.6/bank-cards")
    codec.read_verification(reply)
    with pytest.raises(Refused) as refusal:
        make(payment_method="bank_card", bank_card_id=81).read_verification(reply)
    assert (refusal.value.reason, str(refusal.value)) == (
        Reason.CONFIG,
        "bank_card_id: the account has no such card",
    )
    with pytest.raises(Unavailable):
        codec.read_verification(refused("service_unavailable"))


def test_borzo_offers_nothing_to_confirm(codec: Borzo, attempt: AttemptView, now: datetime) -> None:
    with pytest.raises(Refused):
        codec.confirm(attempt, accept=True)
    with pytest.raises(Refused):
        codec.read_confirmation(Reply(200, b""), attempt, accept=True, now=now)


@pytest.mark.quirk("B-01")
def test_the_account_has_the_published_defaults() -> None:
    account = BorzoAccount.model_validate({"name": "borzo", "kind": "borzo", "token": "t"})
    shared = {
        name
        for name in CarrierAccount.model_fields
        if getattr(account, name) == CarrierAccount.model_fields[name].default
    }
    assert account.model_dump(exclude={"name", "kind", "token", *shared}) == {
        "base_url": "https://robot-br.borzodelivery.com",
        "rate": "80/minute;4500/day",
        "poll_interval": 60,
        "callback_wait": 120,
        "callback_secret": None,
        "payment_method": "balance",
        "bank_card_id": None,
        "cash_paid_at": "pickup",
        "cod": True,
        "cod_voucher": False,
        "backpayment_details": "",
        "packages": False,
        "insurance": "none",
        "vehicle_type_id": 8,
        "total_weight_kg": 0,
        "loaders_count": 0,
        "motobox": False,
        "thermobox": False,
        "return_required": False,
        "notify_client": False,
        "notify_recipient": False,
        "quote_first": False,
        "timezone": "America/Sao_Paulo",
    }


@pytest.mark.quirk("B-34", "B-36")
@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"token": ""}, "token"),
        ({"vehicle_type_id": 6}, "forbidden"),
        ({"payment_method": "bank_card"}, "bank_card_id"),
        ({"payment_method": "non_cash"}, "payment_method"),
        ({"loaders_count": 12}, "loaders_count"),
        ({"insurance": "everything"}, "insurance"),
        ({"timezone": "Mars/Olympus"}, "IANA"),
        ({"callback_secret": "a,b,c"}, "one or two"),
        ({"rate": "often"}, "rate"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_invalid_setting_is_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        BorzoAccount.model_validate({"name": "borzo", "kind": "borzo", "token": "t", **settings})


def test_a_codec_takes_only_its_own_kind_of_account() -> None:
    with pytest.raises(TypeError):
        Borzo(CarrierAccount(name="x", kind="x", base_url="https://x.test", poll_interval=1), {})


@pytest.mark.quirk("B-87")
@pytest.mark.parametrize(
    ("secret", "cadence"),
    [
        (None, Cadence(60, 60, 300, 300, aligned=True)),
        ("s3cret", Cadence(300, 300, 300, 300, without_callbacks=60, aligned=True)),
    ],
    ids=["polling", "callbacks"],
)
def test_polling_is_slower_with_callbacks(make: Callable[..., Borzo], secret: str | None, cadence: Cadence) -> None:
    assert make(callback_secret=secret).capabilities == Capabilities(
        find=True,
        cadence=cadence,
        track_batch=50,
        max_creates=2,
        callbacks="signed",
        amends=True,
        callback_entities=("order", "delivery"),
    )
