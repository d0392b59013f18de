"""The command that reports how well the carriers do their work."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import typer

from worker.cli.base import Json, console, fail, moment, open_container, table, when, write_json
from worker.cli.carriers import carriers
from worker.wording import counted

if TYPE_CHECKING:
    from worker.domain.report import Figures, Group, Spread
    from worker.services.carrier_report import ReportScope

HEADINGS = ("carrier", "orders", "accepted", "courier", "pickup", "door", "late", "unknown")
LEGEND = (
    "Minutes: the median, and after the slash the 90th percentile; (3) means that the median is of 3 orders only. "
    "`late` is against the requested pickup time. `unknown` is per thousand creates."
)


@carriers.command("report")
def report_carriers(
    *,
    since: str = typer.Option("7d", help="Orders offered since this age, such as 12h, or time."),
    until: str = typer.Option("", help="Orders offered before this age or time; by default until now."),
    store: str = typer.Option("", help="Only the orders of this store."),
    by: Literal["carrier", "store", "hour"] = typer.Option(
        "carrier", help="A line for each account, for each store, or for each hour of the store's day."
    ),
    as_json: bool = Json,
) -> None:
    """Report for each account what it accepted, how fast its couriers were, and what went wrong."""
    from worker.domain.report import By
    from worker.services.carrier_report import ReportScope

    services = open_container()
    now = services.clock()
    scope = ReportScope(moment(since, now), moment(until, now, "--until") if until else now, store or None)
    if scope.since >= scope.until:
        fail(f"--since {since} is not before --until {until or 'now'}", 2)
    groups = services.carrier_reports.of(scope).by(By(by))
    if as_json:
        for group, figures in groups:
            write_json(_document(scope, group, figures, expected=group.carrier in services.callbacks_expected))
    else:
        _print(scope, By(by), groups, services.callbacks_expected)


def _print(scope: "ReportScope", by: str, groups: "list[tuple[Group, Figures]]", expected: frozenset[str]) -> None:
    place = f"store {scope.store_id}" if scope.store_id else "all stores"
    console.print(f"Orders offered from {when(scope.since)} to {when(scope.until)}, {place}")
    if not groups:
        console.print("No carrier was asked in this time.")
        return
    rows = table(*HEADINGS) if by == "carrier" else table(by, *HEADINGS)
    for group, figures in groups:
        rows.add_row(*([] if by == "carrier" else [group.name]), group.carrier, *_cells(figures))
    console.print(rows, soft_wrap=False)
    console.print()
    if by == "carrier":
        for group, figures in groups:
            for text in _details(figures, expected=group.carrier in expected):
                console.print(f"{group.carrier}: {text}")
        console.print()
    console.print(LEGEND)


# --- the table --------------------------------------------------------------------------------------------------------


def _cells(figures: "Figures") -> list[str]:
    from worker.domain.report import spread

    times = [*figures.minutes.values(), figures.late]
    return [
        str(figures.offered),
        _percent(figures.accepted_share),
        *(_spread(spread(each)) for each in times),
        f"{figures.unknown_per_thousand:.1f}" if figures.unknown else "0",
    ]


def _spread(found: "Spread | None") -> str:
    from worker.domain.report import FEW

    if found is None:
        return "-"
    return f"{found.median} ({found.count})" if found.count < FEW else f"{found.median}/{found.p90}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _details(figures: "Figures", *, expected: bool) -> Iterator[str]:
    """Yield what has no column. `expected` is whether the account should send callbacks."""
    known = {"ended": figures.ended, "refused": figures.refused, "cancelled by": figures.cancelled}
    for name, counts in {**known, "unmapped statuses": figures.unmapped}.items():
        if counts:
            yield f"{name} {_list(counts)}"
    if expected:
        seen = figures.by_callback + figures.by_read
        yield f"late callbacks {figures.late_callbacks} of {figures.by_callback}"
        yield f"statuses without a callback {figures.by_read} of {seen}"
    for currency, (amount, count) in figures.median_prices.items():
        yield f"median price {amount} {currency} of {counted(count, 'order', 'orders')}"
    if figures.estimated:
        yield f"estimated times {figures.estimated} of {figures.times}, because the carrier gave none"


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


# --- JSON -------------------------------------------------------------------------------------------------------------


def _document(scope: "ReportScope", group: "Group", figures: "Figures", *, expected: bool) -> dict[str, Any]:
    from worker.domain.report import By, spread

    return {
        "carrier": group.carrier,
        "store": group.name if group.by is By.STORE else scope.store_id,
        "hour": int(group.name) if group.by is By.HOUR else None,
        "since": scope.since,
        "until": scope.until,
        "offered": figures.offered,
        "accepted": figures.accepted,
        "unknown": figures.unknown,
        "ended": figures.ended,
        "refused": figures.refused,
        "cancelled_by": figures.cancelled,
        "minutes": {name: _spread_document(spread(each)) for name, each in figures.minutes.items()},
        "minutes_late": _spread_document(spread(figures.late)),
        "times": figures.times,
        "estimated_times": figures.estimated,
        "callbacks_expected": expected,
        "statuses_by_callback": figures.by_callback,
        "statuses_by_read": figures.by_read,
        "late_callbacks": figures.late_callbacks,
        "unmapped": figures.unmapped,
        "prices": [
            {"currency": currency, "median": str(amount), "orders": count}
            for currency, (amount, count) in figures.median_prices.items()
        ],
    }


def _spread_document(found: "Spread | None") -> Mapping[str, int] | None:
    return asdict(found) if found else None
