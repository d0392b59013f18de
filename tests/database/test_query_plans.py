"""Each function of the database room reads the big tables by the indexes that `query_plans.txt` lists.

A line of this file is a function and what its statements use on PostgreSQL. "ALL OF event" means that a statement reads
more than three quarters of it, with or without an index. After an intended change, write the file again:
`UPDATE_QUERY_PLANS=1 pytest tests/database/test_query_plans.py`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.conftest import create_tables, new_database
from tests.database.plans import BIG, CALLS, ELSEWHERE, INDEXES, Plan, public_functions, run
from tests.database.year import Year, fill
from worker.database.database import Database

DELIVERIES = 20_000
RECORDED = Path(__file__).with_name("query_plans.txt")
UPDATE = "UPDATE_QUERY_PLANS"
READ_WHOLE = {
    "operator_actions.of_kind": "only after a restore, and operators act in four orders of a hundred",
    "search.search by a carrier that has none": "search.SEARCHED is the limit, and the year of this test is shorter",
    "search.search by a rare final status": "the same",
}
"""The functions that may read a whole big table, and why that is never in the way."""
UNUSED = {
    "attempt_live_ref": "it prevents that two attempts have the same carrier's order",
    "dead_letter_settled": "the table is too small here",
    "dead_letter_waiting": "the same",
    "early_cancellation_received": "the same",
}
"""The indexes that no recorded plan uses, and why they exist."""


@dataclass(frozen=True)
class Filled:
    """A database with a year of deliveries."""

    database: Database
    year: Year
    rows: dict[str, float]
    """The number of the rows of each big table."""

    def reads(self, name: str) -> tuple[list[str], list[Plan]]:
        """Return what the statements of a function read, and their plans."""
        plans = run(self.database, CALLS[name], self.year)
        return sorted({read for plan in plans for read in plan.reads(self.rows)}), plans


@pytest.fixture(scope="module")
def filled(postgres_server: str) -> Iterator[Filled]:
    with new_database(postgres_server) as url:
        create_tables(url)
        year = fill(url, DELIVERIES)
        database = Database(url)
        with database.engine.connect() as connection:
            sizes = connection.execute(text("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'"))
            rows = {name: number for name, number in sizes if name in BIG}
        yield Filled(database, year, rows)
        database.close()


def recorded() -> dict[str, list[str]]:
    lines = (line.partition(":") for line in RECORDED.read_text(encoding="utf-8").splitlines())
    return {name: reads.strip().split(", ") if reads else [] for name, _, reads in lines}


def test_each_function_of_the_database_room_has_a_recorded_plan() -> None:
    called = {name.partition(" ")[0] for name in CALLS}
    assert called | set(ELSEWHERE) == public_functions()
    assert called & set(ELSEWHERE) == set()
    assert list(recorded()) == list(CALLS)


def test_only_known_functions_read_a_whole_table() -> None:
    whole = {name for name, reads in recorded().items() if any(read.startswith("ALL OF") for read in reads)}
    assert whole == set(READ_WHOLE)


def test_each_index_serves_a_recorded_plan() -> None:
    used = {read for reads in recorded().values() for read in reads}
    assert INDEXES - used == set(UNUSED)


@pytest.mark.long
@pytest.mark.parametrize("name", CALLS)
def test_a_function_reads_the_big_tables_by_the_recorded_indexes(filled: Filled, name: str) -> None:
    reads, plans = filled.reads(name)
    if UPDATE in os.environ:
        known = {**recorded(), name: reads}
        lines = [f"{each}: {', '.join(known.get(each, []))}".strip() for each in CALLS]
        RECORDED.write_text("\n".join([*lines, ""]), encoding="utf-8")
    assert reads == recorded()[name], "\n\n".join(plan.text for plan in plans)


@pytest.mark.long
def test_a_function_whose_index_is_gone_is_noticed(filled: Filled) -> None:
    known = recorded()
    for index, name in (
        ("delivery_due", "due_work.claim"),
        ("publication_waiting", "outbox.unpublished"),
        ("message_order", "inbox.messages_about"),
        ("delivery_store", "search.search by a store that has none"),
    ):
        with filled.database.engine.begin() as connection:
            (definition,) = connection.scalars(text(f"SELECT pg_get_indexdef('{index}'::regclass)"))
            connection.exec_driver_sql(f"DROP INDEX {index}")
        reads, _ = filled.reads(name)
        with filled.database.engine.begin() as connection:
            connection.exec_driver_sql(definition)
        assert reads != known[name], index
