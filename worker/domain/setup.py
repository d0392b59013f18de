"""Checks of a setup that need only its settings and its stores, and the form of every check's result. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from schemas.stores import Store
from worker.carriers.account import CarrierAccount

FAR_FROM_ITS_PLACE = timedelta(hours=3)
"""The largest difference between a store's standard time and the sun's that is plausible."""
DEGREES_AN_HOUR = 15.0


class Level(StrEnum):
    """How good a part of the setup is."""

    OK = "ok"
    WARN = "warn"
    """The part works, but perhaps not as it should."""
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check, with a note that says what to do."""

    level: Level
    note: str = ""


def warn_of(notes: Iterator[str], otherwise: str = "") -> CheckResult:
    """Return a warning with all notes; if there are none, return that the part is fine."""
    text = "; ".join(notes)
    return CheckResult(Level.WARN, text) if text else CheckResult(Level.OK, otherwise)


def check_stores(stores: Mapping[str, Store], accounts: Mapping[str, CarrierAccount]) -> CheckResult:
    """Check that each store has a carrier with an account, and that each account has a store."""
    if not stores:
        return CheckResult(Level.FAIL, "there is no store: write stores.toml, or run `order-sync stores load FILE`")
    missing = "; ".join(without_account(stores, accounts))
    if any(accounts.keys().isdisjoint(store.carriers) for store in stores.values()):
        return CheckResult(Level.FAIL, missing)
    return warn_of(iter([missing] if missing else _unused(stores, accounts)), f"{len(stores)}")


def without_account(stores: Mapping[str, Store], accounts: Mapping[str, CarrierAccount]) -> list[str]:
    """Return one line for each store that lists a carrier for which no account is configured."""
    missing = {key: [name for name in store.carriers if name not in accounts] for key, store in sorted(stores.items())}
    return [
        f"store {key} names carriers without an account: {', '.join(names)}" for key, names in missing.items() if names
    ]


def _unused(stores: Mapping[str, Store], accounts: Mapping[str, CarrierAccount]) -> list[str]:
    listed = {name for store in stores.values() for name in store.carriers}
    unused = sorted(accounts.keys() - listed)
    return [f"no store lists {', '.join(unused)}: add it to the `carriers` of a store"] if unused else []


def check_zones(stores: Mapping[str, Store], accounts: Mapping[str, CarrierAccount], now: datetime) -> CheckResult:
    """Compare the time zones of stores with their places, and those of accounts with their stores."""
    return warn_of(iter([*_misplaced(stores, now), *_foreign(stores, accounts, now)]))


def _misplaced(stores: Mapping[str, Store], now: datetime) -> Iterator[str]:
    for key, store in sorted(stores.items()):
        if store.point is None:
            continue
        _, longitude = store.point
        sun = timedelta(hours=longitude / DEGREES_AN_HOUR)
        apart = abs(_standard_offset(store.timezone, now) - sun)
        if min(apart, timedelta(days=1) - apart) > FAR_FROM_ITS_PLACE:
            yield f"store {key} is at the longitude {longitude:g}, which is far from {store.timezone}"


def _foreign(stores: Mapping[str, Store], accounts: Mapping[str, CarrierAccount], now: datetime) -> Iterator[str]:
    for name, account in sorted(accounts.items()):
        zone: str | None = getattr(account, "timezone", None)
        served = sorted({store.timezone for store in stores.values() if name in store.carriers})
        if zone and served and _offset(zone, now) not in {_offset(each, now) for each in served}:
            yield f"the account {name} has the zone {zone}, but its stores have {', '.join(served)}: set its TIMEZONE"


def _standard_offset(zone: str, now: datetime) -> timedelta:
    """Return the offset of a zone from UTC without daylight saving time, in the year of `now`."""
    return min(_offset(zone, datetime(now.year, month, 1, tzinfo=UTC)) for month in (1, 7))


def _offset(zone: str, now: datetime) -> timedelta:
    return now.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()


def check_money(account: CarrierAccount) -> CheckResult:
    """Return what the settings of an account say about money; a warning if they risk a second courier."""
    return CheckResult(Level.WARN if account.risks else Level.OK, "; ".join([*account.risks, *account.money]))
