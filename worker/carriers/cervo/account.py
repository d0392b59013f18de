"""The settings of one account at Cervo, checked so that no wrong one can cost money later."""

from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from schemas.stores import Zone
from worker.carriers.account import CarrierAccount
from worker.http.account import Rate

DOOR_TOKENS = {"cash": "CASH", "card": "CREDIT", "credit": "CREDIT"}
"""Our payment methods that a courier can collect, and Cervo's words for them (C-16)."""

MEANS_PAID = frozenset({"paid", "yes", "true", "1"})
MEANS_UNPAID = frozenset({"nopaid", "notpaid", "unpaid", "no", "false", "0"})

Degrees = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Token = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=32)]


class Bounds(NamedTuple):
    """The area an account serves, in degrees."""

    south: Degrees
    west: Degrees
    north: Degrees
    east: Degrees


class CervoAccount(CarrierAccount):
    """One account at Cervo: its words for money (C-16), and where a coordinate must be (C-15)."""

    base_url: str = "https://carvo.isoft4is.com"
    rate: Rate = Field(default="1/second", min_length=1)
    poll_interval: float = Field(default=20, gt=0)
    callback_wait: float = Field(default=180, ge=0)
    token: SecretStr = Field(min_length=1)
    """The bearer token."""
    timezone: Zone = "Asia/Riyadh"
    """The zone that Cervo's clock faces are in."""
    currency: str = Field(default="SAR", pattern=r"^[A-Z]{3}$")
    """The only currency it is told prices in."""
    id_location: Literal["query", "path", "header"] = "query"
    """Where its order id goes in a read; its document is not clear."""
    resubmit_in_doubt: bool = False
    """Send a create again whose outcome nobody knows, once and as a new order. Two couriers may come: Cervo cannot take
    a new id for a repeat."""
    payment_tokens: dict[str, Token] = Field(default=DOOR_TOKENS)
    """Its words for how a customer pays at the door, one variable each: `...__PAYMENT_TOKENS__<METHOD>`."""
    prepaid_token: Token = "ONLINE"  # noqa: S105 - a word of the API, no secret
    """Its word for an order that is paid already."""
    paid_token: Token = "PAID"  # noqa: S105 - the same
    """What `ispaid` says when nothing is owed."""
    unpaid_token: Token = "NO PAID"  # noqa: S105 - the same
    """What `ispaid` says when the courier must collect."""
    bounds: Bounds | None = None
    """South, west, north, east: refuse coordinates outside, which are mostly swapped."""

    @field_validator("bounds", mode="before")
    @classmethod
    def _four_numbers(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value

    @field_validator("bounds")
    @classmethod
    def _not_inside_out(cls, bounds: Bounds | None) -> Bounds | None:
        if bounds and (bounds.south > bounds.north or bounds.west > bounds.east):
            raise ValueError("bounds are south, west, north, east")
        return bounds

    @field_validator("payment_tokens")
    @classmethod
    def _beside_the_known_ones(cls, tokens: dict[str, str]) -> dict[str, str]:
        return DOOR_TOKENS | {method.lower(): token for method, token in tokens.items()}

    @model_validator(mode="after")
    def _paid_is_not_unpaid(self) -> Self:
        if not tells_paid_apart(self.paid_token, self.unpaid_token):
            raise ValueError("paid_token and unpaid_token must say opposite things (C-16)")
        return self


def tells_paid_apart(paid: str, unpaid: str) -> bool:
    """Tell whether a courier who reads these words can know whom to charge (C-16)."""
    said_paid, said_unpaid = _bare(paid), _bare(unpaid)
    return said_paid != said_unpaid and said_paid not in MEANS_UNPAID and said_unpaid not in MEANS_PAID


def _bare(token: str) -> str:
    return "".join(letter for letter in token.lower() if letter.isalnum())
