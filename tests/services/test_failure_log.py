"""Failing calls are logged once for each account and cause, and once when they succeed again."""

from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from worker.errors import CarrierError, Throttled, Unavailable, Uncertain
from worker.http.call import Call, CallClass, Outcome, Reply
from worker.services.failure_log import MAX_CAUSES, QUIET, FailureLog

NOW = datetime(2026, 11, 21, 17, tzinfo=UTC)
REFUSED = Unavailable("not sent: ConnectError")
ABOUT = {"account": "borzo", "host": "robot.example", "kind": "create"}


class Log:
    """A failure log of one account, and the time."""

    def __init__(self) -> None:
        self.now, self.log = NOW, FailureLog({"borzo": "robot.example"})

    def record(self, *errors: CarrierError, answered: bool = False) -> None:
        self.log.record("borzo", CallClass.CREATE, errors, self.now, answered=answered)


def test_a_cause_is_logged_once_however_often_it_occurs() -> None:
    log = Log()
    with capture_logs() as lines:
        for _ in range(50):
            log.record(REFUSED, REFUSED, answered=True)
            log.now += timedelta(seconds=1)
    assert lines == [
        {"event": "carrier.call_failed", "log_level": "warning", **ABOUT, "cause": "not sent: ConnectError"}
    ]


def test_each_further_cause_is_logged() -> None:
    log = Log()
    with capture_logs() as lines:
        log.record(REFUSED, Uncertain("no answer within the deadline"), Throttled("HTTP 429"))
    assert [(each["event"], each["cause"]) for each in lines] == [
        ("carrier.call_failed", "not sent: ConnectError"),
        ("carrier.call_failed", "no answer within the deadline"),
        ("carrier.throttled", "HTTP 429"),
    ]


def test_a_carrier_that_never_says_the_same_twice_does_not_fill_the_log() -> None:
    log = Log()
    with capture_logs() as lines:
        for number in range(1000):
            log.record(Unavailable(f"error {number}"))
    assert len(lines) == MAX_CAUSES


def test_the_end_is_logged_once_after_calls_have_succeeded_for_a_while() -> None:
    log = Log()
    log.record(REFUSED)
    log.now += timedelta(seconds=60)
    log.record(REFUSED)
    with capture_logs() as lines:
        log.record(answered=True)
        log.now += QUIET
        log.record(answered=False)
        assert lines == []
        log.record(answered=True)
        log.record(answered=True)
    assert lines == [{"event": "carrier.recovered", "log_level": "info", **ABOUT, "seconds": 60}]


def test_a_cause_that_returns_after_the_end_is_logged_again() -> None:
    log = Log()
    log.record(REFUSED)
    log.now += QUIET
    log.record(answered=True)
    with capture_logs() as lines:
        log.record(REFUSED)
    assert [each["event"] for each in lines] == ["carrier.call_failed"]


def test_a_cause_is_one_line_without_contacts() -> None:
    log = Log()
    with capture_logs() as lines:
        log.record(Unavailable("call +45 20 30 40 50\nor freja@example.org"))
    assert [each["cause"] for each in lines] == ["call *** or ***"]


# --- in a flow ---


def carrier_lines(lines: list[MutableMapping[str, Any]]) -> list[tuple[object, ...]]:
    wanted = ("event", "log_level", "account", "host", "cause")
    return [tuple(each.get(name) for name in wanted) for each in lines if str(each["event"]).startswith("carrier.")]


def test_an_outage_is_a_warning_for_its_cause_and_its_breaker_and_not_for_its_orders(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    gateway.outcome = lambda account, _call: Uncertain("no answer") if account == "borzo" else None
    with capture_logs() as lines:
        simulation.place_at("borzo", *"12345678")
    assert carrier_lines(lines) == [
        ("carrier.call_failed", "warning", "borzo", "127.0.0.1", "no answer"),
        ("carrier.breaker_opened", "warning", "borzo", "127.0.0.1", None),
    ]


@pytest.mark.parametrize("store", ["borzo", "cervo"])
def test_a_pause_and_its_end_are_logged_with_account_host_and_cause(
    store: str, simulation: Simulation, gateway: ScriptedGateway
) -> None:
    rejected: list[bool] = [True]

    def outcome(account: str, _call: Call) -> Outcome | None:
        return Reply(401, b"") if account == store and rejected else None

    gateway.outcome = outcome
    with capture_logs() as lines:
        simulation.place_at(store, "1")
        rejected.clear()
        simulation.until(lambda it: it.status("1") == "created", step=60)
    (paused, resumed) = carrier_lines(lines)
    assert (paused[:4], resumed) == (
        ("carrier.paused", "warning", store, "127.0.0.1"),
        ("carrier.resumed", "info", store, "127.0.0.1", None),
    )
    assert "401" in str(paused[4])
