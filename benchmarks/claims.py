"""What the sweep's claims cost PostgreSQL, with 10,000 due deliveries among more and more active ones.

The product's own function claims up to 2,000 deliveries at a time until none is left. Before each of its statements
runs, the same statement is run with EXPLAIN (ANALYZE, BUFFERS) and rolled back. The first claim finds no leases, the
last one looks for work among 10,000 leases. SQL copies the rows from one delivery and its attempt.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import event

from benchmarks.report import Options, Report
from benchmarks.services import Services, services
from schemas.status import AttemptState, DeliveryStatus
from tests.database import samples
from worker.database import due_work
from worker.database.database import Database
from worker.database.due_work import Limits
from worker.domain import schedule
from worker.services.sweep import CLAIM_LIMIT

CARRIERS = 3
DUE = 10_000
ACTIVE = (10_000, 100_000)
LONG_ACTIVE = (*ACTIVE, 1_000_000)
ROUNDS = 3
MAX_BUFFERS, MAX_RATIO = 20_000, 1.2
"""The goals: the most buffers of a claim, and the highest ratio of its time to that with the fewest deliveries."""
COPY_DELIVERIES = """
INSERT INTO delivery SELECT copy.*
FROM (SELECT d FROM delivery d LIMIT 1) AS first, generate_series(1, %(active)s) AS n,
LATERAL (SELECT (ARRAY['cervo', 'borzo', 'deliverit'])[1 + n %% 3] AS carrier) AS step,
LATERAL jsonb_populate_record(first.d, jsonb_build_object(
    'id', md5(n::text)::uuid, 'order_id', 'B' || n, 'carrier', step.carrier, 'step', 'track',
    'step_carrier', step.carrier, 'alarm_at', NULL, 'next_run_at', CASE WHEN n %% (%(active)s / %(due)s) = 0
        THEN %(now)s - n * interval '1 millisecond' ELSE %(now)s + interval '1 day' END)) AS copy
"""
COPY_ATTEMPTS = """
INSERT INTO attempt SELECT copy.* FROM (SELECT a FROM attempt a LIMIT 1) AS first, delivery AS d,
LATERAL jsonb_populate_record(first.a, jsonb_build_object(
    'id', substring(d.order_id FROM 2)::bigint, 'delivery_id', d.id, 'carrier', d.carrier, 'token', d.id,
    'ref', d.order_id)) AS copy
WHERE d.order_id LIKE 'B%%'
"""
FIRST_ID = 10_000_000
"""The id of the attempt that is copied: higher than those of its copies."""


@dataclass(frozen=True)
class Cost:
    """The server's milliseconds and the buffers of the statements that claim deliveries, and of all statements."""

    claim: float
    buffers: int
    all: float


def run(report: Report, options: Options) -> bool:
    """Measure the claims with each number of active deliveries."""
    fewest: dict[str, float] = {}
    for active in LONG_ACTIVE if options.long else ACTIVE:
        with services() as found, closing(Database(found.database)) as database:
            database.upgrade()
            _fill(found, database, active)
            rounds = [_claim_all(found, database, number) for number in range(options.rounds or ROUNDS)]
        for position, name in ((0, "first claim"), (-2, "last claim"), (-1, "nothing left")):
            costs, case = [each[position] for each in rounds], f"{active:,} active, {name}"
            value = report.add("claims", case, "claim", "ms", [cost.claim for cost in costs])
            report.add("claims", case, "claim", "buffers", [cost.buffers for cost in costs], goal=MAX_BUFFERS)
            report.add("claims", case, "all statements", "ms", [cost.all for cost in costs])
            ratio = value / fewest.setdefault(name, value)
            if active != ACTIVE[0]:
                report.add("claims", case, f"to {ACTIVE[0]:,} active", "x", [ratio], goal=MAX_RATIO)
    return True


def _fill(found: Services, database: Database, active: int) -> None:
    """Make the active deliveries, `DUE` of them due, scattered among the others."""
    values = {"active": active, "due": DUE, "now": samples.NOW}
    (first,) = samples.place(database, "first")
    samples.changed(database, [first], lambda each: samples.begun(each, id=FIRST_ID, state=AttemptState.CREATED))
    status = DeliveryStatus.CREATED.value
    found.sql.execute("UPDATE delivery SET next_run_at = NULL, lease_until = NULL, status = %s", [status])
    found.sql.execute(COPY_DELIVERIES, values)
    found.sql.execute(COPY_ATTEMPTS, {})
    found.sql.execute("UPDATE publication SET stream_id = '1-1'")
    found.sql.execute("VACUUM ANALYZE")


def _claim_all(found: Services, database: Database, number: int) -> list[Cost]:
    """Claim until nothing is left, after the leases of the round before; return the cost of each claim."""
    now = samples.NOW + number * (schedule.LEASE + timedelta(seconds=1))
    costs, claimed, left = [], 1, DUE
    while claimed:
        found.sql.execute("VACUUM delivery")  # the rolled back statements leave dead rows
        with _plans(database) as plans:
            work = database.write(due_work.claim, now, Limits(CLAIM_LIMIT // CARRIERS, callbacks=0, comparisons=0))
        costs.append(_cost(plans))
        claimed = len(work.deliveries)
        left -= claimed
    assert left == 0, f"{left} due deliveries were not claimed"
    return costs


@contextmanager
def _plans(database: Database) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Collect each statement of the database with its plan."""
    plans: list[tuple[str, dict[str, Any]]] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        with cursor.connection.transaction(force_rollback=True), cursor.connection.cursor() as own:
            own.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
            plans.append((statement, own.fetchone()[0][0]))

    event.listen(database.engine, "before_cursor_execute", explain)
    yield plans
    event.remove(database.engine, "before_cursor_execute", explain)


def _cost(plans: list[tuple[str, dict[str, Any]]]) -> Cost:
    claims = [plan for statement, plan in plans if "UPDATE delivery" in statement]
    buffers = sum(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for plan in claims)
    return Cost(_milliseconds(claims), buffers, _milliseconds([plan for _, plan in plans]))


def _milliseconds(plans: list[dict[str, Any]]) -> float:
    return float(sum(plan["Planning Time"] + plan["Execution Time"] for plan in plans))
