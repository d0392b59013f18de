import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.bench import CALLBACK_URL, FIRST, Bench, cervo_order

ORDER, CANCEL = "/apis/v2/order", "/apis/v2/cancelorder"


def place(bench: Bench, **changes: Any) -> str:
    return bench.post(ORDER, cervo_order(**changes)).text


def test_a_cervo_order_answers_with_a_bare_id(bench: Bench) -> None:
    reply = bench.post(ORDER, cervo_order())
    assert (reply.status_code, reply.text, bench.ledger()) == (200, str(FIRST), [("cervo", "create", "2011")])


def test_missing_fields_are_named_in_a_body_that_is_not_json(bench: Bench) -> None:
    order = cervo_order(customer="", mobile="")
    del order["callback"]
    reply = bench.post(ORDER, order)
    expected = '{ "Customer is required , Mobile is required , Callback is required" }'
    assert (reply.status_code, reply.text, bench.ledger()) == (400, expected, [])


def test_a_body_that_is_not_json_is_refused(bench: Bench) -> None:
    reply = bench.post(ORDER, content=b"customer=x")
    assert (reply.status_code, reply.text) == (400, '{ "Body is required" }')


@pytest.mark.parametrize("script", ["closed", "refused"])
def test_a_refusing_script_answers_a_validation_text(bench: Bench, script: str) -> None:
    reply = bench.post(ORDER, cervo_order(notes=f"sandbox:{script}"))
    assert (reply.status_code, reply.text) == (400, '{ "Customer is required" }')


def test_another_token_is_unauthorized(bench: Bench) -> None:
    reply = bench.post(ORDER, cervo_order(), headers={"Authorization": "Bearer other"})
    assert (reply.status_code, reply.text, bench.ledger()) == (401, "", [])


def test_details_are_written_as_documented(bench: Bench) -> None:
    ref = place(bench)
    bench.later(10)
    assert bench.get(ORDER, params={"id": ref}).json() == {
        "DriverName": "Sandbox Driver",
        "DriverMobile": "599000111",
        "Status": 3,
        "OrderStatus": [{"Status": 2, "Date": "2026-11-21 20:00"}, {"Status": 3, "Date": "2026-11-21 20:00"}],
        "tracking": f"https://tracking.cervo.example/{ref}",
    }


def test_a_new_order_has_no_driver_and_no_history(bench: Bench) -> None:
    assert bench.get(ORDER, params={"id": place(bench)}).json() == {
        "DriverName": "",
        "DriverMobile": "",
        "Status": 1,
        "OrderStatus": [],
        "tracking": "",
    }


def test_the_id_may_stand_in_query_path_or_header(bench: Bench) -> None:
    ref = place(bench)
    replies = [
        bench.get(ORDER, params={"id": ref}),
        bench.get(f"{ORDER}/{ref}"),
        bench.get(ORDER, headers={"id": ref}),
    ]
    assert [reply.json()["Status"] for reply in replies] == [1, 1, 1]


def test_only_the_configured_place_of_the_id_counts(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(cervo_id_location=("path",))
    ref = place(bench)
    assert [bench.get(f"{ORDER}?id={ref}").status_code, bench.get(f"{ORDER}/{ref}").status_code] == [400, 200]


def test_an_unknown_id_is_an_empty_400(bench: Bench) -> None:
    replies = [bench.get(ORDER, params={"id": "25"}), bench.get(CANCEL, params={"id": "25"}), bench.get(ORDER)]
    assert [(reply.status_code, reply.text) for reply in replies] == [(400, "")] * 3


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("happy", [1, 2, 3, 4, 4]),
        ("courier_withdraws", [1, 2, 5, 2, 3, 4, 4]),
        ("withdrawn_for_good", [1, 2, 5, 5]),
        ("returned", [1, 2, 3, 0, 0]),
        ("cancelled", [1, 2, 0, 0]),
        ("unknown_word", [1, 2, 3, 6, 6]),
        ("offered", [1, 2, 3, 4, 4]),
        ("reattempt", [1, 2, 3, 4, 4]),
        ("nonsense", [1, 2, 3, 4, 4]),
    ],
)
def test_a_cervo_script_passes_through_its_words(bench: Bench, script: str, words: list[int]) -> None:
    ref = place(bench, notes=f"2nd floor sandbox:{script}")
    assert bench.life(lambda: bench.get(ORDER, params={"id": ref}).json()["Status"], len(words) - 1) == words


def test_an_order_is_cancelled_by_a_get(bench: Bench) -> None:
    ref = place(bench)
    reply = bench.get(CANCEL, params={"id": ref})
    status = bench.get(ORDER, params={"id": ref}).json()["Status"]
    assert (reply.status_code, reply.text, status) == (200, "", 0)
    assert bench.ledger() == [("cervo", "create", "2011"), ("cervo", "cancel", "2011")]


def test_an_order_on_hand_or_already_cancelled_is_not_cancelled(bench: Bench) -> None:
    first, second = place(bench), place(bench)
    bench.get(CANCEL, params={"id": second})
    bench.later(10)
    assert [bench.get(CANCEL, params={"id": ref}).status_code for ref in (first, second)] == [400, 400]


def test_a_repeated_id_creates_a_second_order(bench: Bench) -> None:
    assert (place(bench), place(bench)) == (str(FIRST), str(FIRST + 1))


def test_a_repeated_id_is_refused_where_it_is_set_so(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(cervo_refuses_repeats=True)
    place(bench)
    reply = bench.post(ORDER, cervo_order())
    assert (reply.status_code, reply.text) == (400, '{ "Id is duplicated" }')


def test_each_change_is_told_to_the_callback_of_the_order(bench: Bench) -> None:
    ref = place(bench, callback=CALLBACK_URL)
    bench.life(lambda: None, 3)
    told = [json.loads(request.content) for request in bench.inbox]
    driver = {
        "order_id": "2011",
        "driver_name": "Sandbox Driver",
        "driver_mobile": "599000111",
        "cancel": "",
        "tracking": f"https://tracking.cervo.example/{ref}",
    }
    assert told == [{**driver, "order_status": status} for status in (2, 3, 4)]
    assert {str(request.url) for request in bench.inbox} == {CALLBACK_URL}


def test_a_cancel_is_told_with_a_reason_and_never_again(bench: Bench) -> None:
    ref = place(bench, callback=CALLBACK_URL)
    bench.get(CANCEL, params={"id": ref})
    bench.answers = [500]
    bench.life(lambda: None, 3)
    told = [json.loads(request.content) for request in bench.inbox]
    assert [(news["order_status"], news["cancel"]) for news in told] == [(0, "Canceled by the sandbox")]
