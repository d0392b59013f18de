"""The store directory: the address, the times and the carriers of each shop."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.order import point_at


def known_zone(name: str) -> str:
    """Return the name of an IANA time zone. Raises ValueError for an unknown zone."""
    try:
        return ZoneInfo(name).key
    except (OSError, ValueError, KeyError):
        raise ValueError("is not an IANA time zone") from None


Zone = Annotated[str, AfterValidator(known_zone)]


class Store(BaseModel):
    """One shop, as `stores.toml` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store_id: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1)
    phone: str = Field(min_length=1)
    street: str = Field(min_length=1)
    postal_code: str
    city: str
    country: str = Field(pattern=r"^[A-Z]{2}$")
    latitude: float = Field(ge=-90, le=90, allow_inf_nan=False)
    longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)
    timezone: Zone
    carriers: tuple[str, ...] = Field(min_length=1)
    lead_minutes: int = Field(default=30, ge=0)
    prep_minutes: int = Field(default=15, ge=0)
    travel_minutes: int = Field(default=15, ge=0)

    @property
    def point(self) -> tuple[float, float] | None:
        """The latitude and longitude; None when they are 0/0, which means that they are unknown."""
        return point_at(self.latitude, self.longitude)
