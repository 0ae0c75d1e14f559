"""JSON Schema among free-form values: it describes data, and holds few values itself.

The names of its properties are those of parameters, and say nothing of the schema below them. Only
``default``, ``const``, ``enum`` and the examples hold values: their forms tell which are secrets.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

from events.secrets.name_words import word_set

_JSON_TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
SCHEMA_VALUES: Final = frozenset(("const", "default", "enum", "example", "examples"))
_SCHEMAS_BY_NAME = frozenset(
    ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
)
_SCHEMAS = word_set(
    "additionalItems additionalProperties allOf anyOf contains else if items not oneOf prefixItems"
    " propertyNames then unevaluatedItems unevaluatedProperties"
)
# Assertions and annotations of JSON Schema 2020-12 and OpenAPI 3.1, whose values are not secret.
_KEYWORDS = word_set(
    "$anchor $comment $dynamicAnchor $dynamicRef $id $ref $schema $vocabulary"
    " additionalProperties contentEncoding contentMediaType dependentRequired deprecated"
    " description exclusiveMaximum exclusiveMinimum format maxContains maxItems maxLength"
    " maxProperties maximum minContains minItems minLength minProperties minimum multipleOf"
    " nullable pattern readOnly required strict title type uniqueItems writeOnly"
)
_HOLDS_SCHEMA = re.compile(r"(?:parameters|(?:.*[_a-z])?schema)", re.IGNORECASE)


class Within(Enum):
    """What a member of a schema is."""

    SCHEMA = "a schema"
    SCHEMAS_BY_NAME = "schemas by the names of parameters"
    VALUE = "a value"
    KEYWORD = "what the schema says"
    OTHER = "nothing that a schema has"


def within_schema(name: str) -> Within:
    """What a member of a JSON Schema holds, by its name."""
    if name in SCHEMA_VALUES:
        return Within.VALUE
    if name in _SCHEMAS_BY_NAME:
        return Within.SCHEMAS_BY_NAME
    if name in _SCHEMAS:
        return Within.SCHEMA
    return Within.KEYWORD if name in _KEYWORDS else Within.OTHER


def is_schema(value: Any) -> bool:
    """Whether an object is a JSON Schema: it describes values instead of holding them."""
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if _is_json_type(kind):
        return True
    if isinstance(kind, list) and kind and all(map(_is_json_type, kind)):
        return True
    return (
        isinstance(value.get("$ref"), str)
        or any(isinstance(value.get(name), list) for name in ("allOf", "anyOf", "enum", "oneOf"))
        or _may_name_schemas(value.get("properties"))
    )


def _is_json_type(name: Any) -> bool:
    return isinstance(name, str) and name in _JSON_TYPES


def _may_name_schemas(value: Any) -> bool:
    """Whether an object may hold schemas by name. It looks no deeper: members are read later."""
    return isinstance(value, dict) and all(
        isinstance(member, dict | bool) for member in value.values()
    )


def names_schemas(value: dict[str, Any]) -> bool:
    """Whether every member of an object is a schema, so that its names are parameters."""
    return bool(value) and all(map(is_schema, value.values()))


def holds_schema(name: str, value: Any) -> Within | None:
    """What a member with this name holds: a schema, schemas by name, or neither (None)."""
    if not isinstance(value, dict):
        return None
    if name in _SCHEMAS_BY_NAME or name == "parameters":
        if names_schemas(value):
            return Within.SCHEMAS_BY_NAME
        return Within.SCHEMA if name == "parameters" and is_schema(value) else None
    return Within.SCHEMA if _HOLDS_SCHEMA.fullmatch(name) and is_schema(value) else None
