"""A filter that is no JSON Pointer is refused at each door: it would find nothing, and say so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api import parameter_values
from events import pointers
from events.errors import InvalidSettings
from events.pointers import POINTER, POINTER_BELOW, is_pointer
from tests.conftest import ASSISTANTS
from tests.console import Browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

WRONG = ["x", "llm_settings", "name/", "~", "/~", "/~2", "/a~", "/a/~x/b", "\n", " /name", "#/name"]
RIGHT = ["/name", "/", "/llm_settings/top_p", "/a~1b~0c", "/Ü", "/a\n"]
TEXTS = st.text(st.sampled_from("/~01a \n#é"), max_size=8)


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.runtime) as client, server.client(tenant.admin) as admin:
        made = admin.post(ASSISTANTS, json={"name": "Front desk"}).json()
        assert made["id"] == 1
        admin.patch(f"{ASSISTANTS}/1", json={"name": "Reception"})
        client.headers["authorization"] = f"Bearer {tenant.admin}"
        yield client


@pytest.fixture(scope="module")
def doors(server: Server, tenant: Organization, boss: httpx.Client) -> Iterator[dict[str, Any]]:
    """Wherever a path chooses: what a request with it answers."""
    one = f"{ASSISTANTS}/1"
    reveal = {"authorization": f"Bearer {tenant.runtime}"}
    dry = {"dry_run": True, "version": 2}

    def chosen(path: str) -> httpx.Response:
        change_request = {"patch": {}, "filter": {"settings": {path: 1}}, "dry_run": True}
        return boss.post("/api/v1/change-sets", json=change_request)

    with Browser(server.url) as console:
        console.sign_in(tenant.admin)
        yield {
            "history": lambda p: boss.get(f"{one}/settings-history", params={"path": p}),
            "blame": lambda p: boss.get(f"{one}/blame", params={"path": p}),
            "export": lambda p: boss.get("/api/v1/audit/export", params={"path": p}),
            "undo": lambda p: boss.post(f"{one}/undo", json=dry | {"paths": [p]}),
            "rollback": lambda p: boss.post(
                f"{one}/rollback", json={"to_version": 1, "dry_run": True, "paths": [p]}
            ),
            "change set": chosen,
            "secrets": lambda p: boss.post(
                f"{one}/secrets/reveal", json={"paths": [p]}, headers=reveal
            ),
            "policy": lambda p: boss.put("/api/v1/policy", json={"admin_paths": [p]}),
            "JSON Patch": lambda p: boss.patch(
                f"{one}?dry_run=true",
                json=[{"op": "test", "path": p, "value": 1}],
                headers={"content-type": "application/json-patch+json"},
            ),
        }


_DOORS = (
    "history", "blame", "export", "undo", "rollback", "change set", "secrets", "policy",
    "JSON Patch",
)  # fmt: skip


def is_refused_as_no_pointer(answer: httpx.Response) -> bool:
    if answer.status_code != 422:
        return False
    if answer.headers["content-type"].startswith("text/html"):
        return "JSON Pointer" in answer.text
    return any(error["type"] == "json_pointer" for error in answer.json()["detail"])


@pytest.mark.parametrize("door", _DOORS)
def test_a_filter_that_is_no_pointer_is_refused_and_one_that_is_is_not(
    doors: dict[str, Any], door: str
) -> None:
    assert doors.keys() == set(_DOORS)
    for text in WRONG:
        assert is_refused_as_no_pointer(doors[door](text)), text
    for text in RIGHT:
        assert not is_refused_as_no_pointer(doors[door](text)), text


@pytest.mark.parametrize("door", ["history", "undo", "change set", "secrets"])
@settings(max_examples=25, deadline=None)
@given(text=TEXTS.filter(bool))
def test_whatever_the_filter_is(doors: dict[str, Any], door: str, text: str) -> None:
    assert is_refused_as_no_pointer(doors[door](text)) != is_pointer(text)


@pytest.mark.long
@pytest.mark.parametrize("door", _DOORS)
@settings(max_examples=1000, deadline=None)
@given(text=TEXTS.filter(bool))
def test_whatever_the_filter_is_a_thousand_times(
    doors: dict[str, Any], door: str, text: str
) -> None:
    """Run it with ``pytest tests/app/api/test_pointer_filters.py -m long``."""
    assert is_refused_as_no_pointer(doors[door](text)) != is_pointer(text)


def test_without_the_guard_such_a_filter_finds_nothing_and_says_nothing(
    doors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointers, "is_pointer", lambda _: True)
    answer = doors["change set"]("llm_settings")
    assert answer.status_code == 200
    assert answer.json()["plans"] == []


def test_what_the_command_reads_is_refused_too() -> None:
    for text in WRONG:
        with pytest.raises(InvalidSettings):
            parameter_values.pointer(text)
    assert [parameter_values.pointer(text) for text in RIGHT] == RIGHT


@settings(max_examples=300)
@given(text=TEXTS)
def test_a_pointer_is_what_can_be_split_and_joined_again(text: str) -> None:
    round_trip = pointers.join(pointers.split(text)) if text[:1] == "/" else ""
    assert is_pointer(text) == (round_trip == text)
    assert bool(re.search(POINTER_BELOW, text)) == (is_pointer(text) and text != "")
    assert bool(re.search(POINTER, text)) == is_pointer(text)
