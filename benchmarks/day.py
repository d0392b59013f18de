"""A day in fast motion: invented orders over 24 hours at three carriers, through the product's own engine.

The deployment is invented: accounts with their real default budgets, as many as the orders need, and stores in Denmark,
Brazil and Saudi Arabia. There is a lunch and a dinner in each country, a football match that ends, three outages, lost
replies, refusals, offers and couriers who withdraw. `order-sync rehearse` does the same with orders of a deployment.

`python -m benchmarks.day --orders 2000` writes a report to `var/day/`.
"""

import argparse
import json
import math
import os
import random
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from schemas.stores import Store
from worker import log
from worker.config.settings import Settings, load, read_stores
from worker.local.demo.orders import message, order
from worker.local.rehearsal import Conditions, Outage, PlacedOrder, rehearse
from worker.local.rehearsal.carriers import script_for
from worker.local.samples import sample_file
from worker.web import create_web_app

START = datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
STORES_OF_ACCOUNT = 5
HOURS = (0, 0, 0, 0, 0, 0, 1, 2, 2, 3, 5, 9, 14, 10, 5, 4, 6, 12, 20, 22, 15, 9, 4, 1)
"""How many orders there are in each hour of a store's day, in proportion."""
MATCH_ENDS, MATCH_LASTS, MATCH_SHARE = timedelta(hours=21, minutes=45), timedelta(minutes=15), 0.02
"""When a match ends in UTC, how long its visitors order, and their share of all orders, all at one account."""


@dataclass(frozen=True, slots=True)
class Country:
    """One country with one carrier: its share of the orders, and how many of them one account takes."""

    kind: str
    share: float
    orders_of_account: int
    sample_store: str
    settings: Mapping[str, str]


COUNTRIES = (
    Country(
        "cervo", 0.15, 2_000, "34", {"TOKEN": "sandbox", "POLL_INTERVAL": "120"},
    ),
    Country("borzo", 0.45, 2_000, "21", {"TOKEN": "sandbox", "POLL_INTERVAL": "120"}),
    Country(
        "deliverit", 0.40, 400, "17", {"USERNAME": "sandbox", "PASSWORD": "sandbox", "POLL_INTERVAL": "120"},
    ),
)  # fmt: skip
"""DeliverIt has an account for each company of shops. Reads are rare enough for the budgets (`POLL_INTERVAL`)."""


def deployment(orders: int) -> tuple[Settings, dict[str, Store], dict[str, str]]:
    """Return the settings and the stores of a deployment for so many orders a day, and the kind of each account."""
    kinds = {
        f"{each.kind}-{number + 1}": each.kind
        for each in COUNTRIES
        for number in range(max(1, math.ceil(orders * each.share / each.orders_of_account)))
    }
    environ = {"ORDER_SYNC_CONFIG": os.devnull, "ORDER_SYNC_PUBLIC_URL": "https://orders.example"}
    for name, kind in kinds.items():
        prefix = f"ORDER_SYNC_CARRIERS__{name.upper()}__"
        country = next(each for each in COUNTRIES if each.kind == kind)
        environ |= {f"{prefix}{key}": value for key, value in {"KIND": kind, **country.settings}.items()}
    return load(environ), dict(_stores(kinds)), kinds


def _stores(kinds: Mapping[str, str]) -> Iterator[tuple[str, Store]]:
    samples = read_stores(sample_file("stores.toml"))
    names = list(kinds)
    for place, (account, kind) in enumerate(kinds.items()):
        country = next(each for each in COUNTRIES if each.kind == kind)
        borzo = [name for name in names if kinds[name] == "borzo"]
        same = [name for name in names if kinds[name] == kind]
        second = borzo[place % len(borzo)] if kind == "deliverit" else same[(same.index(account) + 1) % len(same)]
        for number in range(STORES_OF_ACCOUNT):
            store_id = f"{account}-{number + 1}"
            changes = {"store_id": store_id, "carriers": tuple(dict.fromkeys([account, second]))}
            yield store_id, samples[country.sample_store].model_copy(update=changes)


def invent(
    count: int, stores: Mapping[str, Store], kinds: Mapping[str, str], conditions: Conditions
) -> list[PlacedOrder]:
    """Return the orders of a day, in the order of their times."""
    dice = random.Random(conditions.seed)
    by_kind: dict[str, list[Store]] = {}
    for store in stores.values():
        by_kind.setdefault(kinds[store.carriers[0]], []).append(store)
    countries = dice.choices(COUNTRIES, [each.share for each in COUNTRIES], k=count)
    placed = []
    for number, country in enumerate(countries):
        store = dice.choice(by_kind[country.kind])
        if dice.random() < MATCH_SHARE and country.kind == "borzo":
            store, at = by_kind["borzo"][number % STORES_OF_ACCOUNT], START + MATCH_ENDS + MATCH_LASTS * dice.random()
        else:
            at = _time(ZoneInfo(store.timezone), dice)
        script = script_for(country.kind, conditions, dice)
        data = order(f"day-{number:06}", country.sample_store, f"sandbox:{script}") | {"store_id": store.store_id}
        placed.append(PlacedOrder(at, message("order.placed", f"day-{number:06}", data, time=at.isoformat())))
    return sorted(placed, key=lambda each: each.at)


def _time(zone: ZoneInfo, dice: random.Random) -> datetime:
    """Return a random time of the day, as often as people order at that hour."""
    (hour,) = dice.choices(range(24), HOURS)
    local = datetime.combine(START.date(), datetime.min.time(), zone) + timedelta(hours=hour + dice.random())
    return START + (local.astimezone(UTC) - START) % timedelta(days=1)


def outages(kinds: Mapping[str, str]) -> tuple[Outage, ...]:
    """Return one outage of each carrier, at its first account: two in a peak, one in a quiet hour."""
    first = {kind: next(name for name, each in kinds.items() if each == kind) for kind in kinds.values()}
    return (
        Outage(first["cervo"], START + timedelta(hours=16), timedelta(minutes=10)),
        Outage(first["borzo"], START + timedelta(hours=22, minutes=30), timedelta(minutes=20), "drop_before"),
        Outage(first["deliverit"], START + timedelta(hours=10), timedelta(minutes=30)),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a day; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("var/day"))
    given = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # a background job of a shell would ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    log.setup("ERROR", "console")
    settings, stores, kinds = deployment(given.orders)
    conditions = Conditions(seed=given.seed, outages=outages(kinds))
    orders = invent(given.orders, stores, kinds, conditions)
    figures = rehearse(settings, stores, orders, START, given.folder, create_web_app, conditions, print)
    print(json.dumps(figures["checks"], indent=1))
    return 0 if figures["correct"] else 1


if __name__ == "__main__":
    sys.exit(main())
