"""The settings of one DeliverIt account, which belongs to one shop company (D-18)."""

import base64
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from schemas.stores import Zone
from worker.carriers.account import CarrierAccount


def _digits(value: object) -> object:
    """Return an integer as text, because a company number may be configured without quotes."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


class DeliverItAccount(CarrierAccount):
    """One account at DeliverIt; the reply to its login states the company (D-04)."""

    base_url: str = "https://butik.deliverit.dk"
    poll_interval: float = Field(default=30, gt=0)
    username: str = Field(min_length=1)
    """The username of the login."""
    password: SecretStr
    """The password of the login."""
    company: Annotated[str | None, BeforeValidator(_digits), Field(pattern=r"^[1-9][0-9]{0,17}$")] = None
    """The company number; by default the one that the login returns."""
    timezone: Zone = "Europe/Copenhagen"
    """The time zone of DeliverIt's clock times."""
    max_push: int = Field(default=15, ge=0)
    """An offer waits for an operator if its pickup differs from the requested one by more minutes than this."""
    offer_wait: float = Field(default=180, gt=0, le=180)
    """Seconds that an offer waits for an operator before it is denied."""
    mode: Literal["book", "transfer"] = "book"
    """`book` orders a driver; `transfer` sends only the customer's details, and an operator books the driver."""
    encoding: Literal["form", "json"] = "form"
    """How the fields of a request are encoded."""

    @field_validator("username")
    @classmethod
    def _fits_basic_authorization(cls, username: str) -> str:
        if ":" in username:
            message = "a username with a colon cannot be sent as Basic authorization"
            raise ValueError(message)
        return username

    @property
    def authorization(self) -> str:
        """Return the Basic authorization of every call; the login returns no code to use instead (D-03)."""
        credentials = f"{self.username}:{self.password.get_secret_value()}"
        return "Basic " + base64.b64encode(credentials.encode()).decode("ascii")
