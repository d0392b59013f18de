"""Write docs/settings.md from the settings models: `make docs`.

The docstring below a field is its description; the script stops at a field without one.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from worker.carriers import KINDS
from worker.carriers.account import CarrierAccount
from worker.config.settings import Desk, NotifyChannel, Settings, Webhooks
from worker.ordering_api.account import Ordering

PREFIX = "ORDER_SYNC_"
PAGE = Path(__file__).parent / "settings.md"
PARTS = {"carriers", "desk", "ordering", "notify", "webhooks"}
"""Fields with a section of their own."""

COMPUTED = {"secret": "a random one", "kind": "the name", "broker_url": "the Redis above", "bus_url": "the Redis above"}
"""Defaults that are not in a model."""

HEAD = """\
# Settings

<!-- Written by `make docs` from the models in worker/config/settings.py and worker/carriers/. -->

Every setting is an environment variable, or a line of the file `.env`. The file `order-sync.toml` may contain the same
keys in lower case, in tables (`[carriers.borzo]`, `token = "..."`). The environment takes precedence over `.env`, and
`.env` over `order-sync.toml`; `order-sync init` writes both files. `ORDER_SYNC_CONFIG` is the path of another settings
file, which replaces both. A variable whose name ends in `_FILE` is the path of a file with the value, for mounted
secrets. White space and a byte order mark around a value are not part of it. A process with a wrong or missing setting
does not start; one message names every fault and shows no value. The variables that Kubernetes sets for a Service
called `order-sync` are passed over.
"""
CARRIERS_HEAD = """\
## Carriers

`<NAME>` is the name of an account, as in a store's list of carriers. Two accounts at one carrier are two names with the
same `KIND`. A `-` in a name is written as `_` here. An account exists as soon as one of its variables is set.
"""


def render() -> str:
    """Return the text of the page."""
    return "\n".join([HEAD, *_general(), CARRIERS_HEAD, *_carriers()]).rstrip() + "\n"


def _general() -> Iterator[str]:
    yield "## General\n"
    yield from _table(PREFIX, Settings, PARTS)
    yield "\n## The operators' desk\n"
    yield from _table(f"{PREFIX}DESK__", Desk)
    yield "\n## The Ordering platform\n"
    yield from _table(f"{PREFIX}ORDERING__", Ordering)
    yield "\n## Notifications\n\n`<NAME>` is a name of your choice for the channel.\n"
    yield from _table(f"{PREFIX}NOTIFY__<NAME>__", NotifyChannel)
    yield "\n## Webhooks\n"
    yield from _table(f"{PREFIX}WEBHOOKS__", Webhooks)
    yield ""


def _carriers() -> Iterator[str]:
    stem = f"{PREFIX}CARRIERS__<NAME>__"
    yield "### Every account\n"
    yield "*must be set* in this table means that there is no common default; the table of each kind gives one.\n"
    yield from _table(stem, CarrierAccount, {"name"})
    for kind, codec in sorted(KINDS.items()):
        model = codec.account_type
        yield f"\n### `KIND` {kind}\n"
        yield from _table(stem, model, {name for name in CarrierAccount.model_fields if _is_general(model, name)})


def _is_general(model: type[CarrierAccount], name: str) -> bool:
    return name in {"name", "kind"} or _default(model, name) == _default(CarrierAccount, name)


def _table(stem: str, model: type[BaseModel], without: Collection[str] = ()) -> Iterator[str]:
    yield "| variable | default | |"
    yield "| --- | --- | --- |"
    for name, field in model.model_fields.items():
        if name not in without:
            default = COMPUTED.get(name) or _shown(field) + _other_choices(field)
            yield f"| `{stem}{name.upper()}` | {default} | {_description(model, name)} |"


def _description(model: type[BaseModel], name: str) -> str:
    """Return a field's description; a field that only changes a default has the description of every account."""
    text = model.model_fields[name].description or CarrierAccount.model_fields[name].description
    if not text:
        raise SystemExit(f"{model.__name__}.{name} has no docstring")
    return " ".join(text.split())


def _other_choices(field: FieldInfo) -> str:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return "".join(f", `{choice}`" for choice in choices if choice not in {"", field.default})


def _default(model: type[BaseModel], name: str) -> Any:
    return model.model_fields[name].get_default(call_default_factory=False)


def _shown(field: FieldInfo) -> str:
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
        return ", ".join(f"{key} `{each}`" for key, each in value.items())
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(render())
