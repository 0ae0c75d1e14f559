"""A JSON Schema names parameters, and holds no values of theirs."""

from __future__ import annotations

import pytest

from events.pointers import Tree
from tests.events.sealing import JWT, RANDOM, sealed_at, shown, tool


def properties(members: Tree) -> Tree:
    return tool({"parameters": {"type": "object", "properties": members}})


@pytest.mark.parametrize("holder", ["default", "const", "example", "examples", "enum"])
def test_a_value_in_a_schema_is_looked_at_by_its_form(holder: str) -> None:
    for value, is_secret in ((f"sk_live_{RANDOM}", True), ("hunter2", False), (JWT, True)):
        held = [value] if holder in ("examples", "enum") else value
        body = properties({"password": {"type": "string", holder: held}})
        assert bool(sealed_at(body)) == is_secret


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"password": {"type": "string"}}, "$ref": "#/$defs/password"},
        {"anyOf": [{"type": "object", "properties": {"token": {"type": ["string", "null"]}}}]},
        {"type": "array", "items": {"type": "object", "properties": {"pin": {"enum": ["a"]}}}},
        {"type": "object", "required": ["password"], "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "properties": {"secret": {"properties": {"key": {"type": "string"}}}}},
        {"password": {"type": "string", "title": "Password", "pattern": "[a-z]+"}},
    ],
)
@pytest.mark.parametrize("name", ["parameters", "input_schema", "inputSchema", "json_schema"])
def test_a_schema_names_parameters_and_holds_no_values(name: str, schema: Tree) -> None:
    if name == "parameters" or "password" not in schema:
        body = tool({name: schema})
        assert sealed_at(body) == []
        (found,) = shown(body)["tools_settings"]["custom_tools"]
        assert found[name] == schema


@pytest.mark.parametrize(
    "members",
    [
        {"parameters": {"password": "hunter2"}},
        {"parameters": {"type": "object", "password": "hunter2"}},
        {"properties": {"password": "hunter2", "city": {"type": "string"}}},
        {"parameters": {"properties": {"password": {"type": "string", "value": "hunter2"}}}},
        {"parameters": {"properties": {"password": {"is": "hunter2"}}}},
        {"schema": {"password": "hunter2"}},
    ],
)
def test_what_only_looks_like_a_schema_hides_no_credential(members: Tree) -> None:
    (found,) = sealed_at(tool(members))
    assert "password" in found
