"""What is no body of ours is refused by name, and changes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from tests.app import stored
from tests.app.api.bad_input.answers import places
from tests.app.route_table import CHANGE_SETS, OPERATIONS, Operation
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Server

JSON = {"content-type": "application/json"}
MEBIBYTE = 1024 * 1024
PLAIN = "sk-live-do-not-show"
POLICY = "/api/v1/policy"
REASON = "change_description"
_WITH_A_BODY = [operation for operation in OPERATIONS if operation.body is not msgspec.UNSET]
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


def in_pieces(size: int) -> Iterator[bytes]:
    """A body of this many bytes whose length no header says."""
    yield b'{"name":"'
    for _ in range(size // 65536):
        yield b"a" * 65536
    yield b'"}'


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
        change_request = {"filter": {}, "patch": {"description": "Two"}}
        set_id = client.post(CHANGE_SETS, json=change_request).json()["change_set_id"]
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
