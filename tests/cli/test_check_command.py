"""`order-sync check`, `up` and `db upgrade`: whether every part works, and what fails."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import redis

from tests.cli.commands import CommandLine, Result, write_file
from tests.sentinel import MASTER, Cluster
from worker.carriers.port import Callback, CallbackKey
from worker.config.settings import NO_REDIS
from worker.database import callbacks
from worker.database.database import Database
from worker.local.samples import sample_file
from worker.local.supervisor import free_port, lock_file

FOREIGN = "the account deliverit has the zone Europe/Copenhagen, but its stores have Asia/Tokyo: set its TIMEZONE"


def part(result: Result, name: str) -> str:
    """Return the line of a part."""
    (line,) = [each for each in result.lines if each[6:].split(":")[0] == name]
    return line


def set_stores(command_line: CommandLine, *changes: tuple[str, str]) -> None:
    """Change the texts of the sample stores, and configure the result as the store directory."""
    directory = sample_file("stores.toml").read_text()
    for before, after in changes:
        assert before in directory
        directory = directory.replace(before, after)
    command_line.set(STORES_FILE=write_file("mine.toml", directory))


def test_a_second_upgrade_of_the_database_changes_nothing(command_line: CommandLine) -> None:
    command_line.set(DATABASE_URL="sqlite:///new/fresh.db")
    assert [command_line("db", "upgrade") for _ in range(2)] == [Result(0, "the database is at version 0001\n", "")] * 2
    created = Database("sqlite:///new/fresh.db")
    created.ping()
    created.close()


@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_writes_one_line_for_each_part_that_works(command_line: CommandLine) -> None:
    result = command_line("check")
    assert (result.code, result.err) == (0, "")
    assert [line[6:].split(":")[0] for line in result.lines] == [
        "database",
        "redis",
        "broker",
        "subscribers",
        "journal",
        "stores",
        "time zones",
        "money borzo",
        "money cervo",
        "carrier borzo",
        "carrier cervo",
        "carrier deliverit",
        "public address",
        "callbacks borzo",
    ]
    assert {line[:6].strip() for line in result.lines} <= {"ok", "warn"}


@pytest.mark.quirk("O-10")
@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_reports_whether_the_platform_accepts_the_key_and_shows_orders_to_it(command_line: CommandLine) -> None:
    origin = os.environ["ORDER_SYNC_CARRIERS__CERVO__BASE_URL"]
    command_line.set(ORDERING__BASE_URL=origin, ORDERING__API_KEY="sandbox-ordering-key", ORDERING__RATE="")
    accepted = command_line("check").lines[-1]
    command_line.set(ORDERING__API_KEY="another key")
    rejected = command_line("check")
    assert accepted == (
        "ok    platform: orders of the source 'platform' are written back; "
        "no order is visible to this key: is it an administrator's or a business owner's?"
    )
    assert (rejected.code, rejected.lines[-1]) == (1, "FAIL  platform: Unavailable the platform answered 401")


@pytest.mark.usefixtures("carriers")
def test_a_check_reports_each_part_that_fails(command_line: CommandLine) -> None:
    command_line.set(DATABASE_URL="sqlite:///empty.db", CARRIERS__BORZO__TOKEN="wrong")
    result = command_line("check")
    assert result.code == 1
    assert [line.split(":")[0] for line in result.lines if line.startswith("FAIL")] == [
        "FAIL  database",
        "FAIL  redis",
        "FAIL  subscribers",
        "FAIL  carrier borzo",
        "FAIL  callbacks borzo",
    ]
    assert "wrong" not in result.out


@pytest.mark.usefixtures("orders_on_bus")
def test_a_check_tries_the_broker_although_the_bus_works(command_line: CommandLine) -> None:
    command_line.set(BROKER_URL="redis://127.0.0.1:1/0")
    result = command_line("check")
    assert (result.code, part(result, "redis")[:4]) == (1, "warn")
    assert part(result, "broker") == (
        "FAIL  broker: OperationalError Error 111 connecting to 127.0.0.1:1. Connection refused. "
        "(check ORDER_SYNC_BROKER_URL, or ORDER_SYNC_REDIS_URL without it)"
    )


@pytest.mark.usefixtures("orders_on_bus")
def test_a_check_names_the_proxy_of_an_account_without_its_password(command_line: CommandLine) -> None:
    command_line.set(HTTPS_PROXY="http://user:s3cret@127.0.0.1:1", NO_PROXY="api.example")
    command_line.set(ORDERING__BASE_URL="https://api.example:1", ORDERING__API_KEY="k")
    lines = command_line("check").lines
    assert (
        "FAIL  carrier deliverit through the proxy 127.0.0.1:1: not sent: ConnectError: look at "
        "ORDER_SYNC_CARRIERS__DELIVERIT__BASE_URL (https://butik.deliverit.dk), the DNS, the proxy and the firewall"
    ) in lines
    assert lines[-1].startswith("FAIL  platform: Unavailable")


def test_a_check_refuses_an_address_that_the_broker_and_the_bus_would_not_read_alike(command_line: CommandLine) -> None:
    command_line.set(REDIS_URL="redis://127.0.0.1:6379/0?protocol=3")
    assert command_line("check") == Result(
        2,
        "",
        "order-sync: the settings cannot work:\n"
        "redis_url: cannot have the option protocol, only db, password, username\n",
    )


@pytest.mark.usefixtures("carriers", "orders_on_bus")
@pytest.mark.parametrize(
    ("carriers", "line"),
    [
        ('["borzo", "bozro"]', "warn  stores: store 17 names carriers without an account: bozro"),
        ('["bozro"]', "FAIL  stores: store 17 names carriers without an account: bozro"),
    ],
    ids=["some", "all"],
)
def test_a_check_reports_stores_that_name_carriers_without_an_account(
    command_line: CommandLine, carriers: str, line: str
) -> None:
    set_stores(command_line, ('["deliverit", "borzo"]', carriers))
    assert part(command_line("check"), "stores") == line


@pytest.mark.quirk("B-80")
@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_reports_callbacks_about_deliveries_that_are_not_enabled(command_line: CommandLine) -> None:
    database, now = Database(os.environ["ORDER_SYNC_DATABASE_URL"]), datetime.now(UTC)
    order = CallbackKey(ref="1", entity="order")
    database.write(callbacks.save, "borzo", Callback("POST", b"{}"), now - timedelta(hours=2), order)
    database.close()
    result = command_line("check")
    told = "no callback about a delivery came, but others did: enable them at the carrier"
    assert (result.code, result.lines[-1]) == (1, f"FAIL  callbacks borzo: LookupError {told}")


@pytest.mark.quirk("B-34")
@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_reports_a_bank_card_that_the_account_does_not_have(command_line: CommandLine) -> None:
    command_line.set(CARRIERS__BORZO__PAYMENT_METHOD="bank_card", CARRIERS__BORZO__BANK_CARD_ID="81")
    result = command_line("check")
    assert result.code == 1
    assert "FAIL  carrier borzo: Refused bank_card_id: the account has no such card" in result.lines


@pytest.mark.parametrize("name", ["journal", "archive"])
def test_a_check_reports_a_folder_that_cannot_be_written(command_line: CommandLine, name: str) -> None:
    command_line.set(**{f"{name.upper()}_FOLDER": write_file("file", "")})
    result = command_line("check")
    assert (result.code, part(result, name)) == (1, f"FAIL  {name}: FileExistsError [Errno 17] File exists: 'file'")


def test_a_check_fails_for_a_redis_that_evicts_keys(
    command_line: CommandLine, embedded_redis: Callable[..., AbstractContextManager[str]]
) -> None:
    with embedded_redis() as url, redis.Redis.from_url(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        command_line.set(REDIS_URL=url)
        redis_line = part(command_line("check"), "redis")
    assert redis_line.startswith("FAIL  redis: maxmemory-policy is allkeys-lru, it must be noeviction")


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_second_supervisor_does_not_start_in_the_folder_of_the_first(command: str, command_line: CommandLine) -> None:
    Path("var").mkdir()
    Path("var/redis.url").write_text("of the first")
    command_line.set(REDIS_URL="")
    with lock_file(Path(f"var/{command}.lock")):
        result = command_line(command)
    assert result == Result(1, "", f"order-sync: `order-sync {command}` already runs in this folder\n")
    assert Path("var/redis.url").read_text() == "of the first"


def test_a_check_without_a_redis_says_what_to_do(command_line: CommandLine) -> None:
    command_line.set(REDIS_URL="")
    result = command_line("check")
    assert result.code == 1
    assert [line for line in result.lines if "ORDER_SYNC_REDIS_URL" in line] == [f"FAIL  redis: {NO_REDIS}"]


@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_fails_without_a_store(command_line: CommandLine) -> None:
    command_line.set(STORES_FILE="nowhere.toml")
    result = command_line("check")
    assert (result.code, part(result, "stores")) == (
        1,
        "FAIL  stores: there is no store: write stores.toml, or run `order-sync stores load FILE`",
    )


@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_reports_an_account_that_no_store_uses(command_line: CommandLine) -> None:
    set_stores(command_line, ('carriers = ["cervo"]', 'carriers = ["borzo"]'))
    line = "warn  stores: no store lists cervo: add it to the `carriers` of a store"
    assert part(command_line("check"), "stores") == line


@pytest.mark.usefixtures("carriers", "orders_on_bus")
@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        (
            'timezone = "Europe/Copenhagen"',
            'timezone = "Asia/Tokyo"',
            f"store 17 is at the longitude 10.3912, which is far from Asia/Tokyo; {FOREIGN}",
        ),
        (
            "longitude = 46.6752957",
            "longitude = -46.6752957",
            "store 34 is at the longitude -46.6753, which is far from Asia/Riyadh",
        ),
    ],
    ids=["of a store", "of a place"],
)
def test_a_check_reports_time_zones_that_do_not_fit(
    command_line: CommandLine, before: str, after: str, note: str
) -> None:
    set_stores(command_line, (before, after))
    assert part(command_line("check"), "time zones") == f"warn  time zones: {note}"


@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_reports_the_settings_that_may_cost_money(command_line: CommandLine) -> None:
    command_line.set(CARRIERS__BORZO__RETURN_REQUIRED="true", CARRIERS__CERVO__RESUBMIT_IN_DOUBT="true")
    result = command_line("check")
    assert part(result, "money borzo") == "ok    money borzo: Borzo may charge for COD, RETURN_REQUIRED"
    assert part(result, "money cervo") == (
        "warn  money cervo: RESUBMIT_IN_DOUBT is on: two couriers may come, unless Cervo has confirmed that it refuses "
        "a repeated id; ispaid is PAID or NO PAID; a payment is ONLINE, or cash CASH, card CREDIT, credit CREDIT: "
        "let Cervo confirm these words"
    )


def test_a_check_reports_a_redis_that_does_not_persist(
    command_line: CommandLine, embedded_redis: Callable[..., AbstractContextManager[str]]
) -> None:
    with embedded_redis(appendonly="no") as url:
        command_line.set(REDIS_URL=url)
        line = part(command_line("check"), "redis")
    assert line == "warn  redis: appendonly is no: a restart of Redis loses what is on the bus"


@pytest.mark.usefixtures("orders_on_bus")
def test_a_check_reports_a_subscriber_that_is_far_behind(command_line: CommandLine, redis_url: str) -> None:
    stream = os.environ["ORDER_SYNC_EVENTS_STREAM"]
    long_ago = int((datetime.now(UTC) - timedelta(hours=3)).timestamp() * 1000)
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(stream, {"event": "{}"}, id=f"{long_ago}-0")
        client.xgroup_create(stream, "kitchen", id="0")
        line = part(command_line("check"), "subscribers")
        client.delete(stream)
    assert line == (
        f"warn  subscribers: the group kitchen of the stream {stream} is 3 h behind: start its reader, or remove the "
        f"group (XGROUP DESTROY {stream} kitchen)"
    )


@pytest.mark.usefixtures("orders_on_bus")
@pytest.mark.parametrize(
    ("ahead", "line"),
    [
        ("0 s", "ok    clock"),
        ("40 s", "warn  clock: this machine is 40 s behind the database: start a time service (NTP)"),
        ("-150 minutes", "FAIL  clock: this machine is 2 h ahead of the database: start a time service (NTP)"),
    ],
)
def test_a_check_compares_the_clock_with_the_databases(
    command_line: CommandLine, postgres_url: str, ahead: str, line: str
) -> None:
    create = f"""
        CREATE SCHEMA skewed; CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT pg_catalog.clock_timestamp() + interval '{ahead}' $$
    """
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(create)
        try:
            options = f"{'&' if '?' in postgres_url else '?'}options=-csearch_path%3Dskewed,pg_catalog,public"
            command_line.set(DATABASE_URL=postgres_url + options)
            result = command_line("check")
        finally:
            admin.execute("DROP SCHEMA skewed CASCADE")
    assert part(result, "clock") == line


@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_writes_json(command_line: CommandLine) -> None:
    command_line.set(STORES_FILE="nowhere.toml", PUBLIC_URL="")
    found = {each["part"]: (each["result"], each["note"]) for each in command_line("check", "--json").documents}
    assert found["database"] == ("ok", None)
    assert found["public address"] == (
        "warn",
        "ORDER_SYNC_PUBLIC_URL is not set: there is no address for callbacks, and statuses are polled",
    )
    assert found["stores"][0] == "FAIL"


@pytest.mark.usefixtures("carriers", "orders_on_bus")
def test_a_check_names_the_credentials_that_a_carrier_does_not_accept(command_line: CommandLine) -> None:
    command_line.set(CARRIERS__CERVO__RATE="1000/second")
    command_line.set(
        CARRIERS__CERVO__TOKEN="wrong", CARRIERS__BORZO__TOKEN="wrong", CARRIERS__DELIVERIT__PASSWORD="wrong"
    )
    lines = [line for line in command_line("check").lines if "carrier" in line]
    assert lines == [
        f"FAIL  carrier {name}: {fault}: look at the credentials ORDER_SYNC_CARRIERS__{name.upper()}__... or "
        f"`[carriers.{name}]` in order-sync.toml"
        for name, fault in {
            "borzo": "invalid_auth_token",
            "cervo": "HTTP 401: the token is not accepted",
            "deliverit": "the account was rejected with status 401",
        }.items()
    ]


@pytest.mark.usefixtures("orders_on_bus")
def test_a_check_says_that_the_sandbox_does_not_run(command_line: CommandLine) -> None:
    command_line.set(CARRIERS__DELIVERIT__BASE_URL=f"http://127.0.0.1:{free_port()}")
    assert part(command_line("check"), "carrier deliverit") == (
        "FAIL  carrier deliverit: not sent: ConnectError: "
        "start `order-sync sandbox`, or remove ORDER_SYNC_CARRIERS__DELIVERIT__BASE_URL"
    )


@pytest.mark.usefixtures("carriers")
def test_a_check_does_not_fail_because_a_rate_limit_is_used_up(
    command_line: CommandLine, embedded_redis: Callable[..., AbstractContextManager[str]]
) -> None:
    with embedded_redis() as url:
        command_line.set(REDIS_URL=url, CARRIERS__DELIVERIT__RATE="1/day")
        lines = [part(command_line("check"), "carrier deliverit") for _ in range(2)]
    assert lines[1] == "warn  carrier deliverit: the rate limit of this account is used up: check it again later"


@pytest.mark.long
@pytest.mark.usefixtures("carriers")
def test_a_check_names_what_is_wrong_with_sentinels_and_their_master(
    command_line: CommandLine, cluster: Cluster
) -> None:
    command_line.set(REDIS_URL=cluster.url)
    works = command_line("check")
    command_line.set(REDIS_URL=cluster.url.replace(f"/{MASTER}/0", "/other/0"))
    unknown = command_line("check")
    command_line.set(REDIS_URL=cluster.url)
    first = cluster.sentinels[0]
    first.kill()
    cluster.master.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    broken = command_line("check")
    assert [part(works, name) for name in ("redis", "broker", f"sentinel {MASTER}")] == [
        "ok    redis",
        "ok    broker",
        f"ok    sentinel {MASTER}",
    ]
    assert part(unknown, "redis").startswith(
        "FAIL  redis: MasterNotFoundError no Sentinel names the master other: "
        f"localhost:{first.port} does not know it, "
    )
    assert f"the Sentinel localhost:{first.port} does not know the master other" in part(unknown, "sentinel other")
    assert part(broken, "redis").startswith("FAIL  redis: maxmemory-policy is allkeys-lru, it must be noeviction")
    assert part(broken, f"sentinel {MASTER}").startswith(
        f"warn  sentinel {MASTER}: the Sentinel localhost:{first.port} does not answer (ConnectionError "
    )
