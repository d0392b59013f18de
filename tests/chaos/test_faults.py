"""Faults begin and end in two lanes, and change the conditions in running processes."""

import random
import socket
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.conditions import Conditions
from tests.chaos.faults import Fault, FaultInjector
from tests.chaos.names import FAILED, NameServers


def test_two_faults_at_once_never_have_the_same_target() -> None:
    running: list[str] = []
    faults = [
        Fault(name, target, partial(running.append, name), partial(running.remove, name), (1, 1))
        for name, target in (("first", "worker"), ("second", "worker"), ("third", "redis"))
    ]
    injector, seen = FaultInjector(faults, random.Random(1)), set[tuple[str, ...]]()
    for now in range(200):
        injector.tick(now)
        seen.add(tuple(sorted(running)))
    injector.end_all(200)
    assert seen - {(), ("first",), ("second",), ("third",)} == {("first", "third"), ("second", "third")}
    assert (running, {fault.name for fault, _, _ in injector.past}) == ([], {"first", "second", "third"})


def test_a_single_fault_leaves_the_other_lane_empty() -> None:
    injector = FaultInjector([Fault("alone", "disk", lambda: None)], random.Random(1))
    injector.tick(0)
    assert [lane.fault and lane.fault.name for lane in injector.lanes] == ["alone", None]


def test_a_condition_lasts_from_its_begin_to_its_end_in_every_process(tmp_path: Path) -> None:
    ours = Conditions(tmp_path / "conditions")
    theirs = Conditions.inherited(ours.variable)
    seen = [theirs.read("rate.borzo", "1000/second")]
    ours.begin("rate.borzo", "2/second")
    seen += [theirs.read("rate.borzo", "1000/second"), theirs.read("rate.cervo", "1000/second")]
    ours.end("rate.borzo")
    seen.append(theirs.read("rate.borzo", "1000/second"))
    assert seen == ["1000/second", "2/second", "1000/second", "1000/second"]


def test_without_a_folder_every_condition_is_the_ordinary_one() -> None:
    assert Conditions.inherited({}).read("rate.borzo", "1000/second") == "1000/second"


def test_a_condition_delays_or_fails_the_look_ups_of_one_host_alone(tmp_path: Path) -> None:
    conditions, slept = Conditions(tmp_path), list[float]()
    servers = NameServers(conditions, slept.append)
    conditions.begin("names.borzo", "1.5")
    conditions.begin("names.cervo", FAILED)
    found = [servers.look_up(host, 80, type=socket.SOCK_STREAM) for host in ("deliverit.localhost", b"borzo.localhost")]
    with pytest.raises(socket.gaierror):
        servers.look_up("cervo.localhost", 80)
    here = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))]
    assert (found, slept) == ([here, here], [0.0, 1.5])
