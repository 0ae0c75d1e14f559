"""No error speaks Python: the law over all errors of all routes, as the description lists them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from app.api.routes import changes
from events.bodies import settings_reader, validation
from tests.app.route_table import DESCRIBED, KEYS, STREAM
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

# Names of Python's and of the libraries', and how they are written.
_PYTHON = re.compile(
    r"\b(?:None|NoneType|True|False|int|float|bool|str|dict|tuple|bytes|array|Literal|Optional|Union"
    r"|Annotated|Struct|UnsetType|UNSET|msgspec|litestar|typing|class|Expected|Object contains"
    r"|self|kwargs|Exception|Error)\b|[`<]|\w+\(\)|__\w+__"
)
_TEXTS = ("x", "", "-1", "9" * 25)
_VALUES: tuple[Any, ...] = (None, -1, 1.5, "x" * 2000, [[]], {"a": 1})
_FEW = 12  # members of a body that are also tried one by one
_OPTIONS = (("base_version",), ("on_conflict",), ("dry_run",), ("change_description",), ("name",))
_DESTROYING = ("/api/v1/vault",)


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        client.post(ASSISTANTS, json={"name": "Front desk"})
        client.patch(f"{ASSISTANTS}/1", json={"name": "Reception"})
        yield client


@pytest.fixture(scope="module")
def document(boss: httpx.Client) -> dict[str, Any]:
    described: dict[str, Any] = boss.get("/schema/openapi.json").json()
    return described


_OPERATIONS = [(verb, path) for path, verbs in DESCRIBED.items() for verb in verbs]


def faults(answer: httpx.Response, names: set[str]) -> list[str]:
    """What of an answer is Python's: a word, or the name of a place that nothing was sent to."""
    if answer.is_success or answer.status_code == 304:
        return []
    said = answer.json()
    if isinstance(said["detail"], str):
        return _PYTHON.findall(said["detail"]) + _PYTHON.findall(said["title"])
    found = [word for error in said["detail"] for word in _PYTHON.findall(error["msg"])]
    places = [error["loc"][1] for error in said["detail"] if error["loc"][0] != "body"]
    return found + [place for place in places if place.lower() not in names]


def at(members: tuple[Any, ...], value: Any) -> Any:
    for member in reversed(members):
        value = [value] if member == 0 else {member: value}
    return value


def members(schemas: dict[str, Any], schema: Any, above: tuple[Any, ...] = ()) -> Iterator[Any]:
    """The places in a body, as deep as it is described."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for kind in schema.get("anyOf", [schema]):
        if kind is not schema or "anyOf" not in schema:
            if "$ref" in kind and kind is not schema:
                yield from members(schemas, kind, above)
            for name, member in kind.get("properties", {}).items():
                yield (*above, name)
                yield from members(schemas, member, (*above, name))
            if isinstance(kind.get("items"), dict):
                yield (*above, 0)
                yield from members(schemas, kind["items"], (*above, 0))


def bodies(document: dict[str, Any], content: dict[str, Any]) -> Iterator[Any]:
    """Bodies that are wrong in one value, at all places of a depth that do not exclude it."""
    (example,) = (one["value"] for one in content["examples"].values())
    places = list(dict.fromkeys(members(document["components"]["schemas"], content["schema"])))
    for value in _VALUES:
        yield value
        if not isinstance(example, dict):
            yield [dict.fromkeys(("op", "path", "value", "from"), value)]
            continue
        for depth in (1, 2, 3, 4):
            body: dict[str, Any] = dict(example)
            for place in (one for one in places if len(one) == depth):
                body = merged(body, at(place, value))
            yield body
        alone = [place for place in places if len(place) == 1]
        for place in alone if len(alone) <= _FEW else _OPTIONS:
            yield example | at(place, value)


def merged(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return one | {name: merged(one.get(name), member) for name, member in other.items()}
    if isinstance(one, list) and isinstance(other, list) and one and other:
        return [merged(one[0], other[0])]
    return other


def refused(boss: httpx.Client, verb: str, place: str, options: dict[str, Any]) -> httpx.Response:
    """An answer; of a stream, which may have no end, it is read if it is an error alone."""
    with boss.stream(verb, place, **options) as answer:
        assert answer.status_code < 500
        if place == STREAM and answer.is_success:
            return httpx.Response(answer.status_code)
        answer.read()
        return answer


@pytest.mark.parametrize(("verb", "path"), _OPERATIONS)
def test_no_error_says_a_word_of_pythons(
    boss: httpx.Client, document: dict[str, Any], verb: str, path: str
) -> None:
    operation = document["paths"][path][verb]
    parameters = operation.get("parameters", [])
    names = {parameter["name"].lower() for parameter in parameters} | {"dry_run", "prefer"}
    place = re.sub(r"{\w+}", "1", path)
    if path.startswith((*_DESTROYING, KEYS)) and verb == "delete":
        place = place.replace("/1", "/99")  # not the key that asks

    def check(**options: Any) -> None:
        answer = refused(boss, verb, options.pop("place", place), options)
        assert not faults(answer, names), (options, answer.text)

    dry = {"prefer": "dry-run"}  # nothing is done, or the request says that it can't
    for parameter in parameters:
        for text in _TEXTS:
            match parameter["in"]:
                case "query":
                    check(params={parameter["name"]: text}, headers=dry)
                case "header" if len(text) in (0, 1):
                    check(headers=dry | {parameter["name"].lower(): text})
                case "path" if text:
                    here = path.replace(f"{{{parameter['name']}}}", quote(text))
                    check(place=re.sub(r"{\w+}", "1", here), headers=dry)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        for body in bodies(document, content):
            check(content=json.dumps(body), headers=dry | {"content-type": kind})


def test_a_word_of_pythons_would_be_found(
    boss: httpx.Client, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = ("put", f"{ASSISTANTS}/{{assistant_id}}")
    monkeypatch.setattr(validation, "_choices", lambda kind: [kind])
    with pytest.raises(AssertionError, match="Literal"):
        test_no_error_says_a_word_of_pythons(boss, document, *operation)
    monkeypatch.undo()
    monkeypatch.setattr(validation, "_JSON_TYPES", {})
    for module in (settings_reader, validation):
        monkeypatch.setattr(module, "describe", lambda message, _=None: ("value_error", message))
    with pytest.raises(AssertionError, match="Expected"):
        test_no_error_says_a_word_of_pythons(boss, document, *operation)


def test_the_sides_of_a_conflict_are_named_as_they_are_sent(boss: httpx.Client) -> None:
    expected = "Input should be 'fail' or 'theirs' or 'yours'"
    place = f"{ASSISTANTS}/1"
    for answer, where in (
        (boss.patch(place, json={"on_conflict": "mine"}), "body"),
        (boss.patch(place, json={}, params={"on_conflict": "mine"}), "query"),
        (boss.put(place, json={}, params={"on_conflict": "mine"}), "query"),
    ):
        (error,) = answer.json()["detail"]
        assert (error["msg"], error["loc"]) == (expected, [where, "on_conflict"])
    for answer, where in (
        (boss.patch(place, json={"on_conflict": "yours"}), "body"),
        (boss.patch(place, json={}, params={"on_conflict": "yours"}), "query"),
    ):
        (error,) = answer.json()["detail"]
        assert (error["type"], error["loc"]) == ("missing", [where, "on_conflict"])
    assert changes.Side.__args__ == ("fail", "theirs", "yours")  # type: ignore[attr-defined]  # a Literal
