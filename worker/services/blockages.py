"""The troubles that keep deliveries from going on, and the steps of deliveries that each of them blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.database.accounts import EVERY_ACCOUNT, OPERATOR, RESTORED, Pause
from worker.database.due_work import OldestStep
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Step
from worker.domain.trouble import Action, Severity, Trouble
from worker.enqueue import queue_of
from worker.resilience.circuit_breaker import BreakerState
from worker.services.account_health import CALL_CLASSES, PROBE_SECONDS
from worker.services.system_health import StoredState, SystemState
from worker.services.system_troubles import NO_STANDBY, STEP_OVERDUE, no_standby_since, no_worker
from worker.services.system_troubles import SystemTrouble as K

RESTORED_FIRST = " First work through the list, which `order-sync db restored` shows again."
"""What an operator does before the release of creates that are held since a restore."""


@dataclass(frozen=True, slots=True)
class Blockage:
    """A trouble that keeps the steps of some deliveries from going on."""

    trouble: Trouble
    steps: Sequence[tuple[Step, str | None]]
    """The steps at carriers that do not go on."""


def blocked(state: SystemState, stored: StoredState, terms: TermsByAccount) -> Iterator[Blockage]:
    """Yield what keeps deliveries from going on: pauses, breakers, missing accounts, a missing standby or worker."""
    steps = stored.oldest_steps
    for name, pause in stored.pauses.items():
        if name == EVERY_ACCOUNT:
            yield Blockage(
                _creates_held(pause), [(each.step, each.carrier) for each in steps if each.step is Step.BOOK]
            )
        else:
            yield Blockage(_account_paused(name, pause), _steps_at(steps, name))
    for name in terms.keys() - stored.pauses.keys():
        yield from _breaker(name, state, steps)
    for name in sorted({each.carrier for each in steps if each.carrier is not None} - terms.keys()):
        yield Blockage(_account_missing(name), _steps_at(steps, name))
    if (since := no_standby_since(state, stored)) is not None:  # then no worker can record its sweep
        yield Blockage(_commits_wait(since), [(each.step, each.carrier) for each in steps])
    elif no_worker(state, stored):
        since = stored.last_sweep.at if stored.last_sweep else None
        yield Blockage(_no_worker_runs(since), [(each.step, each.carrier) for each in steps])
    else:
        yield from _unserved_queues(state.at, [each for each in steps if each.carrier in {None, *terms}])


def _steps_at(steps: Iterable[OldestStep], account: str) -> list[tuple[Step, str | None]]:
    return [(each.step, each.carrier) for each in steps if each.carrier == account]


def _creates_held(pause: Pause) -> Trouble:
    by = "an operator" if pause.by == OPERATOR else f"the {pause.by}"
    return Trouble(
        key=K.CREATES_HELD,
        kind=K.CREATES_HELD,
        severity=Severity.SYSTEM,
        title="No order is sent to any carrier",
        explanation=f"{by.capitalize()} holds all creates{_because(pause)}. Reads, cancels and callbacks go on."
        f"{RESTORED_FIRST if pause.because.startswith(RESTORED) else ''}",
        since=pause.since,
        actions=(Action.RELEASE,),
    )


def _account_paused(name: str, pause: Pause) -> Trouble:
    by_operator = pause.by == OPERATOR
    return Trouble(
        key=f"{K.ACCOUNT_PAUSED}:{name}",
        kind=K.ACCOUNT_PAUSED,
        severity=Severity.SYSTEM,
        title=f"{name} is paused by an operator" if by_operator else f"{name} refuses our credentials",
        explanation=f"The account is not called{_because(pause)}."
        if by_operator
        else f"The account is paused{_because(pause)}. Correct its credentials, restart the processes, then resume it. "
        f"It is also tried again every {PROBE_SECONDS / 60:.0f} minutes.",
        account=name,
        since=pause.since,
        actions=(Action.RESUME,),
    )


def _because(pause: Pause) -> str:
    return f" ({pause.because})" if pause.because else ""


def _breaker(name: str, state: SystemState, steps: Sequence[OldestStep]) -> Iterator[Blockage]:
    statuses = state.breakers.get(name) or {}
    shut = {call_class: each for call_class, each in statuses.items() if each.state is not BreakerState.CLOSED}
    if not shut:
        return
    throttled = all(each.state is BreakerState.THROTTLED for each in shut.values())
    kind = K.CARRIER_THROTTLED if throttled else K.CARRIER_UNAVAILABLE
    classes = " and ".join(f"{each.value}s" for each in shut)
    wait = max(each.wait for each in shut.values())
    yield Blockage(
        Trouble(
            key=f"{kind}:{name}",
            kind=kind,
            severity=Severity.SYSTEM,
            title=f"{name} asked for fewer calls" if throttled else f"{name} does not answer",
            explanation=f"No {classes} are sent to it. It is tried again in {wait:.0f} s.",
            account=name,
            actions=(Action.PAUSE,),
        ),
        [pair for pair in _steps_at(steps, name) if pair[0] in CALL_CLASSES and CALL_CLASSES[pair[0]] in shut],
    )


def _account_missing(name: str) -> Trouble:
    return Trouble(
        key=f"{K.ACCOUNT_MISSING}:{name}",
        kind=K.ACCOUNT_MISSING,
        severity=Severity.SYSTEM,
        title=f"Deliveries need the account {name}, which is not in the settings",
        explanation="They go on as soon as the settings have the account again.",
        account=name,
        actions=(Action.CANCEL,),
    )


def _commits_wait(since: datetime) -> Trouble:
    return Trouble(
        key=K.COMMITS_WAIT_FOR_STANDBY,
        kind=K.COMMITS_WAIT_FOR_STANDBY,
        severity=Severity.SYSTEM,
        title="Commits wait for a standby",
        explanation=NO_STANDBY,
        since=since,
    )


def _no_worker_runs(since: datetime | None) -> Trouble:
    return Trouble(
        key=K.NO_WORKER,
        kind=K.NO_WORKER,
        severity=Severity.SYSTEM,
        title="No worker runs",
        explanation="Nothing has been swept lately: no order is sent and no courier is followed. Start a worker.",
        since=since,
    )


def _unserved_queues(now: datetime, steps: Iterable[OldestStep]) -> Iterator[Blockage]:
    queues: dict[str, list[OldestStep]] = {}
    for each in steps:
        if now - each.at > STEP_OVERDUE:
            queues.setdefault(queue_of(each.step, each.carrier), []).append(each)
    for queue, overdue in queues.items():
        since = min(each.at for each in overdue)
        yield Blockage(
            Trouble(
                key=f"{K.QUEUE_NOT_SERVED}:{queue}",
                kind=K.QUEUE_NOT_SERVED,
                severity=Severity.SYSTEM,
                title=f"The queue {queue} is behind",
                explanation="Its oldest step has been due for too long. Check that a worker serves this queue.",
                account=overdue[0].carrier,
                subject=queue,
                since=since,
            ),
            [(each.step, each.carrier) for each in overdue],
        )
