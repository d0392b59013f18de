"""Carrier accounts: the metadata from their log-ins, their pauses, and the mappings of their carrier statuses.

The events of each account have their own sequence numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from schemas.events import CarrierEvent, EventType, carrier_key
from schemas.status import DeliveryStatus
from worker.database import deliveries, outbox
from worker.database.batches import insert_new
from worker.database.tables import ACCOUNT, ATTEMPT, DELIVERY, EVENT, STATUS_MAPPING
from worker.domain.delivery import Step
from worker.domain.lifecycle.observations import REGRESSION

OPERATOR = "operator"
KNOWN_STATUSES = frozenset(DeliveryStatus)
EVERY_ACCOUNT = "*"
"""A name that means every account: `pause` with this name holds all creates, and `resume` ends the hold."""
RESTORED = "the database was restored from a backup"
"""Why all creates are held after a restore; the operator's own reason may follow."""
RESUMED_STEPS = tuple(step.value for step in (Step.BOOK, Step.CONFIRM, Step.AMEND, Step.CANCEL, Step.TRACK))
"""Steps that become due at once when their account is resumed. Look-ups of unknown outcomes keep their times."""

_PAUSED = select(ACCOUNT).where(ACCOUNT.c.paused_at.is_not(None))


@dataclass(frozen=True, slots=True)
class Pause:
    """The pause of an account: when it began, who paused the account (`carrier`, `operator` or `database`), and why."""

    since: datetime
    by: str
    because: str


def account_metadata(connection: Connection, account: str) -> dict[str, str]:
    """Return the metadata that the last log-in of an account returned."""
    return dict(connection.scalar(select(ACCOUNT.c.account_metadata).where(ACCOUNT.c.name == account)) or {})


def put_account_metadata(connection: Connection, account: str, metadata: Mapping[str, str]) -> None:
    """Store the metadata that a log-in of an account returned."""
    row = {"name": account, "account_metadata": dict(metadata)}
    if not insert_new(connection, ACCOUNT, [row], "name"):
        connection.execute(update(ACCOUNT).where(ACCOUNT.c.name == account).values(account_metadata=dict(metadata)))


def paused(connection: Connection) -> dict[str, Pause]:
    """Return the pauses by account; `EVERY_ACCOUNT` is one of these names while creates are held."""
    return {row.name: _pause(row) for row in connection.execute(_PAUSED)}


def pause(connection: Connection, account: str, by: str, because: str, now: datetime) -> bool:
    """Pause an account and add its event; return False when the account was paused already.

    An operator's pause replaces a pause that the carrier or the database caused. The result is then True, but no event
    is added.
    """
    insert_new(connection, ACCOUNT, [{"name": account}], "name")
    row = _locked(connection, account)
    is_paused = row is not None and row.paused_at is not None
    if row is not None and is_paused and (by != OPERATOR or row.paused_by == OPERATOR):
        return False
    since = row.paused_at if row is not None and is_paused else now
    _write(connection, account, paused_at=since, paused_by=by, paused_because=because)
    if not is_paused:
        data = CarrierEvent(carrier=account, by=by, because=because, since=now)
        _add_event(connection, EventType.CARRIER_PAUSED, data, now)
    return True


def resume(connection: Connection, account: str, by: str, now: datetime) -> bool:
    """Resume an account, make its waiting deliveries due and add its event; return False when nothing was resumed.

    Nothing is resumed when the account is not paused. Only an operator can resume an account that an operator paused.
    """
    row = _locked(connection, account)
    if row is None or row.paused_at is None or (row.paused_by == OPERATOR and by != OPERATOR):
        return False
    _write(connection, account, paused_at=None, paused_by=None, paused_because=None)
    data = CarrierEvent(carrier=account, by=by, because=row.paused_because, since=row.paused_at)
    _add_event(connection, EventType.CARRIER_RESUMED, data, now)
    _make_due(connection, account, now)
    return True


def _make_due(connection: Connection, account: str, now: datetime) -> None:
    """Make the postponed steps of an account due now.

    A step is postponed if `retry_at` is in the future and the step is due no later than `retry_at`. A step that is due
    after `retry_at` waits for another reason and keeps its time: the create of a scheduled order, or a regular read.
    """
    queued = DELIVERY.c.status == DeliveryStatus.QUEUED.value
    its_own = queued if account == EVERY_ACCOUNT else DELIVERY.c.carrier == account
    postponed = (DELIVERY.c.retry_at > now) & (DELIVERY.c.next_run_at <= DELIVERY.c.retry_at)
    these = its_own & DELIVERY.c.step.in_(RESUMED_STEPS) & postponed
    deliveries.set_all(connection, these, retry_at=None, next_run_at=now, lease_until=None)


def unmapped_statuses(connection: Connection) -> dict[str, list[str]]:
    """Return the carrier statuses that were unmapped when they were seen, by account; some may be mapped by now."""
    query = (
        select(ATTEMPT.c.carrier, ATTEMPT.c.reported_anomalies)
        .where(ATTEMPT.c.reported_anomalies.is_not(None))
        .distinct()
    )
    found: dict[str, set[str]] = {}
    for row in connection.execute(query):
        anomalies = row.reported_anomalies.splitlines()
        found.setdefault(row.carrier, set()).update(each for each in anomalies if not each.startswith(REGRESSION))
    return {carrier: sorted(statuses) for carrier, statuses in sorted(found.items()) if statuses}


def status_mappings(connection: Connection) -> dict[str, dict[str, DeliveryStatus]]:
    """Return the operators' mappings of carrier statuses to our statuses, by account."""
    mappings: dict[str, dict[str, DeliveryStatus]] = {}
    for row in connection.execute(
        select(STATUS_MAPPING).order_by(STATUS_MAPPING.c.account, STATUS_MAPPING.c.carrier_status)
    ):
        if row.status in KNOWN_STATUSES:  # a newer version may have stored a status that is unknown here
            mappings.setdefault(row.account, {})[row.carrier_status] = DeliveryStatus(row.status)
    return mappings


def put_mapping(
    connection: Connection, account: str, carrier_status: str, status: DeliveryStatus, now: datetime
) -> list[str]:
    """Map an account's carrier status to one of ours; return the ids of the deliveries that may have this status.

    These are all deliveries for which the carrier status was ever recorded as unmapped, and possibly some others.
    """
    drop_mapping(connection, account, carrier_status)
    meaning = {"account": account, "carrier_status": carrier_status, "status": status.value, "mapped_at": now}
    connection.execute(insert(STATUS_MAPPING), [meaning])
    reported = (ATTEMPT.c.carrier == account) & ATTEMPT.c.reported_anomalies.contains(carrier_status, autoescape=True)
    return list(connection.scalars(select(ATTEMPT.c.delivery_id).where(reported).distinct()))


def drop_mapping(connection: Connection, account: str, carrier_status: str) -> bool:
    """Remove the mapping of a carrier status; return False when there was no mapping."""
    this = (STATUS_MAPPING.c.account == account) & (STATUS_MAPPING.c.carrier_status == carrier_status)
    return bool(connection.execute(delete(STATUS_MAPPING).where(this)).rowcount)


def _pause(row: Row[tuple[object, ...]]) -> Pause:
    return Pause(row.paused_at, row.paused_by, row.paused_because or "")


def _locked(connection: Connection, account: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(ACCOUNT).where(ACCOUNT.c.name == account).with_for_update()).one_or_none()


def _write(connection: Connection, account: str, **values: object) -> None:
    connection.execute(update(ACCOUNT).where(ACCOUNT.c.name == account).values(values))


def _add_event(connection: Connection, kind: EventType, data: CarrierEvent, now: datetime) -> None:
    """Add an event of an account. The account's row must be locked, so that no two events get the same sequence."""
    key = carrier_key(data.carrier)
    last = connection.scalar(select(func.max(EVENT.c.sequence)).where(EVENT.c.key == key)) or 0
    outbox.add(connection, [outbox.event_row(kind, key, last + 1, data.carrier, data, now)])
