from collections.abc import Callable

import httpx
import pytest

from tests.sandbox.client import SandboxClient, borzo_order, cervo_order, deliverit_order

ORDER = "/apis/v2/order"


def place(client: SandboxClient, number: int = 2011) -> httpx.Response:
    return client.post(ORDER, cervo_order(id=number, order_id=str(number)))


def status(client: SandboxClient, number: int = 2011) -> int | None:
    try:
        return place(client, number).status_code
    except ConnectionAbortedError:
        return None


@pytest.mark.parametrize(
    ("kind", "reply", "executed"),
    [
        ("no_reply", None, True),
        ("drop_before", None, False),
        ("error_after", 500, True),
        ("error_before", 500, False),
        ("html", 200, False),
        ("garbage", 200, True),
        ("drip", 200, True),
        ("redirect", 302, False),
        ("slow", 200, True),
        ("unauthorized", 401, False),
        ("rate_limited", 429, False),
        ("late", None, False),
    ],
)
def test_a_fault_changes_the_reply_and_decides_whether_the_request_is_executed(
    client: SandboxClient,
    kind: str,
    reply: int | None,
    executed: bool,  # noqa: FBT001
) -> None:
    client.add_fault(kind)
    assert (status(client), bool(client.ledger())) == (reply, executed)


def test_a_fault_occurs_as_often_as_its_times(client: SandboxClient) -> None:
    client.add_fault("error_before", times=2)
    assert [status(client) for _ in range(3)] == [500, 500, 200]


def test_a_fault_without_times_lasts_until_it_is_removed(client: SandboxClient) -> None:
    client.add_fault("error_before", times=None)
    before = [status(client) for _ in range(3)]
    client.delete("/sandbox/faults")
    assert (before, status(client)) == ([500] * 3, 200)


def test_a_fault_affects_only_its_api_and_operation(client: SandboxClient) -> None:
    client.add_fault("error_before", api="cervo", operation="cancel")
    assert status(client) == 200
    assert client.get("/apis/v2/cancelorder?id=1").status_code == 500


def test_a_fault_matches_its_reference_as_a_whole_word(client: SandboxClient) -> None:
    client.add_fault("error_before", match="2011")
    assert [status(client, number) for number in (20110, 12011)] == [200, 200]
    reply = client.post(ORDER, cervo_order(id=7, order_id="2011"))
    assert reply.status_code == 500


def test_a_fault_matches_its_reference_in_a_form(client: SandboxClient) -> None:
    client.add_fault("error_before", match="#AB12")
    assert client.post_form("/orderdriver/create", deliverit_order()).status_code == 500


def test_a_fault_can_set_the_status_and_the_body(client: SandboxClient) -> None:
    duplicate = {"is_successful": False, "errors": ["order_is_duplicate"], "parameter_errors": None}
    client.add_fault("error_after", status=400, body=duplicate)
    reply = client.post("/api/business/1.6/create-order", borzo_order())
    assert (reply.status_code, reply.json()) == (400, duplicate)
    assert client.ledger() == [("borzo", "create", "A-1")]


def test_borzo_reports_unauthorized_and_rate_limited_with_its_own_codes(client: SandboxClient) -> None:
    client.add_fault("unauthorized")
    client.add_fault("rate_limited")
    codes = [client.get("/api/business/1.6/client").json()["errors"] for _ in range(2)]
    assert codes == [["invalid_auth_token"], ["requests_limit_exceeded"]]


def test_a_late_request_is_executed_after_its_delay(client: SandboxClient) -> None:
    client.add_fault("late", delay=30)
    status(client)
    client.advance(29)
    before = client.ledger()
    client.advance(1)
    assert (before, client.ledger()) == ([], [("cervo", "create", "2011")])


def test_slow_faults_wait_for_their_delays(client: SandboxClient) -> None:
    client.add_fault("slow", delay=3)
    client.add_fault("no_reply")
    client.add_fault("drip")
    replies = [status(client), status(client)]
    length = len(place(client).text)
    assert replies == [200, None]
    assert client.sleeps == [3, 60, *[0.5] * length]


def test_latency_is_added_before_every_reply(make_client: Callable[..., SandboxClient]) -> None:
    client = make_client(latency=0.05)
    place(client)
    client.get("/api/business/1.6")
    assert client.sleeps == [0.05, 0.05]


def test_the_seed_determines_the_faults_with_a_chance(make_client: Callable[..., SandboxClient]) -> None:
    runs = []
    for client in (make_client(seed=3), make_client(seed=3), make_client(seed=4)):
        client.add_fault("error_before", chance=0.5, times=None)
        runs.append([status(client) for _ in range(20)])
    assert runs[0] == runs[1] != runs[2]


def test_html_is_a_login_page_and_a_redirect_leads_to_another_host(client: SandboxClient) -> None:
    client.add_fault("html")
    client.add_fault("redirect")
    page, redirect = place(client), place(client)
    assert (page.headers["content-type"], "<title>Log in</title>" in page.text) == ("text/html; charset=utf-8", True)
    assert redirect.headers["location"] == "http://elsewhere.invalid/"


def test_an_unknown_kind_of_fault_is_refused(client: SandboxClient) -> None:
    assert client.post("/sandbox/faults", {"kind": "earthquake"}).status_code == 422
    assert client.get("/sandbox/faults").json() == {"faults": []}


def test_the_active_faults_are_listed_with_their_remaining_uses(client: SandboxClient) -> None:
    client.add_fault("html", times=2)
    place(client)
    assert client.get("/sandbox/faults").json() == {
        "faults": [
            {
                "kind": "html",
                "api": "*",
                "operation": "*",
                "times": 2,
                "chance": 1.0,
                "match": None,
                "delay": None,
                "status": None,
                "body": None,
                "left": 1,
            }
        ]
    }
