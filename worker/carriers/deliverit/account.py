"""The settings of one DeliverIt account; one account is one shop company at DeliverIt (D-18)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from schemas.stores import Zone
from worker.carriers.account import CarrierAccount


def _digits(value: object) -> object:
    numbered = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if numbered else value


class DeliverItAccount(CarrierAccount):
    """One account at DeliverIt; its login tells the company (D-04)."""

    base_url: str = "https://butik.deliverit.dk"
    poll_interval: float = Field(default=30, gt=0)
    username: str = Field(min_length=1)
    """The login's name."""
    password: SecretStr
    """The login's password."""
    company: Annotated[str | None, BeforeValidator(_digits), Field(pattern=r"^[1-9][0-9]{0,17}$")] = None
    """The company's number; the login tells it."""
    timezone: Zone = "Europe/Copenhagen"
    """The zone that its clock faces are in."""
    max_push: int = Field(default=15, ge=0)
    """Minutes that an offered pickup may differ and still be accepted without asking."""
    offer_wait: float = Field(default=180, gt=0, le=180)
    """Seconds that an offer beyond `max_push` is left to a person before it is denied."""
    mode: Literal["book", "transfer"] = "book"
    """`book` orders a driver; `transfer` hands the customer's details over, for a driver to be booked by hand."""
    encoding: Literal["form", "json"] = "form"
    """How a request's fields are written."""

    @field_validator("username")
    @classmethod
    def _speakable(cls, username: str) -> str:
        if ":" in username:
            message = "a username with a colon cannot be sent as Basic authorization"
            raise ValueError(message)
        return username
