"""The commands that place an order, and show deliveries and events."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from schemas.events import delivery_id
from schemas.status import AttentionReason, Cause, DeliveryStatus, Reason
from tests.cli.commands import CommandLine, Result, apply_create_outcome, change, find, request_attention, write_file
from tests.web.edge import NOW, sample
from worker.carriers.port import Booked, Observation, Raw, reference_of
from worker.cli.orders import CANNOT_BE_FETCHED
from worker.cli.show import UTC_TIME
from worker.config.settings import load
from worker.container import Container
from worker.database import accounts, carrier_calls, deliveries, outbox
from worker.database.carrier_calls import RecordedCall
from worker.database.search import Filter, search
from worker.database.tables import WRITE_BACK
from worker.domain import lifecycle
from worker.domain.delivery import Change, Step
from worker.domain.lifecycle.reopening import duplicate_id
from worker.errors import Refused, Uncertain
from worker.http.call import Verdict
from worker.local.demo.orders import placed
from worker.log import CONTROLS
from worker.ordering_api.write_policy import WriteBackState

# --- place ---


def test_an_order_is_wrapped_in_a_cloud_event_and_put_on_the_bus(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]]
) -> None:
    result = command_line("place", write_file("order.json", '{"order_id": "São"}'))
    ((identity, document),) = orders_on_bus()
    event = json.loads(document)
    assert result == Result(0, f"{identity}\n", f"order-sync: {CANNOT_BE_FETCHED}\n")
    assert len(event.pop("id")) == 36
    assert event == {
        "specversion": "1.0",
        "source": "platform",
        "type": "order.placed",
        "data": {"order_id": "São"},
    }


def test_a_cloud_event_is_put_on_the_bus_unchanged(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]]
) -> None:
    document = placed(sample("2011", "17"))
    result = command_line("place", "-", stdin=document.encode())
    assert (result.code, [json.loads(each) for _, each in orders_on_bus()]) == (0, [json.loads(document)])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"{", "standard input is not JSON: Expecting property name"),
        (b"", "standard input is not JSON: Expecting value"),
        (b"\xff\xff{}", "standard input is not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "standard input is not JSON: maximum recursion depth"),
        (b"[1]", "standard input is not a JSON object"),
    ],
)
def test_input_that_is_not_a_json_object_is_refused(text: bytes, complaint: str, command_line: CommandLine) -> None:
    result = command_line("place", "-", stdin=text)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"order-sync: {complaint}")


def test_a_message_that_would_become_a_dead_letter_is_refused(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]]
) -> None:
    result = command_line("place", write_file("order.json", '{"order_id": "2011", "store_id": "34"}'))
    assert result == Result(
        1,
        "",
        "order-sync: order.json is no order: data: customer: Field required; dropoff: Field required; "
        "payment: Field required\n",
    )
    assert orders_on_bus() == []


def test_an_order_is_placed_on_a_machine_that_has_only_the_bus(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]]
) -> None:
    command_line.set(DATABASE_URL="sqlite:///var/order-sync.db")
    result = command_line("place", "-", stdin=command_line("sample-order").out.encode())
    assert (result.code, len(orders_on_bus()), Path("var").exists()) == (0, 1, False)


def test_a_message_that_only_names_an_order_needs_the_address_of_the_platform(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]]
) -> None:
    file = write_file("order.json", '{"order_id": 1}')
    result = command_line("place", file)
    assert (result.code, result.err) == (0, f"order-sync: {CANNOT_BE_FETCHED}\n")
    command_line.set(ORDERING__BASE_URL="https://platform.example", ORDERING__API_KEY="a key")
    result = command_line("place", file)
    assert (result.code, result.err, len(orders_on_bus())) == (0, "", 2)


def test_a_missing_file_is_named(command_line: CommandLine) -> None:
    assert command_line("place", "nowhere.json") == Result(
        1,
        "",
        "order-sync: nowhere.json: No such file or directory (--debug shows the traceback)\n",
    )


# --- deliveries ---


SUMMARY = {
    "order_id": "2011",
    "source": "demo",
    "store_id": "34",
    "status": "queued",
    "detail": None,
    "reason": None,
    "carrier": "cervo",
    "carrier_ref": None,
    "created_at": "2026-11-21T17:00:00Z",
    "changed_at": "2026-11-21T17:00:00Z",
    "next_step": "book",
    "next_run_at": "2026-11-21T17:00:00Z",
    "attention": None,
}


def test_deliveries_are_listed_as_json_or_as_a_table(command_line: CommandLine, delivery: str) -> None:
    assert command_line("deliveries", "--json").documents == [{"delivery_id": delivery, **SUMMARY}]
    table = command_line("deliveries").out
    assert [text in table for text in ("2011", "queued", "cervo", "book")] == [True] * 4


def test_a_final_delivery_is_not_listed_as_open(command_line: CommandLine, container: Container, delivery: str) -> None:
    assert command_line("cancel", "2011") == Result(0, "2011: cancelled\n", "")
    listed = [
        [each["delivery_id"] for each in command_line("deliveries", "--json", *more).documents]
        for more in ([], ["--open"])
    ]
    assert (listed, find(container).final) == ([[delivery], []], True)


@pytest.mark.usefixtures("delivery")
def test_piped_output_is_never_cut_off(command_line: CommandLine, container: Container) -> None:
    apply_create_outcome(
        container, Booked(Observation(status=DeliveryStatus.CREATED, raw=Raw("reply", "1"), ref="9" * 60))
    )
    request_attention(container, AttentionReason.ORDER_CHANGED_AFTER_DISPATCH)
    heading, row = command_line("deliveries").lines
    assert heading.split() == ["order", "store", "carrier", "ref", "status", "since", "seen", "due", "next", "needs"]
    assert row.split()[:5] == ["2011", "34", "cervo", "9" * 60, "created"]
    assert row.split()[-1] == "order_changed_after_dispatch"


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--status", "queued"], True),
        (["--status", "created"], False),
        (["--carrier", "cervo", "--store", "34"], True),
        (["--carrier", "borzo"], False),
        (["--store", "17"], False),
        (["--attention", "any"], True),
        (["--attention", "unknown_store"], False),
        (["--attention", "offer_waits"], True),
        (["--older-than", "1h"], True),
        (["--older-than", "2026-11-21T16:59:59Z"], False),
    ],
)
def test_deliveries_are_filtered(
    options: list[str], command_line: CommandLine, container: Container, *, found: bool
) -> None:
    request_attention(container, AttentionReason.OFFER_WAITS, AttentionReason.WENT_BACKWARDS)
    listed = command_line("deliveries", "--json", *options).documents
    assert [each["order_id"] for each in listed] == (["2011"] if found else [])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--status", "lost"], "lost is no status; these are: queued, "),
        (["--attention", "all"], "all is no attention reason; these are: any, unknown_store, "),
        (["--older-than", "old"], "--older-than old is neither a time nor an age such as 30m, 2h or 1d"),
    ],
)
def test_a_wrong_filter_is_refused(options: list[str], complaint: str, command_line: CommandLine) -> None:
    result = command_line("deliveries", *options)
    assert (result.code, result.err.startswith(f"order-sync: {complaint}")) == (2, True)


def test_deliveries_that_need_an_operator_are_listed_first(command_line: CommandLine, container: Container) -> None:
    for order_id in ("2011", "2012", "2013"):
        container.ingest.store_documents([(f"{order_id}-0", placed(sample(order_id, "34")).encode())])
    request_attention(container, AttentionReason.OFFER_WAITS)
    listed = [each["order_id"] for each in command_line("deliveries", "--json").documents]
    assert (listed[0], sorted(listed)) == ("2011", ["2011", "2012", "2013"])
    assert [each["order_id"] for each in command_line("deliveries", "--json", "--limit", "1").documents] == ["2011"]


def test_a_delivery_is_shown_by_any_number_that_somebody_reads_out(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    apply_create_outcome(container, Booked(Observation(DeliveryStatus.CREATED, Raw("reply", "1"), ref="cervo99")))
    phone = find(container).order.customer.phone
    change(container, lambda each: Change(replace(each, created_at=datetime.now(UTC))))
    for name in (delivery, "2011", "cervo99", "7", reference_of(7), phone[-4:]):
        (shown,) = command_line("show", name, "--json").documents
        assert shown["delivery_id"] == delivery
    assert command_line("show", phone[-3:]).err == f"order-sync: there is no delivery {phone[-3:]}\n"
    assert command_line("refresh", phone[-4:]).err == f"order-sync: there is no delivery {phone[-4:]}\n"


def test_several_orders_of_one_id_are_listed_with_their_platform_and_status(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    document = {**json.loads(placed(sample("2011", "34"))), "source": "kiosk"}
    container.ingest.store_documents([("2-0", json.dumps(document).encode())])
    other = delivery_id("kiosk", "2011")
    result = command_line("show", "2011")
    assert (result.code, result.out) == (1, "")
    first, *rows = result.err.splitlines()
    assert first == "order-sync: 2 deliveries have 2011; use the id of one of them:"
    assert sorted(rows) == sorted(
        f"order-sync: {key}  order 2011  from {source}  queued"
        for key, source in ((delivery, "demo"), (other, "kiosk"))
    )


def test_a_final_delivery_that_needs_an_operator_is_listed_as_open_until_it_is_attended(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    command_line("cancel", "2011")
    request_attention(container, AttentionReason.GOODS_WITH_COURIER)
    open_deliveries = command_line("deliveries", "--json", "--open").documents
    attended = [command_line("attended", "2011") for _ in range(2)]
    assert [(each["delivery_id"], each["attention"]) for each in open_deliveries] == [(delivery, "goods_with_courier")]
    assert attended == [
        Result(0, "2011: cancelled\n", ""),
        Result(1, "", "order-sync: nothing to do: the delivery is cancelled, its next step is none\n"),
    ]
    assert command_line("deliveries", "--json", "--open").documents == []


# --- show ---


def test_a_delivery_is_shown_by_its_order_id_or_its_own_id(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    apply_create_outcome(container, Uncertain("no answer"))
    (by_order,), (by_id,) = (command_line("show", name, "--json").documents for name in ("2011", delivery))
    assert by_order == by_id
    assert [(each["number"], each["carrier"], each["state"]) for each in by_order["attempts"]] == [
        (1, "cervo", "submit_unknown")
    ]
    assert [each["data"]["status"] for each in by_order["events"]] == ["queued", "submit_unknown"]
    lines = command_line("show", "2011").lines
    assert lines[0].split() == ["delivery_id", delivery]
    *_, last = (line for line in lines if " event " in line)
    assert last.partition("event")[2].split() == ["2", "status_changed:", "submit_unknown,", "carrier", "cervo"]


@pytest.mark.usefixtures("delivery")
def test_a_surplus_courier_is_shown_with_the_state_of_its_cancel(
    command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, Booked(Observation(status=DeliveryStatus.CREATED, raw=Raw("reply", "1"), ref="99")))
    surplus_id = duplicate_id("cervo", "100")
    for decide in (
        lambda each: lifecycle.record_duplicates(each, 7, ["100"], container.terms, NOW, Cause.RECONCILE),
        lambda each: lifecycle.begin_call(each, Step.CANCEL, container.terms, NOW),
        lambda each: lifecycle.apply_cancel_outcome(each, surplus_id, Refused(Reason.UNKNOWN), container.terms, NOW),
        lambda each: lifecycle.record_missing(each, surplus_id, container.terms, NOW),
    ):
        change(container, decide)
    (shown,) = command_line("show", "2011", "--json").documents
    assert [(each["ref"], each["our_tag"], each["surplus"], each["cancel"]) for each in shown["attempts"]] == [
        ("99", "00000000007", False, None),
        ("100", reference_of(surplus_id), True, "refused"),
    ]
    lines = command_line("show", "2011").lines
    assert [line.partition(" event ")[2].split(maxsplit=1)[1] for line in lines[-2:]] == [
        "conflict: created, duplicate, carrier cervo",
        "attention_required: created, surplus_courier, carrier cervo",
    ]


@pytest.mark.usefixtures("delivery")
def test_a_cancel_request_and_a_paused_account_are_shown(command_line: CommandLine, container: Container) -> None:
    container.database.write(accounts.pause, "cervo", "operator", "a holiday", NOW)
    apply_create_outcome(container, Uncertain("no answer"))
    answer = command_line("cancel", "2011", "--reason", "closed").out
    (shown,) = command_line("show", "2011", "--json").documents
    assert answer == "2011: submit_unknown, a cancel is requested, cervo is paused\n"
    assert (shown["cancel_wish"], shown["paused"]) == (
        "merchant",
        "by operator since 2026-11-21T17:00:00Z: a holiday",
    )


@pytest.mark.fault("F-95")
@pytest.mark.usefixtures("delivery")
def test_an_order_whose_create_is_held_shows_it(command_line: CommandLine, container: Container) -> None:
    container.lost_commits.hold("a fail-over")
    waiting = command_line("show", "2011", "--json").documents[0]
    apply_create_outcome(container, Uncertain("no answer"))
    sent = command_line("show", "2011", "--json").documents[0]
    assert (waiting["paused"], sent["paused"]) == ("by database since 2026-11-21T17:00:00Z: a fail-over", None)


@pytest.mark.parametrize(("reported", "written"), [(False, 8), (True, None)])
def test_a_status_that_the_platform_refused_is_not_shown_as_written(
    command_line: CommandLine, container: Container, delivery: str, *, reported: bool, written: int | None
) -> None:
    known = WriteBackState(8, replaced=25, written=True, reported=reported, seen=25)
    with container.database.engine.begin() as connection:
        connection.execute(insert(WRITE_BACK).values(delivery_id=delivery, **asdict(known)))
    (shown,) = command_line("show", "2011", "--json").documents
    assert (shown["platform_seen"], shown["platform_written"]) == (25, written)


@pytest.mark.fault("F-50")
@pytest.mark.usefixtures("delivery")
def test_texts_of_platforms_and_carriers_are_never_read_as_markup(
    command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, Uncertain("[/red] [bold]no[/bold] answer"))
    result = command_line("show", "2011")
    assert (result.code, result.err) == (0, "")


HOSTILE = "\x1b[2J\u202eevil\u0085\r\nline \u200f"
VISIBLE = r"\u001b[2J\u202eevil\u0085\u000d\u000aline \u200f"


@pytest.mark.fault("F-82")
def test_texts_of_platforms_and_carriers_cannot_control_the_terminal(
    command_line: CommandLine, container: Container
) -> None:
    order = json.loads(placed(sample("2011", "34")))
    order["data"]["order_id"] = "2011 \u202e\u2067"
    container.ingest.store_documents([("1-0", json.dumps(order).encode())])
    (found,) = container.database.read(search, Filter(), 1)
    said = replace(found, reason_text=HOSTILE, detail=HOSTILE)
    container.database.persist(deliveries.update, [found.id], lambda _: Change(said))
    listed, shown = command_line("deliveries"), command_line("show", found.id)
    assert r"2011 \u202e\u2067" in listed.out
    assert f"reason_text      {VISIBLE}" in shown.lines
    written = [listed.out, shown.out, command_line("events").out, command_line("deliveries", "--json").out]
    assert [text for text in written if CONTROLS.search(text.replace("\n", ""))] == []
    assert command_line("show", found.id, "--json").documents[0]["reason_text"] == HOSTILE


@pytest.mark.fault("F-82")
def test_an_error_cannot_control_the_terminal(command_line: CommandLine) -> None:
    result = command_line("show", "\x1b[2J\u202e")
    assert result == Result(1, "", "order-sync: there is no delivery \\u001b[2J\\u202e\n")


# --- carriers that were passed over ---


@pytest.mark.parametrize("refuses", ["deliverit", "borzo"])
def test_a_carrier_that_was_passed_over_is_shown_with_the_reason(
    command_line: CommandLine, container: Container, refuses: str
) -> None:
    carriers = [refuses, "cervo"]
    order = json.loads(placed(sample("2011", "34"), carriers=carriers, customer={"name": "T", "phone": "1"}))
    container.ingest.store_documents([("1-0", json.dumps(order).encode())])
    expected = {
        "deliverit": ["deliverit: dropoff.postal_code", "cervo: customer.phone is not a valid telephone number"],
        "borzo": [
            "borzo: customer.phone: not a telephone number",
            "cervo: customer.phone is not a valid telephone number",
        ],
    }[refuses]
    (shown,) = command_line("show", "2011", "--json").documents
    lines = [line.split(maxsplit=1)[1] for line in command_line("show", "2011").lines if line.startswith("passed_over")]
    assert (shown["passed_over"], lines) == (expected, expected)


@pytest.mark.usefixtures("delivery")
def test_no_carrier_is_shown_as_passed_over_when_all_can_take_the_order(command_line: CommandLine) -> None:
    assert command_line("show", "2011", "--json").documents[0]["passed_over"] == []


# --- events ---


@pytest.mark.usefixtures("delivery")
def test_events_are_written_as_they_were_published(command_line: CommandLine, container: Container) -> None:
    container.ingest.store_documents([("2-0", placed(sample("2012", "34")).encode())])
    published = [json.loads(body) for _, body in container.database.read(outbox.events)]
    assert command_line("events").documents == published
    assert command_line("events", "--order", "2012").documents == [published[1]]
    assert command_line("events", "--order", "4711") == Result(0, "", "")


@pytest.mark.usefixtures("delivery")
def test_only_events_since_the_given_time_are_written(command_line: CommandLine, container: Container) -> None:
    later = Container(load(), clock=lambda: NOW + timedelta(minutes=5))
    later.ingest.store_documents([("2-0", placed(sample("2012", "34")).encode())])
    later.database.close()
    published = [json.loads(body) for _, body in container.database.read(outbox.events)]
    written = [
        command_line("events", "--since", since).documents for since in ("2026-11-21T17:00:00Z", "2026-11-21T17:00:01Z")
    ]
    assert written == [published, published[1:]]
    result = command_line("events", "--since", "7")
    assert (result.code, result.err) == (
        2,
        "order-sync: --since 7 is neither a time nor an age such as 30m, 2h or 1d\n",
    )


def test_the_events_of_an_order_without_a_delivery_are_found_by_its_id(
    command_line: CommandLine, container: Container
) -> None:
    skipped = placed(sample("2013", "34")).replace('"delivery_type": "delivery"', '"delivery_type": "pickup"')
    container.ingest.store_documents([("3-0", skipped.encode())])
    (published,) = command_line("events", "--order", "2013").documents
    assert (published["type"], published["subject"]) == ("order.skipped", "2013")


@pytest.mark.usefixtures("delivery")
def test_show_has_every_time_in_the_zone_of_the_store_and_json_in_utc(command_line: CommandLine) -> None:
    shown = command_line("show", "2011")
    (line,) = [line for line in shown.lines if line.startswith("created_at")]
    assert line.split(maxsplit=1)[1] == "2026-11-21 20:00:00+03:00"
    assert UTC_TIME.search(shown.out) is None
    assert command_line("show", "2011", "--json").documents[0]["created_at"] == "2026-11-21T17:00:00Z"


def test_a_request_and_its_answer_are_shown_on_lines_of_their_own(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    apply_create_outcome(container, Uncertain("no answer"))
    attempt = find(container).attempts[0].id
    about, texts = ("create", delivery, "cervo", 12, 500), ("POST /create-order", "HTTP 500")
    call = RecordedCall(attempt, NOW, *about, Verdict.REFUSED, "no answer", *texts)
    container.database.write(carrier_calls.record, [call])
    lines = command_line("show", "2011").lines
    assert [line for line in lines if line.startswith("    ")] == [f"    {text}" for text in texts]


@pytest.mark.usefixtures("delivery")
def test_a_later_look_at_an_ended_delivery_is_called_the_last(command_line: CommandLine, container: Container) -> None:
    later = datetime.now(UTC) + timedelta(days=3)
    change(
        container,
        lambda each: Change(replace(each, status=DeliveryStatus.CANCELLED, step=Step.TRACK, next_run_at=later)),
    )
    assert "last look in " in command_line("deliveries").out
