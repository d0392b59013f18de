"""DeliverIt's words as they come over the wire: tolerant of spelling and type, silent about what is not needed.

Keys are compared without case and underscores, because the document writes the same key in four ways (D-07). Names
and cities are not read at all: the day list holds the whole company's customers (D-61).
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from worker.carriers.deliverit.times import full_moment

SENTINELS = frozenset({"", "n/a", "-"})
"""What stands where nothing is known (D-56)."""

FLAGS = {"true": True, "1": True, "false": False, "0": False}
"""Every spelling of yes and no; "0" is a no, although Python finds it truthy (D-58)."""

ABBREVIATIONS = {"CEST": 2, "CET": 1, "GMT": 0, "UTC": 0, "Z": 0}
"""Hours ahead of UTC of the zones that PHP abbreviates here (D-55)."""

OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
PRICE = re.compile(r"[0-9]{1,6}(?:[.,][0-9]{1,2})?")


def plain(text: str) -> str:
    """Put text on one line, without control characters and half characters that a database would refuse.

    All else stays: an emoji is joined by letters that do not show, and may be younger than our table of letters.
    """
    whole = text.encode("utf-8", "replace").decode()
    return " ".join("".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in whole).split())


def _text(raw: object) -> str | None:
    if isinstance(raw, bool) or not isinstance(raw, (str, int, Decimal)):
        return None
    text = plain(str(raw))
    return None if text.lower() in SENTINELS else text


def _flag(raw: object) -> bool | None:
    return FLAGS.get(str(raw).strip().lower()) if isinstance(raw, (bool, int, str)) else None


def _price(raw: object) -> Decimal | None:
    text = _text(raw)
    return Decimal(text.replace(",", ".")) if text and PRICE.fullmatch(text) else None


def _exact(raw: object) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _when(raw: object) -> object:
    return {"date": raw} if isinstance(raw, str) else raw if isinstance(raw, Mapping) else None


Text = Annotated[str | None, BeforeValidator(_text)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]
Exact = Annotated[bool | None, BeforeValidator(_exact)]
"""A yes or no that counts only when it is written as one: a courier may hang on it (D-78)."""
Amount = Annotated[Decimal | None, BeforeValidator(_price)]


def _key(name: str) -> str:
    return name.lower().replace("_", "")


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=_key)

    @model_validator(mode="before")
    @classmethod
    def _spelt_alike(cls, raw: Any) -> Any:
        return {_key(name): value for name, value in raw.items()} if isinstance(raw, Mapping) else raw

    @classmethod
    def read(cls, raw: object) -> Self | None:
        """Read decoded JSON; None when it is no object."""
        try:
            return cls.model_validate(raw)
        except ValidationError:
            return None


class RawAnswer(_Wire):
    """Any answer about one order: login, create, accept, deny, cancel, transfer and update ("Responses" of each)."""

    login: Flag = None
    company: Text = None
    error: Flag = None
    message: Annotated[Text, Field(validation_alias=AliasChoices("message", "msg"))] = None
    order_driver: Flag = None
    push: Flag = None
    time: Text = None
    arrive_at_customer: Text = None
    order_id: Text = None
    delivery_price: Amount = None
    accept_url: Text = None
    deny_url: Text = None
    cancel_url: Text = None
    update_url: Text = None
    price_with_vat: Amount = None
    canceled: Exact = None


class RawWhen(_Wire):
    """PHP's DateTime, dumped: type 1 has an offset, type 2 an abbreviation, type 3 a zone's name (D-55)."""

    date: Text = None
    timezone: Text = None

    def instant(self, fallback: ZoneInfo) -> datetime | None:
        """Read it as UTC; a zone that cannot be read is taken to be the account's."""
        local = full_moment(self.date, ZoneInfo("UTC"))
        if local is None:
            return None
        return local.replace(tzinfo=_zone(self.timezone or "") or fallback).astimezone(UTC)


class RawRow(_Wire):
    """One order of the day list ("Get orders period"); `canceUrl` is their spelling."""

    created_at: Annotated[RawWhen | None, BeforeValidator(_when)] = None
    telephone: Annotated[Text, Field(repr=False)] = None
    address: Annotated[Text, Field(repr=False)] = None
    zip: Text = None
    remarks: Annotated[Text, Field(repr=False)] = None
    delivery_price: Amount = None
    pickup_time: Text = None
    driver_arrive: Text = None
    driver_left: Text = None
    arrive_at_customer: Text = None
    done: Text = None
    cancel_url: Annotated[Text, Field(validation_alias=AliasChoices("canceurl", "cancelurl"))] = None
    cancel: Flag = None
    cancel_word: Annotated[Text, Field(validation_alias="cancel")] = None
    canceled_at: Text = None


def decode(body: bytes) -> object:
    """Decode JSON as PHP servers may write it: with a byte order mark, or in Latin-1; None when it is none (X-11)."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=lambda _: None)
    except (ValueError, ArithmeticError, RecursionError):
        return None


def _zone(name: str) -> ZoneInfo | timezone | None:
    offset = OFFSET.fullmatch(name)
    if offset:
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(ahead if offset[1] == "+" else -ahead) if ahead < timedelta(days=1) else None
    if name in ABBREVIATIONS:
        return timezone(timedelta(hours=ABBREVIATIONS[name]))
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return None
