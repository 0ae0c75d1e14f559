"""The served description beside the published one, field by field.

What differs stands in the tables below, with its reason; anything else that differs fails.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.conftest import Server

_PUBLISHED = Path(__file__).parents[4] / "shared" / "contract" / "assistants-openapi.json"
_OF_ALL_INTEGERS = (-(2**53), 2**53)  # beyond them, a JavaScript client reads another number
_BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "format")

# Schemas of ours under other names than the published ones.
_NAMES = {
    "HTTPValidationError": "Problem",
    "ValidationError": "FieldError",
}

# Members that we have and the published description does not.
_ADDED = {
    ("AssistantCreate", "change_description"): "6.30: accepted on creation",
    ("AssistantCreate", "webhook_headers"): "0.4: clients send it",
    ("AssistantPatch", "base_version"): "a three-way merge: the version that was read",
    ("AssistantPatch", "dry_run"): "a plan instead of a change",
    ("AssistantPatch", "messaging_service_sid"): "0.4: clients send it",
    ("AssistantPatch", "on_conflict"): "a three-way merge: which side wins",
    ("AssistantPatch", "recording_settings"): "0.4: clients send it",
    ("AssistantPatch", "webhook_headers"): "0.4: clients send it",
    ("AssistantResponse", "version"): "0.8: the version beside the ETag",
    ("AssistantSettingsHistoryRollbackRequest", "dry_run"): "a plan instead of a change",
    ("AssistantSettingsHistoryRollbackRequest", "restore_secrets"): "bring old secrets back",
    ("AssistantResponse", "webhook_headers"): "0.4: clients read it",
    ("AssistantUpdate", "base_version"): "a three-way merge: the version that was read",
    ("AssistantUpdate", "dry_run"): "a plan instead of a change",
    ("AssistantUpdate", "on_conflict"): "a three-way merge: which side wins",
    ("AssistantUpdate", "webhook_headers"): "0.4: clients send it",
    ("STTSettings", "vad_turnoff"): "0.4: clients send it",
    ("LLMFallbackProvider", "config"): "0.4: the form that the runtime reads",
    ("LLMFallbackProvider", "enabled"): "0.4: the form that the runtime reads",
    ("HTTPValidationError", "type"): "RFC 9457",
    ("HTTPValidationError", "title"): "RFC 9457",
    ("HTTPValidationError", "status"): "RFC 9457",
}

# What we say otherwise: (schema, member, fact) -> what we say, and why.
_CHANGED: dict[tuple[str, str, str], tuple[Any, str]] = {
    ("AssistantCreate", "name", "minLength"): (1, "6.13: 1..100 on all verbs"),
    ("AssistantCreate", "name", "maxLength"): (100, "6.13: 1..100 on all verbs"),
    ("AssistantUpdate", "name", "minLength"): (1, "6.13: 1..100 on all verbs"),
    ("AssistantUpdate", "name", "maxLength"): (100, "6.13: 1..100 on all verbs"),
    ("AssistantPatch", "name", "minLength"): (1, "6.13: 1..100 on all verbs"),
    ("AssistantResponse", "name", "minLength"): (1, "6.13: no other is stored"),
    ("AssistantResponse", "name", "maxLength"): (100, "6.13: no other is stored"),
    ("AssistantCreate", "max_idle_messages", "minimum"): (0, "6.14: same bounds on all verbs"),
    ("AssistantUpdate", "max_idle_messages", "minimum"): (0, "6.14: same bounds on all verbs"),
    ("AssistantResponse", "max_idle_messages", "minimum"): (0, "6.14: no other is stored"),
    ("AssistantCreate", "idle_timeout", "minimum"): (0, "6.14: same bounds on all verbs"),
    ("AssistantUpdate", "idle_timeout", "minimum"): (0, "6.14: same bounds on all verbs"),
    ("AssistantResponse", "idle_timeout", "minimum"): (0, "6.14: no other is stored"),
    ("AssistantUpdate", "max_call_length", "minimum"): (1, "6.14: same bounds on all verbs"),
    ("HTTPValidationError", "detail", "types"): ({"array", "string"}, "1.5: a text or a list"),
}

# Operations that this service does not answer.
_NOT_SERVED: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    if not _PUBLISHED.exists():
        pytest.skip("the published description is not beside this repository")
    document: dict[str, Any] = json.loads(_PUBLISHED.read_text("utf-8"))
    return document


@pytest.fixture(scope="module")
def served(server: Server) -> dict[str, Any]:
    with server.client(None) as nobody:
        document: dict[str, Any] = nobody.get("/schema/openapi.json").json()
    return document


def facts(schema: dict[str, Any]) -> dict[str, Any]:
    """What a schema says, whichever way it is written."""
    options = schema.get("anyOf") or schema.get("oneOf") or [schema]
    said: dict[str, Any] = {"types": set()}
    for option in [schema, *options]:
        said |= {
            name: option[name]
            for name in _BOUNDS
            if name in option and option[name] not in _OF_ALL_INTEGERS
        }
        if "items" in option:
            said["items"] = facts(option["items"])
        if isinstance(option.get("additionalProperties"), dict):
            said["values"] = facts(option["additionalProperties"])
        if "enum" in option:
            said["enum"] = set(option["enum"])
    for option in options:
        said["types"] |= _types(option)
    if "any" in said["types"]:
        said["types"] = {"any"}
    if "default" in schema:
        said["default"] = schema["default"]
    return said


def _types(option: dict[str, Any]) -> set[str]:
    if "$ref" in option:
        name = option["$ref"].rpartition("/")[2]
        return {theirs for theirs, ours in _NAMES.items() if ours == name} or {name}
    if "enum" in option and "type" not in option:
        return {type(value).__name__.replace("str", "string") for value in option["enum"]}
    kind = option.get("type", "any")
    return {kind} if isinstance(kind, str) else set(kind)


def difference(name: str, member: str, theirs: Any, ours: Any) -> dict[str, Any]:
    """The facts that differ and are in no table: fact -> (published, served)."""
    said, say = facts(theirs), facts(ours)
    if "default" not in said and say.get("default") in (None, [], {}):
        say.pop("default", None)  # the published description leaves out what a factory makes
    return {
        fact: (said.get(fact), say.get(fact))
        for fact in sorted(said.keys() | say.keys())
        if said.get(fact) != say.get(fact) and not _is_meant(name, member, fact, say.get(fact))
    }


def _is_meant(name: str, member: str, fact: str, value: Any) -> bool:
    meant = _CHANGED.get((name, member, fact))
    return meant is not None and meant[0] == value


def schemas(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"]
    return found


def reached(document: dict[str, Any], names: list[str]) -> list[str]:
    """The schemas that these are made of, themselves included."""
    found: list[str] = []
    while names:
        name = names.pop()
        if name not in found:
            found.append(name)
            text = json.dumps(schemas(document)[name])
            names += [n for n in schemas(document) if f'schemas/{n}"' in text]
    return sorted(found)


_ROOTS = [
    "AssistantCreate", "AssistantPatch", "AssistantUpdate", "AssistantResponse", "APIResponse",
    "AssistantSettingsHistoryRollbackRequest", "HTTPValidationError", "AuditLogsResponse",
]  # fmt: skip


def test_every_published_field_is_served_as_it_is_published(
    published: dict[str, Any], served: dict[str, Any]
) -> None:
    names = reached(published, list(_ROOTS))
    assert len(names) >= 29
    differing = {}
    for name in names:
        theirs = schemas(published)[name]["properties"]
        ours = schemas(served)[_NAMES.get(name, name)]["properties"]
        for member in theirs:
            found = difference(name, member, theirs[member], ours[member])
            if found:
                differing[f"{name}.{member}"] = found
    assert differing == {}


def test_the_same_members_are_required(published: dict[str, Any], served: dict[str, Any]) -> None:
    added = {("AssistantResponse", "version"), *(("HTTPValidationError", m) for m in _PROBLEM)}
    for name in reached(published, list(_ROOTS)):
        theirs = set(schemas(published)[name].get("required", ()))
        ours = set(schemas(served)[_NAMES.get(name, name)].get("required", ()))
        assert ours - theirs <= {member for schema, member in added if schema == name}
        assert theirs <= ours


_PROBLEM = ("type", "title", "status", "detail")


def test_what_we_add_is_in_the_table(published: dict[str, Any], served: dict[str, Any]) -> None:
    added = {
        (name, member)
        for name in reached(published, list(_ROOTS))
        for member in schemas(served)[_NAMES.get(name, name)]["properties"]
        if member not in schemas(published)[name]["properties"]
    }
    assert added == set(_ADDED)


def test_what_a_change_answers_is_an_assistant_and_perhaps_more(served: dict[str, Any]) -> None:
    assistant, changed = (schemas(served)[n] for n in ("AssistantResponse", "ChangedAssistant"))
    assert changed["required"] == assistant["required"]
    beside = {"warnings", "merge", "ignored"}
    assert set(changed["properties"]) - set(assistant["properties"]) == beside
    assert assistant["properties"].items() <= changed["properties"].items()


def test_every_row_of_the_table_is_still_needed(
    published: dict[str, Any], served: dict[str, Any]
) -> None:
    for (name, member, fact), (value, _) in _CHANGED.items():
        theirs = facts(schemas(published)[name]["properties"][member])
        ours = facts(schemas(served)[_NAMES.get(name, name)]["properties"][member])
        assert ours[fact] == value
        assert theirs.get(fact) != value


def test_a_difference_would_be_found(published: dict[str, Any]) -> None:
    theirs = schemas(published)["AssistantPatch"]["properties"]["tts_limit"]
    for changed in (
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1000}]},
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 1000}, {"type": "null"}]},
        {"anyOf": [{"type": "number", "minimum": 1, "maximum": 1000}, {"type": "null"}]},
        theirs | {"default": 5},
        {},
    ):
        assert difference("AssistantPatch", "tts_limit", theirs, changed)
    assert not difference("AssistantPatch", "tts_limit", theirs, theirs)


def test_every_published_operation_is_served(
    published: dict[str, Any], served: dict[str, Any]
) -> None:
    missing = {
        (verb, path)
        for path, verbs in published["paths"].items()
        for verb in verbs
        if verb not in served["paths"].get(path, {})
    }
    assert missing == set(_NOT_SERVED)


def operations(
    published: dict[str, Any], served: dict[str, Any]
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [
        (f"{verb} {path}", theirs, served["paths"][path][verb])
        for path, verbs in published["paths"].items()
        for verb, theirs in verbs.items()
        if (verb, path) not in _NOT_SERVED
    ]


def test_every_published_parameter_is_served_as_it_is_published(
    published: dict[str, Any], served: dict[str, Any]
) -> None:
    for name, theirs, ours in operations(published, served):
        have = {parameter["name"]: parameter for parameter in ours.get("parameters", ())}
        for parameter in theirs.get("parameters", ()):
            mine = have[parameter["name"]]
            assert mine["in"] == parameter["in"], name
            assert mine["required"] == parameter["required"], name
            wanted, given = facts(parameter["schema"]), facts(mine["schema"])
            for fact in ("types", "minimum", "default"):
                assert given.get(fact) == wanted.get(fact), (name, parameter["name"])
            if "maximum" in wanted:
                assert given["maximum"] == wanted["maximum"], (name, parameter["name"])


def test_nothing_that_clients_do_not_know_is_required(
    published: dict[str, Any], served: dict[str, Any]
) -> None:
    for name, theirs, ours in operations(published, served):
        known = {parameter["name"] for parameter in theirs.get("parameters", ())}
        needed = {p["name"] for p in ours.get("parameters", ()) if p["required"]}
        assert needed <= known, name


def test_bodies_and_answers_are_the_published_ones(
    published: dict[str, Any], served: dict[str, Any]
) -> None:
    for name, theirs, ours in operations(published, served):
        wanted, given = theirs.get("requestBody"), ours.get("requestBody")
        assert (wanted is None) == (given is None), name
        if wanted and given:
            assert bool(wanted.get("required")) == bool(given.get("required")), name
            assert _body(given) == _body(wanted), name
        for code in theirs["responses"]:
            assert code in ours["responses"], name


def _body(described: dict[str, Any]) -> dict[str, Any]:
    return facts(described["content"]["application/json"]["schema"])


def test_a_new_assistant_has_every_published_default(
    published: dict[str, Any], editor: httpx.Client
) -> None:
    created = editor.post("/api/v1/assistants", json={"name": "Defaults"}).json()
    shown = schemas(published)["AssistantResponse"]["properties"]
    assert set(created) == set(shown) | {"version", "webhook_headers"}
    assert _wrong_defaults(published, "AssistantResponse", created) == []


def _wrong_defaults(published: dict[str, Any], name: str, value: dict[str, Any]) -> list[str]:
    wrong = []
    for member, schema in schemas(published)[name]["properties"].items():
        said = facts(schema)
        if "default" in said and value[member] != said["default"]:
            wrong.append(f"{name}.{member}")
        (inner,) = said["types"] - {"null"} if len(said["types"] - {"null"}) == 1 else ("",)
        if isinstance(value[member], dict) and inner in schemas(published):
            wrong += _wrong_defaults(published, inner, value[member])
    return wrong
