"""Write docs/settings.md from the settings models: `make docs`.

The sentence below each field is its description; a field without one stops the script.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from worker.carriers import KINDS
from worker.carriers.account import CarrierAccount
from worker.config.settings import Settings
from worker.ordering_api.account import Ordering

PREFIX = "ORDER_SYNC_"
PAGE = Path(__file__).parent / "settings.md"
PARTS = {"carriers", "ordering"}
"""Fields that are sections of their own."""

TOLD = {"kind": "the name", "broker_url": "the Redis above", "bus_url": "the Redis above"}
"""Defaults that a model cannot tell."""

HEAD = """\
# Settings

<!-- Written by `make docs` from the models in worker/config/settings.py and worker/carriers/. -->

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
    yield from _table(PREFIX, Settings, PARTS)
    yield "\n## The Ordering platform\n"
    yield from _table(f"{PREFIX}ORDERING__", Ordering)
    yield ""


def _carriers() -> Iterator[str]:
    stem = f"{PREFIX}CARRIERS__<NAME>__"
    yield "### Every account\n\nWhat must be set here has a default of its kind below.\n"
    yield from _table(stem, CarrierAccount, {"name"})
    for kind, codec in sorted(KINDS.items()):
        model = codec.account_type
        yield f"\n### `KIND` {kind}\n"
        yield from _table(
            stem, model, {name for name in CarrierAccount.model_fields if _as_in_every_account(model, name)}
        )


def _as_in_every_account(model: type[CarrierAccount], name: str) -> bool:
    return name in {"name", "kind"} or _default(model, name) == _default(CarrierAccount, name)


def _table(stem: str, model: type[BaseModel], without: Collection[str] = ()) -> Iterator[str]:
    yield "| variable | default | |"
    yield "| --- | --- | --- |"
    for name, field in model.model_fields.items():
        if name not in without:
            default = TOLD.get(name) or _written(field) + _others(field)
            yield f"| `{stem}{name.upper()}` | {default} | {_sentence(model, name)} |"


def _sentence(model: type[BaseModel], name: str) -> str:
    """Give what the models say of a field; a carrier's, which only has another default, says it no second time."""
    said = model.model_fields[name].description or CarrierAccount.model_fields[name].description
    if not said:
        raise SystemExit(f"{model.__name__}.{name} has no sentence below it")
    return " ".join(said.split())


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
