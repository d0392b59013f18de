"""`order-sync carriers`: the accounts, their pauses and the mapping of carrier statuses."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest

from schemas.status import Cause, DeliveryStatus
from tests.cli.commands import CommandLine, apply_create_outcome, change
from tests.web.edge import NOW
from worker.carriers.port import Booked, Observation, Raw
from worker.cli.base import age, when
from worker.config.settings import load
from worker.container import Container
from worker.database import accounts, deliveries
from worker.domain import lifecycle
from worker.http.call import CallClass, Operation


def cells(line: str) -> list[str]:
    """Return the cells of a row of a table."""
    return re.split(r" {2,}", line.strip())


def paused_for(text: str, since: datetime = NOW) -> str:
    """Return the text of a pause that began at a time."""
    by, because = text.split(":", 1)
    return f"paused by {by} for {age(since, datetime.now(UTC))}:{because}"


def test_accounts_are_listed_with_their_pauses_circuit_breakers_and_rate_limits(
    command_line: CommandLine, container: Container, embedded_redis: Callable[..., AbstractContextManager[str]]
) -> None:
    container.database.write(accounts.pause, "borzo", "carrier", "HTTP 401", NOW)
    with embedded_redis() as url:
        command_line.set(REDIS_URL=url)
        connected = Container(load())
        connected.breaker.record("cervo", CallClass.READ, good=0, bad=5)
        connected.rate_limiter.acquire("cervo", "1/second", Operation.PROBE, 0)
        listed, documents = command_line("carriers"), command_line("carriers", "--json").documents
    lines = [re.sub(r"read open \d+ s", "read open 30 s", line) for line in listed.lines]
    assert [cells(line)[:4] for line in lines] == [
        ["account", "kind", "calls", "breakers"],
        ["borzo", "borzo", paused_for("carrier: HTTP 401"), "closed"],
        ["cervo", "cervo", "active", "read open 30 s"],
        ["deliverit", "deliverit", "active", "closed"],
    ]
    assert documents[0]["paused"] == {"since": "2026-11-21T17:00:00Z", "by": "carrier", "because": "HTTP 401"}
    assert documents[1]["breakers"]["read"]["state"] == "open"
    assert documents[1]["budget"] == [{"limit": 1, "seconds": 1, "used": 0}]
    assert documents[2] == {
        "carrier": "deliverit",
        "kind": "deliverit",
        "paused": None,
        "creates_held": None,
        "breakers": {kind: {"state": "closed", "wait": 0} for kind in ("create", "cancel", "read")},
        "budget": [],
        "unknown_words": [],
        "explained_words": {},
    }


def test_accounts_are_listed_while_redis_is_unavailable(command_line: CommandLine) -> None:
    result = command_line("carriers")
    unknown = "unknown (Redis is unavailable)"
    assert (result.code, cells(result.lines[2])) == (0, ["cervo", "cervo", "active", unknown, unknown])


def test_an_operator_pauses_and_resumes_an_account(command_line: CommandLine, container: Container) -> None:
    paused = [command_line("carriers", "pause", "cervo", "--reason", "a holiday") for _ in range(2)]
    assert [(each.code, each.out, each.err) for each in paused] == [
        (0, "cervo: paused\n", ""),
        (1, "", "order-sync: cervo is already paused\n"),
    ]
    assert [(pause.by, pause.because) for pause in container.database.read(accounts.paused).values()] == [
        ("operator", "a holiday")
    ]
    resumed = [command_line("carriers", "resume", "cervo") for _ in range(2)]
    assert [(each.code, each.out, each.err) for each in resumed] == [
        (0, "cervo: resumed\n", ""),
        (1, "", "order-sync: cervo is not paused\n"),
    ]


def test_the_platforms_account_is_listed_and_paused_like_a_carriers_account(command_line: CommandLine) -> None:
    command_line.set(ORDERING__BASE_URL="http://127.0.0.1:9", ORDERING__API_KEY="a-key")
    paused = command_line("carriers", "pause", "ordering")
    assert (paused.code, paused.out, paused.err) == (0, "ordering: paused\n", "")
    assert cells(command_line("carriers").lines[-1])[:3] == ["ordering", "ordering", "paused by operator for 0 s:"]


def test_the_message_about_an_unknown_account_lists_the_accounts(command_line: CommandLine) -> None:
    result = command_line("carriers", "pause", "uber")
    assert (result.code, result.err) == (
        1,
        "order-sync: there is no account uber; the accounts are: borzo, cervo, deliverit\n",
    )


@pytest.mark.quirk("C-32", "B-70")
def test_an_operator_maps_an_unmapped_status_and_removes_the_mapping(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    seen = [Observation(None, Raw("order", "6"))]
    apply_create_outcome(container, Booked(Observation(DeliveryStatus.CREATED, None, ref="99999")))
    change(container, lambda each: lifecycle.apply_observations(each, 7, seen, container.terms, NOW, Cause.POLL))
    shown = [cells(command_line("carriers").lines[2])[-1]]
    mapped = command_line("carriers", "map", "cervo", "order:6", "delivered")
    shown.append(cells(command_line("carriers").lines[2])[-1])
    documents = command_line("carriers", "--json").documents
    removed = [command_line("carriers", "map", "cervo", "order:6", "--remove") for _ in range(2)]
    assert (mapped.code, mapped.out) == (0, "cervo: order:6 is mapped to delivered; deliveries changed: 1\n")
    assert container.database.read(deliveries.load, [delivery])[0].status == DeliveryStatus.DELIVERED
    assert shown == ["unmapped order:6", "mapped order:6 = delivered"]
    assert (documents[1]["unknown_words"], documents[1]["explained_words"]) == ([], {"order:6": "delivered"})
    assert [(each.code, each.out, each.err) for each in removed] == [
        (0, "cervo: order:6 is no longer mapped\n", ""),
        (1, "", "order-sync: cervo: order:6 is not mapped\n"),
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("cervo", "order:6", "queued"), "queued is not a status that a carrier can report; these are: awaiting_con"),
        (("cervo", "order:6", "submit_unknown"), "submit_unknown is not a status that a carrier can report"),
        (("cervo", "order:6", "gone"), "gone is not a status that a carrier can report"),
        (
            ("cervo", "6", "delivered"),
            "6 is not a carrier status: write it as `order-sync carriers` does, such as order:6",
        ),
        (("cervo", "order:6"), "give one of our statuses or --remove"),
        (("cervo", "order:6", "delivered", "--remove"), "give one of our statuses or --remove"),
    ],
)
def test_a_carrier_status_is_mapped_only_to_a_status_that_a_carrier_can_report(
    command_line: CommandLine, arguments: tuple[str, ...], complaint: str
) -> None:
    result = command_line("carriers", "map", *arguments)
    assert (result.code, result.err.startswith(f"order-sync: {complaint}")) == (2, True)


@pytest.mark.fault("F-95")
def test_an_operator_holds_and_releases_the_creates_of_every_account(
    command_line: CommandLine, container: Container
) -> None:
    held = [command_line("carriers", "hold", "--reason", "a fail-over") for _ in range(2)]
    assert [(each.code, each.out, each.err) for each in held] == [
        (0, "creates are held\n", ""),
        (1, "", "order-sync: creates are already held\n"),
    ]
    hold = container.database.read(accounts.paused)[accounts.EVERY_ACCOUNT]
    assert (hold.by, hold.because) == ("operator", "a fail-over")
    shown = {"since": when(hold.since), "by": "operator", "because": "a fail-over"}
    assert [each["creates_held"] for each in command_line("carriers", "--json").documents] == [shown] * 3
    assert "active; creates held by operator for " in command_line("carriers").lines[1]
    released = [command_line("carriers", "release") for _ in range(2)]
    assert [(each.code, each.out, each.err) for each in released] == [
        (0, "creates are sent again\n", ""),
        (1, "", "order-sync: creates are not held\n"),
    ]
