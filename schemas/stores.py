"""The store directory: where each shop is, when its food is ready and which carriers it uses."""

from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator


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
    timezone: str
    carriers: tuple[str, ...] = Field(min_length=1)
    lead_minutes: int = Field(default=30, ge=0)
    prep_minutes: int = Field(default=15, ge=0)
    travel_minutes: int = Field(default=15, ge=0)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError) as error:
            message = f"{name!r} is not an IANA time zone"
            raise ValueError(message) from error
        return name
