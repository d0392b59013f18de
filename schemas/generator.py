"""How the published JSON Schemas are written, so that generators of types in other languages read them well."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from schemas.messages import Cancellation, Envelope, OrderRef
from schemas.order import Order
from schemas.ordering_wire import OrderingOrder

Json = dict[str, Any]

ORDER_SHAPES: tuple[type[BaseModel], ...] = (Order, OrderRef, OrderingOrder)
"""The shapes of the data of `order.placed` and `order.updated`."""
DATA_BASE64: Json = {
    "type": "string",
    "description": "In place of `data`: its JSON in base64.",
    "examples": ["eyJvcmRlcl9pZCI6ICIyMDExIn0="],
}


class Generator(GenerateJsonSchema):
    """Writes JSON Schemas whose properties have neither a title nor the default null.

    A generator of types makes a type of every title, and some take a field with any default for a required one.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic gives it
        """Return that no property has a title."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        """Return the schema of a field with a default; null is left out, because it means absent."""
        found = super().default_schema(schema)
        return {name: value for name, value in found.items() if (name, value) != ("default", None)}

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        """Return the schema of a model; that of the envelope has the shapes of the data of each type."""
        found = super().model_schema(schema)
        return self._with_shapes(found) if schema["cls"] is Envelope else found

    def _with_shapes(self, envelope: Json) -> Json:
        orders = {"anyOf": [self._reference(model) for model in ORDER_SHAPES]}
        shapes = [
            _requires(type={"enum": ["order.placed", "order.updated"]}, data=orders),
            _requires(type={"const": "order.cancelled"}, data=self._reference(Cancellation)),
            _requires(data_base64={"type": "string"}),
        ]
        properties = {**envelope["properties"], "data_base64": DATA_BASE64}
        required = [name for name in envelope["required"] if name != "data"]
        return {**envelope, "properties": properties, "required": required, "anyOf": shapes}

    def _reference(self, model: type[BaseModel]) -> Json:
        return self.generate_inner(model.__pydantic_core_schema__)


def _requires(**properties: Json) -> Json:
    return {"properties": properties, "required": list(properties)}
