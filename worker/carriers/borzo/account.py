"""The settings of one account at Borzo, and the checks on them."""

from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from schemas.stores import Zone
from worker.carriers.account import CarrierAccount
from worker.http.account import Rate

MAX_SECRETS = 2
MAX_LOADERS = 11
PUBLIC_TRANSPORT = 6
CHARGED = (
    "cod", "cod_voucher", "insurance", "total_weight_kg", "loaders_count", "motobox", "thermobox", "return_required",
    "notify_client", "notify_recipient",
)  # fmt: skip
"""The settings that add a service to an order; Borzo's prices have a fee for most of them."""
NOT_CHARGED = (False, 0, "none")


class BorzoAccount(CarrierAccount):
    """One Borzo account: token, callback secrets, host and country belong together (B-01)."""

    base_url: str = "https://robot-br.borzodelivery.com"
    rate: Rate = "80/minute;4500/day"
    poll_interval: float = Field(default=60, gt=0)
    callback_wait: float = Field(default=120, ge=0)
    token: SecretStr = Field(min_length=1)
    """The API token."""
    callback_secret: SecretStr | None = None
    """The callback secret. While a new secret replaces an old one, set both, separated by a comma."""
    payment_method: Literal["balance", "bank_card", "cash"] = "balance"
    """How Borzo is paid: from the account's balance, by bank card, or in cash to the courier."""
    bank_card_id: int | None = Field(default=None, gt=0)
    """Borzo's number of the card, if `payment_method` is `bank_card`."""
    cash_paid_at: Literal["pickup", "dropoff"] = "pickup"
    """The point where the courier is paid, if `payment_method` is `cash`."""
    cod: bool = True
    """Collect unpaid amounts at the door, which needs an agreement with Borzo. If false, unpaid orders are refused."""
    cod_voucher: bool = False
    """Have the courier hand over a receipt for the amount. Then an order needs a price for every item."""
    backpayment_details: str = Field(default="", max_length=5000)
    """The details of the account to which Borzo pays the collected money."""
    packages: bool = False
    """Send the items of an order as packages."""
    insurance: Literal["none", "order"] = "none"
    """The insured amount: nothing, or the amount of the order."""
    vehicle_type_id: int = 8
    """Borzo's number for the vehicle."""
    total_weight_kg: int = Field(default=0, ge=0)
    """The weight of every order in whole kilograms; 0 means that no weight is sent."""
    loaders_count: int = Field(default=0, ge=0, le=MAX_LOADERS)
    """The number of loaders for every order, including the driver."""
    motobox: bool = False
    """Ask for a courier with a motobox."""
    thermobox: bool = False
    """Ask for a courier with a thermobox."""
    return_required: bool = False
    """Send the courier back to the shop after every delivery."""
    notify_client: bool = False
    """Let Borzo send SMS to the owner of the account."""
    notify_recipient: bool = False
    """Let Borzo send SMS to the contacts at both addresses."""
    quote_first: bool = False
    """Ask for the price before every create. If Borzo would refuse the order, no create is sent."""
    timezone: Zone = "America/Sao_Paulo"
    """The time zone in which times are sent to Borzo."""

    @property
    def callback_secrets(self) -> tuple[str, ...]:
        """The callback secrets that are valid now: none, one or two."""
        text = self.callback_secret.get_secret_value() if self.callback_secret else ""
        return tuple(part.strip() for part in text.split(",") if part.strip())

    @property
    def money(self) -> tuple[str, ...]:
        """Which settings are on for which Borzo may charge more than the delivery."""
        names = [name for name in CHARGED if getattr(self, name) not in NOT_CHARGED]
        return (f"Borzo may charge for {', '.join(name.upper() for name in names)}",) if names else ()

    @field_validator("vehicle_type_id")
    @classmethod
    def _is_allowed(cls, number: int) -> int:
        if number == PUBLIC_TRANSPORT:
            raise ValueError("6 (public transport) is forbidden for new orders")  # B-36
        return number

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.payment_method == "bank_card" and self.bank_card_id is None:
            raise ValueError("payment_method bank_card needs a bank_card_id")
        if len(self.callback_secrets) > MAX_SECRETS:
            raise ValueError("callback_secret holds one or two secrets")
        return self
