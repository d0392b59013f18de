"""The figures of a rehearsal, as one JSON document. No figure names a customer."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from schemas.status import DeliveryStatus
from worker.carriers.account import CarrierAccount
from worker.database import deliveries
from worker.domain.delivery import Delivery
from worker.domain.report import By, Figures, Report, quantile
from worker.local.rehearsal.day import Day
from worker.local.rehearsal.meter import MINUTE, AccountMeter
from worker.resilience.rate_limiter import Window
from worker.services.carrier_report import ReportScope

PAGE = 500
PERCENTS = (50, 90, 99, 100)
MOST_STORES = 20
DELIVERED = DeliveryStatus.DELIVERED


def figures_of(day: Day, placed: int) -> dict[str, Any]:
    """Return all figures after a day has run. `placed` is the number of orders that were placed."""
    report = day.services.carrier_reports.of(ReportScope(day.start, day.clock.now))
    accounts = day.services.settings.accounts
    checks = check(day, placed)
    return {
        "start": day.start.isoformat(),
        "end": day.clock.now.isoformat(),
        "orders": placed,
        "events": day.observer.events,
        "correct": not any(checks.values()),
        "checks": checks,
        "ends": dict(day.observer.ends.most_common()),
        "carriers": {kind: _carrier(names, day, report) for kind, names in by_kind(accounts).items()},
        "accounts": [_account(accounts[name], day.meter.accounts[name]) for name in accounts],
        "stores": list(_latest_stores(report)),
        "late": _distribution(_sum(each.late for _, each in report.by(By.STORE))),
        "late_minutes": dict(sorted(_sum(each.late for _, each in report.by(By.STORE)).items())),
        "unknown": {
            "outcomes": sum(each.unknown for _, each in report.by(By.CARRIER)),
            "settled": dict(day.observer.settled.most_common()),
            "answered_by_the_operator": dict(day.operator.answered),
        },
        "questions": _questions(day),
        "fallbacks": dict((+day.observer.fallbacks).most_common()),
        "conflicts": day.observer.conflicts,
        "cost": {
            "prices": _prices(each for _, each in report.by(By.CARRIER)),
            "requests_per_order": round(sum(_total(each) for each in day.meter.accounts.values()) / max(placed, 1), 2),
            "cpu_ms_per_order": round(1000 * day.cpu_seconds / max(placed, 1), 1),
        },
        "run": {
            "cpu_seconds": round(day.cpu_seconds, 1),
            "seconds": round(day.seconds, 1),
            "ticks": day.ticks,
            "tasks": day.tasks,
        },
    }


def by_kind(accounts: Mapping[str, CarrierAccount]) -> dict[str, list[str]]:
    """Return the names of the accounts of each carrier."""
    kinds: dict[str, list[str]] = {}
    for name, account in accounts.items():
        kinds.setdefault(account.kind, []).append(name)
    return kinds


# --- the promises -----------------------------------------------------------------------------------------------------


def check(day: Day, placed: int) -> dict[str, list[str]]:
    """Return what broke a promise of the product: nothing, if each list is empty."""
    known = day.observer.orders
    orders_of = {name: day.carriers.orders_of(name) for name in day.carriers.sandboxes}
    couriers = {each.id: _couriers(each, day, orders_of) for each in _deliveries(day, list(known))}
    return {
        "orders_without_an_event": [f"{placed - len(known)}"] * (placed != len(known)),
        "events_out_of_sequence": day.observer.gaps,
        "delivered_without_exactly_one_courier": [
            order.order_id for key, order in known.items() if order.status == DELIVERED and couriers.get(key) != 1
        ],
        "two_couriers": [known[key].order_id for key, count in couriers.items() if count > 1],
        "not_ended": [f"{order.order_id}: {order.status}" for order in known.values() if not _ended(order.status)],
    }


def _deliveries(day: Day, ids: Sequence[str]) -> Iterator[Delivery]:
    pages = (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
    return chain.from_iterable(day.services.database.read(deliveries.load, page) for page in pages)


def _couriers(delivery: Delivery, day: Day, orders_of: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> int:
    """Return how many carriers' orders of a delivery have a courier, or had one who reached the customer."""
    found = 0
    for attempt in delivery.attempts:
        if attempt.carrier in orders_of:
            api = day.carriers.sandboxes[attempt.carrier].apis[day.carriers.kinds[attempt.carrier]]
            orders = orders_of[attempt.carrier].get(attempt.id, {}).values()
            found += sum(each.scenario.status(day.clock.now) not in api.inactive_statuses for each in orders)
    return found


def _ended(status: str) -> bool:
    return status in {"delivered", "returned", "cancelled", "rejected", "failed"}


# --- carriers and accounts --------------------------------------------------------------------------------------------


def _carrier(names: Sequence[str], day: Day, report: Report) -> dict[str, Any]:
    """Return the figures of all accounts of one carrier together."""
    meters = [day.meter.accounts[name] for name in names]
    found = [figures for group, figures in report.by(By.CARRIER) if group.carrier in names]
    minutes = _sum(each.minutes for each in meters)
    return {
        "accounts": len(names),
        "offered": sum(each.offered for each in found),
        "accepted": sum(each.accepted for each in found),
        "refused": dict(_sum(each.refused for each in found)),
        "ended": dict(_sum(each.ended for each in found)),
        "requests": dict(_sum(each.calls for each in meters)),
        "requests_per_minute": [minutes[minute] for minute in range(_minutes(day.start, day.clock.now))],
        "budget_per_minute": sum(map(_per_minute, meters)) or None,
        "waited": dict(_sum(each.waited for each in meters)),
        "longest_wait": round(max(each.longest_wait for each in meters), 1),
        "seconds_to_the_carrier": _distribution(_sum(day.observer.waits[name] for name in names)),
    }


def _account(account: CarrierAccount, meter: AccountMeter) -> dict[str, Any]:
    return {
        "account": account.name,
        "carrier": account.kind,
        "rate": account.rate,
        "requests": _total(meter),
        "windows": [
            {
                "limit": each.window.limit,
                "seconds": each.window.seconds,
                "most": each.most,
                "share": round(each.most / each.window.limit, 3),
            }
            for each in meter.windows
        ],
        "waited": dict(meter.waited),
        "longest_wait": round(meter.longest_wait, 1),
    }


def _per_minute(meter: AccountMeter) -> float:
    """Return how many calls a minute the budget of an account allows; 0 without a budget."""
    return min((_rate(each.window) for each in meter.windows if each.window.seconds <= MINUTE), default=0.0)


def _rate(window: Window) -> float:
    return window.limit * MINUTE / window.seconds


def _total(meter: AccountMeter) -> int:
    return meter.calls.total()


def _minutes(start: datetime, end: datetime) -> int:
    return int((end - start).total_seconds() // MINUTE) + 1


# --- stores, operators, money -----------------------------------------------------------------------------------------


def _latest_stores(report: Report) -> Iterator[dict[str, Any]]:
    """Yield the stores with the latest pickups, the worst first."""
    late: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for group, figures in report.by(By.STORE):
        late[group.name] += _shifted(figures)
    worst = sorted((-quantile(counts, 90), name) for name, counts in late.items() if counts)
    for _, name in worst[:MOST_STORES]:
        yield {"store": name, "orders": late[name].total(), **_distribution(late[name])}


def _shifted(figures: Figures) -> Counter[int]:
    """Return the minutes after the requested pickup; an early courier counts as in time."""
    shifted: Counter[int] = Counter()
    for minutes, count in figures.late.items():
        shifted[max(0, minutes)] += count
    return shifted


def _questions(day: Day) -> dict[str, list[int]]:
    """Return how often an operator was needed in each hour, by reason."""
    hours = _minutes(day.start, day.clock.now) // 60 + 1
    found: defaultdict[str, list[int]] = defaultdict(lambda: [0] * hours)
    for each in day.observer.questions:
        found[each.reason][int((each.at - day.start).total_seconds() // 3600)] += 1
    return dict(found)


def _prices(found: Iterable[Figures]) -> dict[str, dict[str, str | int]]:
    """Return what the carriers charged for the orders that were handed over, by currency."""
    sums: defaultdict[str, list[Any]] = defaultdict(lambda: [0, 0])
    for (currency, amount), count in _sum(each.prices for each in found).items():
        sums[currency][0] += amount * count
        sums[currency][1] += count
    return {
        currency: {"orders": count, "sum": str(amount), "per_order": f"{amount / count:.2f}"}
        for currency, (amount, count) in sums.items()
    }


def _sum(counters: Iterable[Counter[Any]]) -> Counter[Any]:
    total: Counter[Any] = Counter()
    for each in counters:
        total.update(each)
    return total


def _distribution(counts: Counter[int]) -> dict[str, int | None]:
    """Return the percentiles of values, by their names."""
    return {f"p{percent}": quantile(counts, percent) if counts else None for percent in PERCENTS}
