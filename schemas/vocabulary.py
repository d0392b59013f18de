"""Vocabularies: enumerations whose published JSON Schema describes each value.

A field of the type `Reason | str` is open: its JSON Schema lists the known values and accepts any other text, because a
later version may add values without notice. A field of the type `DeliveryStatus` is closed.
"""

import ast
import inspect
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema


class Vocabulary(StrEnum):
    """Base of the published enumerations. The docstring below a value is its published description."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema; its description lists the meaning of each value."""
        found = handler(schema)
        meanings = [f"* `{value}`: {meaning}" for value, meaning in meanings_of(cls).items()]
        handler.resolve_ref_schema(found)["description"] = "\n".join([inspect.getdoc(cls) or "", "", *meanings])
        return found


@cache
def meanings_of(vocabulary: type[Vocabulary]) -> dict[str, str]:
    """Return the meaning of each value: the docstring below it, in one line.

    Python does not keep such docstrings, so they are read from the source. Raises KeyError if a value has none.
    """
    (definition,) = ast.parse(inspect.getsource(vocabulary)).body
    texts = {}
    for value, below in pairwise(definition.body if isinstance(definition, ast.ClassDef) else []):
        match value, below:
            case ast.Assign(targets=[ast.Name(name)]), ast.Expr(ast.Constant(str(text))):
                texts[name] = " ".join(text.split())
    return {each.value: texts[each.name] for each in vocabulary}
