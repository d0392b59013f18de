import json
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.json_reader import MalformedError
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain
from worker.http.account import ApiAccount
from worker.http.call import Call, Operation, Reply
from worker.ordering_api import codec as ordering_codec
from worker.ordering_api.account import Ordering

SETTINGS = Ordering(base_url="https://api.example", api_key=SecretStr("k"), app_id="app")


@pytest.mark.quirk("O-01")
def test_the_platform_is_an_account_with_two_requests_a_second() -> None:
    assert ordering_codec.account(SETTINGS) == ApiAccount(
        name="ordering",
        kind="ordering",
        base_url="https://api.example",
        read_timeout=15,
        deadline=15,
        rate="2/second",
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
    assert ordering_codec.fetch(SETTINGS, order_id) == Call(
        Operation.FIND, "GET", path, headers=(("x-api-key", "k"), ("X-APP-X", "app"))
    )


@pytest.mark.parametrize("body", [{"id": 2011}, {"error": False, "result": {"id": 2011}}])
def test_an_order_is_read_with_and_without_its_envelope(body: Any) -> None:
    assert ordering_codec.read_order(Reply(200, json.dumps(body).encode()), "2011") == {"id": 2011}


@pytest.mark.parametrize("status", [301, 401, 408, 429, 500, 503])
def test_an_error_status_is_temporary(status: int) -> None:
    with pytest.raises(Unavailable, match=f"the platform answered {status}"):
        ordering_codec.read_order(Reply(status, b"{}"), "2011")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id": NaN}', b"\xff", b"[" * 100_000])
def test_an_answer_that_is_not_json_is_temporary(body: bytes) -> None:
    with pytest.raises(Unavailable, match="not JSON"):
        ordering_codec.read_order(Reply(200, body), "2011")


@pytest.mark.quirk("O-10")
def test_a_missing_order_is_refused_for_good() -> None:
    with pytest.raises(Refused, match="no such order"):
        ordering_codec.read_order(Reply(404, b""), "2011")


@pytest.mark.parametrize("body", [b"[]", b"7", b'{"result": []}', b'{"result": null}'])
def test_an_answer_without_an_order_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError, match="contains no order"):
        ordering_codec.read_order(Reply(200, body), "2011")


@pytest.mark.parametrize("order_id", [2012, "2012", "02011", [2011]])
def test_an_answer_about_another_order_is_malformed(order_id: Any) -> None:
    reply = Reply(200, json.dumps({"result": {"id": order_id, "status": 16}}).encode())
    for read in (ordering_codec.read_order, ordering_codec.read_status):
        with pytest.raises(MalformedError, match="another order"):
            read(reply, "2011")


# --- writing ---


@pytest.mark.quirk("O-09", "O-23")
def test_a_write_contains_only_the_status_and_identifies_us() -> None:
    assert ordering_codec.write(SETTINGS, "2011", 22) == Call(
        Operation.AMEND,
        "PUT",
        "/orders/2011",
        headers=(("x-api-key", "k"), ("X-APP-X", "app"), ("Content-Type", "application/json")),
        body=b'{"status": 22}',
    )


@pytest.mark.quirk("O-11")
@pytest.mark.parametrize(("raw", "status"), [(0, 0), (25, 25), ("0", 0), ("16", 16)])
def test_a_status_is_read_as_a_number_or_as_text_and_0_is_valid(raw: Any, status: int) -> None:
    assert ordering_codec.read_status(Reply(200, json.dumps({"result": {"status": raw}}).encode()), "2011") == status


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"status": None},
        {"status": True},
        {"status": "²"},
        {"status": 7.0},
        {"status": -1},
        {"status": 2**31},
        {"status": "9" * 5000},
    ],
    ids=lambda order: str(order)[:20],
)
def test_an_order_without_a_valid_status_is_malformed(order: Any) -> None:
    with pytest.raises(MalformedError, match="status"):
        ordering_codec.read_status(Reply(200, json.dumps({"result": order}).encode()), "2011")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_concerns_the_whole_account(status: int) -> None:
    with pytest.raises(Unavailable) as caught:
        ordering_codec.read_status(Reply(status, b""), "2011")
    assert caught.value.account


@pytest.mark.parametrize(
    ("reply", "becomes"),
    [
        (Reply(200, b'{"error": false, "result": {"status": 22}}'), None),
        (Reply(204, b""), None),
        (Reply(200, b'{"error": true, "result": ["The selected status is invalid."]}'), Refused),
        (Reply(400, b""), Refused),
        (Reply(404, b""), Refused),
        (Reply(422, b""), Refused),
        (Reply(200, b"<html>Please log in</html>"), Uncertain),
        (Reply(500, b""), Uncertain),
        (Reply(503, b""), Uncertain),
        (Reply(401, b""), Unavailable),
        (Reply(302, b""), Unavailable),
        (Reply(429, b"", {"retry-after": "7"}), Throttled),
    ],
)
def test_an_answer_to_a_write_means_done_refused_not_done_or_unknown(
    reply: Reply, becomes: type[CarrierError] | None
) -> None:
    caught = None
    try:
        ordering_codec.read_written(reply)
    except CarrierError as error:
        caught = type(error)
    assert caught is becomes


@pytest.mark.quirk("O-10")
def test_a_key_that_sees_no_order_gets_a_warning() -> None:
    assert ordering_codec.probe(SETTINGS).query == (("mode", "dashboard"), ("page", "1"), ("page_size", "1"))
    assert ordering_codec.read_probe(Reply(200, b'{"error": false, "result": [{"id": 1}]}')) == ""
    assert "no order is visible to this key" in ordering_codec.read_probe(Reply(200, b'{"error": false, "result": []}'))
    for reply in (Reply(401, b""), Reply(404, b""), Reply(200, b'{"welcome": "to the shop"}')):
        with pytest.raises(Unavailable):
            ordering_codec.read_probe(reply)
