"""The settings of one DeliverIt account; one account is one shop company at DeliverIt (D-18)."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from worker.carriers.port import Account


def _digits(value: object) -> object:
    numbered = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if numbered else value


class DeliverItAccount(Account):
    """One account at DeliverIt. `max_push` is in minutes; `company` is told by the login when it is not set (D-04)."""

    kind: str = "deliverit"
    base_url: str = "https://butik.deliverit.dk"
    poll_interval: float = Field(default=30, gt=0)
    username: str = Field(min_length=1)
    password: SecretStr
    company: Annotated[str | None, BeforeValidator(_digits), Field(pattern=r"^[1-9][0-9]{0,17}$")] = None
    timezone: str = "Europe/Copenhagen"
    max_push: int = Field(default=15, ge=0)
    mode: Literal["book", "transfer"] = "book"
    encoding: Literal["form", "json"] = "form"

    @field_validator("username")
    @classmethod
    def _speakable(cls, username: str) -> str:
        if ":" in username:
            message = "a username with a colon cannot be sent as Basic authorization"
            raise ValueError(message)
        return username

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError) as error:
            message = f"{name!r} is not an IANA time zone"
            raise ValueError(message) from error
        return name

    @field_validator("mode")
    @classmethod
    def _only_booking(cls, mode: str) -> str:
        if mode == "transfer":
            message = "'transfer' is not available yet; use 'book'"
            raise ValueError(message)
        return mode
