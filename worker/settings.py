"""Every setting, read once at the start and complained about once.

The environment wins over `order-sync.toml`; a `_FILE` suffix reads a secret from a file.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from schemas.ordering import Project
from schemas.stores import Store
from worker.carriers import KINDS
from worker.carriers.port import Account
from worker.errors import SettingsError

PREFIX = "ORDER_SYNC_"
REDIS_URL_FILE = Path("var/redis.url")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NO_REDIS = (
    "ORDER_SYNC_REDIS_URL is not set and no embedded server is running: set it, or start everything with "
    "`order-sync up` (or `make demo`)"
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ordering(_Section):
    """The Ordering platform's API: where orders are fetched and statuses written back."""

    base_url: str = ""
    api_key: SecretStr = SecretStr("")
    api_key_header: str = "x-api-key"
    app_id: str = "order-sync"
    gate: Literal["placed", "accepted", "ready"] = "placed"
    write: frozenset[int] = frozenset({22, 25, 8, 3, 9, 11, 12})
    write_weak_terminal: bool = True
    backfill: bool = False
    allow_http: bool = False
    country: str = Field(default="", pattern=r"^([A-Z]{2})?$")
    currency: str = Field(default="", pattern=r"^([A-Z]{3})?$")
    timezone: str = ""
    paymethods: Mapping[str, bool] = Field(default_factory=dict)

    @property
    def project(self) -> Project:
        """What the platform's own orders may leave unsaid."""
        return Project(self.country, self.currency, self.timezone, self.paymethods)

    @field_validator("write", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [code for code in value.split(",") if code.strip()] if isinstance(value, str) else value


class Settings(_Section):
    """What a deployment decides. Secrets are `SecretStr`: they show as stars wherever they are printed."""

    database_url: str = "sqlite:///var/order-sync.db"
    redis_url: str = ""
    broker_url: str = ""
    bus_url: str = ""
    orders_stream: str = Field(default="orders", min_length=1)
    events_stream: str = Field(default="deliveries", min_length=1)
    events_keep: int = Field(default=100_000, ge=0)
    web_address: str = Field(default="127.0.0.1:8000", pattern=r"^.+:\d{1,5}$")
    flower_address: str = Field(default="127.0.0.1:5555", pattern=r"^.+:\d{1,5}$")
    password: SecretStr = SecretStr("")
    public_url: str = ""
    carriers: Mapping[str, Any] = Field(default_factory=dict)
    ordering: Ordering = Ordering()
    stores_file: Path = Path("stores.toml")
    log_format: Literal["console", "json", ""] = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    worker_concurrency: int = Field(default=16, ge=1)

    @field_validator("carriers")
    @classmethod
    def _accounts(cls, raw: Mapping[str, Any]) -> dict[str, Account]:
        return dict(_account(name.lower().replace("_", "-"), fields) for name, fields in raw.items())

    @field_validator("public_url")
    @classmethod
    def _no_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @model_validator(mode="after")
    def _supported(self) -> Self:
        flower = self.flower_address.rpartition(":")[0].strip("[]")
        if flower not in LOOPBACK and not self.password.get_secret_value():
            raise ValueError("flower_address is not on loopback: then ORDER_SYNC_PASSWORD must be set")
        if self.ordering.base_url:
            _check_origin("ordering.base_url", self.ordering.base_url, allow_http=self.ordering.allow_http)
        for name in ("redis_url", "bus_url"):
            if urlsplit(getattr(self, name)).scheme not in {"", "redis", "rediss", "unix"}:
                raise ValueError(f"{name} must be a redis://, rediss:// or unix:// address")
        return self

    @property
    def accounts(self) -> dict[str, Account]:
        """The carrier accounts by name."""
        return dict(self.carriers)

    @cached_property
    def redis(self) -> str:
        """The Redis address: the setting, or what `up` and `demo` left behind."""
        if self.redis_url:
            return self.redis_url
        if REDIS_URL_FILE.exists():
            return REDIS_URL_FILE.read_text().strip()
        raise SettingsError(NO_REDIS)

    @property
    def broker(self) -> str:
        """Celery's broker; kombu spells a Unix socket in its own way."""
        url = self.broker_url or self.redis
        return url.replace("unix://", "redis+socket://", 1)

    @property
    def bus(self) -> str:
        """The server of the two streams."""
        return self.bus_url or self.redis

    def stores(self) -> dict[str, Store]:
        """Read the store directory's file; an absent file is an empty directory. Raises SettingsError."""
        if not self.stores_file.exists():
            return {}
        return read_stores(self.stores_file)


def _account(name: str, fields: Any) -> tuple[str, Account]:
    if not isinstance(fields, Mapping):
        raise ValueError(f"carriers.{name} must be a table of settings")  # noqa: TRY004 - reported as a fault
    kind = fields.get("kind", name)
    if kind not in KINDS:
        raise ValueError(f"carriers.{name}.kind: {kind!r} is not one of {', '.join(sorted(KINDS))}")
    try:
        account = KINDS[kind].account_type.model_validate({**fields, "name": name, "kind": kind})
    except ValidationError as error:
        raise ValueError("; ".join(_faults(error, f"carriers.{name}."))) from None
    _check_origin(f"carriers.{name}.base_url", account.base_url, allow_http=account.allow_http)
    return name, account


def _check_origin(name: str, url: str, *, allow_http: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{name} must be an origin alone, such as https://example.com")
    if parts.username or parts.password:
        raise ValueError(f"{name} must not hold credentials")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allow_http:
        raise ValueError(f"{name} is plain http; set ALLOW_HTTP=true beside it if that is meant")


def read_stores(path: Path) -> dict[str, Store]:
    """Read a store directory (`[stores.<id>]` tables). Raises SettingsError naming every fault."""
    try:
        raw = tomllib.loads(path.read_text())
        return {key: Store.model_validate({**fields, "store_id": key}) for key, fields in raw["stores"].items()}
    except ValidationError as error:
        raise SettingsError("\n".join(_faults(error, f"{path}: "))) from None
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise SettingsError(f"{path}: {error!r} (a store directory holds [stores.<id>] tables)") from None


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises SettingsError with one line for every fault, and never a value."""
    try:
        merged = _merge(_from_file(environ), dict(_nested(environ)))
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError("\n".join(_faults(error, ""))) from None


def _from_file(environ: Mapping[str, str]) -> dict[str, Any]:
    named = environ.get(f"{PREFIX}CONFIG")
    path = Path(named or "order-sync.toml")
    if not named and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from None


def _nested(environ: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    tree: dict[str, Any] = {}
    for variable, value in sorted(environ.items()):
        if variable.startswith(PREFIX) and variable != f"{PREFIX}CONFIG":
            _plant(tree, *_read_secret(variable.removeprefix(PREFIX), value))
    yield from tree.items()


def _read_secret(key: str, value: str) -> tuple[list[str], str]:
    parts = key.lower().split("__")
    if not parts[-1].endswith("_file") or parts == ["stores_file"]:
        return parts, value
    try:
        return [*parts[:-1], parts[-1].removesuffix("_file")], Path(value).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{PREFIX}{key}: {error}") from None


def _plant(tree: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _faults(error: ValidationError, prefix: str) -> list[str]:
    return [
        f"{prefix}{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_input=False, include_url=False)
    ]
