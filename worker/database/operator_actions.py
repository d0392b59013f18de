"""The record of what operators did. A row never changes."""

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, insert, select

from worker.database.tables import OPERATOR_ACTION
from worker.domain.operator import OperatorAction

_COLUMNS = [each for each in OPERATOR_ACTION.c if each.name != "position"]


def record(connection: Connection, action: OperatorAction) -> None:
    """Record what an operator did, in the transaction that does it."""
    connection.execute(insert(OPERATOR_ACTION).values(asdict(action)))


def of_delivery(connection: Connection, delivery_id: str) -> list[OperatorAction]:
    """Return what operators did about a delivery, oldest first."""
    query = select(*_COLUMNS).where(OPERATOR_ACTION.c.delivery_id == delivery_id)
    rows = connection.execute(query.order_by(OPERATOR_ACTION.c.position)).mappings()
    return [OperatorAction(**row) for row in rows]


def of_kind(connection: Connection, action: str, since: datetime) -> list[OperatorAction]:
    """Return what operators did by one command since a time, oldest first."""
    query = select(*_COLUMNS).where(OPERATOR_ACTION.c.action == action, OPERATOR_ACTION.c.at >= since)
    return [OperatorAction(**row) for row in connection.execute(query.order_by(OPERATOR_ACTION.c.position)).mappings()]


def newest(connection: Connection, limit: int) -> list[OperatorAction]:
    """Return the newest actions, newest first."""
    query = select(*_COLUMNS).order_by(OPERATOR_ACTION.c.position.desc()).limit(limit)
    return [OperatorAction(**row) for row in connection.execute(query).mappings()]
