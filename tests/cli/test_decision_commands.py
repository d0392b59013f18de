"""The commands with which an operator decides about one delivery."""

import json
from datetime import timedelta

import pytest

from schemas.status import DeliveryStatus, Reason
from tests.cli.commands import CommandLine, Result, apply_create_outcome, change, find
from tests.web.edge import NOW, sample
from worker.carriers.port import Booked, Observation, Offer, Raw
from worker.config.settings import load
from worker.container import Container
from worker.database import deliveries
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import CarrierError, Refused, Uncertain
from worker.local.demo.orders import placed

CREATED = Booked(Observation(DeliveryStatus.CREATED, Raw("reply", "1"), ref="99"))


@pytest.fixture
def offered(container: Container) -> None:
    """Let DeliverIt offer a pickup an hour after the requested time."""
    container.ingest.store_documents([("1-0", placed(sample("2011", "17")).encode())])
    requested = NOW + timedelta(minutes=15)
    awaiting = Observation(DeliveryStatus.AWAITING_CONFIRMATION, Raw("reply", "pushed"), ref="F64u3fbx")
    apply_create_outcome(container, Booked(awaiting, Offer(requested, requested + timedelta(hours=1))))


@pytest.mark.usefixtures("offered")
def test_an_open_offer_is_shown_with_the_requested_pickup_and_its_time_limit(command_line: CommandLine) -> None:
    (shown,) = command_line("show", "2011", "--json").documents
    (attempt,) = shown["attempts"]
    assert {key: attempt[key] for key in ("pickup_at", "offered_at", "rule_until", "ruling")} == {
        "pickup_at": "2026-11-21T17:15:00Z",
        "offered_at": "2026-11-21T18:15:00Z",
        "rule_until": "2026-11-21T17:03:00Z",
        "ruling": None,
    }
    assert shown["attention"] == "offer_waits"


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize("decision", ["accept", "deny"])
def test_an_offer_is_decided_only_once(decision: str, command_line: CommandLine, container: Container) -> None:
    assert command_line(decision, "2011") == Result(
        0, f"2011: awaiting_confirmation, the decision {decision} is sent next\n", ""
    )
    assert command_line(decision, "2011") == Result(
        1, "", "order-sync: nothing to do: the delivery is awaiting_confirmation, its next step is confirm\n"
    )
    (attempt,) = find(container).attempts
    (shown,) = command_line("show", "2011", "--json").documents[0]["attempts"]
    assert (attempt.offer_decision, shown["ruling"], shown["rule_until"]) == (decision, decision, None)


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize("decision", ["accept", "deny"])
def test_accept_and_deny_need_an_offer(decision: str, command_line: CommandLine) -> None:
    assert command_line(decision, "2011") == Result(
        1, "", "order-sync: no carrier offers another pickup time: the delivery is queued\n"
    )


@pytest.mark.usefixtures("delivery")
def test_a_retry_of_a_rejected_delivery_is_shown_as_json(command_line: CommandLine, container: Container) -> None:
    apply_create_outcome(container, Refused(Reason.CARRIER_CLOSED, "closed"))
    result = command_line("retry", "2011", "--json")
    (shown,) = result.documents
    assert (result.code, shown["status"], shown["detail"], shown["next_step"]) == (
        0,
        "queued",
        "retry",
        "book",
    )


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize(
    ("outcome", "instead"),
    [
        (CREATED, "cervo has the order: run `order-sync cancel ID` first"),
        (Uncertain("?"), "cervo may have the order: run `order-sync resolve ID exists REF` or `absent`"),
    ],
)
def test_a_retry_is_refused_with_advice_while_a_carrier_has_or_may_have_the_order(
    outcome: Booked | CarrierError, instead: str, command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, outcome)
    assert command_line("retry", "2011") == Result(1, "", f"order-sync: {instead}\n")


def test_a_retry_of_an_order_behind_a_closed_gate_says_that_the_gate_still_holds(command_line: CommandLine) -> None:
    command_line.set(ORDERING__BASE_URL="http://127.0.0.1:9", ORDERING__API_KEY="a-key", ORDERING__GATE="ready")
    gated = Container(load(), clock=lambda: NOW)
    old = json.loads(placed(sample("2011", "34"))) | {"time": "2026-11-01T12:00:00Z"}
    gated.ingest.store_documents([("1-0", json.dumps(old).encode())])
    assert find(gated).status is DeliveryStatus.REJECTED
    gated.database.close()
    assert command_line("retry", "2011") == Result(0, "2011: queued (retry), it waits until the shop says ready\n", "")


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize("command", [("cancel",), ("retry",)])
def test_a_decision_writes_the_delivery_as_the_list_does(command: tuple[str], command_line: CommandLine) -> None:
    written = command_line(*command, "2011", "--json").documents
    assert written == command_line("deliveries", "--json").documents


@pytest.mark.parametrize("command", [("show",), ("cancel",), ("refresh",), ("resolve", "absent")])
def test_a_command_for_an_unknown_delivery_names_its_id(command: tuple[str, ...], command_line: CommandLine) -> None:
    name, *rest = command
    assert command_line(name, "4711", *rest) == Result(1, "", "order-sync: there is no delivery 4711\n")


@pytest.mark.usefixtures("delivery")
def test_an_unknown_outcome_must_be_resolved_and_cannot_be_attended(
    command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, Uncertain("no answer"))
    change(container, lambda each: lifecycle.no_lookup_available(each, container.terms, NOW))
    assert command_line("attended", "2011") == Result(
        1, "", "order-sync: an unknown outcome must be resolved: `order-sync resolve ID exists REF`, or `absent`\n"
    )
    assert find(container).attention == "outcome_unknown"


@pytest.mark.usefixtures("delivery")
def test_a_cancel_of_a_final_delivery_has_nothing_to_do(command_line: CommandLine) -> None:
    command_line("cancel", "2011")
    assert command_line("cancel", "2011") == Result(
        1, "", "order-sync: nothing to do: the delivery is cancelled, its next step is none\n"
    )


@pytest.mark.usefixtures("delivery")
def test_a_refresh_makes_the_next_read_due_now(command_line: CommandLine, container: Container) -> None:
    seen = Observation(status=DeliveryStatus.CREATED, raw=Raw("reply", "1"), ref="99")
    apply_create_outcome(container, Booked(seen))
    before = find(container).next_run_at
    assert command_line("refresh", "2011") == Result(0, "2011: created\n", "")
    after = find(container).next_run_at
    assert (before is not None, before != after) == (True, True)


@pytest.mark.usefixtures("delivery")
def test_a_final_delivery_can_be_read_again(command_line: CommandLine, container: Container) -> None:
    apply_create_outcome(
        container, Booked(Observation(status=DeliveryStatus.DELIVERED, raw=Raw("reply", "4"), ref="99"))
    )
    assert command_line("refresh", "2011") == Result(0, "2011: delivered\n", "")
    found = find(container)
    assert (found.step, found.step_attempt_id) == (Step.TRACK, 7)


@pytest.mark.parametrize(
    "arguments",
    [("maybe",), ("exists",), ("absent", "99"), ("exists", "")],
    ids=["unknown", "no ref", "a ref", "empty ref"],
)
def test_resolve_needs_a_reference_only_when_the_order_exists(
    arguments: tuple[str, ...], command_line: CommandLine
) -> None:
    assert command_line("resolve", "2011", *arguments) == Result(
        2, "", "order-sync: write `resolve ID exists REF` or `resolve ID absent`\n"
    )


@pytest.mark.usefixtures("delivery")
def test_an_unknown_outcome_is_resolved_with_the_reference_that_the_operator_found(
    command_line: CommandLine,
    container: Container,
) -> None:
    apply_create_outcome(container, Uncertain("no answer"))
    result = command_line("resolve", "2011", "exists", "99")
    found = find(container)
    assert (result.code, result.err, [attempt.ref for attempt in found.attempts]) == (0, "", ["99"])


@pytest.mark.fault("F-73")
@pytest.mark.usefixtures("delivery")
def test_a_reference_that_another_delivery_has_resolves_nothing(
    command_line: CommandLine, container: Container
) -> None:
    apply_create_outcome(container, CREATED)
    container.ingest.store_documents([("2-0", placed(sample("2012", "34")).encode())])
    (other,) = container.database.read(deliveries.find, "2012")
    for decide in (
        lambda each: lifecycle.begin_booking(each, 2, "another token", container.terms, NOW),
        lambda each: lifecycle.apply_create_outcome(each, 2, Uncertain("no answer"), container.terms, NOW),
    ):
        container.database.persist(deliveries.update, [other.id], decide)
    assert command_line("resolve", "2012", "exists", "99") == Result(
        1, "", "order-sync: another delivery has the carrier's order 99: check the reference\n"
    )
