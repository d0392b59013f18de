"""The settings of one account at the toy carrier."""

from pydantic import Field, SecretStr

from worker.carriers.account import CarrierAccount
from worker.http.account import Rate


class ToyAccount(CarrierAccount):
    """One account at the toy carrier."""

    base_url: str = "https://toy.example"
    rate: Rate = "10/second"
    poll_interval: float = Field(default=30, gt=0)
    key: SecretStr = Field(min_length=1)
    """The API key."""
    quotes_first: bool = False
    """Ask for the price before every create."""
