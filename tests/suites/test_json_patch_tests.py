"""json-patch-tests over HTTP: each document is a member of an assistant's custom settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.suites.suite import SUITES, counts, refused

if TYPE_CHECKING:
    import httpx

SUITE = "json_patch_tests"
ASSISTANTS = "/api/v1/assistants"
JSON_PATCH = {"content-type": "application/json-patch+json"}


class Members(list[tuple[str, Any]]):
    """An object with all its members, those that stand twice included."""


def cases(name: str) -> dict[str, dict[str, Any]]:
    """The records of a file that are no comments; inside them, every member is kept."""
    records = json.loads((SUITES / SUITE / name).read_bytes(), object_pairs_hook=Members)
    return {
        f"{name} {number}": dict(record)
        for number, record in enumerate(records)
        if "patch" in dict(record)
    }


CASES = cases("spec_tests.json") | cases("tests.json")
REFUSED = refused(SUITE)
WRONG = [name for name, case in CASES.items() if "error" in case]
RIGHT = [name for name, case in CASES.items() if "error" not in case and name not in REFUSED]


def text_of(value: Any) -> str:
    """JSON with all members, in one order: what is equal as JSON is equal as text."""
    if isinstance(value, dict):
        return text_of(Members(value.items()))
    if isinstance(value, Members):
        members = sorted(f"{json.dumps(name)}:{text_of(inner)}" for name, inner in value)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


def patch_of(*names: str) -> str:
    """The operations of cases, each on the member that is the case's document."""
    return text_of([below(name, one) for name in names for one in CASES[name]["patch"]])


def below(name: str, operation: Members) -> Members:
    """The operation with its pointers from the member on; what is no pointer stays as it is."""
    return Members(
        (key, f"/custom_settings/{name}{value}" if is_pointer(key, value) else value)
        for key, value in operation
    )


def is_pointer(key: str, value: Any) -> bool:
    return key in ("path", "from") and isinstance(value, str) and value[:1] in ("", "/")


@pytest.fixture
def path(editor: httpx.Client) -> str:
    """An assistant whose custom settings are the documents."""
    documents = Members((name, case["doc"]) for name, case in CASES.items())
    body = text_of(Members([("name", "Documents"), ("custom_settings", documents)]))
    headers = {"content-type": "application/json"}
    answer = editor.post(ASSISTANTS, content=body, headers=headers)
    assert answer.status_code == 201
    return f"{ASSISTANTS}/{answer.json()['id']}"


def test_every_patch_that_the_suite_calls_right_makes_what_it_says(
    editor: httpx.Client, path: str
) -> None:
    answer = editor.patch(path, content=patch_of(*RIGHT), headers=JSON_PATCH)
    assert answer.status_code == 200, answer.text
    made = editor.get(path).json()["custom_settings"]
    for name in RIGHT:
        case = CASES[name]
        assert text_of(made[name]) == text_of(case.get("expected", case["doc"])), name


def test_every_patch_that_the_suite_calls_wrong_is_refused_and_changes_nothing(
    editor: httpx.Client, path: str
) -> None:
    before = editor.get(path).content
    for name in WRONG:
        answer = editor.patch(path, content=patch_of(name), headers=JSON_PATCH)
        assert answer.status_code in (409, 422), name
    assert editor.get(path).content == before


def test_every_patch_of_the_table_is_refused_of_an_assistant_itself(
    editor: httpx.Client, path: str
) -> None:
    for name in REFUSED:
        body = text_of(CASES[name]["patch"])
        answer = editor.patch(path, content=body, headers=JSON_PATCH)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["msg"] == REFUSED[name]


def test_control_another_result_would_be_noticed() -> None:
    assert text_of({"a": 1, "b": [True]}) == text_of({"b": [True], "a": 1})
    assert len({text_of(value) for value in (1, True, 1.0, "1", [1], {"1": 1}, None)}) == 7


def test_the_table_counts_the_cases() -> None:
    assert set(REFUSED) <= set(CASES)
    assert counts(SUITE) == (len(CASES), len(REFUSED))
