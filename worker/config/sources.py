"""The sources of settings: the environment takes precedence over `.env`, and `.env` over `order-sync.toml`.

The value of a key that ends in `_FILE` is the path of a file with the real value. White space and a byte order mark
around a value are removed, because editors and `echo` add them.
"""

import io
import re
import tomllib
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, TypeGuard

from dotenv.parser import parse_stream

from worker.errors import SettingsError

PREFIX = "ORDER_SYNC_"
VARIABLES = Path(".env")
"""The file of variables. It belongs to the order-sync.toml of the same folder: `ORDER_SYNC_CONFIG` replaces both."""
STANDARD_VARIABLES = {
    "https_proxy": ("https_proxy", "HTTPS_PROXY"),
    "no_proxy": ("no_proxy", "NO_PROXY"),
    "ca_bundle": ("SSL_CERT_FILE",),
}
"""The settings that have standard environment variables. The first variable that is not empty gives the default."""
KUBERNETES = re.compile(
    rf"{PREFIX}([A-Z0-9]+_)*(SERVICE_HOST=|SERVICE_PORT(_[A-Z0-9]+)*=\d|PORT(_\d+_(TCP|UDP|SCTP))?=\w+://"
    r"|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=)"
)
"""The pattern of the variables to ignore, each as NAME=VALUE.

Kubernetes sets such variables for a Service whose name begins with `order-sync`.
"""


def read(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the tree of settings and a list of its faults. Raises SettingsError if a settings file is unreadable."""
    faults: list[str] = []
    variables = (_from_environment(each, faults) for each in (_variables(environ, faults), environ))
    trees = (_from_standard_variables(environ), _from_file(environ), *variables)
    return reduce(_merge, (_normalised(_open(tree, (), faults)) for tree in trees)), faults


def _from_standard_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        setting: value
        for setting, names in STANDARD_VARIABLES.items()
        if (value := next(filter(None, map(environ.get, names)), None))
    }


def _from_file(environ: Mapping[str, str]) -> dict[str, Any]:
    named = _bare(environ.get(f"{PREFIX}CONFIG", ""))
    path = Path(named or "order-sync.toml")
    return read_toml(path) if named or path.exists() else {}


def _variables(environ: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    """Return the variables of `.env`. Raises SettingsError if the file is unreadable.

    A line that sets none of our variables may have any form, because other programs read the same file.
    """
    if _bare(environ.get(f"{PREFIX}CONFIG", "")) or not VARIABLES.is_file():
        return {}
    try:
        text = VARIABLES.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{VARIABLES}: {error.strerror}") from None
    except ValueError:  # its text contains a part of the file
        raise SettingsError(f"{VARIABLES}: is not UTF-8") from None
    lines = list(parse_stream(io.StringIO(text)))
    found = {each.key: each.value for each in lines if each.key is not None and each.value is not None}
    ours = (each for each in lines if PREFIX in each.original.string)
    unread = (each for each in ours if each.error or (each.value is None and each.key not in {None, *found}))
    faults += (f"{VARIABLES}: the line {each.original.line} is not NAME=VALUE, or its quote is open" for each in unread)
    if f"{PREFIX}CONFIG" in found:
        faults.append(f"{VARIABLES}: {PREFIX}CONFIG must be an environment variable, because it replaces this file")
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises SettingsError if the file cannot be read or parsed."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None
    return parse_toml(text, str(path))


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Parse a TOML text. Raises SettingsError, which begins with `where`, if it is no TOML."""
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None


def _from_environment(environ: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == f"{PREFIX}CONFIG":
            continue
        if KUBERNETES.match(f"{variable}={value}"):
            continue
        *above, last = variable.removeprefix(PREFIX).lower().split("__")
        table = tree
        for part in above:
            table = table.setdefault(part, {}) if is_table(table) else table
        if is_table(table):
            table[last] = value
        else:
            faults.append(f"{variable}: another variable sets one of its tables to a value")
    return tree


def _open(tree: Mapping[str, Any], above: tuple[str, ...], faults: list[str]) -> dict[str, Any]:
    """Return the tree with the contents of files in place of their paths.

    A key that ends in `_file` loses this ending, and gets the content of the file as its value. The file takes
    precedence over the same key without `_file`. The key `stores_file` stays as it is.
    """
    opened: dict[str, Any] = {}
    for key, value in tree.items():
        where = (*above, key)
        if is_table(value):
            opened[key] = _open(value, where, faults)
        elif key.endswith("_file") and where != ("stores_file",):
            opened[key.removesuffix("_file")] = _read_secret(".".join(where), value, faults)
        else:
            opened.setdefault(key, _bare(value) if isinstance(value, str) else value)
    return opened


def _bare(text: str) -> str:
    return text.removeprefix("\ufeff").strip()


def _read_secret(where: str, path: Any, faults: list[str]) -> str:
    try:
        return _bare(Path(_bare(str(path))).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        # The path is not reported, because an operator may have set the secret itself instead of a path.
        faults.append(f"{where}: the file cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})")
        return "?"


def _normalised(tree: dict[str, Any]) -> dict[str, Any]:
    """Spell the names of accounts in one way, so that settings of a file and of the environment meet in one account."""
    carriers = tree.get("carriers")
    if not is_table(carriers):
        return tree
    normalised: dict[str, Any] = {}
    for key, fields in carriers.items():
        normalised = _merge(normalised, {_account_name(key): fields})
    return {**tree, "carriers": normalised}


def _account_name(key: str) -> str:
    """Return an account's name in lower case with `-` in place of `_`: a variable's name cannot contain `-`."""
    return key.lower().replace("_", "-")


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        nested = is_table(value) and is_table(merged.get(key))
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def is_table(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a table."""
    return isinstance(value, dict)
