"""The command that checks a setup: its settings, its servers, its accounts and its public address."""
# ruff: noqa: PLC0415 - a command imports what it needs when it runs, see base.py

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer
from rich.text import Text

from worker.cli.base import RUN, Json, advice_on, app, console, duration, open_container, write_json
from worker.errors import Postponed, SettingsError, Unavailable
from worker.http.account import LOOPBACK

if TYPE_CHECKING:
    from schemas.stores import Store
    from worker.addresses.redis_url import RedisUrl
    from worker.bus.port import Bus
    from worker.carriers.account import CarrierAccount
    from worker.config.settings import Settings
    from worker.container import Container
    from worker.domain.setup import CheckResult

LARGEST_SKEW, WRONG_CLOCK = timedelta(seconds=2), timedelta(minutes=1)
"""The differences from the database's clock from which this machine's clock is reported, and from which it is wrong."""
BEHIND = timedelta(minutes=15)
"""The lag from which a consumer group is reported."""
COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}
Check = Callable[[], "CheckResult | str | None"]
"""Checks a part, and returns its result or, if it is ok, a note. Raises an error if the part does not work."""


@app.command(rich_help_panel=RUN)
def check(
    *,
    notify: bool = typer.Option(False, "--notify", help="Also send a message to every notification channel."),
    as_json: bool = Json,
) -> None:
    """Check the settings, servers, disks, clocks, stores, accounts and the public address: ok, warn or FAIL."""
    services = open_container()
    has_redis = services.settings.has_redis
    working = [_try(name, part, as_json=as_json) for name, part in _servers(services, has_redis=has_redis).items()]
    others = {**(_stores(services) if working[0] else {}), **_accounts(services)}
    others |= _other_systems(services) if has_redis else {}  # every call needs its rate limit
    others |= _channels(services) if notify else {}
    working += [_try(name, part, as_json=as_json) for name, part in others.items()]
    raise typer.Exit(0 if all(working) else 1)


def _try(name: str, check: Check, *, as_json: bool) -> bool:
    """Check a part and write its result; return whether the part works."""
    result = _result(check)
    if as_json:
        write_json({"part": name, "result": result.level, "note": result.note or None})
    else:
        line = Text(f"{result.level:<6}", COLOURS[result.level])
        console.print(line, f"{name}{f': {result.note}' if result.note else ''}", sep="")
    return result.level != "FAIL"


def _result(check: Check) -> "CheckResult":
    from worker.domain.setup import CheckResult, Level

    try:
        found = check()
    except SettingsError as error:
        return CheckResult(Level.FAIL, str(error))
    except Exception as error:  # noqa: BLE001 - a check reports every error
        first_line = (str(error).splitlines() or [""])[0]
        advice = f" ({found})" if (found := advice_on(error)) else ""
        return CheckResult(Level.FAIL, f"{type(error).__name__} {first_line}{advice}")
    return found if isinstance(found, CheckResult) else CheckResult(Level.OK, found or "")


# --- our own servers and disks ---


def _servers(services: "Container", *, has_redis: bool) -> dict[str, Check]:
    from worker.runtime import broker

    on_redis: dict[str, Check] = {
        "broker": partial(broker.ping, services.app),
        "subscribers": partial(_check_subscribers, services),
    }
    return {
        "database": partial(_check_database, services),
        **({"clock": partial(_check_clock, services)} if services.settings.shared else {}),
        "redis": lambda: _check_redis(redis_at(services.settings.redis)),
        **({"bus": lambda: _check_redis(services.bus)} if services.settings.bus_url else {}),
        **_sentinels(services.settings),
        **(on_redis if has_redis else {}),
        "journal": partial(_check_journal, services),
        **({"archive": partial(_check_archive, folder)} if (folder := services.settings.archive_folder) else {}),
    }


def _check_database(services: "Container") -> None:
    from worker.database.diagnostics import commit_wait
    from worker.services.system_troubles import NO_STANDBY, is_too_long

    services.database.ping()
    waits = services.database.read(commit_wait)
    if is_too_long(waits):
        raise SettingsError(f"commits have waited for {duration(waits.total_seconds())}. {NO_STANDBY}")


def redis_at(url: str) -> "Bus":
    """Return a bus on a Redis server, of which only the settings of the server are checked."""
    from worker.bus import streams

    return streams.Bus(streams.connect(url), orders="orders", events="deliveries")


def check_redis(bus: "Bus") -> list[str]:
    """Return the faults in the settings of Redis. Raises SettingsError if Redis evicts keys."""
    bus.ping()
    faults = bus.faults()
    if any("noeviction" in fault for fault in faults):
        raise SettingsError(f"{faults[0]}: Redis would lose the streams when it is full")
    return faults


def _check_redis(bus: "Bus") -> "CheckResult":
    from worker.domain.setup import warn_of

    return warn_of(iter(check_redis(bus)))


def _sentinels(settings: "Settings") -> dict[str, Check]:
    return {f"sentinel {each.master}": partial(_check_sentinels, each) for each in settings.masters}


def _check_sentinels(address: "RedisUrl") -> "CheckResult":
    from worker.bus import sentinel
    from worker.domain.setup import warn_of

    return warn_of(sentinel.faults(address))


def _check_clock(services: "Container") -> "CheckResult":
    """Compare this machine's clock with the database's."""
    from worker.container import utc_now
    from worker.database.clock import read_clock
    from worker.domain.setup import CheckResult, Level

    before, read, after = utc_now(), services.database.read(read_clock), utc_now()
    skew = before + (after - before) / 2 - read
    if abs(skew) <= LARGEST_SKEW + (after - before):
        return CheckResult(Level.OK)
    level = Level.FAIL if abs(skew) > WRONG_CLOCK else Level.WARN
    side = "ahead of" if skew > timedelta() else "behind"
    return CheckResult(
        level, f"this machine is {duration(abs(skew).total_seconds())} {side} the database: start a time service (NTP)"
    )


def _check_subscribers(services: "Container") -> "CheckResult":
    from worker.container import utc_now
    from worker.domain.setup import warn_of

    lags = services.bus.lags(utc_now())
    behind = {key: lag for key, lag in sorted(lags.items()) if lag > BEHIND.total_seconds()}
    notes = (
        f"the group {group} of the stream {stream} is {duration(lag)} behind: start its reader, or remove the group "
        f"(XGROUP DESTROY {stream} {group})"
        for (stream, group), lag in behind.items()
    )
    return warn_of(notes)


def _check_journal(services: "Container") -> "CheckResult":
    from worker.domain.setup import warn_of
    from worker.resilience.journal_disk import journal_faults

    return warn_of(iter(journal_faults(services.settings.journal_folder)))


def _check_archive(folder: Path) -> "CheckResult":
    from worker.domain.setup import warn_of
    from worker.resilience.journal_disk import disk_faults

    return warn_of(iter(disk_faults(folder)))


# --- the stores ---


def _stores(services: "Container") -> dict[str, Check]:
    from worker.domain import setup

    accounts = services.settings.accounts
    return {
        "stores": lambda: setup.check_stores(_known(services), accounts),
        "time zones": lambda: setup.check_zones(_known(services), accounts, services.clock()),
    }


def _known(services: "Container") -> "dict[str, Store]":
    from worker.database import shops

    return {**services.file_shops, **services.database.read(shops.load_shops)}


# --- other systems ---


def _accounts(services: "Container") -> dict[str, Check]:
    from worker.domain.setup import check_money

    accounts = services.settings.accounts
    return {f"money {name}": partial(check_money, each) for name, each in accounts.items() if each.money}


def _other_systems(services: "Container") -> dict[str, Check]:
    accounts = services.settings.accounts
    carriers = {f"carrier {name}{_way(services, name)}": partial(_probe, services, name) for name in accounts}
    public = {"public address": partial(_check_public_address, services)} if services.callback_accounts else {}
    callbacks = {f"callbacks {name}": partial(_check_callbacks, services, name) for name in _with_kinds(services)}
    platform = {f"platform{_way(services, 'ordering')}": partial(_check_platform, services)}
    return {**carriers, **public, **callbacks, **(platform if services.settings.ordering.base_url else {})}


def _channels(services: "Container") -> dict[str, Check]:
    title, body = "A test message of Order Sync", "Messages about troubles arrive here."
    return {f"notify {name}": partial(each.send, title, body) for name, each in services.notifiers.items()}


def _probe(services: "Container", name: str) -> "CheckResult | str":
    from worker.carriers.abilities import VerifiesAccount
    from worker.domain.setup import CheckResult, Level

    codec = services.codecs[name]  # without the stored facts of a log-in, because the database has its own check
    try:
        metadata = codec.read_probe(services.gateway.send_one(name, codec.probe()))
        if isinstance(codec, VerifiesAccount) and (further := codec.verify_account(metadata)) is not None:
            codec.read_verification(services.gateway.send_one(name, further))
    except Postponed as error:
        return CheckResult(Level.WARN, f"{error}: check it again later")
    except Unavailable as error:
        raise SettingsError(f"{error}: {_advice_on_account(error, services.settings.accounts[name])}") from None
    return ", ".join(f"{key} {value}" for key, value in metadata.items())


def _advice_on_account(error: Unavailable, account: "CarrierAccount") -> str:
    settings = f"ORDER_SYNC_CARRIERS__{account.name.upper().replace('-', '_')}"
    if error.account:
        return f"look at the credentials {settings}__... or `[carriers.{account.name}]` in order-sync.toml"
    if urlsplit(account.base_url).hostname in LOOPBACK:
        return f"start `order-sync sandbox`, or remove {settings}__BASE_URL"
    return f"look at {settings}__BASE_URL ({account.base_url}), the DNS, the proxy and the firewall"


def _check_public_address(services: "Container") -> "CheckResult":
    """Prove that the public address reaches our web process, as far as this machine can see it."""
    from worker.domain.setup import CheckResult, Level

    url = services.settings.public_url
    if not url:
        return CheckResult(
            Level.WARN, "ORDER_SYNC_PUBLIC_URL is not set: there is no address for callbacks, and statuses are polled"
        )
    services.public_address.prove()
    origins = [services.settings.accounts[name].base_url for name in services.callback_accounts]
    is_loopback = urlsplit(url).hostname in LOOPBACK
    if is_loopback and any(urlsplit(origin).hostname not in LOOPBACK for origin in origins):
        raise SettingsError(f"{url} is this machine alone, which carriers cannot reach: set ORDER_SYNC_PUBLIC_URL")
    if not is_loopback and url.startswith("http:"):
        return CheckResult(Level.WARN, f"{url} reaches the web process without TLS: others can read callbacks")
    return CheckResult(Level.OK, f"{url} reaches the web process, from this machine")


def _with_kinds(services: "Container") -> list[str]:
    return [name for name, codec in services.codecs.items() if codec.capabilities.callback_entities]


def _check_callbacks(services: "Container", name: str) -> None:
    if missing := services.callback_gaps.missing(name, services.clock()):
        raise LookupError(
            f"no callback about a {' or '.join(missing)} came, but others did: enable them at the carrier"
        )


def _check_platform(services: "Container") -> str:
    from worker.ordering_api import codec as ordering_codec

    ordering = services.settings.ordering
    note = ordering_codec.read_probe(services.gateway.send_one(ordering_codec.ACCOUNT, ordering_codec.probe(ordering)))
    return "; ".join(filter(None, [f"orders of the source {ordering.source!r} are written back", note]))


def _way(services: "Container", account: str) -> str:
    """Return a text with the proxy of an account, without the proxy's password; empty if there is no proxy."""
    proxy = services.proxies.get(account)
    return f" through the proxy {proxy.rpartition('@')[2].removeprefix('http://')}" if proxy else ""
