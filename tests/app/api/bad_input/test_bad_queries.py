"""A query that breaks its description is refused by name; none breaks the server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from tests.app.api.bad_input.answers import REQUEST_ID, places
from tests.app.route_table import DESCRIBED
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator


def _queries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every query parameter of every operation: verb, path and how it is described."""
    for path, verbs in DESCRIBED.items():
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
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
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
    every: int,
) -> None:
    """Each parameter with some of the values; with all of them with
    ``pytest -m long tests/app/api/bad_input/test_bad_queries.py``.
    """
    client, about = admin, ids
    for value in _HOSTILE[_QUERIES.index((verb, path, parameter)) % every :: every]:
        if verb == "DELETE":  # it may be granted
            client, created = spare, spare.post(ASSISTANTS, json={"name": "Doomed"}).json()
            about = ids | {"assistant_id": created["id"]}
        url = f"{path.format(**about)}?{parameter['name']}={value}"
        answer = client.request(verb, url)
        assert answer.status_code < 500, value[:40]
        assert "x-evil" not in answer.headers
        # The control: the answer is one of ours.
        assert REQUEST_ID.fullmatch(answer.headers["x-request-id"])


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
