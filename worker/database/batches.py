"""Statements about many rows.

On PostgreSQL, the rows are one parameter, a JSON array: to bind every value of every row would take the client longer
than the rest of the statement. JSON has no binary values, so rows with such values are bound one by one, as on SQLite.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    LargeBinary,
    Table,
    TableValuedAlias,
    bindparam,
    column,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
"""Rows with the same columns."""


def insert_rows(connection: Connection, table: Table, rows: Rows, also: Table | None = None) -> None:
    """Insert rows in this order; insert the key of each into the table `also`, too."""
    if not rows:
        return
    as_json, parameters = _parameters(connection, table, rows)
    statement = _insert(connection.dialect.name, table, tuple(rows[0]), as_json=as_json)
    if also is None:
        connection.execute(statement, parameters)
    elif as_json:
        connection.execute(_insert_keys(statement, table, also), parameters)
    else:
        keys = connection.scalars(statement.returning(_key(table)), parameters)
        insert_rows(connection, also, [{_key(also).name: key} for key in keys])


def insert_new(connection: Connection, table: Table, rows: Rows, *returned: str) -> set[tuple[Any, ...]]:
    """Insert the rows that do not exist yet; return the named columns of the inserted rows, if any are named."""
    if not rows:
        return set()
    as_json, parameters = _parameters(connection, table, rows)
    statement = _insert_new(connection.dialect.name, table, tuple(rows[0]), returned, as_json=as_json)
    result = connection.execute(statement, parameters)
    return {tuple(row) for row in result} if returned else set()


def update_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Write the columns of rows that exist, in any order. Each row contains its key."""
    if not rows:
        return
    key = _key(table).name
    as_json, parameters = _parameters(connection, table, rows)
    if as_json:
        parameters["keys"] = [row[key] for row in rows]
        connection.execute(_update_from_json(table, tuple(rows[0])), parameters)
    else:
        bound = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        connection.execute(_update_one(table, tuple(rows[0])), bound)


def is_one_of(dialect: str, of: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values of the list parameter `name`.

    On PostgreSQL, the parameter is an array, so that the statement is the same for every number of values.
    """
    if dialect == "postgresql":
        return of == func.any(bindparam(name, type_=ARRAY(of.type)))
    return of.in_(bindparam(name, expanding=True))


def _parameters(connection: Connection, table: Table, rows: Rows) -> tuple[bool, Any]:
    """Return whether the rows are one parameter, and the parameters."""
    is_binary = any(isinstance(each.type, LargeBinary) for each in table.columns)
    as_json = connection.dialect.name == "postgresql" and not is_binary
    return as_json, {"rows": to_json(rows).decode()} if as_json else rows


def _key(table: Table) -> ColumnElement[Any]:
    (key,) = table.primary_key
    return key


@lru_cache
def _insert(dialect: str, table: Table, names: tuple[str, ...], *, as_json: bool) -> Any:
    into = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    return into.from_select(names, select(*_records(table, names).c)) if as_json else into


@lru_cache
def _insert_keys(statement: Any, table: Table, into: Table) -> Any:
    """Return the statement that also inserts the keys of the rows into another table."""
    key = _key(table).name
    return insert(into).from_select([key], select(statement.returning(_key(table)).cte()))


@lru_cache
def _insert_new(dialect: str, table: Table, names: tuple[str, ...], returned: tuple[str, ...], *, as_json: bool) -> Any:
    new = _insert(dialect, table, names, as_json=as_json).on_conflict_do_nothing()
    return new.returning(*(table.c[name] for name in returned)) if returned else new


@lru_cache
def _update_from_json(table: Table, names: tuple[str, ...]) -> Any:
    key, new = _key(table), _records(table, names)
    values = {name: new.c[name] for name in names if name != key.name}
    # The planner does not know how many rows the JSON contains; the array of the keys shows it.
    these = (key == new.c[key.name]) & is_one_of("postgresql", key, "keys")
    return update(table).where(these).values(values)


def _records(table: Table, names: tuple[str, ...]) -> TableValuedAlias:
    columns = (column(name, table.c[name].type) for name in names)
    return func.json_to_recordset(bindparam("rows")).table_valued(*columns).render_derived(with_types=True)


@lru_cache
def _update_one(table: Table, names: tuple[str, ...]) -> Any:
    key = _key(table)
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names if name != key.name}
    return update(table).where(key == bindparam(f"new_{key.name}")).values(values)
