from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema_rs
import pytest
import schemathesis

from tests.app.route_table import DESCRIBED, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Server

_OPERATIONS = [(verb, path) for path, verbs in DESCRIBED.items() for verb in verbs]


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    with server.client(None) as nobody:
        answer = nobody.get("/schema/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.oai.openapi+json"
    described: dict[str, Any] = answer.json()
    return described


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raise where a value does not fit a schema of the document."""
    whole = schema | {"components": document["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(value)


def media(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Each schema of a body or an answer, with its examples."""
    for kind in content.values():
        yield kind["schema"], [one["value"] for one in kind.get("examples", {}).values()]


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Backstory"
    assert document["info"]["version"]
    schemathesis.openapi.from_dict(document).validate()
    # The control: the same check refuses what is no description.
    broken = document | {"paths": {"/x": {"get": {"responses": 5}}}}
    with pytest.raises(Exception, match="5"):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_component_is_a_json_schema(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(
            schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        )


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found = set(references(document))
    assert found
    assert found <= known


def test_every_route_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    described = {
        (verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs
    }
    routed = {(o.verb, o.path) for o in OPERATIONS if not o.path.startswith("/schema")}
    assert described == routed


@pytest.mark.parametrize(("verb", "path"), _OPERATIONS)
def test_an_operation_says_what_it_is_for(document: dict[str, Any], verb: str, path: str) -> None:
    operation = document["paths"][path][verb]
    assert operation["summary"]
    assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}
    named = re.findall(r"{(\w+)}", path)
    parameters = operation.get("parameters", [])
    required = {p["name"] for p in parameters if p["in"] == "path" and p["required"]}
    assert required == set(named)
    for parameter in parameters:
        assert parameter["schema"]


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [verbs[verb]["operationId"] for verbs in document["paths"].values() for verb in verbs]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("verb", "path"), _OPERATIONS)
def test_an_operation_says_which_key_it_needs(
    document: dict[str, Any], verb: str, path: str
) -> None:
    (route,) = [o for o in OPERATIONS if (o.verb, o.path) == (verb.upper(), path)]
    schemes = document["components"]["securitySchemes"]
    security = document["paths"][path][verb]["security"]
    if route.needs_a_key:
        (name,) = security[0]
        assert schemes[name]["type"] == "http"
        assert schemes[name]["scheme"] == "bearer"
        assert {"401", "403"} <= set(document["paths"][path][verb]["responses"])
    else:
        assert security == []


@pytest.mark.parametrize(("verb", "path"), _OPERATIONS)
def test_every_answer_and_body_has_a_schema(document: dict[str, Any], verb: str, path: str) -> None:
    operation = document["paths"][path][verb]
    codes = set(operation["responses"])
    assert any(code.startswith("2") for code in codes)
    for code, answer in operation["responses"].items():
        assert answer["description"]
        # What a client has already, or does not want, is not sent.
        assert bool(list(media(answer.get("content", {})))) == (code not in {"204", "304"})
    if "requestBody" in operation:
        assert {"413", "415", "422"} <= codes
        for _, examples in media(operation["requestBody"]["content"]):
            assert examples


@pytest.mark.parametrize(("verb", "path"), _OPERATIONS)
def test_every_example_fits_its_schema(document: dict[str, Any], verb: str, path: str) -> None:
    operation = document["paths"][path][verb]
    shown = [operation.get("requestBody", {}), *operation["responses"].values()]
    for one in shown:
        for schema, examples in media(one.get("content", {})):
            for example in examples:
                check(document, schema, example)


def test_an_example_that_does_not_fit_would_be_found(document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/AssistantCreate"}
    check(document, schema, {"name": "x"})
    for wrong in ({}, {"name": 5}, {"name": "x", "tts_limit": 0}):
        with pytest.raises(jsonschema_rs.ValidationError):
            check(document, schema, wrong)


def test_every_secret_is_marked(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("LLMProviderConfig", "LLMFallbackProvider"):
        (text, null) = schemas[name]["properties"]["api_key"]["anyOf"]
        assert text.items() >= {"type": "string", "x-secret": True}.items()
        assert null == {"type": "null"}


def test_the_page_lists_every_operation(server: Server, document: dict[str, Any]) -> None:
    with server.client(None) as nobody:
        page = nobody.get("/schema").text
    for path, verbs in document["paths"].items():
        assert f"<code>{path}</code>" in page
        for operation in verbs.values():
            assert operation["summary"].replace("'", "&#39;") in page


def test_the_description_is_the_same_each_time(server: Server) -> None:
    def read(client: httpx.Client) -> bytes:
        return client.get("/schema/openapi.json").content

    with server.client(None) as nobody:
        assert read(nobody) == read(nobody)
