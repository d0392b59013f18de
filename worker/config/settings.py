"""The settings. A process reads them once, at its start.

The error for wrong settings lists every fault and contains no values.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from schemas.stores import Store
from worker.addresses.amqp_url import AmqpUrl, is_amqp
from worker.addresses.redis_url import PORTS as REDIS_SCHEMES
from worker.addresses.redis_url import WRONG as WRONG_REDIS
from worker.addresses.redis_url import RedisUrl
from worker.carriers import KINDS
from worker.carriers.account import CarrierAccount, Hours
from worker.clock import AGE, parse_age
from worker.config import sources
from worker.errors import SettingsError
from worker.http.account import LOOPBACK
from worker.ordering_api.account import Ordering

REDIS_URL_FILE = Path("var/redis.url")
ACCOUNT_NAME = r"^(?!ordering$)[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"
"""The pattern of a carrier account's name, which becomes part of paths, queues and variables.

The name `ordering` is excluded, because it belongs to the platform's account.
"""
API_KEY = "[!-~]{32,}"
"""The pattern of a platform's key: letters, digits and punctuation, without a space."""
USER_NAME = "[a-z0-9][a-z0-9_]{0,31}"
"""The pattern of the name of the desk's user, which becomes part of a variable."""
TEXTS = {
    "missing": "must be set",
    "extra_forbidden": "there is no such setting",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
NO_REDIS = (
    "ORDER_SYNC_REDIS_URL is not set and no embedded server is running: set it, or start everything with "
    "`order-sync up`; rate limits and circuit breakers need Redis beside RabbitMQ, too"
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - the largest port
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8000")
    return text


def _account(fields: Any) -> CarrierAccount:
    if not isinstance(fields, Mapping):
        raise ValueError("must be a table of settings")  # noqa: TRY004 - reported as a fault
    if not re.fullmatch(ACCOUNT_NAME, fields["name"]):
        raise ValueError("is no account name: use letters, digits and -; `ordering` is reserved")
    if fields["kind"] not in KINDS:
        raise ValueError(f"KIND must be one of {', '.join(sorted(KINDS))}")
    return KINDS[fields["kind"]].account_type.model_validate(fields)


def _password_hash(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().startswith("$argon2"):
        raise ValueError("must be the hash that `order-sync desk password` prints")
    return secret


def _api_keys(secret: SecretStr) -> SecretStr:
    keys = [key.strip() for key in secret.get_secret_value().split(",")]
    if not all(re.fullmatch(API_KEY, key) for key in keys):
        raise ValueError("must be a key of at least 32 characters, or several separated by commas")
    return SecretStr(",".join(keys))


def _user_name(name: str) -> str:
    if not re.fullmatch(USER_NAME, name):
        raise ValueError("is no user name: use letters, digits and _")
    return name


Address = Annotated[str, AfterValidator(_address)]


class Desk(_Section):
    """The operators' desk."""

    users: Mapping[Annotated[str, AfterValidator(_user_name)], Annotated[SecretStr, AfterValidator(_password_hash)]] = (
        Field(default_factory=dict)
    )
    """The operators who may log in: `USERS__<NAME>` is the hash that `order-sync desk password NAME` prints. Without a
    user, the desk answers only requests from this machine, and asks for the operator's name."""
    secret: SecretStr = SecretStr("")
    """The key that signs the session cookies. By default, each process makes its own, so that operators log in again
    after a restart; with several web processes, it must be set."""
    https: bool = False
    """Whether operators reach the desk over https only. The browser then never sends the session cookie over http."""


class NotifyChannel(_Section):
    """A channel on which people are notified of troubles."""

    url: SecretStr
    """The address, in the notation of apprise (https://appriseit.com), such as `slack://...`, `mailtos://...`,
    `pagerduty://...`, `ntfys://...` or `jsons://...` for a webhook. A channel gets one message for each trouble that
    lasts half a minute, and one when the trouble is over. `order-sync check --notify` sends a message to every channel.
    """
    quiet: Hours = ""
    """Hours of the day by the clocks of the stores, such as `22:00-07:00`, in which a trouble is not sent that only
    keeps orders waiting. It is sent afterwards, or as soon as a pickup is near. Goods on the road, unknown outcomes and
    troubles of the system are always sent."""


class Webhooks(_Section):
    """Subscribers that get events over HTTP (`order-sync subscribers`)."""

    private_hosts: str = ""
    """The hosts of subscribers that may have addresses inside your network and be called over plain http, separated by
    commas, or `*` for all hosts. By default, a subscriber must have a public address and https."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that may have addresses inside the network."""
        return tuple(each.strip().lower() for each in self.private_hosts.split(",") if each.strip())


class Settings(_Section):
    """The settings of a deployment. Secrets are `SecretStr`; addresses that may contain secrets are not in the repr."""

    database_url: str = Field(default="sqlite:///var/order-sync.db", repr=False)
    """SQLite or PostgreSQL (`postgresql://user:password@host/name`). With standbys, an address may name all servers:
    `postgresql://user:password@one:5432,two:5432/name?target_session_attrs=read-write`."""
    redis_url: str = Field(default="", repr=False)
    """Redis or Valkey: `redis://[[USER]:PASSWORD@]HOST:PORT/DB`, `rediss://` for TLS, or `unix:///PATH?db=DB`. With
    Sentinel, it is `redis+sentinel://[[USER]:PASSWORD@]SENTINEL:PORT,SENTINEL:PORT/MASTER[/DB]`, or `rediss+sentinel://`
    for TLS, and the options `sentinel_username` and `sentinel_password` are allowed (docs/deploying.md). With TLS, the
    options `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`, `ssl_check_hostname=false` and `ssl_cert_reqs=none` are
    allowed. Without an address, `up` and `demo` start a server and write its address to `var/redis.url`."""
    broker_url: str = Field(default="", repr=False)
    """Celery's broker, if it is not the Redis above: another Redis, or RabbitMQ by
    `amqp://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]][/VIRTUAL_HOST]`, `amqps://` for TLS. With TLS, the options of the
    Redis above are allowed."""
    bus_url: str = Field(default="", repr=False)
    """The server of the incoming messages and of the events, if it is not the Redis above: another Redis, or RabbitMQ
    (docs/rabbitmq.md). The rate limits and the circuit breakers stay on the Redis above."""
    orders_stream: str = Field(default="orders", min_length=1)
    """The stream of incoming messages; on RabbitMQ, the queue."""
    events_stream: str = Field(default="deliveries", min_length=1)
    """The stream of published events; on RabbitMQ, the topic exchange and the stream that has all events."""
    events_keep: int = Field(default=100_000, ge=0)
    """How many of the newest events stay on the stream. An older event stays until every consumer group has
    acknowledged it. RabbitMQ keeps events for a week."""
    keep_calls_days: float = Field(default=30, gt=0)
    """For how many days the record of a call to a carrier is kept."""
    keep_callbacks_days: float = Field(default=30, gt=0)
    """For how many days a callback is kept after it arrived. A callback that is not applied yet is always kept."""
    keep_dead_letters_days: float = Field(default=30, gt=0)
    """For how many days a dead letter is kept after an operator has dealt with it. Until then it is always kept."""
    keep_customers_days: float = Field(default=90, gt=0)
    """For how many days after the end of a delivery the customer's data are kept."""
    keep_events_days: float = Field(default=400, ge=30)
    """For how many days an event and a message's id are kept. A delivery that has ended is deleted after its last
    event, or archived with its events."""
    password: SecretStr = SecretStr("")
    """The password of Flower's user `operator`."""
    web_address: Address = "127.0.0.1:8000"
    """The address on which the web process listens for callbacks and orders; with 0.0.0.0:8000, it listens on all
    interfaces."""
    api_keys: Mapping[
        Annotated[str, Field(min_length=1, max_length=255)], Annotated[SecretStr, AfterValidator(_api_keys)]
    ] = Field(default_factory=dict)
    """The keys of the platforms that send orders to the web process over HTTP: `API_KEYS__<SOURCE>` is the key of the
    messages of this `source`, in lower case, with at least 32 characters. While a new key replaces an old one, set
    both, separated by a comma. Without any key, no orders are received over HTTP."""
    desk: Desk = Desk()
    desk_address: Address = "127.0.0.1:8001"
    """The address on which the web process has the operators' desk, and answers `/livez`, `/readyz` and `/metrics`
    without a password. It is for your own network: no proxy should forward to it. Outside loopback, there is no desk
    unless `ORDER_SYNC_DESK__USERS__<NAME>` names a user."""
    flower_address: Address = "127.0.0.1:5555"
    """The address on which Flower listens; outside loopback, `ORDER_SYNC_PASSWORD` must be set."""
    public_url: str = ""
    """The public address of the callbacks. Without it, no carrier gets a callback address, and every carrier is
    polled."""
    https_proxy: SecretStr = SecretStr("")
    """The HTTP proxy of calls over https (`http://[USER:PASSWORD@]HOST:PORT`); by default the proxy in the variable
    `HTTPS_PROXY`. A call over plain http or to this machine never uses a proxy."""
    no_proxy: str = ""
    """The hosts that are called without the proxy, separated by commas, or `*` for all hosts; by default the hosts in
    the variable `NO_PROXY`."""
    ca_bundle: str = ""
    """The file of the CA certificates that calls over https trust; by default the file that the variable
    `SSL_CERT_FILE` names. Without a file, the certificates of certifi are trusted."""
    carriers: Mapping[str, Annotated[Any, AfterValidator(_account)]] = Field(default_factory=dict)
    ordering: Ordering = Ordering()
    notify: Mapping[str, NotifyChannel] = Field(default_factory=dict)
    webhooks: Webhooks = Webhooks()
    journal_folder: Path = Path("var/journal")
    """The folder of the call journal, on a disk that outlasts the worker."""
    archive_folder: Path | None = None
    """The folder of the archive, to which old deliveries are moved instead of being deleted. Once a database has an
    archive, a process without this setting leaves them in the database."""
    flower_folder: Path = Path("var/flower")
    """The folder in which Flower keeps the tasks that it shows."""
    stores_file: Path = Path("stores.toml")
    """The file of the store directory. If a store with the same id is in the database (`order-sync stores load`), the
    store in the database is used."""
    stale_order: str = Field(default="12h", pattern=AGE)
    """The age above which a new order is rejected (`deadline_passed`): a number and `s`, `m`, `h` or `d`. The age is
    counted from the requested delivery time. For an order without such a time, the age is counted from the
    time at which it was placed or its food was ready, whichever is later."""
    heartbeat_path: Path | None = None
    """A file that a worker touches every five seconds while it consumes tasks; by default none. A file that is older
    than a minute means that the worker is not alive. Each worker needs a file of its own."""
    log_format: Literal["console", "json", ""] = ""
    """The format of the logs; by default `console` on a terminal and `json` elsewhere."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe level that is logged."""
    worker_concurrency: int = Field(default=16, ge=1)
    """The number of threads of a worker process. Each thread runs one task at a time."""

    @field_validator("carriers", mode="before")
    @classmethod
    def _by_name(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        return {
            name: {"kind": name, **fields, "name": name} if sources.is_table(fields) else fields
            for name, fields in raw.items()
        }

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, url: str) -> str:
        if url.partition(":")[0] not in {"sqlite", "postgresql", "postgresql+psycopg"}:
            raise ValueError("must be a sqlite:// or postgresql:// address")
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        return url and str(RedisUrl.parse(url))

    @field_validator("bus_url")
    @classmethod
    def _is_bus(cls, url: str) -> str:
        if is_amqp(url):
            return str(AmqpUrl.parse(url))
        if url and not _is_redis_url(url):
            raise ValueError(f"{WRONG_REDIS}, or an amqp:// or amqps:// address")
        return url and str(RedisUrl.parse(url))

    @field_validator("broker_url")
    @classmethod
    def _is_broker(cls, url: str) -> str:
        if is_amqp(url):
            return str(AmqpUrl.parse(url))
        return str(RedisUrl.parse(url)) if _is_redis_url(url) else url

    @field_validator("api_keys")
    @classmethod
    def _are_different(cls, keys: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        every = [key for secret in keys.values() for key in secret.get_secret_value().split(",")]
        if len(set(every)) < len(every):
            raise ValueError("a key is there twice")
        return keys

    @field_validator("public_url")
    @classmethod
    def _is_public(cls, url: str) -> str:
        if url and not (urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname):
            raise ValueError("must be the http:// or https:// address of the callbacks")
        if urlsplit(url).username or urlsplit(url).query or urlsplit(url).fragment:
            raise ValueError("must have neither credentials nor a query")
        return url.rstrip("/")

    @field_validator("https_proxy")
    @classmethod
    def _is_proxy(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        url = text if "://" in text or not text else f"http://{text}"
        parts = urlsplit(url)
        try:
            usable = not url or (parts.scheme == "http" and parts.hostname and parts.port != 0)
        except ValueError:  # its text contains a part of the address
            usable = False
        if not usable:
            raise ValueError("must be the http:// address of a proxy")
        return SecretStr(url)

    @field_validator("ca_bundle")
    @classmethod
    def _is_file(cls, path: str) -> str:
        if path and not Path(path).is_file():
            raise ValueError("there is no such file")
        return path

    @field_validator("flower_address")
    @classmethod
    def _is_safe(cls, address: str, info: ValidationInfo) -> str:
        password = info.data.get("password")
        if address.rpartition(":")[0].strip("[]") not in LOOPBACK and password == SecretStr(""):
            raise ValueError("is not on loopback: then ORDER_SYNC_PASSWORD must be set")
        return address

    @property
    def sources_by_key(self) -> dict[str, str]:
        """The source of each key of a platform."""
        keys = self.api_keys.items()
        return {key: source for source, secret in keys for key in secret.get_secret_value().split(",")}

    @property
    def has_desk(self) -> bool:
        """Whether there is a desk: only on loopback, or with users who log in."""
        return bool(self.desk.users) or self.desk_address.rpartition(":")[0].strip("[]") in LOOPBACK

    @property
    def stale_after(self) -> timedelta:
        """The age above which a new order is rejected."""
        return parse_age(self.stale_order)

    @property
    def shared(self) -> bool:
        """Whether other hosts may use the same database."""
        return not self.database_url.startswith("sqlite")

    @property
    def accounts(self) -> dict[str, CarrierAccount]:
        """The carrier accounts by name."""
        return dict(self.carriers)

    @cached_property
    def redis(self) -> str:
        """The Redis address, from the setting or from the file that `up` and `demo` write.

        Raises SettingsError if neither contains a usable address.
        """
        if self.redis_url:
            return self.redis_url
        try:
            return str(RedisUrl.parse(REDIS_URL_FILE.read_text().strip()))
        except (OSError, ValueError):
            raise SettingsError(NO_REDIS) from None

    @property
    def has_redis(self) -> bool:
        """Whether there is an address of a Redis."""
        try:
            return bool(self.redis)
        except SettingsError:
            return False

    @property
    def broker(self) -> str:
        """The URL of Celery's broker, as kombu reads it."""
        address = self._broker_address
        return address if isinstance(address, str) else address.for_kombu

    @property
    def sentinel(self) -> RedisUrl | None:
        """The address of Celery's broker if Sentinel names its master."""
        address = self._broker_address
        return address if isinstance(address, RedisUrl) and address.master else None

    @property
    def masters(self) -> list[RedisUrl]:
        """The addresses of all masters that Sentinel names, each once."""
        urls = dict.fromkeys((self.redis if self.has_redis else "", self.bus_url, self.broker_url))
        return [address for url in urls if _is_redis_url(url) and (address := RedisUrl.parse(url)).master]

    @property
    def _broker_address(self) -> AmqpUrl | RedisUrl | str:
        """The address of Celery's broker; a text if only kombu knows its scheme."""
        url = self.broker_url or self.redis
        if is_amqp(url):
            return AmqpUrl.parse(url)
        return RedisUrl.parse(url) if _is_redis_url(url) else url

    @property
    def broker_ssl(self) -> dict[str, Any] | None:
        """The options of TLS for Celery's broker; None without TLS."""
        address = self._broker_address
        return None if isinstance(address, str) else address.ssl

    @property
    def bus(self) -> str:
        """The URL of the server of the incoming messages and of the events."""
        return self.bus_url or self.redis

    @property
    def sqlite_file(self) -> Path | None:
        """The absolute path of the SQLite database; None if the database is no file that a path names."""
        scheme, _, path = self.database_url.partition(":///")
        if scheme != "sqlite" or not path or path.startswith((":memory:", "file:")):
            return None
        return Path(path.partition("?")[0]).absolute()

    @property
    def absolute_paths(self) -> dict[str, str]:
        """The settings that are paths on this machine, so that they mean the same in another folder."""
        file, folders = self.sqlite_file, ("journal_folder", "flower_folder", "stores_file")
        query = "".join(self.database_url.partition("?")[1:])
        database = {"DATABASE_URL": f"sqlite:///{file}{query}"} if file else {}
        archive = {"ARCHIVE_FOLDER": str(self.archive_folder.absolute())} if self.archive_folder else {}
        return database | archive | {name.upper(): str(getattr(self, name).absolute()) for name in folders}

    def proxy_for(self, url: str) -> str:
        """Return the proxy for calls to this origin; empty if these calls use no proxy."""
        parts = urlsplit(url)
        host = f".{parts.hostname}"
        direct = [part.strip().lstrip(".").lower() for part in self.no_proxy.split(",") if part.strip()]
        if parts.scheme != "https" or parts.hostname in LOOPBACK:
            return ""
        if any(part == "*" or host.endswith(f".{part}") for part in direct):
            return ""
        return self.https_proxy.get_secret_value()

    def stores(self) -> dict[str, Store]:
        """Read the stores from the store directory's file; no stores if there is no file. Raises SettingsError."""
        if not self.stores_file.exists():
            return {}
        return read_stores(self.stores_file)


def read_stores(path: Path) -> dict[str, Store]:
    """Read a store directory (`[stores.<id>]` tables). Raises SettingsError with every fault."""
    return _directory(sources.read_toml(path), str(path))


def parse_stores(text: str) -> dict[str, Store]:
    """Parse the text of a store directory. Raises SettingsError with every fault."""
    return _directory(sources.parse_toml(text, "stores"), "stores")


def _directory(tree: Mapping[str, Any], where: str) -> dict[str, Store]:
    tables = tree.get("stores")
    if not sources.is_table(tables) or not all(map(sources.is_table, tables.values())):
        raise SettingsError(f"{where}: a store directory holds [stores.<id>] tables")
    try:
        return _Directory.model_validate({key: {**fields, "store_id": key} for key, fields in tables.items()}).root
    except ValidationError as error:
        raise SettingsError("\n".join(f"{where}: stores.{fault}" for fault in _faults(error))) from None


def _is_redis_url(url: str) -> bool:
    return url.partition(":")[0] in REDIS_SCHEMES


class _Directory(RootModel[dict[str, Store]]):
    pass


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SettingsError with one line for each fault and without values."""
    tree, faults = sources.read(environ)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        faults += _faults(error)
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


def _faults(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {TEXTS.get(fault['type'], fault['msg'])}".replace(
            ": Value error, ", ": ", 1
        )
        for fault in error.errors(include_input=False, include_url=False)
    ]
