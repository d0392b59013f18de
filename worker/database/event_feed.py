"""The events as a feed: after a position, in order, and complete.

An event gets its position before its transaction commits, so on PostgreSQL a lower position may appear after a higher
one. A position is settled when no event can appear at it or below it any more. Only settled events are read.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Connection, func, literal, or_, select, text

from schemas.events import CARRIER_EVENT_SCHEMA, EventType
from worker.database.batches import insert_new
from worker.database.tables import EVENT, IDENTITY
from worker.domain.delivery import OutgoingEvent

MOST_OBSERVATIONS = 100
"""How many observations wait for their writers at once. While a writer hangs, further ones are not remembered."""
SCANNED = 20_000
"""How many positions one query examines, so that a rare type or subject of events needs no long query."""
DELETED = "events_deleted"
"""The name of the row of `identity` with the highest position at which retention has deleted an event."""
GENERATION = "generation"
"""The name of the row of `identity` with the generation of the positions."""
_NEWEST = select(func.max(EVENT.c.position))
# An INSERT locks its table before it gets its first position, and keeps the lock until its commit is visible. So the
# writers include every transaction that may still add an event below the newest one. The snapshot of the statement is
# older than its look at the locks, as it must be.
_NEWEST_AND_WRITERS = text("""
    SELECT (SELECT max(position) FROM event) AS newest,
           ARRAY(SELECT virtualtransaction FROM pg_locks
                 WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = 'event'::regclass
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS writers
""")


@dataclass(frozen=True, slots=True)
class Observation:
    """The newest position, and the transactions that may still add an event at a lower one."""

    newest: int
    writers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are read; by default all."""

    types: Collection[EventType] = ()
    keys: Collection[str] = ()
    order_id: str = ""
    """Only the events about orders with this id, or about an account with this name."""
    source: str | None = None
    """Only the events about orders of this source, and those about carrier accounts."""


@dataclass
class Horizon:
    """The settled position, as far as observations have shown it. It never moves back on the same database."""

    settled: int = 0
    _waiting: list[Observation] = field(default_factory=list)

    def add(self, seen: Observation) -> int:
        """Add an observation, which is later than all before; return the settled position.

        The newest position of an observation is settled once each of its writers was missing in a later one.
        """
        if seen.newest < self.settled:  # another database, or one that has lost commits
            self.settled, self._waiting = 0, []
        if len(self._waiting) < MOST_OBSERVATIONS:
            self._waiting.append(seen)
        left = [Observation(each.newest, each.writers & seen.writers) for each in self._waiting]
        self.settled = max([self.settled, *(each.newest for each in left if not each.writers)])
        self._waiting = [each for each in left if each.newest > self.settled]
        return self.settled


def observe(connection: Connection) -> Observation:
    """Look at the newest position and its writers. This blocks no writer, and needs no special right."""
    if connection.dialect.name == "sqlite":  # only one transaction writes at a time, so what is visible is settled
        return Observation(connection.scalar(_NEWEST) or 0)
    row = connection.execute(_NEWEST_AND_WRITERS).one()
    return Observation(row.newest or 0, frozenset(row.writers))


def events(connection: Connection, after: int, until: int, limit: int, wanted: Wanted) -> list[OutgoingEvent]:
    """Return the wanted events after one position, up to another, oldest first."""
    query = select(EVENT.c.position, EVENT.c.key, EVENT.c.sequence, EVENT.c.body)
    these = (EVENT.c.position > after) & (EVENT.c.position <= until)
    conditions = _conditions(connection.dialect.name, wanted)
    found = connection.execute(query.where(these, *conditions).order_by(EVENT.c.position).limit(limit))
    return [OutgoingEvent(*row) for row in found]


def _conditions(dialect: str, wanted: Wanted) -> list[ColumnElement[bool]]:
    def has(member: str, value: str) -> ColumnElement[bool]:
        # A text inside a value cannot look like a member, because JSON escapes its quotation marks.
        find = func.strpos if dialect == "postgresql" else func.instr  # LIKE ignores capitals on SQLite
        return find(EVENT.c.body, literal(f'"{member}":{to_json(value).decode()}')) > 0

    conditions = []
    if wanted.types:
        conditions.append(or_(*(has("type", kind) for kind in sorted(wanted.types))))
    if wanted.keys:
        conditions.append(EVENT.c.key.in_(wanted.keys))
    if wanted.order_id:
        conditions.append(EVENT.c.subject == wanted.order_id)
    if wanted.source is not None:
        conditions.append(or_(has("order_source", wanted.source), has("dataschema", CARRIER_EVENT_SCHEMA)))
    return conditions


def deleted_until(connection: Connection) -> int:
    """Return the highest position at which retention has deleted an event; 0 when it has deleted none."""
    return _number(connection, DELETED)


def record_deleted(connection: Connection, position: int) -> None:
    """Record that retention deletes events up to a position, in the transaction that deletes them."""
    if position > deleted_until(connection):
        _record(connection, DELETED, position)


def generation(connection: Connection) -> int:
    """Return the generation of the positions: 0 until the database has lost commits, then a number below a million.

    After a loss, other events get the positions of the lost ones. The number is random, because the database may lose
    the record of an earlier loss, too.
    """
    return _number(connection, GENERATION)


def begin_generation(connection: Connection) -> None:
    """Begin a new generation, because the database has lost commits."""
    _record(connection, GENERATION, 1 + secrets.randbelow(10**6 - 1))


def _number(connection: Connection, name: str) -> int:
    return int(connection.scalar(select(IDENTITY.c.value).where(IDENTITY.c.name == name)) or 0)


def _record(connection: Connection, name: str, number: int) -> None:
    insert_new(connection, IDENTITY, [{"name": name, "value": "0"}], "name")
    connection.execute(IDENTITY.update().where(IDENTITY.c.name == name).values(value=str(number)))
