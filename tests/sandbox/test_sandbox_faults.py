from collections.abc import Callable

import httpx
import pytest

from tests.sandbox.bench import Bench, borzo_order, cervo_order, deliverit_order

ORDER = "/apis/v2/order"


def place(bench: Bench, number: int = 2011) -> httpx.Response:
    return bench.post(ORDER, cervo_order(id=number, order_id=str(number)))


def status(bench: Bench, number: int = 2011) -> int | None:
    try:
        return place(bench, number).status_code
    except ConnectionAbortedError:
        return None


@pytest.mark.parametrize(
    ("kind", "answer", "happened"),
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
def test_a_fault_answers_wrong_and_does_it_or_not(
    bench: Bench,
    kind: str,
    answer: int | None,
    happened: bool,  # noqa: FBT001
) -> None:
    bench.fault(kind)
    assert (status(bench), bool(bench.ledger())) == (answer, happened)


def test_a_fault_happens_as_often_as_it_is_told(bench: Bench) -> None:
    bench.fault("error_before", times=2)
    assert [status(bench) for _ in range(3)] == [500, 500, 200]


def test_a_fault_without_times_lasts_until_it_is_removed(bench: Bench) -> None:
    bench.fault("error_before", times=None)
    before = [status(bench) for _ in range(3)]
    bench.delete("/sandbox/faults")
    assert (before, status(bench)) == ([500] * 3, 200)


def test_a_fault_concerns_only_its_api_and_operation(bench: Bench) -> None:
    bench.fault("error_before", api="cervo", operation="cancel")
    assert status(bench) == 200
    assert bench.get("/apis/v2/cancelorder?id=1").status_code == 500


def test_a_fault_finds_its_reference_as_a_whole_word(bench: Bench) -> None:
    bench.fault("error_before", match="2011")
    assert [status(bench, number) for number in (20110, 12011)] == [200, 200]
    reply = bench.post(ORDER, cervo_order(id=7, order_id="2011"))
    assert reply.status_code == 500


def test_a_fault_finds_its_reference_in_a_form(bench: Bench) -> None:
    bench.fault("error_before", match="#AB12")
    assert bench.deliverit("/orderdriver/create", deliverit_order()).status_code == 500


def test_a_fault_has_its_own_status_and_body(bench: Bench) -> None:
    duplicate = {"is_successful": False, "errors": ["order_is_duplicate"], "parameter_errors": None}
    bench.fault("error_after", status=400, body=duplicate)
    reply = bench.post("/api/business/1.6/create-order", borzo_order())
    assert (reply.status_code, reply.json()) == (400, duplicate)
    assert bench.ledger() == [("borzo", "create", "A-1")]


def test_borzo_says_unauthorized_and_limited_in_its_own_words(bench: Bench) -> None:
    bench.fault("unauthorized")
    bench.fault("rate_limited")
    codes = [bench.get("/api/business/1.6/client").json()["errors"] for _ in range(2)]
    assert codes == [["invalid_auth_token"], ["requests_limit_exceeded"]]


def test_a_late_request_happens_after_its_delay(bench: Bench) -> None:
    bench.fault("late", delay=30)
    status(bench)
    bench.later(29)
    before = bench.ledger()
    bench.later(1)
    assert (before, bench.ledger()) == ([], [("cervo", "create", "2011")])


def test_delays_are_slept(bench: Bench) -> None:
    bench.fault("slow", delay=3)
    bench.fault("no_reply")
    bench.fault("drip")
    answers = [status(bench), status(bench)]
    length = len(place(bench).text)
    assert answers == [200, None]
    assert bench.slept == [3, 60, *[0.5] * length]


def test_latency_is_added_before_every_reply(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(latency=0.05)
    place(bench)
    bench.get("/api/business/1.6")
    assert bench.slept == [0.05, 0.05]


def test_chance_is_decided_by_the_seed(make_bench: Callable[..., Bench]) -> None:
    runs = []
    for bench in (make_bench(seed=3), make_bench(seed=3), make_bench(seed=4)):
        bench.fault("error_before", chance=0.5, times=None)
        runs.append([status(bench) for _ in range(20)])
    assert runs[0] == runs[1] != runs[2]


def test_html_is_a_login_page_and_a_redirect_leads_elsewhere(bench: Bench) -> None:
    bench.fault("html")
    bench.fault("redirect")
    page, redirect = place(bench), place(bench)
    assert (page.headers["content-type"], "<title>Log in</title>" in page.text) == ("text/html; charset=utf-8", True)
    assert redirect.headers["location"] == "http://elsewhere.invalid/"


def test_an_unknown_kind_of_fault_is_refused(bench: Bench) -> None:
    assert bench.post("/sandbox/faults", {"kind": "earthquake"}).status_code == 422
    assert bench.get("/sandbox/faults").json() == {"faults": []}


def test_the_faults_that_are_set_are_shown(bench: Bench) -> None:
    bench.fault("html", times=2)
    place(bench)
    assert bench.get("/sandbox/faults").json() == {
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
