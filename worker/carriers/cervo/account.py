"""The settings of one Cervo account. Contradictory payment tokens or bounds are refused at the start."""

from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from schemas.stores import Zone
from worker.carriers.account import CarrierAccount
from worker.http.account import Rate

COLLECTION_TOKENS = {"cash": "CASH", "card": "CREDIT", "credit": "CREDIT"}
"""Payment methods that a courier can collect, and Cervo's token for each of them (C-16)."""

PAID_SPELLINGS = frozenset({"paid", "yes", "true", "1"})
UNPAID_SPELLINGS = frozenset({"nopaid", "notpaid", "unpaid", "no", "false", "0"})

Degrees = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Token = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=32)]


class Bounds(NamedTuple):
    """The four limits of an account's delivery area, as latitudes and longitudes in degrees."""

    south: Degrees
    west: Degrees
    north: Degrees
    east: Degrees


class CervoAccount(CarrierAccount):
    """One account at Cervo, with its payment tokens (C-16) and the bounds of its delivery area (C-15)."""

    base_url: str = "https://carvo.isoft4is.com"
    rate: Rate = Field(default="1/second", min_length=1)
    poll_interval: float = Field(default=20, gt=0)
    callback_wait: float = Field(default=180, ge=0)
    token: SecretStr = Field(min_length=1)
    """The bearer token."""
    timezone: Zone = "Asia/Riyadh"
    """The time zone of the times that Cervo sends and receives."""
    currency: str = Field(default="SAR", pattern=r"^[A-Z]{3}$")
    """The currency of every price sent to Cervo; an order in another currency is refused."""
    id_location: Literal["query", "path", "header"] = "query"
    """Where a read and a cancel contain the order id; the API document is ambiguous."""
    resubmit_in_doubt: bool = False
    """After an unknown outcome, send the same create once more, with the same `id`.

    Use this only if Cervo refuses a repeated `id` for this account: such a refusal proves that the first order exists.
    If Cervo accepts a repeated `id`, two couriers may come.
    """
    payment_tokens: dict[str, Token] = Field(default=COLLECTION_TOKENS)
    """Cervo's token for each way to pay the courier. Each has its own variable: `...__PAYMENT_TOKENS__<METHOD>`."""
    prepaid_token: Token = "ONLINE"  # noqa: S105 - a value of the API, not a secret
    """Cervo's payment token for an order that is already paid."""
    paid_token: Token = "PAID"  # noqa: S105 - the same
    """The value of `ispaid` when nothing is owed."""
    unpaid_token: Token = "NO PAID"  # noqa: S105 - the same
    """The value of `ispaid` when the courier must collect the money."""
    bounds: Bounds | None = None
    """South, west, north, east. A drop-off outside these bounds is refused, to catch swapped coordinates."""

    @property
    def money(self) -> tuple[str, ...]:
        """The words by which Cervo's courier knows whether to collect money; the API document does not list them."""
        collected = ", ".join(f"{method} {token}" for method, token in self.payment_tokens.items())
        words = f"ispaid is {self.paid_token} or {self.unpaid_token}; a payment is {self.prepaid_token}, or {collected}"
        return (f"{words}: let Cervo confirm these words",)

    @property
    def risks(self) -> tuple[str, ...]:
        """The risk of a second courier."""
        text = (
            "RESUBMIT_IN_DOUBT is on: two couriers may come, unless Cervo has confirmed that it refuses a repeated id"
        )
        return (text,) if self.resubmit_in_doubt else ()

    @field_validator("bounds", mode="before")
    @classmethod
    def _split_bounds(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value

    @field_validator("bounds")
    @classmethod
    def _check_bounds(cls, bounds: Bounds | None) -> Bounds | None:
        if bounds and (bounds.south > bounds.north or bounds.west > bounds.east):
            raise ValueError("bounds must be south, west, north, east")
        return bounds

    @field_validator("payment_tokens")
    @classmethod
    def _add_default_tokens(cls, tokens: dict[str, str]) -> dict[str, str]:
        return COLLECTION_TOKENS | {method.lower(): token for method, token in tokens.items()}

    @model_validator(mode="after")
    def _check_paid_tokens(self) -> Self:
        if not are_opposite(self.paid_token, self.unpaid_token):
            raise ValueError("paid_token and unpaid_token must have opposite meanings (C-16)")
        return self


def are_opposite(paid: str, unpaid: str) -> bool:
    """Return whether these values of `ispaid` differ and neither is a known spelling of the other's meaning (C-16)."""
    bare_paid, bare_unpaid = _bare(paid), _bare(unpaid)
    return bare_paid != bare_unpaid and bare_paid not in UNPAID_SPELLINGS and bare_unpaid not in PAID_SPELLINGS


def _bare(token: str) -> str:
    return "".join(filter(str.isalnum, token.lower()))
