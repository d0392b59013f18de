"""Write docs/settings.md from the settings models: `make docs`.

A setting without a sentence here, or a sentence without its setting, stops the script, so neither can be forgotten.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from worker.carriers import KINDS
from worker.carriers.port import Account
from worker.settings import Ordering, Settings

PREFIX = "ORDER_SYNC_"
PAGE = Path(__file__).parent / "settings.md"
PARTS = {"carriers", "ordering"}
"""Fields that are sections of their own."""

SETTINGS = {
    "database_url": "SQLite or PostgreSQL (`postgresql://user:password@host/name`)",
    "redis_url": "Redis or Valkey. Without it `up` and `demo` start one and leave its address in `var/redis.url`",
    "broker_url": "Celery's broker, when it is not that Redis (`amqp://` for RabbitMQ)",
    "bus_url": "the Redis of the two streams, when it is not that one",
    "orders_stream": "the stream that messages are read from",
    "events_stream": "the stream that events are put on",
    "events_keep": "so many of the newest events stay on the stream, and whatever a group has not yet acknowledged",
    "web_address": "where callbacks, health and metrics answer; 0.0.0.0:8000 for all interfaces",
    "flower_address": "where Flower answers; anything but loopback needs the password",
    "password": "Flower's password; its user is `operator`",
    "public_url": "our address as carriers see it. Without it no carrier is given one to call, and polling does it all",
    "stores_file": "the store directory; `order-sync stores load` puts one into the database, which wins",
    "log_format": "by default what suits the place: `console` on a terminal, `json` elsewhere",
    "log_level": "how much is logged",
    "worker_concurrency": "threads of a worker process: so many tasks at once",
}
ORDERING = {
    "base_url": "the platform's API. Without it an order that is named by its id alone becomes a dead letter",
    "api_key": "its key",
    "api_key_header": "the header that the key goes into",
    "app_id": "what we call ourselves there (`X-APP-X`)",
    "country": "the country of addresses and national telephone numbers in its orders, which name none",
    "currency": "the currency of its amounts, which name none",
    "timezone": "the zone of its clock times, which name none",
    "paymethods": "whether a payment method means paid already, one variable each: `...__PAYMETHODS__<ID>=true`",
    "gate": "read, not used yet: from which status on an order is dispatched",
    "write": "read, not used yet: the statuses that are written back",
    "write_weak_terminal": "read, not used yet: write the end back also where the evidence is weak",
    "backfill": "read, not used yet: fetch orders whose message never came",
    "allow_http": "allow plain http beyond loopback",
}
ACCOUNT = {
    "kind": "which carrier this account is at; the name itself, when it is one of them",
    "base_url": "the origin of its API, without a path",
    "allow_http": "allow plain http beyond loopback",
    "connect_timeout": "seconds to connect in",
    "read_timeout": "seconds between two parts of an answer",
    "deadline": "seconds for a whole call, whatever happens",
    "rate": "the budget of all processes together, such as `80/minute;4500/day`",
    "poll_interval": "seconds between two reads at their closest; every other cadence is stretched with it",
    "callback_wait": "seconds to wait for a callback before a create in doubt is left to a person",
}
ONE_KIND = {
    "cervo": {
        "token": "the bearer token",
        "timezone": "the zone that Cervo's clock faces are in",
        "currency": "the only currency it is told prices in",
        "id_location": "where its order id goes in a read; its document is not clear",
        "resubmit_in_doubt": "send a create again whose outcome nobody knows. Only where Cervo refuses a repeated id: "
        "otherwise two couriers may come",
        "payment_tokens": "its words for how a customer pays at the door, one variable each: "
        "`...__PAYMENT_TOKENS__<METHOD>`",
        "prepaid_token": "its word for an order that is paid already",
        "paid_token": "what `ispaid` says when nothing is owed",
        "unpaid_token": "what `ispaid` says when the courier must collect",
        "bounds": "south, west, north, east: refuse coordinates outside, which are mostly swapped",
    },
    "borzo": {
        "token": "the API token",
        "callback_secret": "the callback secret, or two with a comma while one is replaced",
        "payment_method": "who pays Borzo, and how",
        "bank_card_id": "the card, for `bank_card`",
        "vehicle_type_id": "Borzo's number for the vehicle",
        "timezone": "the zone for times that carry none",
    },
    "deliverit": {
        "username": "the login's name",
        "password": "the login's password",
        "company": "the company's number; the login tells it",
        "timezone": "the zone that its clock faces are in",
        "max_push": "minutes that an offered pickup may differ and still be accepted without asking",
        "mode": "`transfer` is refused: it is not built yet",
        "encoding": "how a request's fields are written",
    },
}

TOLD = {
    ACCOUNT["kind"]: "the name",
    SETTINGS["broker_url"]: "the Redis above",
    SETTINGS["bus_url"]: "the Redis above",
}
"""Defaults that a model cannot tell, by sentence."""

HEAD = """\
# Settings

<!-- Written by `make docs` from the models in worker/settings.py and worker/carriers/. -->

Every setting is an environment variable. The same keys in lower case may stand in `order-sync.toml`, in tables
(`[carriers.borzo]`, `token = "..."`); `ORDER_SYNC_CONFIG` names another file. The environment wins. A name that ends in
`_FILE` reads the value from a file, as secrets are mounted. What is wrong or missing stops a process at its start, with
one message that names every fault and shows no value.
"""
CARRIERS_HEAD = """\
## Carriers

`<NAME>` is the name of an account, which a store's list of carriers uses too. Two accounts at one carrier are two names
with the same `KIND`; a `-` in a name is written `_` here. An account exists as soon as one of its variables is set.
"""


def render() -> str:
    """Write the page."""
    return "\n".join([HEAD, *_general(), CARRIERS_HEAD, *_carriers()]).rstrip() + "\n"


def _general() -> Iterator[str]:
    yield "## General\n"
    yield from _table(PREFIX, _chosen(Settings, SETTINGS, PARTS))
    yield "\n## The Ordering platform\n"
    yield from _table(f"{PREFIX}ORDERING__", _chosen(Ordering, ORDERING, set()))
    yield ""


def _carriers() -> Iterator[str]:
    stem = f"{PREFIX}CARRIERS__<NAME>__"
    yield "### Every account\n\nWhat must be set here has a default of its kind below.\n"
    yield from _table(stem, _chosen(Account, ACCOUNT, {"name"}))
    for kind, codec in sorted(KINDS.items()):
        model = codec.account_type
        own = {name for name in model.model_fields if name not in Account.model_fields}
        shared = [name for name in ACCOUNT if name != "kind" and _default(model, name) != _default(Account, name)]
        fields = {
            **{name: (model.model_fields[name], ACCOUNT[name]) for name in shared},
            **_chosen(model, ONE_KIND[kind], set(model.model_fields) - own),
        }
        yield f"\n### `KIND` {kind}\n"
        yield from _table(stem, fields)


def _chosen(
    model: type[BaseModel], sentences: Mapping[str, str], without: set[str]
) -> dict[str, tuple[FieldInfo, str]]:
    fields = {name: field for name, field in model.model_fields.items() if name not in without}
    if different := fields.keys() ^ sentences.keys():
        raise SystemExit(f"{model.__name__}: {', '.join(sorted(different))}: one setting, one sentence")
    return {name: (fields[name], sentences[name]) for name in sentences}


def _table(stem: str, fields: Mapping[str, tuple[FieldInfo, str]]) -> Iterator[str]:
    yield "| variable | default | |"
    yield "| --- | --- | --- |"
    for name, (field, sentence) in fields.items():
        default = TOLD.get(sentence) or _written(field) + _others(field)
        yield f"| `{stem}{name.upper()}` | {default} | {sentence} |"


def _others(field: FieldInfo) -> str:
    """List what else may be chosen."""
    words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return "".join(f", `{word}`" for word in words if word not in {"", field.default})


def _default(model: type[BaseModel], name: str) -> Any:
    return model.model_fields[name].get_default(call_default_factory=False)


def _written(field: FieldInfo) -> str:
    if field.is_required():
        return "*must be set*"
    value = field.get_default(call_default_factory=True)
    if value in (None, "", {}, SecretStr("")):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, frozenset):
        return f"`{','.join(map(str, sorted(value)))}`"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} `{word}`" for key, word in value.items())
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(render())
