"""What we say is CloudEvents, OCSF or OpenAPI, against the schemas that their makers publish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from hypothesis import given as for_all
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from openapi_spec_validator import OpenAPIV31SpecValidator

from events.log_search import Stored
from projections.exports.ocsf import OCSF_VERSION
from tests.events.strategies import few
from tests.projections.exports.sample_log import LOG, LOGS, lines
from tests.suites.suite import SUITES, counts

if TYPE_CHECKING:
    import httpx

    from tests.conftest import Server

ASSISTANTS = "/api/v1/assistants"
CLOUDEVENTS = jsonschema_rs.Draft7Validator(
    json.loads((SUITES / "cloudevents" / "schema.json").read_bytes()), validate_formats=True
)
OCSF = jsonschema_rs.Draft202012Validator(
    OcsfJsonSchemaEmbedded(get_ocsf_schema(OCSF_VERSION)).get_class_schema("entity_management"),
    validate_formats=True,
)


def events(batches: list[Any]) -> Iterator[Any]:
    """The events of a CloudEvents export: each line is a batch of one."""
    for batch in batches:
        (event,) = batch
        yield event


def broken(schema: Any, values: Any) -> list[str]:
    """Each rule of a schema that a value breaks."""
    return [error.message for value in values for error in schema.iter_errors(value)]


def test_an_event_of_every_type_fits_the_published_schemas() -> None:
    assert broken(CLOUDEVENTS, events(lines("cloudevents", LOG))) == []
    assert broken(OCSF, lines("ocsf", LOG)) == []


@few
@for_all(LOGS)
def test_every_line_of_an_export_fits_the_published_schemas(log: list[Stored]) -> None:
    assert broken(CLOUDEVENTS, events(lines("cloudevents", log))) == []
    assert broken(OCSF, lines("ocsf", log)) == []


def test_what_the_server_exports_fits_the_published_schemas(admin: httpx.Client) -> None:
    path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json={'name': 'Front desk'}).json()['id']}"
    admin.patch(path, json={"api_keys": {"openai": "sk-no-key"}, "change_description": "A key"})
    admin.delete(path)
    sent = {
        name: [
            json.loads(line)
            for line in admin.get("/api/v1/audit/export", params={"format": name}).iter_lines()
        ]
        for name in ("cloudevents", "ocsf")
    }
    assert min(map(len, sent.values())) >= 3
    assert broken(CLOUDEVENTS, events(sent["cloudevents"])) == []
    assert broken(OCSF, sent["ocsf"]) == []


@pytest.mark.parametrize("member", ["id", "source", "specversion", "type"])
def test_control_a_cloudevent_without_a_required_member_breaks_the_schema(member: str) -> None:
    (event, *_) = events(lines("cloudevents", LOG))
    assert broken(CLOUDEVENTS, [{k: v for k, v in event.items() if k != member}])


@pytest.mark.parametrize(
    "wrong",
    [{"source": "a b"}, {"time": "yesterday"}, {"dataschema": "x"}, {"subject": ""}, {"id": 1}],
)
def test_control_a_cloudevent_with_a_wrong_member_breaks_the_schema(wrong: dict[str, Any]) -> None:
    (event, *_) = events(lines("cloudevents", LOG))
    assert broken(CLOUDEVENTS, [event | wrong])


@pytest.mark.parametrize(
    "wrong", [{"activity_id": "1"}, {"unknown": 1}, {"entity": {"nme": "x"}}, {"time": "now"}]
)
def test_control_a_wrong_ocsf_record_breaks_the_schema(wrong: dict[str, Any]) -> None:
    (record, *_) = lines("ocsf", LOG)
    assert broken(OCSF, [record | wrong])


# -- OpenAPI


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    with server.client(None) as nobody:
        described: dict[str, Any] = nobody.get("/schema/openapi.json").json()
    return described


def test_the_description_fits_the_published_schema_of_openapi(document: dict[str, Any]) -> None:
    errors = OpenAPIV31SpecValidator(document).iter_errors()
    assert [error.message for error in errors] == []


WRONG_PATHS = {
    "a parameter that nothing describes": {"/x/{id}": {"get": {"responses": {}}}},
    "an answer without a description": {"/x": {"get": {"responses": {"200": {}}}}},
    "a method that there is not": {"/x": {"got": {"responses": {}}}},
    "a default that breaks its schema": {
        "/x": {
            "get": {
                "parameters": [
                    {"name": "n", "in": "query", "schema": {"type": "integer", "default": "x"}}
                ],
                "responses": {},
            }
        }
    },
}


@pytest.mark.parametrize("paths", WRONG_PATHS.values(), ids=WRONG_PATHS)
def test_control_a_wrong_description_is_noticed(paths: dict[str, Any]) -> None:
    described = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}}
    assert not list(OpenAPIV31SpecValidator(described | {"paths": {}}).iter_errors())
    assert list(OpenAPIV31SpecValidator(described | {"paths": paths}).iter_errors())


def test_the_table_counts_the_types_of_events() -> None:
    assert counts("cloudevents") == (len(LOG), 0)
    assert counts("ocsf") == (len(LOG), 0)
