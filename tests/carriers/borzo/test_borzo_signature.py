"""The signature of a callback."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.carriers.borzo import Borzo
from worker.carriers.borzo.callbacks import verify_signature
from worker.carriers.port import Callback
from worker.errors import Forged

SECRET = "CALLBACK_SECRET_KEY"


def _signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _callback(body: bytes | dict[str, Any], signature: str | None = None) -> Callback:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Callback("POST", raw, {"x-dv-signature": _signed(raw) if signature is None else signature})


@pytest.mark.quirk("B-81")
@pytest.mark.parametrize("sample", ["order_callback", "delivery_callback"])
@pytest.mark.parametrize("secrets", [SECRET, f"old, {SECRET}", f"{SECRET},new"])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_the_documented_callbacks_are_authentic_in_either_case_with_either_secret(
    make: Callable[..., Borzo],
    document: Callable[[str], bytes],
    sample: str,
    secrets: str,
    case: Callable[[str], str],
) -> None:
    body = document(sample)
    make(callback_secret=secrets).authenticate(_callback(body, case(_signed(body))))


@pytest.mark.quirk("B-82", "B-91")
@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("", "missing"),
        ("0" * 64, "does not fit"),
        ("0" * 63, "no SHA-256"),
        ("g" * 64, "no SHA-256"),
        ("é" * 64, "no SHA-256"),
        ("\u0660" * 64, "no SHA-256"),
        ("\ud800" * 64, "no SHA-256"),
        (hmac.new(SECRET.encode(), b"{}", hashlib.sha1).hexdigest(), "SHA-1"),
    ],
    ids=["none", "wrong", "short", "no-hex", "latin", "arabic-digits", "surrogates", "B-91"],
)
def test_a_callback_with_a_wrong_signature_is_forged(make: Callable[..., Borzo], signature: str, text: str) -> None:
    with pytest.raises(Forged, match=text):
        make(callback_secret=SECRET).authenticate(_callback(b"{}", signature))


@pytest.mark.quirk("B-82")
def test_a_callback_without_a_signature_is_forged(make: Callable[..., Borzo]) -> None:
    with pytest.raises(Forged):
        make(callback_secret=SECRET).authenticate(Callback("POST", b"{}"))


def test_without_a_secret_every_callback_is_forged(codec: Borzo) -> None:
    with pytest.raises(Forged, match="no callback secret"):
        codec.authenticate(_callback(b"{}", _signed(b"{}", "")))


def test_a_body_changed_by_one_byte_is_forged(make: Callable[..., Borzo], document: Callable[[str], bytes]) -> None:
    body = document("order_callback")
    with pytest.raises(Forged):
        make(callback_secret=SECRET).authenticate(_callback(body + b" ", _signed(body)))


@pytest.mark.fault("F-42")
@settings(deadline=None)
@given(st.binary(max_size=50), st.text(max_size=80))
def test_an_arbitrary_signature_raises_nothing_but_forged(body: bytes, signature: str) -> None:
    with pytest.raises(Forged):
        verify_signature(body, signature, [SECRET])
