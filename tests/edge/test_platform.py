import json
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.orders import MalformedError
from worker import platform
from worker.carriers.account import Account
from worker.carriers.port import Call, Operation, Reply
from worker.errors import Refused, Unavailable
from worker.settings import Ordering

SETTINGS = Ordering(base_url="https://api.example", api_key=SecretStr("k"), app_id="app")


def test_the_platform_is_an_account_of_two_requests_a_second() -> None:
    assert platform.account(SETTINGS) == Account(
        name="ordering", kind="ordering", base_url="https://api.example", poll_interval=1, rate="2/second"
    )


@pytest.mark.parametrize(
    ("order_id", "path"),
    [
        ("2011", "/orders/2011"),
        ("../business/5", "/orders/..%2Fbusiness%2F5"),
        ("5?mode=all#x", "/orders/5%3Fmode%3Dall%23x"),
        ("50%", "/orders/50%25"),
    ],
)
def test_an_order_s_id_is_one_segment_of_the_path(order_id: str, path: str) -> None:
    assert platform.fetch(SETTINGS, order_id) == Call(
        Operation.FIND, "GET", path, headers=(("x-api-key", "k"), ("X-APP-X", "app"))
    )


@pytest.mark.parametrize("body", [{"id": 2011}, {"error": False, "result": {"id": 2011}}])
def test_an_order_is_read_with_and_without_its_envelope(body: Any) -> None:
    assert platform.read_order(Reply(200, json.dumps(body).encode())) == {"id": 2011}


@pytest.mark.parametrize("status", [301, 401, 408, 429, 500, 503])
def test_an_answer_without_an_order_is_asked_for_again(status: int) -> None:
    with pytest.raises(Unavailable, match=f"the platform answered {status}"):
        platform.read_order(Reply(status, b"{}"))


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id": NaN}', b"\xff", b"[" * 100_000])
def test_an_answer_that_is_not_json_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(Unavailable, match="not JSON"):
        platform.read_order(Reply(200, body))


def test_an_order_that_is_not_there_is_not_asked_for_again() -> None:
    with pytest.raises(Refused, match="no such order"):
        platform.read_order(Reply(404, b""))


@pytest.mark.parametrize("body", [b"[]", b"7", b'{"result": []}', b'{"result": null}'])
def test_an_answer_that_holds_no_order_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError, match="holds no order"):
        platform.read_order(Reply(200, body))
