import json
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from schemas.messages import Message, OrderRef
from schemas.ordering import OPEN
from tests.domain.scenario import an_order
from worker.errors import CarrierError
from worker.http.call import Call, Operation, Reply
from worker.ordering_api.account import Ordering
from worker.ordering_api.codec import fetch, probe, read_list, write
from worker.ordering_api.listing import OpenOrder, list_open, open_orders, order_ids
from worker.services.ingest import log_unread

SETTINGS = Ordering(base_url="https://api.example", api_key=SecretStr("k"), app_id="app")
ENTRY: dict[str, Any] = {"id": 2011, "status": 0, "delivery_type": 1, "created_at": "2026-11-21 16:00:13"}
CREATED, SIX = datetime(2026, 11, 21, 16, 0, 13, tzinfo=UTC), datetime(2026, 11, 21, 18, 0, tzinfo=UTC)


@pytest.mark.quirk("O-01", "O-10")
def test_a_page_of_open_orders_is_requested_in_dashboard_mode() -> None:
    where = '[{"attribute":"status","value":[0,4,7,13,22]},{"attribute":"delivery_type","value":1}]'
    assert list_open(SETTINGS, 3) == Call(
        Operation.READ,
        "GET",
        "/orders",
        query=(("mode", "dashboard"), ("where", where), ("orderBy", "-id"), ("page", "3"), ("page_size", "25")),
        headers=(("x-api-key", "k"), ("X-APP-X", "app")),
    )


@pytest.mark.quirk("O-01")
def test_every_call_begins_with_the_configured_path() -> None:
    settings = SETTINGS.model_copy(update={"path": "/v400/en/demo"})
    calls = [list_open(settings, 1), fetch(settings, "5"), write(settings, "5", 8), probe(settings)]
    assert [call.path.removeprefix("/v400/en/demo") for call in calls] == [
        "/orders",
        "/orders/5",
        "/orders/5",
        "/orders",
    ]


@pytest.mark.parametrize("path", ["v400", "/", "/v400/", "/../x", "/v400//x", "/a?b", "/a%2Fb"])
def test_an_unsafe_path_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        Ordering(base_url="https://api.example", path=path)


@pytest.mark.quirk("O-10")
@pytest.mark.parametrize(
    "wrong", [{"api_key_header": "x-api-key:"}, {"api_key_header": ""}, {"app_id": "a\nb"}, {"app_id": "ørder"}]
)
def test_settings_that_are_invalid_in_a_header_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Ordering(base_url="https://api.example", **wrong)


@pytest.mark.parametrize(
    "body", [[ENTRY], {"result": [ENTRY]}, {"error": False, "result": [ENTRY], "pagination": {"total": 1}}]
)
def test_a_page_is_read_with_and_without_its_envelope(body: Any) -> None:
    assert read_list(Reply(200, json.dumps(body).encode())) == [ENTRY]


@pytest.mark.quirk("O-10")
def test_an_empty_page_is_valid() -> None:
    assert read_list(Reply(200, b'{"error": false, "result": []}')) == []


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, b"{}", "the platform answered 401"),
        (404, b"", "the platform has no orders at this address: are BASE_URL and PATH right?"),
        (500, b"", "the platform answered 500"),
        (200, b"<html>", "the platform's answer is not JSON"),
        (200, b'{"error": false, "result": "no"}', "the platform's answer contains no list of orders"),
        (200, b'{"error": true, "result": []}', "the platform reported an error"),
        (200, b"7", "the platform's answer contains no list of orders"),
    ],
)
def test_an_answer_without_a_list_is_an_error_with_its_cause(status: int, body: bytes, why: str) -> None:
    with pytest.raises(CarrierError) as caught:
        read_list(Reply(status, body))
    assert str(caught.value) == why


@pytest.mark.quirk("O-10", "O-20")
def test_only_orders_that_need_a_courier_are_chosen_whatever_the_platform_filtered() -> None:
    listed = [{**ENTRY, "id": number, "status": number} for number in range(27)]
    assert {each.status for each in open_orders(listed)} == OPEN


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, [OpenOrder("2011", 0, CREATED, CREATED)]),
        ({"id": "A-1", "status": "7", "delivery_type": "1"}, [OpenOrder("A-1", 7, CREATED, CREATED)]),
        ({"created_at": "2026-11-21T17:00:13+01:00"}, [OpenOrder("2011", 0, CREATED, CREATED)]),
        ({"created_at": None}, [OpenOrder("2011", 0, None)]),
        ({"created_at": "yesterday", "delivery_datetime_utc": 7}, [OpenOrder("2011", 0, None)]),
        ({"delivery_datetime_utc": "2026-11-21 18:00:00"}, [OpenOrder("2011", 0, CREATED, SIX)]),
        ({"delivery_datetime": "2026-11-21T19:00:00+01:00"}, [OpenOrder("2011", 0, CREATED, SIX)]),
        ({"delivery_datetime_utc": "2026-11-21 10:00:00"}, [OpenOrder("2011", 0, CREATED, CREATED)]),
        ({"delivery_type": 2}, []),
        ({"delivery_type": None}, []),
        ({"status": None}, []),
        ({"status": False}, []),
        ({"id": None}, []),
        ({"id": ["x"]}, []),
        ({"id": "x" * 65}, []),
        ({"id": "a\x00b"}, []),
    ],
)
def test_an_entry_is_chosen_by_its_own_fields(changes: dict[str, Any], chosen: list[OpenOrder]) -> None:
    assert open_orders([{**ENTRY, **changes}]) == chosen


@pytest.mark.parametrize("entry", [None, 7, "x", []])
def test_an_invalid_entry_does_not_affect_the_others(entry: Any) -> None:
    assert open_orders([entry, ENTRY]) == [OpenOrder("2011", 0, CREATED, CREATED)]
    assert order_ids([entry, ENTRY, {**ENTRY, "status": 1, "id": 5}]) == {"2011", "5"}


@pytest.mark.quirk("O-25")
def test_an_undocumented_status_is_logged() -> None:
    orders = [an_order(status=status) for status in (None, 0, 25, 26, 99)]
    messages = [Message("platform", str(at), "order.placed", each) for at, each in enumerate(orders)]
    with capture_logs() as noted:
        log_unread([*messages, Message("platform", "named", "order.placed", OrderRef(order_id="1"))])
        log_unread(messages[:3])
    assert noted == [{"event": "platform.status_unknown", "statuses": ["26", "99"], "log_level": "warning"}]


@pytest.mark.quirk("O-21")
def test_no_call_can_delete_an_order() -> None:
    assert get_args(get_type_hints(Call)["method"]) == ("GET", "POST", "PUT")
