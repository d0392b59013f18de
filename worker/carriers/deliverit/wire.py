"""DeliverIt's replies as typed data.

The parser accepts different spellings and types, and reads only the fields that are needed. Keys are compared without
case and underscores, because the document spells the same key in four ways (D-07). Names and cities are not read at
all, because the day list holds all customers of the company (D-61). Links are read for their token and never
followed, because a call to them would send the password in clear text or to another host (D-01, D-02).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Self, TypeGuard
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from worker.carriers.deliverit.times import parse_date_time
from worker.carriers.port import attempt_id_of

SENTINELS = frozenset({"", "n/a", "-"})
"""Texts that mean "no value" (D-56)."""

FLAGS = {"true": True, "1": True, "false": False, "0": False}
"""Every spelling of a boolean; "0" is false, although Python finds it truthy (D-58)."""

ABBREVIATIONS = {"CEST": 2, "CET": 1, "GMT": 0, "UTC": 0, "Z": 0}
"""The zone abbreviations that PHP writes, each with its hours ahead of UTC (D-55)."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""All control characters of Unicode (the category Cc)."""

OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
PRICE = re.compile(r"[0-9]{1,6}(?:[.,][0-9]{1,2})?")

TOKEN = re.compile(r"[A-Za-z0-9]{8,64}")
_COMPANY, _TOKEN = r"(?P<company>[0-9]{1,18})", rf"(?P<token>{TOKEN.pattern})"
DRIVER_ORDER_LINK = re.compile(rf"/api/v1/orderdriver/(?P<action>accept|deny|cancel)/{_COMPANY}/{_TOKEN}")
TRANSFER_LINK = re.compile(rf"/api/v1/orderinfo/{_COMPANY}/{_TOKEN}/(?P<action>update|cancel)")
"""The path of the link to a transferred order. The token in this path is DeliverIt's order number (D-72)."""

REFERENCE = re.compile(r"#([0-9A-Za-z]{11})(?![0-9A-Za-z])")


def plain(text: str) -> str:
    """Return text on one line that a database accepts: without control characters and lone surrogates.

    Format characters stay, because they join emoji. Unassigned characters stay, because an emoji may be newer than
    Python.
    """
    encodable = text.encode("utf-8", "replace").decode()
    return " ".join(CONTROL.sub(" ", encodable).split())


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


def _strict_flag(raw: object) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _date_time(raw: object) -> object:
    return {"date": raw} if isinstance(raw, str) else raw if isinstance(raw, Mapping) else None


Text = Annotated[str | None, BeforeValidator(_text)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]
StrictFlag = Annotated[bool | None, BeforeValidator(_strict_flag)]
"""A flag that is None unless it is a JSON boolean, because a cancel must not be taken as done by mistake (D-78)."""
Amount = Annotated[Decimal | None, BeforeValidator(_price)]


def _key(name: str) -> str:
    return name.lower().replace("_", "")


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=_key)

    @model_validator(mode="before")
    @classmethod
    def _normalize_keys(cls, raw: Any) -> Any:
        return {_key(name): value for name, value in raw.items()} if isinstance(raw, Mapping) else raw

    @classmethod
    def parse(cls, raw: object) -> Self | None:
        """Return decoded JSON as an instance of this class; None when the JSON is not an object."""
        try:
            return cls.model_validate(raw)
        except ValidationError:
            return None


class RawAnswer(_Wire):
    """The fields of every reply except the rows of a day list ("Responses" of each call)."""

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
    canceled: StrictFlag = None


class RawDateTime(_Wire):
    """A dump of PHP's DateTime: its zone is an offset (type 1), an abbreviation (type 2) or a name (type 3) (D-55)."""

    date: Text = None
    timezone: Text = None

    def instant(self, fallback: ZoneInfo) -> datetime | None:
        """Return the instant in UTC; None without a readable date. `fallback` replaces a zone that cannot be read."""
        local = parse_date_time(self.date, ZoneInfo("UTC"))
        if local is None:
            return None
        return local.replace(tzinfo=_zone(self.timezone or "") or fallback).astimezone(UTC)


class RawRow(_Wire):
    """One order of the day list ("Get orders period"); `canceUrl` is DeliverIt's spelling."""

    created_at: Annotated[RawDateTime | None, BeforeValidator(_date_time)] = None
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
    cancel_text: Annotated[Text, Field(validation_alias="cancel")] = None
    """The value of `cancel` as text. A value that is neither true nor false is reported."""
    canceled_at: Text = None

    @property
    def milestones(self) -> dict[str, str | None]:
        """Return the text of each milestone, in the order in which the milestones happen."""
        return {
            "driver_arrive": self.driver_arrive,
            "driver_left": self.driver_left,
            "arrive_at_customer": self.arrive_at_customer,
            "done": self.done,
        }


def decode_json(body: bytes) -> object:
    """Return the decoded JSON of a body; None for a body that is not JSON (X-11).

    The body may have a byte order mark or be in Latin-1, as from a PHP server.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=lambda _: None)
    except (ValueError, ArithmeticError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Link:
    """The parts of a link that are used."""

    company: str
    token: str
    host: str


def parse_link(
    url: str | None, action: str, company: str | None, path: re.Pattern[str] = DRIVER_ORDER_LINK
) -> Link | None:
    """Return the link of one action if the link belongs to our company (D-02).

    Return None for any other text, and while our company is unknown.
    """
    try:
        parts = urlsplit(url or "")
        host = parts.hostname or ""
    except ValueError:
        return None
    found = path.fullmatch(parts.path)
    if company is None or not found or found["action"] != action or int(found["company"]) != int(company):
        return None
    return Link(company, found["token"], host)


def driver_order_path(action: str, company: str, token: str) -> str:
    """Return the path of a call about a driver order (DeliverIt, "Accept push", "Deny push", "Cancel")."""
    return f"/api/v1/orderdriver/{action}/{company}/{token}"


def transfer_path(action: str, company: str, number: str) -> str:
    """Return the path of a call about a transfer (DeliverIt, "Update customer info", "Destroy customer info")."""
    return f"/api/v1/orderinfo/{company}/{number}/{action}"


def is_token(ref: str | None) -> TypeGuard[str]:
    """Return whether a text is a token of DeliverIt and not the placeholder of an order without a link."""
    return ref is not None and TOKEN.fullmatch(ref) is not None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the day list, with the identifiers that replace an order id (D-51)."""

    content: RawRow
    cancel_token: str | None
    attempt_id: int | None
    """The attempt of the first reference in the remarks, where its create puts it; None without a reference."""
    other_attempt_ids: tuple[int, ...]
    """Attempts of further references in the remarks. These attempts do not match the row, but are not absent (D-61)."""
    created_at: datetime | None
    phone: str
    """The last eight digits of the customer's telephone number."""

    @property
    def fingerprint(self) -> str | None:
        """Return a digest of the row's creation time, telephone number and street, because these never change (D-52).

        Return None without a creation time or a telephone number.
        """
        if self.created_at is None or not self.phone:
            return None
        street = "".join((self.content.address or "").lower().split())
        identity = f"{self.created_at.isoformat()}|{self.phone}|{street}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]


def parse_row(raw: object, company: str, zone: ZoneInfo) -> Row | None:
    """Return a row of the day list; None when the row is not a JSON object."""
    content = RawRow.parse(raw)
    if content is None:
        return None
    link = parse_link(content.cancel_url, "cancel", company)
    first, *others = _attempt_ids(content.remarks or "") or (None,)
    created_at = (content.created_at or RawDateTime()).instant(zone)
    digits = "".join(char for char in content.telephone or "" if char in "0123456789")
    return Row(content, link.token if link else None, first, tuple(filter(None, others)), created_at, digits[-8:])


def _attempt_ids(remarks: str) -> tuple[int, ...]:
    found = (attempt_id_of(reference.upper()) for reference in REFERENCE.findall(remarks))
    return tuple(dict.fromkeys(attempt_id for attempt_id in found if attempt_id is not None))


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
