"""Real samples of messages and events, which are the examples in the published documents, and test events.

`make docs` writes `samples.json` from runs of the program with simulated carriers.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from schemas.events import DATA_SCHEMAS, TEST_SUBJECT, EventData, EventType
from schemas.platform_status import TO_PLATFORM
from schemas.status import FINAL, DeliveryStatus

Json = dict[str, Any]
MOST_EXAMPLES = 3
NOTHING: tuple[Any, ...] = (None, "", [], {})


@cache
def samples(side: str) -> Sequence[Json]:
    """Return the samples of one side, `messages` or `events`: of each, its `summary` and its `document`."""
    found: dict[str, list[Json]] = json.loads(files("schemas").joinpath("samples.json").read_text("utf-8"))
    return found[side]


def sample_documents() -> list[Json]:
    """Return the documents of all samples."""
    return [each["document"] for side in ("messages", "events") for each in samples(side)]


# --- examples ---------------------------------------------------------------------------------------------------------


def add_examples(schemas: Iterable[Json], definitions: Mapping[str, Json], found: Iterable[Json] = ()) -> None:
    """Give each schema one example, and each property of it and of the schemas in it up to `MOST_EXAMPLES`.

    The examples are the values in the samples, and in the documents `found`.
    """
    whole = [*found, *sample_documents(), *(each["data"] for each in sample_documents())]
    for schema in schemas:
        fitting = [each for each in whole if _fits(each, schema)]
        if fitting:
            schema["examples"] = fitting[:1]
        _add(schema, fitting, definitions)


def _fits(sample: Any, schema: Json) -> bool:
    """Return whether a sample has the required properties of a schema and no others than its properties."""
    names = sample.keys() if isinstance(sample, dict) else set[str]()
    return set(schema.get("required", ())) <= names <= schema.get("properties", {}).keys() and bool(names)


def _add(schema: Json, values: Sequence[Any], definitions: Mapping[str, Json]) -> None:
    if "$ref" in schema:
        _add(definitions[schema["$ref"].rpartition("/")[2]], values, definitions)
    for branch in schema.get("anyOf", ()):
        _add(branch, values, definitions)
    if "items" in schema:
        _add(schema["items"], [each for value in values if isinstance(value, list) for each in value], definitions)
    fitting = [value for value in values if _fits(value, schema)]
    for name, part in schema.get("properties", {}).items():
        found = [value[name] for value in fitting if value.get(name) not in NOTHING]
        _add(part, found, definitions)
        if examples := list(_distinct([*part.get("examples", ()), *found])):
            part["examples"] = examples


def _distinct(values: Sequence[Any]) -> Iterator[Any]:
    """Yield the different values, but only one that is an object or a list, because such a value is long."""
    seen: list[Any] = []
    most = 1 if any(isinstance(value, dict | list) for value in values) else MOST_EXAMPLES
    for value in values:
        if value not in seen and len(seen) < most:
            seen.append(value)
            yield value


# --- test events ------------------------------------------------------------------------------------------------------


def data_of_test(
    kind: EventType, status: DeliveryStatus | None, source: str, delivery: str, now: datetime
) -> EventData:
    """Return the data of a test event: a sample of the type, about an order, a store and an account called `test`.

    With a status, the data are those of a sample with this status, or of another sample that then gets the status.
    """
    found = [each["document"] for each in samples("events") if each["document"]["type"] == kind]
    sample = next((each for each in found if each["data"].get("status") == status), found[0])
    nothing = {
        **dict.fromkeys(("order_id", "store_id", "carrier"), TEST_SUBJECT),
        **dict.fromkeys(("occurred_at", "observed_at", "since"), now),
        "order_source": source,
        "delivery_id": delivery,
        "sequence": 1,
    }
    data = {name: nothing.get(name, value) for name, value in sample["data"].items()}
    if status is not None and data["status"] != status:
        data |= {"status": status, "previous_status": None, "raw": None, "platform_status": TO_PLATFORM[status]}
        data |= {"final": status in FINAL}
    model = next(model for model, identity in DATA_SCHEMAS.items() if identity == sample["dataschema"])
    return model.model_validate(data)
