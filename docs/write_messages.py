"""Write docs/messages.md and schemas/samples.json: `make docs`.

The tables come from the published JSON Schemas, and the samples from runs of the program with simulated carriers.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from schemas.documents import INCOMING, OUTGOING, documents
from schemas.events import EventType, PausedBy, Vat
from schemas.status import AttentionReason, CancelledBy, Cause, Conflict, DeliveryStatus, Detail, Evidence, Reason
from schemas.vocabulary import Vocabulary, meanings_of

Json = dict[str, Any]

PAGE = Path(__file__).parent / "messages.md"
SAMPLES = Path(__file__).parents[1] / "schemas" / "samples.json"
CLOSED: tuple[type[Vocabulary], ...] = (DeliveryStatus, Evidence, CancelledBy, Vat)
OPEN: tuple[type[Vocabulary], ...] = (EventType, Detail, Reason, AttentionReason, Conflict, Cause, PausedBy)
LONGEST_EXAMPLE = 60
MOST_VALUES = 5
"""How many values a table lists; further ones are other spellings of these."""

HEAD = """\
# Messages and events

<!-- Written by `make docs` from the models in schemas/ and from runs with simulated carriers. -->

Every message that Order Sync reads and every event that it publishes, field by field, each with a real sample. The
sample values are those of simulated carriers. The same in formats for programs: JSON Schemas in [schemas](schemas), an
[AsyncAPI document](schemas/asyncapi.json) of both streams with all samples, and [OpenAPI](schemas/openapi.json) for
HTTP. [Versioning](versioning.md) says what may change without notice.

Messages and events are CloudEvents 1.0 as JSON (structured mode). On Redis, an entry of a stream has one field,
`event`, with the document as text. Times are RFC 3339 with an offset, and money is a decimal text.
"""
MESSAGES_HEAD = """\
## Messages in

A message is put on the stream `orders`, or sent to `POST /orders`.

* **Unknown fields are ignored**, in the envelope and in the data. So a platform may send more than Order Sync reads. A
  misspelt optional field counts as absent. Data that consist of `order_id` alone name an order that is then fetched;
  data with any other field are an order.
* **What decides is strict.** If a *required* field is missing, or a required or *optional* field cannot be read, the
  message becomes a dead letter and `order.quarantined` names the field; over HTTP the answer is 422.
* **What only decorates is lenient.** A *lenient* field whose value cannot be read counts as absent. So does any field
  that is not required and has the value null or `""`.
* **A repeat has no effect.** The identity of a message is its `source` with its `id`, and the identity of an order is
  its `source` with its `order_id`. An update must have a greater `revision` than the order that is known.
* **The order of messages matters little.** A cancellation may come before its order, and an older revision after a
  newer one changes nothing.
"""
EVENTS_HEAD = """\
## Events out

Events are published on the stream `deliveries`. Every field of the tables is in each event, and null means unknown or
not applicable. Only an event that an older version recorded lacks the fields that were added later.

* **At least once.** An event may arrive twice, with the same `id`.
* **In order for each `partitionkey`.** The events of a delivery have its id as `partitionkey`, and arrive in the order
  of `data.sequence`, which counts from 1 without a gap. Store the last `int(event["sequence"])` of the envelope that
  you handled for each `partitionkey`, and ignore an event that is not above it. Never wait for a missing one: a new
  reader, or one of some types, starts in the middle of a delivery. Events of different keys have no order among each
  other. A broker that divides a topic into partitions must use `partitionkey` as the key.
* **The envelope's `sequence`** is in every event, in ten digits, because the CloudEvents extension compares texts. In
  an event of a delivery it equals `data.sequence`. `order.*` and `carrier.*` events have no `data.sequence`.
* **Unknown fields and unknown types are ignored.** A value of an [open vocabulary](#vocabularies) that you do not know
  means "something else": show it, and decide nothing by it.
* **An event is a snapshot.** The data of a `delivery.*` event are the state of the delivery after the event, so the
  newest event is enough to know the delivery. Only `detail`, `reason`, `reason_text`, `cancelled_by`, `evidence` and
  `raw` may be about what the type names instead, such as the attempt that ended.
* **No personal data of the customer.** No event contains the customer's name, phone number or address.
"""
TEST_HEAD = """\
## Test events

`order-sync send-test-event` publishes an event about an order that does not exist, so that you see your reader work:

```sh
order-sync send-test-event                                  # delivery.status_changed, picked_up
order-sync send-test-event --status delivered
order-sync send-test-event --type carrier.paused
```

A test event travels like any other event and is valid by the same schemas. Recognise it by its `source`,
`/order-sync/test`; the `source` of a real event is `/order-sync`. Its `subject`, order, store and account are called
`test`. The order's source is `platform`, or that of the option `--source`. Each test event has a new `partitionkey`, of
which it is the only event. So it disturbs no sequence, and no report or metric counts it. A subscriber that acts on
events, such as one that sends texts to customers, should ignore events of this source in production.
"""


def render(samples: Mapping[str, list[Json]]) -> str:
    """Return the text of the page."""
    lines = [HEAD, *_messages(samples["messages"]), *_events(samples["events"]), *_vocabularies(), TEST_HEAD]
    return "\n".join(lines).rstrip() + "\n"


def _messages(samples: list[Json]) -> Iterator[str]:
    schemas = documents()
    yield MESSAGES_HEAD
    for name, title in zip(INCOMING, ("The envelope", "An order", "Only an order's id", "A cancellation"), strict=True):
        yield f"### {title}\n"
        yield from _tables(schemas[f"{name}.schema.json"], incoming=True, nested=name != "message")
    yield "### Samples of messages\n"
    for each in samples:
        yield from _sample(each)


def _events(samples: list[Json]) -> Iterator[str]:
    schemas, meanings = documents(), meanings_of(EventType)
    yield EVENTS_HEAD
    titles = ("The envelope of events", "Data of `delivery.*`", "Data of `order.*`", "Data of `carrier.*`")
    for name, title in zip(OUTGOING, titles, strict=True):
        yield f"### {title}\n"
        yield from _tables(schemas[f"{name}.schema.json"], nested=name != "event")
    for kind in EventType:
        yield f"### `{kind}`\n\n{meanings[kind]}\n"
        for each in samples:
            if each["document"]["type"] == kind:
                yield from _sample(each)


def _vocabularies() -> Iterator[str]:
    yield (
        "## Vocabularies\n\nA *closed* vocabulary gets a new value only with a new version of the schema. An *open* "
        "one\nmay get values at any time; its JSON Schema accepts any text.\n"
    )
    for vocabulary in (*CLOSED, *OPEN):
        kind = "closed" if vocabulary in CLOSED else "open"
        description = TypeAdapter(vocabulary).json_schema()["description"].splitlines()[0]
        yield f"### {vocabulary.__name__} ({kind})\n\n{description}\n\n| value | meaning |\n| --- | --- |"
        for value, meaning in meanings_of(vocabulary).items():
            yield f"| `{value}` | {meaning} |"
        yield ""


# --- tables -----------------------------------------------------------------------------------------------------------


def _tables(schema: Json, *, incoming: bool = False, nested: bool = True) -> Iterator[str]:
    """Yield the table of a schema, and those of the objects in it."""
    yield from _table(schema, incoming=incoming)
    for name, definition in schema.get("$defs", {}).items() if nested else ():
        if "properties" in definition:
            yield f"`{name}`: {_one_line(definition)}\n"
            yield from _table(definition, incoming=incoming)


def _table(schema: Json, *, incoming: bool) -> Iterator[str]:
    columns = ("field", "type", *(["needed"] if incoming else []), "meaning", "example")
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    for name, part in schema["properties"].items():
        needed = [_needed(name, part, schema)] if incoming else []
        yield f"| {' | '.join([f'`{name}`', _type(part), *needed, _one_line(part), _example(part)])} |"
    yield ""


def _needed(name: str, part: Json, schema: Json) -> str:
    if name in schema.get("required", ()):
        return "required"
    if any(name in each["required"] for each in schema.get("anyOf", ())):
        return "one of both"
    absent: Json = next((each for each in part.get("anyOf", ()) if _is_absent(each)), {})
    kind = "lenient" if "read" in absent.get("description", "") else "optional"
    default = part.get("default")
    return kind if default in (None, "", []) else f"{kind}, `{json.dumps(default)}`"


def _is_absent(part: Json) -> bool:
    return part.get("enum") == [None, ""]


def _type(part: Json) -> str:
    if "$ref" in part:
        return f"`{part['$ref'].rpartition('/')[2]}`"
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(_type(each) for each in part["anyOf"] if not _is_absent(each)))
    if "items" in part:
        return f"list of {_type(part['items'])}"
    if "const" in part or "enum" in part:
        values = [part["const"]] if "const" in part else part["enum"]
        return ", ".join(f"`{json.dumps(value)}`" for value in values[:MOST_VALUES])
    given = part.get("type", "any")
    types = [given] if isinstance(given, str) else given
    return " or ".join(
        "time" if part.get("format") == "date-time" else {"string": "text"}.get(each, each) for each in types
    )


def _one_line(part: Json) -> str:
    return " ".join(part.get("description", "").partition("\n*")[0].split())


def _example(part: Json) -> str:
    """Return the shortest example; an object or a list is in the samples."""
    shown = [json.dumps(each, ensure_ascii=False) for each in part["examples"] if not isinstance(each, dict | list)]
    short = [each for each in shown if len(each) <= LONGEST_EXAMPLE]
    return f"`{short[0]}`" if short else ""


def _sample(sample: Json) -> Iterator[str]:
    yield f"{sample['summary']}:\n"
    yield f"```json\n{json.dumps(sample['document'], indent=2, ensure_ascii=False)}\n```\n"


if __name__ == "__main__":
    from structlog.testing import capture_logs

    from tests.services.real_samples import real_samples

    with capture_logs():
        found = real_samples()
    SAMPLES.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(render(found))
