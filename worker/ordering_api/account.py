"""The Ordering platform's account: its settings."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from schemas.messages import DEFAULT_SOURCE
from schemas.ordering import ProjectDefaults
from schemas.stores import known_zone
from worker.http.account import Rate, origin
from worker.ordering_api.write_policy import WRITABLE, WritePolicy


class Ordering(BaseModel):
    """The Ordering platform's API: where orders are fetched and statuses written back."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    allow_http: bool = False
    """Allow plain http beyond loopback."""
    base_url: str = ""
    """The platform's API. Without it an order that is named by its id alone becomes a dead letter, and nothing is
    written back."""
    path: str = Field(default="", pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9._~-]*)*$")
    """What stands before `/orders` in its addresses: a version, a language, a project; none in the document."""
    api_key: SecretStr = SecretStr("")
    """Its key."""
    api_key_header: str = Field(default="x-api-key", pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    """The header that the key goes into."""
    app_id: str = Field(default="order-sync", pattern=r"^[!-~]+( [!-~]+)*$")
    """What we call ourselves there (`X-APP-X`)."""
    gate: Literal["placed", "accepted", "ready"] = "placed"
    """When an order is dispatched: once it is placed, once the shop has accepted it, or once it is ready."""
    rate: Rate = "2/second"
    """The budget of calls to it, of all processes together."""
    write: frozenset[int] = frozenset({22, 25, 8, 3, 9, 11, 12})
    """The statuses that are written back; 23, 19, 6 and 10 may be added, none is written where it is empty."""
    write_weak_terminal: bool = True
    """Write 11 back also where the evidence of the delivery is weak."""
    backfill: bool = False
    """Look every five minutes for open orders whose message never came, and fetch them."""
    source: str = Field(default=DEFAULT_SOURCE, min_length=1, max_length=255)
    """The `source` of its messages: only such orders are written back. Another one here would make two deliveries of
    one order."""
    country: str = Field(default="", pattern=r"^([A-Z]{2})?$")
    """The country of addresses and national telephone numbers in its orders, which name none."""
    currency: str = Field(default="", pattern=r"^([A-Z]{3})?$")
    """The currency of its amounts, which name none."""
    timezone: str = ""
    """The zone of its clock times, which name none."""
    paymethods: Mapping[str, bool] = Field(default_factory=dict)
    """Whether a payment method means paid already, one variable each: `...__PAYMETHODS__<ID>=true`."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.backfill and not self.base_url:
            raise ValueError("backfill needs base_url")
        return self

    @property
    def project(self) -> ProjectDefaults:
        """What the platform's own orders may leave unsaid."""
        return ProjectDefaults(self.country, self.currency, self.timezone, self.paymethods)

    @property
    def write_policy(self) -> WritePolicy:
        """What may be written back."""
        return WritePolicy(self.write, self.write_weak_terminal, self.gate)

    @field_validator("base_url")
    @classmethod
    def _is_origin(cls, url: str, info: ValidationInfo) -> str:
        return url and origin(url, allow_http=info.data.get("allow_http", False))

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        return name and known_zone(name)

    @field_validator("write", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [code for code in value.split(",") if code.strip()] if isinstance(value, str) else value

    @field_validator("write")
    @classmethod
    def _are_ours(cls, codes: frozenset[int]) -> frozenset[int]:
        if strays := codes - WRITABLE:
            raise ValueError(f"{_listed(strays)} is never written, only {_listed(WRITABLE)} are")
        return codes


def _listed(codes: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(codes)))
