import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.stores import Store
from tests.sample_store import STORE
from worker.addresses.redis_url import WRONG
from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.cervo.account import CervoAccount
from worker.carriers.deliverit.account import DeliverItAccount
from worker.config.settings import Settings, load, read_stores
from worker.errors import SettingsError
from worker.http.account import RATE
from worker.ordering_api.account import Ordering
from worker.ordering_api.write_policy import WRITABLE

SECRET = "s3cret-word"
CERVO = {"CARRIERS__CERVO__TOKEN": "t"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(**variables: str) -> Settings:
    return load({f"ORDER_SYNC_{name}": value for name, value in variables.items()})


def faults(**variables: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        read(**variables)
    return sorted(str(raised.value).splitlines())


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


# --- defaults ---


def test_every_setting_has_a_default() -> None:
    assert load({"PATH": "/bin", "HOME": "/nowhere"}).model_dump() == {
        "database_url": "sqlite:///var/order-sync.db",
        "redis_url": "",
        "broker_url": "",
        "bus_url": "",
        "orders_stream": "orders",
        "events_stream": "deliveries",
        "events_keep": 100_000,
        "keep_calls_days": 30,
        "keep_callbacks_days": 30,
        "keep_dead_letters_days": 30,
        "keep_customers_days": 90,
        "keep_events_days": 400,
        "web_address": "127.0.0.1:8000",
        "api_keys": {},
        "desk": {"users": {}, "secret": SecretStr(""), "https": False},
        "desk_address": "127.0.0.1:8001",
        "flower_address": "127.0.0.1:5555",
        "notify": {},
        "webhooks": {"private_hosts": ""},
        "password": SecretStr(""),
        "public_url": "",
        "https_proxy": SecretStr(""),
        "no_proxy": "",
        "ca_bundle": "",
        "carriers": {},
        "ordering": Ordering().model_dump(),
        "journal_folder": Path("var/journal"),
        "archive_folder": None,
        "flower_folder": Path("var/flower"),
        "stores_file": Path("stores.toml"),
        "stale_order": "12h",
        "heartbeat_path": None,
        "log_format": "",
        "log_level": "INFO",
        "worker_concurrency": 16,
    }


def test_the_platform_has_the_documented_defaults() -> None:
    documented = {
        "base_url": "",
        "api_key": SecretStr(""),
        "api_key_header": "x-api-key",
        "gate": "placed",
        "write": frozenset({22, 25, 8, 3, 9, 11, 12}),
        "write_weak_terminal": True,
        "backfill": False,
    }
    assert Ordering().model_dump(include=set(documented)) == documented


def test_a_carrier_needs_only_its_credentials() -> None:
    accounts = read(
        CARRIERS__CERVO__TOKEN="t",
        CARRIERS__BORZO__TOKEN="t",
        CARRIERS__DELIVERIT__USERNAME="u",
        CARRIERS__DELIVERIT__PASSWORD="p",
    ).accounts
    every = {"allow_http": False, "connect_timeout": 5, "read_timeout": 30, "deadline": 45}
    documented: dict[str, dict[str, Any]] = {
        "cervo": {
            "base_url": "https://carvo.isoft4is.com",
            "rate": "1/second",
            "callback_wait": 180,
            "token": SecretStr("t"),
            "timezone": "Asia/Riyadh",
            "id_location": "query",
            "resubmit_in_doubt": False,
        },
        "borzo": {
            "base_url": "https://robot-br.borzodelivery.com",
            "rate": "80/minute;4500/day",
            "callback_wait": 120,
            "token": SecretStr("t"),
            "callback_secret": None,
            "payment_method": "balance",
            "bank_card_id": None,
            "vehicle_type_id": 8,
            "timezone": "America/Sao_Paulo",
        },
        "deliverit": {
            "base_url": "https://butik.deliverit.dk",
            "rate": "",
            "username": "u",
            "password": SecretStr("p"),
            "company": None,
            "timezone": "Europe/Copenhagen",
            "max_push": 15,
            "mode": "book",
            "encoding": "form",
        },
    }
    found = {name: each.model_dump(include={*every, *documented[name]}) for name, each in accounts.items()}
    assert found == {name: {**every, **fields} for name, fields in documented.items()}


# --- sources ---


def test_every_setting_can_be_a_variable() -> None:
    settings = read(
        DATABASE_URL="postgresql://db/x",
        REDIS_URL="rediss://cache:6380/1",
        BROKER_URL="amqp://queue",
        BUS_URL="unix:///run/redis.sock",
        ORDERS_STREAM="in",
        EVENTS_STREAM="out",
        EVENTS_KEEP="5",
        WEB_ADDRESS="0.0.0.0:80",
        DESK_ADDRESS="10.0.0.1:82",
        FLOWER_ADDRESS="[::1]:81",
        PASSWORD="p",
        PUBLIC_URL="https://shop.example/sync/",
        STORES_FILE="shops.toml",
        HEARTBEAT_PATH="/tmp/worker.alive",
        LOG_FORMAT="json",
        LOG_LEVEL="DEBUG",
        WORKER_CONCURRENCY="3",
        ORDERING__BASE_URL="https://api.example",
        ORDERING__API_KEY="k",
        ORDERING__API_KEY_HEADER="X-Key",
        ORDERING__APP_ID="app",
        ORDERING__WRITE="22, 11,",
        ORDERING__WRITE_WEAK_TERMINAL="false",
    )
    assert settings == Settings(
        database_url="postgresql://db/x",
        redis_url="rediss://cache:6380/1",
        broker_url="amqp://queue",
        bus_url="unix:///run/redis.sock",
        orders_stream="in",
        events_stream="out",
        events_keep=5,
        web_address="0.0.0.0:80",
        desk_address="10.0.0.1:82",
        flower_address="[::1]:81",
        password=SecretStr("p"),
        public_url="https://shop.example/sync",
        stores_file=Path("shops.toml"),
        heartbeat_path=Path("/tmp/worker.alive"),
        log_format="json",
        log_level="DEBUG",
        worker_concurrency=3,
        ordering=Ordering(
            base_url="https://api.example",
            api_key=SecretStr("k"),
            api_key_header="X-Key",
            app_id="app",
            write=frozenset({22, 11}),
            write_weak_terminal=False,
        ),
    )


def test_a_variable_overrides_the_same_setting_in_the_file() -> None:
    write("order-sync.toml", 'log_level = "DEBUG"\nevents_keep = 7\n[ordering]\nwrite = [22]\napp_id = "shop"\n')
    settings = read(LOG_LEVEL="ERROR", ORDERING__APP_ID="counter")
    found = (settings.log_level, settings.events_keep, settings.ordering.write, settings.ordering.app_id)
    assert found == ("ERROR", 7, frozenset({22}), "counter")


@pytest.mark.parametrize("gate", ["placed", "accepted", "ready"])
@pytest.mark.quirk("O-20")
def test_a_deployment_chooses_when_an_order_is_dispatched(gate: str) -> None:
    assert read(ORDERING__GATE=gate).ordering.gate == gate


def test_back_fill_needs_the_platform_s_address() -> None:
    with pytest.raises(SettingsError) as caught:
        read(ORDERING__BACKFILL="true")
    assert str(caught.value) == "ordering: backfill needs base_url"
    assert read(ORDERING__BACKFILL="true", ORDERING__BASE_URL="https://api.example").ordering.backfill


def test_a_variable_names_another_settings_file() -> None:
    write("order-sync.toml", "events_keep = 1")
    assert read(CONFIG=write("other.toml", "events_keep = 2")).events_keep == 2


@pytest.mark.parametrize("name", ["deliverit-odense", "deliverit_odense", "DeliverIt-Odense", "DELIVERIT_ODENSE"])
def test_an_account_has_one_name_in_every_spelling(name: str) -> None:
    write("order-sync.toml", f'[carriers.{name}]\nkind = "deliverit"\nusername = "from file"\npassword = "from file"\n')
    (account,) = read(CARRIERS__DELIVERIT_ODENSE__PASSWORD="from variable").accounts.items()
    assert account == (
        "deliverit-odense",
        DeliverItAccount(
            name="deliverit-odense", kind="deliverit", username="from file", password=SecretStr("from variable")
        ),
    )


def test_the_file_of_variables_is_between_the_environment_and_the_settings_file() -> None:
    write("order-sync.toml", 'orders_stream = "toml"\nevents_stream = "toml"\nlog_level = "DEBUG"\n')
    write(
        ".env",
        "\ufeff# a comment\nexport ORDER_SYNC_ORDERS_STREAM='dot $env'\nORDER_SYNC_EVENTS_STREAM=dotenv\nOTHER=1\n",
    )
    settings = read(EVENTS_STREAM="variable")
    assert (settings.orders_stream, settings.events_stream, settings.log_level) == ("dot $env", "variable", "DEBUG")


def test_a_secret_s_file_in_a_variable_overrides_the_file_of_variables() -> None:
    write(".env", "ORDER_SYNC_CARRIERS__CERVO__TOKEN=old\n")
    by_file = read(CARRIERS__CERVO__TOKEN_FILE=write("token", "new")).accounts
    write(".env", f"ORDER_SYNC_CARRIERS__CERVO__TOKEN_FILE={write('old', 'old')}\n")
    by_value = read(CARRIERS__CERVO__TOKEN="new").accounts
    expected = {"cervo": CervoAccount(name="cervo", kind="cervo", token=SecretStr("new"))}
    assert [by_file, by_value] == [expected, expected]


def test_the_name_of_another_settings_file_replaces_the_file_of_variables_too() -> None:
    write(".env", "ORDER_SYNC_ORDERS_STREAM=dotenv\n")
    assert read(CONFIG=write("other.toml", "")).orders_stream == "orders"


def test_a_file_of_variables_that_is_no_text_is_rejected_without_its_content() -> None:
    Path(".env").write_bytes(b"ORDER_SYNC_PASSWORD=s3cret-word\xff\n")
    assert faults() == [".env: is not UTF-8"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("ORDER_SYNC_PASSWORD='s3cret-word", "the line 2 is not NAME=VALUE, or its quote is open"),
        ("ORDER_SYNC_PASSWORD: s3cret-word", "the line 2 is not NAME=VALUE, or its quote is open"),
        ("export ORDER_SYNC_PASSWORD", "the line 2 is not NAME=VALUE, or its quote is open"),
        (
            "ORDER_SYNC_CONFIG=a.toml",
            "ORDER_SYNC_CONFIG must be an environment variable, because it replaces this file",
        ),
    ],
)
def test_a_line_of_variables_that_has_no_effect_is_rejected_without_its_content(line: str, fault: str) -> None:
    write(".env", f"OTHER=1\n{line}\nORDER_SYNC_ORDERS_STREAM=new\n")
    assert faults() == [f".env: {fault}"]


def test_the_lines_of_other_programs_and_of_other_systems_are_accepted() -> None:
    write(
        ".env", "not a line\r\nOTHER: 'x\r\nexport ORDER_SYNC_ORDERS_STREAM=new\r\nexport ORDER_SYNC_ORDERS_STREAM\r\n"
    )
    assert read().orders_stream == "new"


def test_a_file_may_spell_one_account_in_two_ways() -> None:
    write("order-sync.toml", '[carriers.cervo-x]\nkind = "cervo"\n[carriers.cervo_x]\ntoken = "t"\n')
    assert load({}).accounts == {"cervo-x": CervoAccount(name="cervo-x", kind="cervo", token=SecretStr("t"))}


def test_a_secret_may_be_in_a_file_of_its_own() -> None:
    account = read(CARRIERS__BORZO__TOKEN_FILE=write("token", f"{SECRET}\n")).accounts["borzo"]
    assert account == BorzoAccount(name="borzo", kind="borzo", token=SecretStr(SECRET))


def test_a_settings_file_may_name_the_file_of_a_secret() -> None:
    write("token", SECRET)
    write("order-sync.toml", '[carriers.cervo]\ntoken_file = "token"\n')
    assert load({}).accounts == {"cervo": CervoAccount(name="cervo", kind="cervo", token=SecretStr(SECRET))}


def test_a_secret_s_file_in_a_variable_overrides_the_settings_file() -> None:
    write("token", "from a file of its own")
    write("order-sync.toml", '[carriers.cervo]\ntoken = "from file"\n')
    accounts = read(CARRIERS__CERVO__TOKEN_FILE="token").accounts
    assert accounts == {"cervo": CervoAccount(name="cervo", kind="cervo", token=SecretStr("from a file of its own"))}


KUBERNETES = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "8000",
    "SERVICE_PORT_HTTP": "8000",
    "PORT": "tcp://10.0.0.1:8000",
    "PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "PORT_8000_TCP_PROTO": "tcp",
    "PORT_8000_TCP_PORT": "8000",
    "PORT_8000_TCP_ADDR": "10.0.0.1",
}
"""The variables that Kubernetes sets for a Service, after its name."""


@pytest.mark.parametrize("service", ["", "WEB_", "REDIS_", "WEB_2_"])
def test_variables_of_a_kubernetes_service_are_passed_over(service: str) -> None:
    assert read(**{f"{service}{name}": value for name, value in KUBERNETES.items()}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_UL", "redis://h"),
        ("PORT", "8000"),
        ("WEB_PORT", "8000"),
        ("SERVICE_PORT", "http"),
        ("CARRIERS_SERVICE", "10.0.0.1"),
        ("SERVICE_HOSTS", "10.0.0.1"),
    ],
)
def test_a_misspelt_variable_is_a_fault_although_kubernetes_sets_some(name: str, value: str) -> None:
    assert faults(**{**KUBERNETES, name: value}) == [f"{name.lower()}: there is no such setting"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " ", "\n\n"])
def test_a_line_end_after_a_value_and_a_mark_before_it_are_no_part_of_it(end: str) -> None:
    Path("password").write_bytes(b"\xef\xbb\xbf" + f"{SECRET}{end}".encode())
    settings = read(
        DATABASE_URL=f"postgresql://db/x{end}",
        REDIS_URL=f"\ufeffredis://one{end}",
        ORDERING__BASE_URL=f"https://api.example{end}",
        ORDERING__API_KEY=f"\ufeff{SECRET}{end}",
        PASSWORD_FILE=f"password{end}",
        CARRIERS__CERVO__TOKEN=f"{SECRET}{end}",
        EVENTS_KEEP=f"5{end}",
    )
    secrets = (settings.ordering.api_key, settings.password, settings.accounts["cervo"].model_dump()["token"])
    assert [each.get_secret_value() for each in secrets] == [SECRET] * 3
    found = (settings.database_url, settings.redis, settings.ordering.base_url, settings.events_keep)
    assert found == ("postgresql://db/x", "redis://one:6379/0", "https://api.example", 5)


def test_a_settings_file_may_begin_with_a_byte_order_mark_and_hold_line_ends() -> None:
    Path("other.toml").write_bytes(b'\xef\xbb\xbf[carriers.cervo]\r\ntoken = """\r\nt\r\n"""\r\n')
    assert read(CONFIG="other.toml\n").accounts == {
        "cervo": CervoAccount(name="cervo", kind="cervo", token=SecretStr("t"))
    }


# --- faults ---


def test_every_fault_is_reported_at_once_without_any_value() -> None:
    found = faults(
        DATABASE_URL=f"mysql://root:{SECRET}@db/x",
        BUS_URL=f"http://guest:{SECRET}@queue",
        REDIS_URL=f"http://:{SECRET}@redis",
        EVENTS_KEEP=SECRET,
        FLOWER_ADDRESS="0.0.0.0:5555",
        WEB_ADDRESS="127.0.0.1:99999",
        PUBLIC_URL=SECRET,
        LOG_LEVEL=SECRET,
        TYPO=SECRET,
        ORDERING__BASE_URL=f"https://u:{SECRET}@api.example",
        ORDERING__TYPO=SECRET,
        ORDERING__TIMEZONE=SECRET,
        ORDERING__WRITE=f"22,{SECRET}",
        CARRIERS__CERVO__RATE=SECRET,
        CARRIERS__CERVO__TOKEN_FILE=SECRET,
        CARRIERS__BORZO__BASE_URL="http://borzo.example",
        CARRIERS__BORZO__TYPO=SECRET,
        CARRIERS__FAX__TOKEN=SECRET,
        CARRIERS__ORDERING__KIND="cervo",
        CARRIERS__DELIVERIT=SECRET,
    )
    assert [fault for fault in found if SECRET in fault] == []
    assert found == sorted(
        [
            "database_url: must be a sqlite:// or postgresql:// address",
            f"bus_url: {WRONG}, or an amqp:// or amqps:// address",
            f"redis_url: {WRONG}",
            "events_keep: Input should be a valid integer, unable to parse string as an integer",
            "flower_address: is not on loopback: then ORDER_SYNC_PASSWORD must be set",
            "web_address: must be HOST:PORT, such as 127.0.0.1:8000",
            "public_url: must be the http:// or https:// address of the callbacks",
            "log_level: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
            "typo: there is no such setting",
            "ordering.base_url: must not hold credentials",
            "ordering.typo: there is no such setting",
            "ordering.timezone: is not an IANA time zone",
            "ordering.write.1: Input should be a valid integer, unable to parse string as an integer",
            "carriers.cervo.token_file: the file cannot be read (No such file or directory)",
            f"carriers.cervo.rate: String should match pattern '{RATE}'",
            "carriers.borzo.base_url: is plain http; set ALLOW_HTTP=true for this account to allow it",
            "carriers.borzo.token: must be set",
            "carriers.borzo.typo: there is no such setting",
            "carriers.fax: KIND must be one of borzo, cervo, deliverit",
            "carriers.ordering: is no account name: use letters, digits and -; `ordering` is reserved",
            "carriers.deliverit: must be a table of settings",
        ]
    )


def test_a_value_in_the_place_of_a_table_is_rejected() -> None:
    assert faults(ORDERING="x", ORDERING__GATE="ready") == [
        "ORDER_SYNC_ORDERING__GATE: another variable sets one of its tables to a value",
        "ordering: Input should be a valid dictionary or instance of Ordering",
    ]


def test_a_list_of_carriers_is_rejected() -> None:
    write("order-sync.toml", "carriers = []")
    assert faults() == ["carriers: Input should be a valid dictionary"]


@pytest.mark.parametrize("name", ["a b", "ä", "-x", "x/y", "a" * 65, "ordering", "Ordering"])
def test_an_account_name_fits_into_a_path_and_a_queue_name(name: str) -> None:
    write("order-sync.toml", f'[carriers."{name}"]\nkind = "cervo"\ntoken = "t"\n')
    (fault,) = faults()
    assert fault.endswith("is no account name: use letters, digits and -; `ordering` is reserved")


@pytest.mark.quirk("C-01", "D-01")
@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://carrier.example/api/v1", "must be an origin alone, without a path"),
        ("https://carrier.example?x=1", "must be an origin alone, without a path"),
        ("https://carrier.example#x", "must be an origin alone, without a path"),
        ("https://user@carrier.example", "must not hold credentials"),
        ("https://carrier.example\\@evil.example", "must not hold credentials"),
        ("ftp://carrier.example", "must be an origin, such as https://example.com"),
        ("carrier.example", "must be an origin, such as https://example.com"),
        ("https://carrier.example:s3cret", "must have a port from 1 to 65535"),
        ("https://", "must be an origin, such as https://example.com"),
        ("https://carrier .example", "must be an origin, such as https://example.com"),
        ("", "must be an origin, such as https://example.com"),
        ("https://carrier.example:99999", "must have a port from 1 to 65535"),
        ("http://carrier.example", "is plain http; set ALLOW_HTTP=true for this account to allow it"),
        ("http://127.0.0.1.carrier.example", "is plain http; set ALLOW_HTTP=true for this account to allow it"),
    ],
)
def test_a_base_url_is_an_origin_with_tls(url: str, fault: str) -> None:
    assert faults(**CERVO, CARRIERS__CERVO__BASE_URL=url) == [f"carriers.cervo.base_url: {fault}"]


@pytest.mark.parametrize(
    ("url", "allow"),
    [
        ("http://localhost:8100", ""),
        ("http://127.0.0.1:8100/", ""),
        ("http://[::1]:8100", ""),
        ("http://carrier.example", "true"),
        ("https://carrier.example:8443", ""),
    ],
)
def test_plain_http_is_for_loopback_unless_it_is_allowed(url: str, allow: str) -> None:
    meant = {"CARRIERS__CERVO__ALLOW_HTTP": allow, "ORDERING__ALLOW_HTTP": allow} if allow else {}
    settings = read(**CERVO, **meant, CARRIERS__CERVO__BASE_URL=url, ORDERING__BASE_URL=url)
    assert (settings.accounts["cervo"].base_url, settings.ordering.base_url) == (url, url)


def test_plain_http_to_the_platform_is_rejected_like_that_to_a_carrier() -> None:
    assert faults(ORDERING__BASE_URL="http://api.example") == [
        "ordering.base_url: is plain http; set ALLOW_HTTP=true for this account to allow it"
    ]


@pytest.mark.parametrize("address", ["8000", ":8000", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:٨٠"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    assert faults(WEB_ADDRESS=address) == ["web_address: must be HOST:PORT, such as 127.0.0.1:8000"]


@pytest.mark.quirk("X-07")
def test_flower_listens_beyond_loopback_only_with_a_password() -> None:
    assert read(FLOWER_ADDRESS="0.0.0.0:5555", PASSWORD="p").flower_address == "0.0.0.0:5555"


def test_a_named_settings_file_must_exist_and_be_toml() -> None:
    assert faults(CONFIG="nowhere.toml") == ["nowhere.toml: No such file or directory"]
    assert faults(CONFIG=write("bad.toml", "= 1"))[0].startswith("bad.toml: Invalid statement")
    Path("latin.toml").write_bytes(b'log_level = "\xe9"')
    assert faults(CONFIG="latin.toml")[0].startswith("latin.toml: 'utf-8' codec can't decode")


def test_a_secret_s_file_must_be_text() -> None:
    Path("token").write_bytes(b"\xff\xfe\x00")
    assert "carriers.cervo.token_file: the file cannot be read (UnicodeDecodeError)" in faults(
        CARRIERS__CERVO__TOKEN_FILE="token"
    )


@pytest.mark.quirk("X-15")
def test_no_secret_shows_when_settings_are_printed() -> None:
    settings = read(
        DATABASE_URL=f"postgresql://u:{SECRET}@db/x",
        REDIS_URL=f"redis://:{SECRET}@redis",
        BROKER_URL=f"amqp://u:{SECRET}@queue",
        BUS_URL=f"redis://:{SECRET}@bus",
        PASSWORD=SECRET,
        ORDERING__API_KEY=SECRET,
        CARRIERS__CERVO__TOKEN=SECRET,
        CARRIERS__BORZO__TOKEN=SECRET,
        CARRIERS__BORZO__CALLBACK_SECRET=SECRET,
        CARRIERS__DELIVERIT__USERNAME="u",
        CARRIERS__DELIVERIT__PASSWORD=SECRET,
    )
    assert [SECRET in text for text in (repr(settings), str(settings), f"{settings.accounts}")] == [False] * 3


# --- Redis ---


def test_broker_and_bus_default_to_redis() -> None:
    one = read(REDIS_URL="redis://one")
    own = read(REDIS_URL="redis://one", BROKER_URL="amqp://two", BUS_URL="redis://three")
    assert [(each.redis, each.broker, each.bus) for each in (one, own)] == [
        ("redis://one:6379/0", "redis://one:6379/0", "redis://one:6379/0"),
        ("redis://one:6379/0", "amqp://guest:guest@two:5672/%2F", "redis://three:6379/0"),
    ]


def test_the_broker_gets_kombu_s_spelling_of_a_unix_socket() -> None:
    settings = read(REDIS_URL="unix:///run/redis.sock?db=1")
    assert (settings.broker, settings.bus) == (
        "redis+socket:///run/redis.sock?virtual_host=1",
        "unix:///run/redis.sock?db=1",
    )


def test_without_a_setting_the_redis_that_up_has_started_is_used() -> None:
    with pytest.raises(SettingsError, match=re.escape("set it, or start everything with `order-sync up`")):
        _ = read().redis
    Path("var").mkdir()
    write("var/redis.url", "redis://127.0.0.1:7777/0\n")
    assert read().redis == "redis://127.0.0.1:7777/0"


# --- proxies and certificates ---

PROXY = f"http://u:{SECRET}@proxy.example:3128"


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY}, PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"ORDER_SYNC_HTTPS_PROXY": PROXY, "HTTPS_PROXY": "http://other"}, PROXY),
        ({"ORDER_SYNC_HTTPS_PROXY": "", "HTTPS_PROXY": PROXY}, ""),
        ({"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "other.example, .carrier.example"}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "carrier.example"}, ""),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "*"}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "rrier.example"}, PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "carrier.example", "ORDER_SYNC_NO_PROXY": ""}, PROXY),
    ],
)
def test_a_carrier_is_called_through_the_proxy_of_the_environment_or_of_the_setting(
    variables: dict[str, str], proxy: str
) -> None:
    assert load(variables).proxy_for("https://api.carrier.example") == proxy


@pytest.mark.parametrize(
    "url", ["http://carrier.example", "https://localhost:8100", "https://127.0.0.1", "https://[::1]"]
)
def test_plain_http_and_this_machine_are_called_without_a_proxy(url: str) -> None:
    assert load({"HTTPS_PROXY": PROXY}).proxy_for(url) == ""


@pytest.mark.parametrize("proxy", ["socks5://proxy:1080", "https://proxy", "http://", f"http://u:{SECRET}/x@proxy"])
def test_a_proxy_that_cannot_be_used_is_a_fault(proxy: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load({"HTTPS_PROXY": proxy})
    assert str(raised.value) == "https_proxy: must be the http:// address of a proxy"


def test_the_file_of_trusted_certificates_must_exist() -> None:
    assert load({"SSL_CERT_FILE": write("ca.pem", "")}).ca_bundle == "ca.pem"
    with pytest.raises(SettingsError, match="ca_bundle: there is no such file"):
        load({"SSL_CERT_FILE": "nowhere.pem"})
    assert load({"SSL_CERT_FILE": "nowhere.pem", "ORDER_SYNC_CA_BUNDLE": ""}).ca_bundle == ""


def test_a_notification_channel_may_have_quiet_hours() -> None:
    assert read(NOTIFY__TEAM__URL="json://localhost", NOTIFY__TEAM__QUIET="22:00-07:00").notify["team"].quiet == (
        "22:00-07:00"
    )
    with pytest.raises(SettingsError, match=re.escape("notify.team.quiet: ")):
        read(NOTIFY__TEAM__URL="json://localhost", NOTIFY__TEAM__QUIET="22-7")


# --- the store directory ---


def test_the_store_directory_is_read_from_the_file_that_is_named() -> None:
    settings = read(STORES_FILE=write("shops.toml", STORE))
    fields = tomllib.loads(STORE)["stores"]["77"]
    assert settings.stores() == {"77": Store(store_id="77", **fields)}


def test_a_store_directory_may_begin_with_a_byte_order_mark() -> None:
    Path("shops.toml").write_bytes(b"\xef\xbb\xbf" + STORE.replace("\n", "\r\n").encode())
    assert list(read_stores(Path("shops.toml"))) == ["77"]


def test_a_store_has_default_minutes() -> None:
    store = read_stores(Path(write("shops.toml", STORE)))["77"]
    assert (store.lead_minutes, store.prep_minutes, store.travel_minutes) == (30, 15, 15)


def test_a_missing_directory_is_empty() -> None:
    assert read().stores() == {}


def test_every_fault_of_every_store_is_reported_at_once() -> None:
    bad = STORE.replace("Europe/Copenhagen", "Odense").replace('country = "DK"', 'country = "Denmark"\nfax = 1')
    other = STORE.replace("stores.77", "stores.78").replace("55.3957969", "91").replace('"cervo"', "")
    with pytest.raises(SettingsError) as raised:
        read_stores(Path(write("shops.toml", bad + other)))
    assert str(raised.value).splitlines() == [
        "shops.toml: stores.77.country: String should match pattern '^[A-Z]{2}$'",
        "shops.toml: stores.77.timezone: is not an IANA time zone",
        "shops.toml: stores.77.fax: there is no such setting",
        "shops.toml: stores.78.latitude: Input should be less than or equal to 90",
        "shops.toml: stores.78.carriers: must not be empty",
    ]


@pytest.mark.parametrize("text", ["", "stores = 1", "[stores]\n17 = 3", "[[stores]]\nname = 'x'", "[shops.17]\n"])
def test_a_file_without_store_tables_is_rejected(text: str) -> None:
    with pytest.raises(SettingsError, match=re.escape("shops.toml: a store directory holds [stores.<id>] tables")):
        read_stores(Path(write("shops.toml", text)))


def test_an_unreadable_directory_is_rejected() -> None:
    Path("folder").mkdir()
    with pytest.raises(SettingsError, match="folder: Is a directory"):
        read_stores(Path("folder"))


@pytest.mark.quirk("O-13", "O-19")
@pytest.mark.parametrize("code", [0, 1, 2, 4, 5, 7, 13, 14, 15, 16, 17, 18, 20, 21, 24, 26])
def test_a_status_that_is_never_written_is_rejected(code: int) -> None:
    assert faults(ORDERING__WRITE=f"22,{code}") == [
        f"ordering.write: {code} cannot be written, only 3, 6, 8, 9, 10, 11, 12, 19, 22, 23, 25 can"
    ]


def test_any_writable_status_may_be_listed_and_the_list_may_be_empty() -> None:
    assert read(ORDERING__WRITE="3,6,8,9,10,11,12,19,22,23,25").ordering.write == WRITABLE
    assert read(ORDERING__WRITE="").ordering.write == frozenset()


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///var/order-sync.db", "var/order-sync.db"),
        ("sqlite:///a.db?timeout=5", "a.db"),
        ("sqlite:////srv/a.db", "/srv/a.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:a.db?uri=true", None),
        ("postgresql:///order_sync", None),
    ],
)
def test_a_sqlite_database_is_a_file_with_an_absolute_path(url: str, file: str | None, tmp_path: Path) -> None:
    assert read(DATABASE_URL=url).sqlite_file == (None if file is None else tmp_path / file)


def test_a_source_has_one_key_or_several() -> None:
    old, new, other = "o" * 32, "n" * 40, "k" * 32
    settings = read(API_KEYS__PLATFORM=f"{old}, {new}", API_KEYS__KIOSK_FILE=write("kiosk", f"{other}\n"))
    assert settings.sources_by_key == {old: "platform", new: "platform", other: "kiosk"}


@pytest.mark.parametrize(
    "keys", ["", "short", "k" * 31, f"{'k' * 32},short", f"{'k' * 32},", "k" * 20 + " " + "k" * 20]
)
def test_a_key_that_is_too_short_is_rejected(keys: str) -> None:
    assert faults(API_KEYS__PLATFORM=keys) == [
        "api_keys.platform: must be a key of at least 32 characters, or several separated by commas"
    ]


def test_two_sources_never_have_the_same_key() -> None:
    assert faults(API_KEYS__PLATFORM="k" * 32, API_KEYS__KIOSK="k" * 32) == ["api_keys: a key is there twice"]


def test_the_desk_leaves_loopback_only_with_a_user() -> None:
    open_to_all = {"DESK_ADDRESS": "0.0.0.0:8001"}
    with_user = {**open_to_all, "DESK__USERS__MARIA": "$argon2id$v=19$..."}
    assert [read().has_desk, read(**open_to_all).has_desk, read(**with_user).has_desk] == [True, False, True]


def test_a_user_of_the_desk_has_a_name_and_a_hash() -> None:
    assert faults(DESK__USERS__MARIA="secret") == [
        "desk.users.maria: must be the hash that `order-sync desk password` prints"
    ]
