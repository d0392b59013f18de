"""Carrier accounts: what probes told about them, which are paused, and what their odd words mean.

Each has a sequence of events of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from schemas.events import CarrierEvent, EventType, carrier_key
from schemas.status import DeliveryStatus
from worker.database import events
from worker.database.deliveries import insert_new
from worker.database.tables import ACCOUNT, ATTEMPT, DELIVERY, EVENT, STATUS_MAPPING
from worker.domain.delivery import Step
from worker.domain.lifecycle.observations import REGRESSION

OPERATOR = "operator"
EAGER = tuple(step.value for step in (Step.BOOK, Step.CONFIRM, Step.AMEND, Step.CANCEL, Step.TRACK))
"""Steps that need not wait any longer once their account goes again; a look-up of a doubt keeps its distance."""


@dataclass(frozen=True, slots=True)
class Pause:
    """That an account is not called: since when, who decided it (`carrier` or `operator`), and why."""

    since: datetime
    by: str
    because: str


def account_metadata(connection: Connection, account: str) -> dict[str, str]:
    """Read what a probe once told about a carrier account."""
    return dict(connection.scalar(select(ACCOUNT.c.account_metadata).where(ACCOUNT.c.name == account)) or {})


def put_account_metadata(connection: Connection, account: str, facts: Mapping[str, str]) -> None:
    """Keep what a probe told about a carrier account."""
    row = {"name": account, "account_metadata": dict(facts)}
    if not insert_new(connection, ACCOUNT, [row], "name"):
        connection.execute(update(ACCOUNT).where(ACCOUNT.c.name == account).values(account_metadata=dict(facts)))


def paused(connection: Connection) -> dict[str, Pause]:
    """Read which accounts are paused."""
    found = connection.execute(select(ACCOUNT).where(ACCOUNT.c.paused_at.is_not(None)))
    return {row.name: _pause(row) for row in found}


def pause(connection: Connection, account: str, by: str, because: str, now: datetime) -> bool:
    """Pause an account and tell it, once; false when it is paused already. An operator's pause outranks a carrier's."""
    insert_new(connection, ACCOUNT, [{"name": account}], "name")
    row = _locked(connection, account)
    is_paused = row is not None and row.paused_at is not None
    if row is not None and is_paused and (by != OPERATOR or row.paused_by == OPERATOR):
        return False
    since = row.paused_at if row is not None and is_paused else now
    _write(connection, account, paused_at=since, paused_by=by, paused_because=because)
    if not is_paused:
        told = CarrierEvent(carrier=account, by=by, because=because, since=now)
        _tell(connection, EventType.CARRIER_PAUSED, told, now)
    return True


def resume(connection: Connection, account: str, by: str, now: datetime) -> bool:
    """Let an account go again, with all that waited for it, and tell it; false when there was nothing to resume.

    What an operator paused only an operator resumes.
    """
    row = _locked(connection, account)
    if row is None or row.paused_at is None or (row.paused_by == OPERATOR and by != OPERATOR):
        return False
    _write(connection, account, paused_at=None, paused_by=None, paused_because=None)
    told = CarrierEvent(carrier=account, by=by, because=row.paused_because, since=row.paused_at)
    _tell(connection, EventType.CARRIER_RESUMED, told, now)
    _let_go(connection, account, now)
    return True


def _let_go(connection: Connection, account: str, now: datetime) -> None:
    """Make due what was put off; a later order's time and a polling cadence stay as they are."""
    queued = DELIVERY.c.status == DeliveryStatus.QUEUED.value
    eager = DELIVERY.c.step.in_(EAGER) | ((DELIVERY.c.step == Step.ALARM.value) & queued)
    put_off = (DELIVERY.c.retry_at > now) & (DELIVERY.c.next_run_at <= DELIVERY.c.retry_at)
    these = (DELIVERY.c.carrier == account) & eager & put_off
    connection.execute(update(DELIVERY).where(these).values(retry_at=None, next_run_at=now, lease_until=None))


def unmapped_statuses(connection: Connection) -> dict[str, list[str]]:
    """List the words of each account that no codec understood; a step back is none."""
    query = (
        select(ATTEMPT.c.carrier, ATTEMPT.c.reported_anomalies)
        .where(ATTEMPT.c.reported_anomalies.is_not(None))
        .distinct()
    )
    found: dict[str, set[str]] = {}
    for row in connection.execute(query):
        words = {word for word in row.odd_word.splitlines() if not word.startswith(REGRESSION)}
        found.setdefault(row.carrier, set()).update(words)
    return {carrier: sorted(words) for carrier, words in sorted(found.items()) if words}


def status_mappings(connection: Connection) -> dict[str, dict[str, DeliveryStatus]]:
    """Read what operators said that words mean, by account."""
    said: dict[str, dict[str, DeliveryStatus]] = {}
    for row in connection.execute(
        select(STATUS_MAPPING).order_by(STATUS_MAPPING.c.account, STATUS_MAPPING.c.carrier_status)
    ):
        said.setdefault(row.account, {})[row.carrier_status] = DeliveryStatus(row.status)
    return said


def put_mapping(connection: Connection, account: str, word: str, status: DeliveryStatus, now: datetime) -> list[str]:
    """Give an account's word a meaning; return the deliveries that it was said of."""
    drop_mapping(connection, account, word)
    meaning = {"account": account, "carrier_status": word, "status": status.value, "mapped_at": now}
    connection.execute(insert(STATUS_MAPPING), [meaning])
    told = (ATTEMPT.c.carrier == account) & ATTEMPT.c.reported_anomalies.contains(word, autoescape=True)
    return list(connection.scalars(select(ATTEMPT.c.delivery_id).where(told).distinct()))


def drop_mapping(connection: Connection, account: str, word: str) -> bool:
    """Take a word's meaning back; false when it had none."""
    this = (STATUS_MAPPING.c.account == account) & (STATUS_MAPPING.c.carrier_status == word)
    return bool(connection.execute(delete(STATUS_MAPPING).where(this)).rowcount)


def _pause(row: Row[tuple[object, ...]]) -> Pause:
    return Pause(row.paused_at, row.paused_by, row.paused_because or "")


def _locked(connection: Connection, account: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(ACCOUNT).where(ACCOUNT.c.name == account).with_for_update()).one_or_none()


def _write(connection: Connection, account: str, **values: object) -> None:
    connection.execute(update(ACCOUNT).where(ACCOUNT.c.name == account).values(values))


def _tell(connection: Connection, kind: EventType, data: CarrierEvent, now: datetime) -> None:
    """Write an event of an account, whose row is locked: so its sequence has no gap."""
    key = carrier_key(data.carrier)
    told = connection.scalar(select(func.max(EVENT.c.sequence)).where(EVENT.c.key == key)) or 0
    connection.execute(insert(EVENT), [events.row(kind, key, told + 1, data.carrier, data, now)])
