"""The callbacks of strangers are as their carriers send them, so that a flood of them tests more than a parser."""

import json
import random
from datetime import UTC, datetime

import pytest

from tests.chaos.processes import SECRETS
from tests.chaos.strangers import StrangeCallback, of_borzo, of_cervo
from worker.carriers.borzo.callbacks import SIGNATURE_HEADER, read_key, verify_signature
from worker.carriers.port import Callback, CallbackKey
from worker.errors import Forged
from worker.web.callbacks import TOKEN

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
KEY = CallbackKey(ref="900000001", entity="order", reported_at=NOW)


def received(callback: StrangeCallback) -> Callback:
    headers = {name.lower(): value for name, value in callback.headers.items()}
    return Callback(method="POST", body=callback.body, headers=headers, query="", token=None)


def test_borzo_sends_a_signed_callback_about_another_systems_order() -> None:
    callback = received(of_borzo(900_000_001, NOW, SECRETS[2]))
    verify_signature(callback.body, callback.headers[SIGNATURE_HEADER], [SECRETS[2]])
    assert read_key(callback) == KEY


def test_a_forged_callback_of_borzos_is_well_formed_and_has_another_signature() -> None:
    callback = received(of_borzo(900_000_001, NOW, "a guessed secret"))
    assert read_key(callback) == KEY
    with pytest.raises(Forged):
        verify_signature(callback.body, callback.headers[SIGNATURE_HEADER], [SECRETS[2]])


def test_a_callback_to_cervos_address_has_a_well_formed_secret_and_no_signature() -> None:
    callback = of_cervo(900_000_001, random.Random(1))
    secret = callback.path.removeprefix("/callbacks/cervo/")
    assert TOKEN.fullmatch(secret)
    assert (callback.signature, json.loads(callback.body)["order_id"]) == ("", "900000001")
