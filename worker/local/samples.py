"""The files that `order-sync init` writes.

The settings and the stores are the samples in `examples/`. The variables of `.env` are those of the settings models.
"""

import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from shlex import quote

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from worker.carriers import KINDS
from worker.config.settings import Settings
from worker.config.sources import PREFIX
from worker.sandbox import SandboxConfig

PACKAGE = Path(__file__).resolve().parents[1]
SANDBOX = "http://127.0.0.1:8100"
"""The address of `order-sync sandbox`."""
LISTED = re.compile(r"^carriers = \[(.*?)\]", re.MULTILINE)
"""The carriers of a store."""
HEAD = """\
# The secrets of Order Sync. `order-sync` reads this file from its folder; the environment takes precedence, and
# everything else is in order-sync.toml. Keep this file out of version control.
"""
AT_THE_SANDBOX = """
# These accounts are at the sandbox, which simulates the carriers within seconds: `order-sync sandbox`. For real
# couriers, remove every BASE_URL and POLL_INTERVAL, replace the credentials with your own, and set PUBLIC_URL to the
# address at which carriers reach you.
ORDER_SYNC_PUBLIC_URL=http://127.0.0.1:8000
"""


def sample_file(name: str) -> Path:
    """Return the path of a sample. In a wheel, the samples are inside the package."""
    packaged = PACKAGE / "samples" / name
    return packaged if packaged.exists() else PACKAGE.parent / "examples" / name


def starting_files(carriers: Collection[str], database_url: str) -> dict[str, str]:
    """Return the text of each file for accounts at these carriers; without carriers, for all of them at the sandbox."""
    chosen = sorted(carriers or KINDS)
    return {
        "order-sync.toml": _settings(chosen),
        "stores.toml": _stores(chosen),
        ".env": "\n".join([HEAD, *_variables(chosen, database_url, sandbox=not carriers)]),
    }


def sandbox_account(kind: str, origin: str) -> dict[str, str]:
    """Return the settings of an account at the sandbox, by the name of the field."""
    config, fields = SandboxConfig(), _credentials(kind)
    return {"base_url": origin, **{name: str(getattr(config, f"{kind}_{name}")) for name in fields}}


def to_fill_in(carriers: Collection[str]) -> list[str]:
    """Return the variables of `.env` that have no value yet."""
    return [_variable(kind, name) for kind in sorted(carriers) for name in _credentials(kind)]


def _settings(chosen: Collection[str]) -> str:
    text = sample_file("order-sync.toml").read_text(encoding="utf-8")
    for kind in chosen:
        text = text.replace(f"#[carriers.{kind}]\n", f"[carriers.{kind}] # its credentials are in .env\n")
    return text


def _stores(chosen: Collection[str]) -> str:
    """Return the sample stores that have one of these carriers, each with these carriers alone."""
    head, *stores = re.split(
        r"^(?=\[stores\.)", sample_file("stores.toml").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    served = [_served(store, chosen) for store in stores]
    return "".join([head, *filter(None, served)])


def _served(store: str, chosen: Collection[str]) -> str:
    (listed,) = LISTED.findall(store)
    left = [name for name in listed.split(", ") if name.strip('"') in chosen]
    return LISTED.sub(f"carriers = [{', '.join(left)}]", store) if left else ""


def _variables(chosen: Collection[str], database_url: str, *, sandbox: bool) -> Iterator[str]:
    if database_url:
        bare = database_url.replace("'", "%27")  # it stays one quoted text, for a shell too
        yield _line(f"{PREFIX}DATABASE_URL", bare, Settings.model_fields["database_url"])
    yield "# The key with which your platform sends orders over HTTP."
    yield f"{PREFIX}API_KEYS__PLATFORM={secrets.token_hex(32)}"
    if sandbox:
        yield AT_THE_SANDBOX.rstrip()
    for kind in chosen:
        simulated = {**sandbox_account(kind, SANDBOX), "poll_interval": "1"}
        values = simulated if sandbox else dict.fromkeys(_credentials(kind), "")
        yield ""
        for name, value in values.items():
            yield _line(_variable(kind, name), value, KINDS[kind].account_type.model_fields[name])
    yield ""


def _line(variable: str, value: str, field: FieldInfo) -> str:
    """Return the line of a variable, below the first sentence of its description."""
    description = " ".join((field.description or "").split()).partition(". ")[0].rstrip(".")
    comment = f"# {description}.\n" if description and not variable.endswith("__BASE_URL") else ""
    return f"{comment}{variable}={value and quote(value)}"


def _variable(kind: str, name: str) -> str:
    return f"{PREFIX}CARRIERS__{kind}__{name}".upper()


def _credentials(kind: str) -> Mapping[str, FieldInfo]:
    """Return the fields of an account without which no call, or no callback, is authentic."""
    fields = KINDS[kind].account_type.model_fields.items()
    own = {name: field for name, field in fields if name not in {"name", "kind"}}
    return {name: field for name, field in own.items() if field.is_required() or _is_secret(field)}


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr.__name__ in str(field.annotation)
