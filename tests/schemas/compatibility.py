"""Compare the published documents with those of the last release: docs/versioning.md.

`python -m tests.schemas.compatibility` makes the present documents those of the last release.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.documents import INCOMING, documents

Json = dict[str, Any]

RELEASED = Path(__file__).with_name("released.json")
PROSE = {"description", "examples", "example", "title", "summary", "operationId"}
"""What may always change."""
LIMITS = {"minLength": max, "minimum": max, "maxLength": min, "maximum": min, "minItems": max, "maxItems": min}
"""Of two limits, which one is the tighter."""
MARKS = ("pattern", "const", "format")
"""Limits that can only be compared for being the same."""
READ_BY_US = {"Envelope", "Order", "OrderRef", "OrderingOrder", "Cancellation", "CancelRequest"}
"""The schemas of the HTTP door that a sender must fulfil; a reader relies on the others."""


# --- JSON Schemas -----------------------------------------------------------------------------------------------------


def breaks(old: Json, new: Json, *, incoming: bool) -> list[str]:
    """Return what breaks a sender of incoming documents, or a reader of outgoing ones, as `path: fault`."""
    wide, narrow = (Schema(new), Schema(old)) if incoming else (Schema(old), Schema(new))
    found = [*_refused("", wide, narrow), *_lost("", Schema(old), Schema(new))]
    return list(dict.fromkeys(found))


class Schema:
    """A part of a document; references lead to the other parts."""

    def __init__(self, part: Json, definitions: Json | None = None) -> None:
        self.definitions = part.get("$defs", {}) if definitions is None else definitions
        self.part: Json = part
        while "$ref" in self.part:
            beside = {name: value for name, value in self.part.items() if name != "$ref"}
            self.part = {**self.definitions[self.part["$ref"].rpartition("/")[2]], **beside}

    def at(self, part: Json) -> "Schema":
        return Schema(part, self.definitions)

    @property
    def alternatives(self) -> list["Schema"]:
        if "anyOf" not in self.part or "properties" in self.part:
            return [self]
        return [each for branch in self.part["anyOf"] for each in self.at(branch).alternatives]

    @property
    def types(self) -> set[str]:
        """The accepted types. A part without a type accepts those of its values, or every type."""
        given = self.part.get("type", [])
        named = {given} if isinstance(given, str) else set(given)
        named |= {_type(value) for value in self.part.get("enum", [])} if not named else set()
        found = named or {"null", "boolean", "string", "number", "array", "object"}
        return found | {"integer"} if "number" in found else found

    @property
    def properties(self) -> dict[str, "Schema"]:
        return {
            name: each.at(part) for each in self.alternatives for name, part in each.part.get("properties", {}).items()
        }

    @property
    def values(self) -> list[Any]:
        return [value for each in self.alternatives for value in each.part.get("enum", [])]

    @property
    def is_open(self) -> bool:
        """Whether the part lists values and also accepts any other text."""
        return bool(self.values) and any(each.part == {"type": "string"} for each in self.alternatives)


def _type(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return names.get(type(value), "object")


def _refused(path: str, wide: Schema, narrow: Schema) -> Iterator[str]:
    """Yield why a document that is valid by `narrow` may be invalid by `wide`."""
    for each in narrow.alternatives:
        tries = [list(_refused_alternative(path, known, each)) for known in wide.alternatives]
        yield from min(tries, key=len)


def _refused_alternative(path: str, wide: Schema, narrow: Schema) -> Iterator[str]:
    if types := narrow.types - wide.types:
        yield f"{path}: may be {'/'.join(sorted(types))}"
        return
    yield from _refused_values(path, wide, narrow)
    yield from _refused_fields(path, wide, narrow)
    for rule in wide.part.get("allOf", []):
        if rule not in narrow.part.get("allOf", []):
            yield f"{path}: lacks the rule {json.dumps(rule)}"
    if "items" in wide.part:
        items = narrow.part.get("items", {})
        yield from _refused(f"{path}/items", wide.at(wide.part["items"]), narrow.at(items))


def _refused_values(path: str, wide: Schema, narrow: Schema) -> Iterator[str]:
    if "enum" in wide.part and (more := [value for value in narrow.values or ["any"] if value not in wide.values]):
        yield f"{path}: may be {', '.join(map(repr, more))}"
    for name, tighter in LIMITS.items():
        limit, other = wide.part.get(name), narrow.part.get(name)
        if limit is not None and (other is None or tighter(limit, other) != other):
            yield f"{path}: {name} {limit}"
    for name in MARKS:
        if name in wide.part and wide.part[name] != narrow.part.get(name):
            yield f"{path}: {name} {wide.part[name]}"


def _refused_fields(path: str, wide: Schema, narrow: Schema) -> Iterator[str]:
    for name in sorted(set(wide.part.get("required", [])) - set(narrow.part.get("required", []))):
        yield f"{path}/{name}: is required"
    if wide.part.get("additionalProperties") is False:
        for name in sorted(narrow.properties.keys() - wide.properties.keys()):
            yield f"{path}/{name}: is refused"
        if narrow.part.get("additionalProperties") is not False:
            yield f"{path}: refuses other fields"
    for name in wide.part.get("properties", {}).keys() & narrow.part.get("properties", {}).keys():
        yield from _refused(f"{path}/{name}", wide.properties[name], narrow.properties[name])


def _lost(path: str, old: Schema, new: Schema) -> Iterator[str]:
    """Yield what a document no longer describes."""
    if lost := [value for value in old.values if value not in new.values]:
        yield f"{path}: no longer {', '.join(map(repr, lost))}"
    if old.values and old.is_open != new.is_open:
        yield f"{path}: is {'open' if new.is_open else 'closed'}"
    if old.part.get("default") != new.part.get("default"):
        yield f"{path}: has another default"
    for name, part in old.properties.items():
        if name in new.properties:
            yield from _lost(f"{path}/{name}", part, new.properties[name])
        else:
            yield f"{path}/{name}: is removed"
    items = [each.at(each.part["items"]) for each in old.alternatives if "items" in each.part]
    others = [each.at(each.part["items"]) for each in new.alternatives if "items" in each.part]
    for each, other in zip(items, others, strict=False):
        yield from _lost(f"{path}/items", each, other)


# --- the streams and HTTP ---------------------------------------------------------------------------------------------


def broken_streams(old: Json, new: Json) -> list[str]:
    """Return the channels and messages of an AsyncAPI document that are gone, and the changed addresses."""
    found = []
    for name, channel in old["channels"].items():
        known = new["channels"].get(name, {"address": None, "messages": {}})
        found += [f"{name}: address"] if known["address"] != channel["address"] else []
        found += [f"{name}: {kind}" for kind in channel["messages"] if kind not in known["messages"]]
    return found


def broken_http(old: Json, new: Json) -> list[str]:
    """Return the operations and answers of an OpenAPI document that are gone, and what is newly required."""
    found = []
    for name, operation in _operations(old).items():
        known = _operations(new).get(name)
        if known is None:
            found.append(f"{name}: is removed")
            continue
        found += [f"{name}: no {status}" for status in operation["responses"] if status not in known["responses"]]
        found += [f"{name}: {each} is required" for each in _required(known) - _required(operation)]
    schemas, others = old["components"]["schemas"], new["components"]["schemas"]
    for name in schemas:
        before, after = ({**each[name], "$defs": each} if name in each else {} for each in (schemas, others))
        found += [f"{name}{fault}" for fault in breaks(before, after, incoming=name in READ_BY_US)]
    return found


def _operations(document: Json) -> dict[str, Json]:
    return {
        f"{method} {path}": {**operation, "parameters": [*item.get("parameters", []), *operation.get("parameters", [])]}
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def _required(operation: Json) -> set[str]:
    names = {each["name"] for each in operation["parameters"] if each.get("required")}
    return names | ({"the body"} if operation.get("requestBody", {}).get("required") else set())


# --- releases ---------------------------------------------------------------------------------------------------------


def broken_contract(old: dict[str, Json], new: dict[str, Json]) -> list[str]:
    """Return everything that breaks a sender or a reader of the documents `old`."""
    found = [f"{name}: is removed" for name in old if name not in new]
    for name in old.keys() & new.keys():
        match name:
            case "asyncapi.json":
                faults = broken_streams(old[name], new[name])
            case "openapi.json":
                faults = broken_http(old[name], new[name])
            case _:
                faults = breaks(old[name], new[name], incoming=name.removesuffix(".schema.json") in INCOMING)
                faults += ["another $id"] if old[name]["$id"] != new[name]["$id"] else []
        found += [f"{name} {fault}" for fault in faults]
    return sorted(found)


def essence() -> dict[str, Json]:
    """Return what is compared of the present documents."""
    found = documents()
    streams, http = found.pop("asyncapi.json"), found.pop("openapi.json")
    found["asyncapi.json"] = {"channels": streams["channels"]}
    found["openapi.json"] = {name: http[name] for name in ("paths", "components")}
    return {name: _without_prose(json.loads(json.dumps(document))) for name, document in found.items()}


def _without_prose(node: Any, holder: str = "") -> Any:
    """Return a document without the texts that only people read. A property may have the name of such a text."""
    if isinstance(node, list):
        return [_without_prose(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _without_prose(each, name) for name, each in node.items() if name not in PROSE or holder == "properties"
    }


def released() -> dict[str, Json]:
    """Return the documents of the last release."""
    return dict(json.loads(RELEASED.read_text()))


if __name__ == "__main__":
    RELEASED.write_text(json.dumps(essence(), indent=1) + "\n")
