from __future__ import annotations

import re
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from tests.app import stored
from tests.app.route_table import CHANGE_SETS, OPERATIONS, OWNED, Operation, application

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

ASSISTANTS = "/api/v1/assistants"
JSON = {"content-type": "application/json"}
MEBIBYTE = 1024 * 1024
PLAIN = "sk-live-do-not-show"
POLICY = "/api/v1/policy"
REASON = "change_description"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_WITH_A_BODY = [operation for operation in OPERATIONS if operation.body is not msgspec.UNSET]
_WITH_AN_ID = [operation for operation in OPERATIONS if OWNED.intersection(operation.parameters)]


_NOT_JSON = (
    None,
    b"",
    b"text/plain",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
    b"application/jsonx",
    b"application/json; charset=latin-1",
    b"application/json; charset=utf-16",
    b"application/json, text/plain",
    b"\xff\xfe",
    b"json",
)
_NO_ID = (
    "x", "1.5", "0x1", "1_0", "%201", "1%20", "+1", "NaN", "true", "null", "%00", "%FF", "1%00",
    "1%0A", "%D9%A1", "%F0%9F%98%80", "1;x", "1,2", "%2e%2e", "asst_1",
)  # fmt: skip


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


@pytest.fixture(scope="module")
def spare(server: Server) -> Iterator[httpx.Client]:
    """Another organization, for what is large or does change things."""
    with server.client(server.organization().admin) as client:
        yield client


@pytest.fixture(scope="module")
def ids(admin: httpx.Client) -> dict[str, Any]:
    """What the requests are about: none of them may change it."""
    assert admin.post(ASSISTANTS, json={"name": "Front desk"}).json()["id"] == 1
    assert admin.patch(f"{ASSISTANTS}/1", json={"description": "Answers"}).json()["version"] == 2
    wish = {"assistant_ids": [1], "patch": {"tts_limit": 7}}
    return {
        "assistant_id": 1,
        "version_id": 2,
        "version": 2,
        "change_set_id": admin.post(CHANGE_SETS, json=wish).json()["change_set_id"],
        "key_id": 1,
        "phone_number": "+1",
        "path": "x",
    }


@pytest.fixture
def path(ids: dict[str, Any]) -> str:
    return f"{ASSISTANTS}/{ids['assistant_id']}"


@pytest.fixture
def unchanged(server: Server, organization: Organization, ids: dict[str, Any]) -> Iterator[None]:
    """Version, history, keys and everything else of the organization stay as they were."""
    del ids
    before = stored.rows(server.database, organization.id)
    yield
    assert stored.rows(server.database, organization.id) == before


@pytest.fixture
def unchanged_but_for_exports(
    server: Server, organization: Organization, ids: dict[str, Any]
) -> Iterator[None]:
    """As ``unchanged``; but an export is an event, and moves the counters."""
    del ids

    def all_else() -> dict[str, Any]:
        rows = stored.rows(server.database, organization.id)
        del rows["organizations"]
        rows["events"] = [row for row in rows["events"] if row["type"] != "audit_exported.v1"]
        return rows

    before = all_else()
    yield
    assert all_else() == before


def places(answer: httpx.Response) -> list[list[str | int]]:
    """Where the rules are that a request broke."""
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()["detail"]
    assert found
    for error in found:
        assert set(error) == {"loc", "msg", "type"}
        assert error["msg"]
    return [error["loc"] for error in found]


def in_pieces(size: int) -> Iterator[bytes]:
    """A body of this many bytes whose length no header says."""
    yield b'{"name":"'
    for _ in range(size // 65536):
        yield b"a" * 65536
    yield b'"}'


# -- bodies


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", _WITH_A_BODY, ids=str)
def test_a_body_beyond_a_mebibyte_is_too_large(
    admin: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    url = operation.path.format(**ids)
    with_length = admin.request(
        operation.verb, url, content=b"".join(in_pieces(MEBIBYTE)), headers=JSON
    )
    chunked = admin.request(operation.verb, url, content=in_pieces(MEBIBYTE), headers=JSON)
    for answer in (with_length, chunked):
        assert answer.status_code == 413
        assert answer.json()["status"] == 413
        assert answer.json()["detail"]


def test_a_body_of_a_mebibyte_is_taken(spare: httpx.Client) -> None:
    frame = b'{"name":"Large","description":""}'
    text = b"d" * (MEBIBYTE - len(frame))
    body = b'{"name":"Large","description":"%s"}' % text
    assert len(body) == MEBIBYTE
    for content in (body, iter([body[:5], body[5:]])):
        answer = spare.post(ASSISTANTS, content=content, headers=JSON)
        assert answer.status_code == 201
        assert len(answer.json()["description"]) == len(text)
        spare.delete(f"{ASSISTANTS}/{answer.json()['id']}")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", _WITH_A_BODY, ids=str)
def test_a_body_that_is_not_declared_as_json_is_refused(
    admin: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    body = msgspec.json.encode(operation.body)
    url = operation.path.format(**ids)
    for kind in _NOT_JSON:
        headers: Any = {} if kind is None else {"content-type": kind}
        answer = admin.request(operation.verb, url, content=body, headers=headers)
        assert answer.status_code == 415, kind
        assert answer.json()["status"] == 415


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_json_in_utf_8_is_taken_however_it_is_declared(
    admin: httpx.Client, path: str, kind: str
) -> None:
    answer = admin.patch(path, content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 200


_NO_JSON = {
    "nothing": b"",
    "blanks": b"  \n",
    "a brace": b"{",
    "a bare word": b"name",
    "single quotes": b"{'name': 'x'}",
    "a trailing comma": b'{"name": "x",}',
    "a comment": b'{} // {"name": "x"}',
    "two values": b'{}{"name": "x"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a broken byte in a value": b'{"name": "\xff"}',
    "a broken byte in a name": b'{"\xc3": 1}',
    "an overlong form": b'{"name": "\xc0\xaf"}',
    "a surrogate in bytes": b'{"name": "\xed\xa0\x80"}',
    "a raw control character": b'{"name": "a\nb"}',
    "an escaped NUL in a value": b'{"name": "a\\u0000b"}',
    "an escaped NUL in a name": b'{"custom_settings": {"a\\u0000b": 1}}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "a lone surrogate in a name": b'{"custom_settings": {"\\udfff": 1}}',
    "the same member twice": b'{"name": "x", "name": "y"}',
    "the same member twice, deeper": b'{"custom_settings": {"a": [{"b": 1, "b": 1}]}}',
    "the same member twice, escaped": b'{"name": "x", "n\\u0061me": "y"}',
    "NaN": b'{"llm_settings": {"temperature": NaN}}',
    "infinity": b'{"llm_settings": {"temperature": Infinity}}',
    "minus infinity": b'{"custom_settings": {"x": -Infinity}}',
    "a number too large for a double": b'{"custom_settings": {"x": 1e400}}',
    "an integer beyond 2^53": b'{"custom_settings": {"x": 9007199254740993}}',
    "an integer beyond -2^53": b'{"custom_settings": {"x": [-9007199254740993]}}',
    "an integer of many digits": b'{"max_idle_messages": %s}' % (b"9" * 5000),
    "33 levels": b'{"custom_settings": ' + b'{"a": ' * 31 + b"{}" + b"}" * 32,
    "lists in lists": b"[" * 100_000,
    "objects in objects": b'{"a":' * 100_000,
}  # fmt: skip


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("body", _NO_JSON.values(), ids=_NO_JSON)
def test_a_body_that_is_not_the_json_we_take_is_refused(
    admin: httpx.Client, path: str, body: bytes
) -> None:
    for verb, url in (("PATCH", path), ("PUT", path), ("POST", ASSISTANTS)):
        answer = admin.request(verb, url, content=body, headers=JSON)
        (place,) = places(answer)
        assert place[0] == "body"
        assert isinstance(place[1], int)
        assert answer.json()["detail"][0]["type"] == "json_invalid"


@pytest.mark.parametrize(
    "body",
    [
        b'{"custom_settings": {"x": 9007199254740992}}',
        b'{"custom_settings": {"x": -9007199254740992}}',
        b'{"custom_settings": {"x": 1e308}}',
        b'{"custom_settings": ' + b'{"a": ' * 30 + b"{}" + b"}" * 31,
        b'{"custom_settings": {"x": "\\ud83d\\ude00 \\u0001"}}',
        '{"custom_settings": {"é": "😀"}}'.encode(),
        b' {"custom_settings": {"x": 1, "X": 1}} ',
    ],
)
def test_json_at_the_edge_of_what_we_take_is_taken(spare: httpx.Client, body: bytes) -> None:
    made = spare.post(ASSISTANTS, json={"name": "Edge"}).json()
    answer = spare.patch(f"{ASSISTANTS}/{made['id']}", content=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["custom_settings"] == msgspec.json.decode(body)["custom_settings"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("body", [b"[]", b"null", b'"name"', b"1", b"true", b'[{"name": "x"}]'])
def test_a_body_that_is_no_object_is_refused(admin: httpx.Client, path: str, body: bytes) -> None:
    for verb, url in (("PATCH", path), ("PUT", path), ("POST", ASSISTANTS)):
        assert places(admin.request(verb, url, content=body, headers=JSON)) == [["body"]]


@pytest.mark.usefixtures("unchanged")
def test_every_broken_rule_is_named_at_once(admin: httpx.Client, path: str) -> None:
    body = {
        "name": "x" * 101,
        "max_call_length": 0,
        "tts_limit": 1001,
        "stt_limit": "many",
        "is_active": "perhaps",
        "idle_timeout": 1.5,
        "tts_settings": {"background_sound": {"volume": 1.1}, "latency": None},
        "stt_settings": {
            "utterance_end_ms": 99,
            "keywords": [{"intensifier": "x"}, 5],
            "flux_config": {"eot_threshold": 0.4},
        },
        "tools_settings": {"transfer_call": {"transfer_type": "hot"}, "end_call": []},
        "llm_fallback_providers": {"fallbacks": [{"api_key": 5}]},
        "webhook_headers": {"x": ["y"]},
        "bypass_numbers": ["+14155551234", "112"],
        "rag_settings": "none",
        "custom_settings": [],
        "change_description": "x" * 501,
    }
    expected = [
        ["body", "name"],
        ["body", "max_call_length"],
        ["body", "tts_limit"],
        ["body", "stt_limit"],
        ["body", "is_active"],
        ["body", "idle_timeout"],
        ["body", "tts_settings", "background_sound", "volume"],
        ["body", "tts_settings", "latency"],
        ["body", "stt_settings", "utterance_end_ms"],
        ["body", "stt_settings", "keywords", 0, "keyword"],
        ["body", "stt_settings", "keywords", 0, "intensifier"],
        ["body", "stt_settings", "keywords", 1],
        ["body", "stt_settings", "flux_config", "eot_threshold"],
        ["body", "tools_settings", "transfer_call", "transfer_type"],
        ["body", "tools_settings", "end_call"],
        ["body", "llm_fallback_providers", "fallbacks", 0, "provider"],
        ["body", "llm_fallback_providers", "fallbacks", 0, "api_key"],
        ["body", "webhook_headers", "x"],
        ["body", "bypass_numbers", 1],
        ["body", "rag_settings"],
        ["body", "custom_settings"],
        ["body", "change_description"],
    ]
    for verb, url in (("PATCH", path), ("PUT", path), ("POST", ASSISTANTS)):
        assert places(admin.request(verb, url, json=body)) == expected
    strict = admin.patch(path, json=body | {"nmae": 1}, headers={"prefer": "handling=strict"})
    assert places(strict) == [*expected, ["body", "nmae"]]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"name": 5}, "string_type"),
        ({"name": "x" * 101}, "string_too_long"),
        ({"tts_limit": 0}, "greater_than_equal"),
        ({"tts_limit": 1001}, "less_than_equal"),
        ({"tts_limit": "x"}, "int_parsing"),
        ({"tts_limit": 5.5}, "int_from_float"),
        ({"tts_limit": []}, "int_type"),
        ({"tts_settings": "x"}, "model_attributes_type"),
        ({"llm_settings": {"max_tokens": None}}, "int_type"),
        ({"llm_settings": {"system_prompt": None}}, "string_type"),
        ({"llm_settings": {"temperature": "warm"}}, "float_parsing"),
        ({"llm_settings": {"temperature": "NaN"}}, "finite_number"),
        ({"llm_settings": {"stop_sequences": "x"}}, "list_type"),
        ({"is_active": "perhaps"}, "bool_parsing"),
        ({"is_active": 2}, "bool_type"),
        ({"tools_settings": {"transfer_call": {"transfer_type": "hot"}}}, "literal_error"),
    ],
)
def test_an_error_has_the_type_that_clients_know(
    admin: httpx.Client, path: str, body: dict[str, Any], kind: str
) -> None:
    answer = admin.patch(path, json=body)
    assert len(places(answer)) == 1
    assert answer.json()["detail"][0]["type"] == kind


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("value", ["9" * 5000, "9007199254740993", 1e300, 1e16, "1e999", "-1e16"])
def test_a_number_that_not_every_client_can_read_is_refused(
    admin: httpx.Client, path: str, value: float | str
) -> None:
    answer = admin.patch(path, json={"llm_settings": {"max_tokens": value}})
    assert places(answer) == [["body", "llm_settings", "max_tokens"]]


_REFUSED_SECRETS: list[dict[str, Any]] = [
    {"llm_provider_config": {"api_key": [PLAIN]}},
    {"llm_provider_config": {"api_key": {"value": PLAIN}}},
    {"llm_provider_config": {"api_key": PLAIN}, "name": ""},
    {"llm_provider_config": PLAIN},
    {"llm_fallback_providers": {"fallbacks": [{"api_key": PLAIN}]}},
    {"llm_fallback_providers": {"fallbacks": [PLAIN]}},
    {"api_keys": PLAIN},
    {"api_keys": {"openai_api_key": [PLAIN]}},
    {"webhook_headers": {"authorization": {"bearer": PLAIN}}},
    {"tts_settings": {"provider_config": PLAIN}},
    {"custom_settings": {"$secret": {"id": PLAIN}}},
    {"custom_settings": PLAIN},
    {"openai_api_key": PLAIN, "tts_limit": 0},
    {"max_call_length": PLAIN},
    {"tools_settings": {"transfer_call": {"transfer_type": PLAIN}}},
    {"stt_settings": {"keywords": [{"keyword": {"x": PLAIN}}]}},
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("body", _REFUSED_SECRETS, ids=str)
def test_a_refusal_never_repeats_a_value(
    admin: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    for headers in ({}, {"prefer": "handling=strict"}):
        answer = admin.patch(path, json=body, headers=headers)
        assert answer.status_code == 422
        assert PLAIN not in answer.text
        assert PLAIN not in str(answer.headers)
    broken = msgspec.json.encode(body)[:-1]
    assert PLAIN not in admin.patch(path, content=broken, headers=JSON).text


def cost(client: httpx.Client, url: str, *bodies: dict[str, Any], prefer: str = "") -> float:
    """The least processor time of some requests: of the server too, which is in this process."""
    costs = []
    for body in bodies:
        content = msgspec.json.encode(body)
        assert len(content) < MEBIBYTE
        started = time.process_time()
        answer = client.patch(url, content=content, headers=JSON | {"prefer": prefer})
        costs.append(time.process_time() - started)
        assert answer.status_code in (200, 422)
    return min(costs)


def fallbacks(name: str, count: int) -> dict[str, Any]:
    listed = [{"provider": f"{name}{n}"} for n in range(count)]
    return {"llm_fallback_providers": {"fallbacks": listed}}


def tools(name: str, count: int) -> dict[str, Any]:
    return {"tools_settings": {"custom_tools": [{"tool_id": f"{name}{n}"} for n in range(count)]}}


@pytest.mark.parametrize("listing", [fallbacks, tools])
def test_a_list_costs_what_its_length_says(spare: httpx.Client, listing: Any) -> None:
    # Everybody shares one process: what one body costs, all of them wait for.
    url = f"{ASSISTANTS}/{spare.post(ASSISTANTS, json={'name': 'Long lists'}).json()['id']}"
    short = cost(spare, url, *(listing(name, 400) for name in "abcd"))
    long = cost(spare, url, *(listing(name, 1600) for name in "abc"))
    assert long < 8 * short  # four times as long; sixteen times would be its square


def test_to_be_strict_costs_little_more_than_to_be_lenient(spare: httpx.Client) -> None:
    url = f"{ASSISTANTS}/{spare.post(ASSISTANTS, json={'name': 'Unknown'}).json()['id']}"
    body = {f"unknown_{n}": n for n in range(10_000)}
    lenient = cost(spare, url, body, body, body)
    assert cost(spare, url, body, body, prefer="handling=strict") < 10 * lenient


_MISSPELT: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("POST", "{one}/rollback", {"to_version": 1, "path": ["/name"]}, "path", "paths"),
    ("POST", "{one}/undo", {"version": 2, "dryrun": True}, "dryrun", "dry_run"),
    ("POST", "{one}/restore", {"change_descripton": "x"}, "change_descripton", REASON),
    (
        "POST",
        CHANGE_SETS,
        {"patch": {"name": "x"}, "filter": {}, "dryrun": True},
        "dryrun",
        "dry_run",
    ),
    ("POST", "{set}/revert", {"on_conflicts": "skip"}, "on_conflicts", "on_conflict"),
    ("PUT", "{one}/versions/1/label", {"label": "x", "labels": "y"}, "labels", "label"),
    ("PUT", POLICY, {"require_reasons": False}, "require_reasons", "require_reason"),
]


@pytest.mark.parametrize(("verb", "place", "body", "sent", "meant"), _MISSPELT)
def test_a_misspelt_member_of_a_small_body_is_refused_with_the_name_that_was_meant(
    server: Server, verb: str, place: str, body: dict[str, Any], sent: str, meant: str
) -> None:
    organization = server.organization()
    with server.client(organization.admin) as client:
        url = f"{ASSISTANTS}/{client.post(ASSISTANTS, json={'name': 'One'}).json()['id']}"
        wish = {"filter": {}, "patch": {"description": "Two"}}
        set_id = client.post(CHANGE_SETS, json=wish).json()["change_set_id"]
        if place.endswith("restore"):
            client.delete(url)
        place = place.format(one=url, set=f"{CHANGE_SETS}/{set_id}")
        before = stored.rows(server.database, organization.id)
        answer = client.request(verb, place, json=body)
        assert places(answer) == [["body", sent]]
        (error,) = answer.json()["detail"]
        assert error["type"] == "extra_forbidden"
        assert error["msg"] == f"Unknown member; did you mean '{meant}'?"
        assert stored.rows(server.database, organization.id) == before
        # The control: as it was meant it is understood.
        body = {name: value for name, value in body.items() if name != sent} | {meant: body[sent]}
        assert client.request(verb, place, json=body).is_success


# -- paths


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", _WITH_AN_ID, ids=str)
def test_a_number_that_is_no_id_is_not_found(
    admin: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    for name in operation.parameters:
        below = "-9" if name == "version" else "-1"  # -1 is the version before the latest
        for number in ("0", below, "2147483648", "9007199254740993", "9" * 400):
            answer = operation.send(admin, ids | {name: number})
            assert answer.status_code == 404, number
            assert number[:100] in answer.json()["detail"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", _WITH_AN_ID, ids=str)
def test_what_is_no_number_is_no_id(
    admin: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    for text in _NO_ID:
        for name in operation.parameters:
            answer = operation.send(admin, ids | {name: text})
            assert places(answer) == [["path", name]], text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("operation", _WITH_AN_ID, ids=str)
def test_a_strange_path_is_a_refusal(
    admin: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    for text in ("9" * 5000, "1e400", "a" * 20_000):
        for name in operation.parameters:
            answer = operation.send(admin, ids | {name: text})
            assert answer.status_code in (404, 422)
            assert answer.json()["status"] == answer.status_code


@pytest.mark.usefixtures("unchanged")
def test_an_id_has_one_notation(admin: httpx.Client, path: str) -> None:
    for text in ("1e0", "10e-1", "0.1e1"):
        place = f"{ASSISTANTS}/{text}"
        assert places(admin.get(place)) == [["path", "assistant_id"]], text
        history = f"{path}/settings-history/{text}"
        assert places(admin.get(history)) == [["path", "version_id"]], text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "place",
    ["%2F", "%2f1", "..%2f1", "%2e%2e/1", "1/..", "//1", "1//", "1;x/", "1/settings-history//"],
)
def test_a_path_of_other_segments_is_read_or_refused(admin: httpx.Client, place: str) -> None:
    assert admin.get(f"{ASSISTANTS}/{place}").status_code in (200, 404, 405, 422)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "number", ["%00", "%FF", "a%20b", "%0D%0Ax:y", "%F0%9F%98%80", "x" * 20_000, "{}"]
)
def test_a_strange_phone_number_is_not_found(admin: httpx.Client, number: str) -> None:
    answer = admin.get(f"{ASSISTANTS}/by-phone/{number}")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("Assistant assigned to phone number ")


# -- queries


def _queries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every query parameter of every operation: verb, path and how it is described."""
    for path, verbs in application().openapi_schema.to_schema()["paths"].items():
        for verb, described in verbs.items():
            for parameter in described.get("parameters", ()):
                if parameter["in"] == "query":
                    yield verb.upper(), path, parameter


_QUERIES = list(_queries())


def wrong_values(schema: dict[str, Any]) -> list[str]:
    """Values that break what a parameter says of itself."""
    kinds = [one.get("type") for one in (schema.get("oneOf") or schema.get("anyOf") or [schema])]
    if "integer" in kinds:
        values = ["x", "", "1.5", "NaN", "1 2", "\x00", "9" * 400]
        values += [str(int(schema["minimum"]) - 1)] if "minimum" in schema else []
        return values + ([str(int(schema["maximum"]) + 1)] if "maximum" in schema else [])
    if "boolean" in kinds:
        return ["x", "", "2", "\x00", "null", "true\n"]
    if "pattern" in schema:
        values = ["x", "\x00", "csv ", "csv\n", "active\n", "json\r\nx-evil: 1"]
        return [value for value in values if not re.search(schema["pattern"], value)]
    if "date-time" in str(schema):
        return ["x", "yesterday", "2020-13-01T00:00:00Z", "2020-01-01T25:00:00Z", "\x00"]
    return []


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("verb", "path", "parameter"),
    [query for query in _QUERIES if wrong_values(query[2]["schema"])],
    ids=[f"{q[0]} {q[1]}?{q[2]['name']}" for q in _QUERIES if wrong_values(q[2]["schema"])],
)
def test_a_query_that_breaks_its_own_description_is_refused(
    admin: httpx.Client, ids: dict[str, Any], verb: str, path: str, parameter: dict[str, Any]
) -> None:
    name = parameter["name"]
    required = {
        one["name"]: "1"
        for other_verb, other, one in _QUERIES
        if (other_verb, other) == (verb, path) and one["required"]
    }
    for value in wrong_values(parameter["schema"]):
        answer = admin.request(verb, path.format(**ids), params=required | {name: value})
        assert places(answer) == [["query", name]], repr(value)


@pytest.mark.usefixtures("unchanged")
def test_every_broken_query_is_named_at_once(admin: httpx.Client) -> None:
    query = {"skip": "-1", "limit": "many", "active_only": "perhaps"}
    assert places(admin.get(ASSISTANTS, params=query)) == [
        ["query", "skip"],
        ["query", "limit"],
        ["query", "active_only"],
    ]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ("/export", "assistant_ids", "1,x"),
        ("/export", "assistant_ids", "1,,2"),
        ("/export", "assistant_ids", "-1"),
        ("/export", "assistant_ids", "\u0661"),
        ("/1/settings-history", "path", "llm_settings"),
        ("/1/settings-history", "cursor", ""),
        ("/1/settings-history", "cursor", "x"),
        ("/1/settings-history", "cursor", "v2"),
        ("/1/settings-history", "cursor", "djA"),
        ("/1/settings-history", "cursor", "dg" + "k5" * 3000),
        ("/1/settings-history", "cursor", "é"),
    ],
)
def test_a_query_that_means_nothing_is_refused(
    admin: httpx.Client, place: str, name: str, value: str
) -> None:
    answer = admin.get(f"{ASSISTANTS}{place}", params={name: value})
    assert places(answer) == [["query", name]]


_HOSTILE = [
    "%00", "%FF", "%ED%A0%80", "%0D%0Ax-evil:%201", "csv%0A", "active%0A", "%F0%9F%98%80",
    "%27%20OR%201%3D1--", "%25", "_", "%5C", "%2A%3F%5B", "{}", "1e400", "-1e18", "253402300800",
    "-99999999999", "0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "/~", "/~2",
    "9" * 5000, "a" * 50_001, quote("é" * 9000), ",".join(["1"] * 20_000),
]  # fmt: skip


@pytest.mark.usefixtures("unchanged_but_for_exports")
@pytest.mark.parametrize(
    ("verb", "path", "parameter"), _QUERIES, ids=[f"{q[0]} {q[1]}?{q[2]['name']}" for q in _QUERIES]
)
def test_no_query_breaks_the_server(
    admin: httpx.Client,
    spare: httpx.Client,
    ids: dict[str, Any],
    verb: str,
    path: str,
    parameter: dict[str, Any],
) -> None:
    client, about = admin, ids
    for value in _HOSTILE:
        if verb == "DELETE":  # it may be granted
            client, created = spare, spare.post(ASSISTANTS, json={"name": "Doomed"}).json()
            about = ids | {"assistant_id": created["id"]}
        url = f"{path.format(**about)}?{parameter['name']}={value}"
        answer = client.request(verb, url)
        assert answer.status_code < 500, value[:40]
        assert "x-evil" not in answer.headers
        # The control: the answer is one of ours.
        assert _REQUEST_ID.fullmatch(answer.headers["x-request-id"])


@pytest.mark.parametrize("query", ["", "&&&", "=", "%", "%zz=1", "?a=1", "limit", "a" * 60_000])
def test_a_query_that_names_nothing_is_ignored(admin: httpx.Client, query: str) -> None:
    answer = admin.get(f"{ASSISTANTS}?{query}")
    assert answer.status_code in (200, 422)
    assert answer.status_code == 200 or places(answer) == [["query", "limit"]]


@pytest.mark.usefixtures("ids")
def test_a_search_finds_only_what_it_says(admin: httpx.Client) -> None:
    for search, found in (("Front", 1), ("front", 1), ("%00", 0), ("Fr%25", 0), ("F_ont", 0)):
        answer = admin.get(f"{ASSISTANTS}/export?format=json&search={search}")
        shown = answer.json() if answer.status_code == 200 else []
        assert len([row for row in shown if row["id"] == 1]) == found, search


# -- headers


@pytest.mark.parametrize(
    "sent", ["a", "A-z_0.9:", "a" * 128, "01890c2e-7b5c-7c3e-9f00-8f6d7d0b1c2d"]
)
def test_a_request_id_is_echoed(admin: httpx.Client, sent: str) -> None:
    answer = admin.get(f"{ASSISTANTS}/count", headers={"x-request-id": sent})
    assert answer.headers.get_list("x-request-id") == [sent]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"a" * 129,
        b"a b",
        b"a\tb",
        b"a,b",
        b'a"b',
        b"a;b=c",
        b"\xc3\xa9",
        b"\xff",
        b"<a>",
        b"a%0Ab",
    ],
)
def test_a_request_id_that_is_not_plain_is_replaced(admin: httpx.Client, sent: bytes) -> None:
    answer = admin.get(f"{ASSISTANTS}/count", headers={"x-request-id": sent})  # type: ignore[arg-type]  # bytes are what must be sent
    assert answer.status_code == 200
    (given,) = answer.headers.get_list("x-request-id")
    assert _REQUEST_ID.fullmatch(given)
    assert given.encode() != sent


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    """A bare connection, for what no client library would send."""
    url = httpx.URL(server.url)
    assert url.port is not None
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        yield connection


def exchange(server: Server, request: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n ", b"\x00", b"\x0b", b"\x7f"])
def test_a_line_end_in_a_header_makes_no_header_of_ours(
    server: Server, organization: Organization, end: bytes
) -> None:
    answer = exchange(
        server,
        b"GET /api/v1/assistants/count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer " + organization.viewer.encode() + b"\r\n"
        b"X-Request-ID: a" + end + b"x-evil: 1\r\n\r\n",
    )
    assert re.match(rb"HTTP/1.1 (200|400) ", answer)
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"x-evil" not in head


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET",
        b"GET /x",
        b"BREW / HTTP/1.1",
        b"GET / HTTP/9.9",
        b"GET /\xff HTTP/1.1",
        b"\x16\x03\x01",
    ],
)
def test_what_is_no_http_is_turned_away(server: Server, request_line: bytes) -> None:
    answer = exchange(server, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert re.match(rb"HTTP/1.1 4\d\d ", answer)
    with server.client(None) as client:
        assert client.get("/health").status_code == 200


_NAMES = [
    "accept", "accept-encoding", "content-encoding", "cookie", "expect", "forwarded",
    "origin", "prefer", "range", "referer", "te", "user-agent",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-http-method-override",
]  # fmt: skip
_JUNK = (b"", b"x", b"\xff\xfe", b";;,=", b'"', b"*/*;q=x", b"DELETE", b"a" * 8000)
_NO_TAGS = (*_JUNK, b"7", b'w/"7"', b'"7" "8"', b'*, "7"', b'"7";', b",".join([b'"7"'] * 101))
_NO_HTTP_DATE = (*_JUNK, b"2026-03-01T09:00:00Z", b"Sun, 31 Feb 2026 09:00:00 GMT", b"1772355600")
_NO_KEY = (b"", b'"', b'""', b"\xff\xfe", b"\xc3\xa9", b'"a"b"', b'"a', b"a\tb", b"a" * 256)
_MALFORMED = {
    ("GET", "If-Match"): _NO_TAGS,
    ("PATCH", "If-Match"): _NO_TAGS,
    ("GET", "If-None-Match"): _NO_TAGS,
    ("PATCH", "If-None-Match"): _NO_TAGS,
    ("GET", "Accept-Datetime"): _NO_HTTP_DATE,
    ("PATCH", "Idempotency-Key"): _NO_KEY,
}
_WELL_FORMED = {
    "If-Match": b'"3", W/"9"',
    "If-None-Match": b'"4"',
    "Accept-Datetime": b"Thu, 01 Jan 2099 00:00:00 GMT",
    "Idempotency-Key": b'"a key"',
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", _NAMES)
def test_no_header_breaks_the_server_or_gets_around_its_rules(
    server: Server, admin: httpx.Client, path: str, name: str
) -> None:
    with server.client(None) as nobody:
        for value in _JUNK:
            headers: Any = {name: value}
            assert admin.get(path, headers=headers).status_code == 200
            assert admin.patch(path, json={}, headers=headers).status_code == 200
            assert nobody.get(path, headers=headers).status_code == 401


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("verb", "name"), _MALFORMED)
def test_a_header_that_is_read_and_means_nothing_is_refused(
    server: Server, admin: httpx.Client, path: str, verb: str, name: str
) -> None:
    body = msgspec.json.encode({"name": "Other"})
    with server.client(None) as nobody:
        for value in _MALFORMED[verb, name]:
            headers: Any = JSON | {name: value}
            answer = admin.request(verb, path, content=body, headers=headers)
            if name == "Accept-Datetime":
                assert answer.status_code == 400, value[:40]
            else:
                assert places(answer) == [["header", name]], value[:40]
            assert nobody.request(verb, path, content=body, headers=headers).status_code == 401


@pytest.mark.parametrize(("verb", "name"), _MALFORMED)
def test_a_header_that_means_something_is_no_obstacle(
    spare: httpx.Client, verb: str, name: str
) -> None:
    url = f"{ASSISTANTS}/{spare.post(ASSISTANTS, json={'name': 'Headers'}).json()['id']}"
    for number in (2, 3):
        spare.patch(url, json={"tts_limit": number})
    headers: Any = JSON | {name: _WELL_FORMED[name]}
    assert spare.request(verb, url, content=b'{"tts_limit":4}', headers=headers).is_success


@pytest.mark.parametrize(
    "value", [b"\xff", b"Bearer \xff", b"Bearer " + b"\xc3\xa9" * 20, b"Bearer " + b"a" * 60_000]
)
def test_no_authorization_breaks_the_server(server: Server, value: bytes) -> None:
    with server.client(None) as nobody:
        answer = nobody.get(ASSISTANTS, headers={"authorization": value})  # type: ignore[arg-type]  # bytes are what must be sent
    assert answer.status_code == 401
