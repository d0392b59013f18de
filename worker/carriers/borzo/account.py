"""What a Borzo account's settings are, and which of them cannot be."""

from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator

from worker.carriers.port import Account

MAX_SECRETS = 2
PUBLIC_TRANSPORT = 6


class BorzoAccount(Account):
    """One Borzo account: token, callback secrets, host and country belong together (B-01)."""

    base_url: str = "https://robot-br.borzodelivery.com"
    rate: str = Field(
        default="80/minute;4500/day", pattern=r"^$|^\d+/(second|minute|hour|day)(;\d+/(second|minute|hour|day))*$"
    )
    poll_interval: float = Field(default=60, gt=0)
    callback_wait: float = Field(default=120, ge=0)
    token: SecretStr = Field(min_length=1)
    callback_secret: SecretStr | None = None
    payment_method: Literal["balance", "bank_card", "cash"] = "balance"
    bank_card_id: int | None = None
    vehicle_type_id: int = 8
    timezone: str = "America/Sao_Paulo"

    @property
    def callback_secrets(self) -> tuple[str, ...]:
        """The one or two secrets that are good now."""
        text = self.callback_secret.get_secret_value() if self.callback_secret else ""
        return tuple(part.strip() for part in text.split(",") if part.strip())

    @field_validator("vehicle_type_id")
    @classmethod
    def _allowed(cls, number: int) -> int:
        if number == PUBLIC_TRANSPORT:
            raise ValueError("6 (public transport) is forbidden for new orders")  # B-36
        return number

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, KeyError, ValueError) as error:
            raise ValueError("not an IANA time zone") from error
        return name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.payment_method == "bank_card" and self.bank_card_id is None:
            raise ValueError("payment_method bank_card needs a bank_card_id")
        if len(self.callback_secrets) > MAX_SECRETS:
            raise ValueError("callback_secret holds one or two secrets")
        return self
