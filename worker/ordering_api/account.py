"""The settings of the Ordering platform."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from schemas.messages import DEFAULT_SOURCE
from schemas.ordering import ProjectDefaults
from schemas.stores import known_zone
from worker.http.account import Rate, origin
from worker.ordering_api.write_policy import WRITABLE, WritePolicy


class Ordering(BaseModel):
    """The Ordering platform's API, from which orders are fetched and to which statuses are written back."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    allow_http: bool = False
    """Allow plain http to hosts other than loopback."""
    base_url: str = ""
    """The origin of the platform's API. Without it, a message with only an order id becomes a dead letter, and nothing
    is written back."""
    path: str = Field(default="", pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9._~-]*)*$")
    """The part of the API's paths before `/orders`, such as version, language and project.

    The API document does not state this part.
    """
    api_key: SecretStr = SecretStr("")
    """The key of the platform's API."""
    api_key_header: str = Field(default="x-api-key", pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    """The header in which the key is sent."""
    app_id: str = Field(default="order-sync", pattern=r"^[!-~]+( [!-~]+)*$")
    """The name by which the platform knows us (header `X-APP-X`)."""
    gate: Literal["placed", "accepted", "ready"] = "placed"
    """When an order is dispatched: once it is placed, accepted by the shop, or ready."""
    rate: Rate = "2/second"
    """The rate limit of calls to the platform, for all processes together."""
    write: frozenset[int] = frozenset({22, 25, 8, 3, 9, 11, 12})
    """The statuses that are written back. Only 23, 19, 6 and 10 may be added. If the list is empty, no status is
    written."""
    write_weak_terminal: bool = True
    """Write 11 (delivered) back even if the evidence of the delivery is weak."""
    backfill: bool = False
    """Search every five minutes for open orders whose message never came, and fetch them."""
    source: str = Field(default=DEFAULT_SOURCE, min_length=1, max_length=255)
    """The `source` of the platform's messages. Statuses are written back only for the orders of these messages.

    With a wrong value here, an order that is back-filled and also comes as a message becomes two deliveries.
    """
    country: str = Field(default="", pattern=r"^([A-Z]{2})?$")
    """The country of the addresses and of national telephone numbers. The platform's orders contain no country."""
    currency: str = Field(default="", pattern=r"^([A-Z]{3})?$")
    """The currency of an order's amounts, if the order does not contain it."""
    timezone: str = ""
    """The zone of an order's local times, if the order does not contain it."""
    paymethods: Mapping[str, bool] = Field(default_factory=dict)
    """Whether a payment method is prepaid. Each method has its own variable: `...__PAYMETHODS__<ID>=true`."""

    @model_validator(mode="after")
    def _has_address_for_backfill(self) -> Self:
        if self.backfill and not self.base_url:
            raise ValueError("backfill needs base_url")
        return self

    @property
    def project(self) -> ProjectDefaults:
        """The facts that the platform's orders do not contain."""
        return ProjectDefaults(self.country, self.currency, self.timezone, self.paymethods)

    @property
    def write_policy(self) -> WritePolicy:
        """The policy of writing statuses back."""
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
    def _are_writable(cls, codes: frozenset[int]) -> frozenset[int]:
        if others := codes - WRITABLE:
            raise ValueError(f"{_listed(others)} cannot be written, only {_listed(WRITABLE)} can")
        return codes


def _listed(codes: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(codes)))
