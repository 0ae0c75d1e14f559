"""The versions of an assistant: pages, who made each, deleted assistants, erased secrets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.answers import MASK, ok
from tests.app.assistants.versions.reads import diff, label, pages, versions
from tests.conftest import ASSISTANTS, Server, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6, 200])
def test_pages_cover_every_version_exactly_once(
    viewer: httpx.Client, told: str, limit: int
) -> None:
    found = list(pages(viewer, f"{told}/versions", limit=limit))
    assert [one["version"] for one in itertools.chain(*found)] == [5, 4, 3, 2, 1]
    assert all(len(page) == limit for page in found[:-1])
    assert len(found) == max(1, -(-5 // limit))


def test_pages_cover_the_past_while_new_versions_arrive(editor: httpx.Client, path: str) -> None:
    for number in range(6):
        editor.patch(path, json={"description": f"before {number}"})
    seen = []
    for page in pages(editor, f"{path}/versions", limit=2):
        seen += [one["version"] for one in page]
        editor.patch(path, json={"description": f"meanwhile {len(seen)}"})
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert versions(editor, path, limit=1)[0]["version"] == 11


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 201}, {"cursor": "nonsense"}, {"cursor": ""}]
)
def test_a_page_that_cannot_be_is_refused(
    viewer: httpx.Client, told: str, query: dict[str, Any]
) -> None:
    answer = viewer.get(f"{told}/versions", params=query)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", next(iter(query))]


def test_a_version_says_who_made_it_why_by_what_and_what_it_changed(
    editor: httpx.Client, path: str
) -> None:
    body = {"llm_settings": {"temperature": 0.2}, "description": "Answers calls"}
    changed = ok(editor.put(path, json=body | {"change_description": " Answers wander "}))
    me = ok(editor.get(f"{ASSISTANTS}/me/organization"))
    newest, creation = versions(editor, path)
    assert newest == {
        "version": 2,
        "label": None,
        "event": "AssistantSettingsChanged",
        "created_at": changed["updated_at"],
        "changed_by": {
            "user_id": me["user_id"],
            "email": "editor@example.com",
            "type": "api_key",
            "name": "editor key",
        },
        "change_description": "Answers wander",
        "cause": {"type": "put"},
        "changed_paths": ["/llm_settings/temperature", "/description"],
        "reverts": [],
        "reverted_by": [],
    }
    assert creation["version"] == 1


def test_the_creation_is_version_1_and_changes_every_path(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    (creation,) = versions(editor, path)
    assert creation["event"] == "AssistantCreated"
    assert creation["cause"] == {"type": "create"}
    assert creation["created_at"] == assistant["created_at"]
    assert {"/name", "/llm_settings/temperature", "/tts_settings/background_sound/volume"} <= set(
        creation["changed_paths"]
    )


def test_a_version_is_shown_with_the_assistant_as_it_was_after_it(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    states = [assistant]
    states += [ok(editor.patch(path, json={"name": f"Desk {n}"})) for n in range(3)]
    for entry, state in zip(versions(editor, path), reversed(states), strict=True):
        shown = ok(editor.get(f"{path}/versions/{entry['version']}"))
        assert shown == entry | {"assistant": state}
        assert ok(editor.get(path, params={"version": entry["version"]})) == state


def test_a_versions_tag_holds_until_there_is_more_to_say_of_it(
    editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"description": "Changed"})

    def get(tag: str = "") -> httpx.Response:
        return editor.get(f"{path}/versions/1", headers={"if-none-match": tag} if tag else {})

    tag = get().headers["etag"]
    editor.patch(path, json={"description": "Changed again"})
    again = get(tag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    label(editor, path, 1, "first")
    assert get(tag).status_code == 200
    assert get().headers["etag"] != tag


@pytest.mark.parametrize(
    ("place", "query"),
    [
        ("versions", {}),
        ("versions/1", {}),
        ("versions/latest", {}),
        ("diff", {"from": 1, "to": 2}),
        ("blame", {}),
        ("blame", {"path": "/name"}),
    ],
)
def test_the_past_of_a_deleted_assistant_is_for_admins_who_ask_for_it(
    admin: httpx.Client,
    editor: httpx.Client,
    viewer: httpx.Client,
    path: str,
    place: str,
    query: dict[str, Any],
) -> None:
    editor.patch(path, json={"name": "Last words"})
    place = f"{path}/{place}"
    living = ok(viewer.get(place, params=query))
    assert ok(admin.get(place, params=query | {"include_deleted": True})) == living
    editor.delete(path)
    for client in (admin, editor, viewer):
        assert client.get(place, params=query).status_code == 404
    for client in (editor, viewer):
        assert client.get(place, params=query | {"include_deleted": True}).status_code == 403
    assert ok(admin.get(place, params=query | {"include_deleted": True}))


def test_a_deletion_is_a_version(editor: httpx.Client, admin: httpx.Client, path: str) -> None:
    editor.delete(path, params={"change_description": "Closed"})
    deletion, creation = versions(admin, path, include_deleted=True)
    assert (deletion["version"], deletion["event"]) == (2, "AssistantDeleted")
    assert (deletion["cause"], deletion["changed_paths"]) == ({"type": "delete"}, [])
    assert deletion["change_description"] == "Closed"
    assert creation["version"] == 1


def test_a_past_versions_tag_changes_when_its_secrets_are_erased(
    editor: httpx.Client, admin: httpx.Client
) -> None:
    created = editor.post(ASSISTANTS, json={"name": "x", "api_keys": {"own": "sk-1"}}).json()
    path = f"{ASSISTANTS}/{created['id']}"
    editor.patch(path, json={"name": "y"})

    def get(tag: str) -> httpx.Response:
        return editor.get(path, params={"version": 1}, headers={"if-none-match": tag})

    tag = get('"none"').headers["etag"]
    shown = editor.get(f"{path}/versions/1").headers["etag"]
    assert get(tag).status_code == 304
    editor.patch(path, json={"name": "z"})
    assert get(tag).status_code == 304  # a later change changes nothing of it
    admin.delete(f"{path}/secrets")
    after = get(tag)
    assert after.status_code == 200
    assert after.headers["etag"] != tag
    assert after.json()["api_keys"] == {"own": "erased"}
    assert get(after.headers["etag"]).status_code == 304
    again = editor.get(f"{path}/versions/1", headers={"if-none-match": shown})
    assert ok(again)["assistant"]["api_keys"] == {"own": "erased"}
    # What came after the erasure has nothing that it took.
    assert version_of(editor.get(path, params={"version": "latest"})) == 4
    editor.patch(path, json={"api_keys": {"own": "sk-2"}})
    assert editor.get(path).json()["api_keys"] == {"own": MASK}
    _, entry = diff(editor, path, 1, 5)
    assert (entry["path"], entry["before"], entry["after"]) == ("/api_keys/own", "erased", MASK)


@pytest.fixture(scope="module")
def foreign(server: Server) -> Iterator[httpx.Client]:
    with server.client(server.organization().admin) as client:
        yield client


@pytest.mark.parametrize(
    ("verb", "place", "options"),
    [
        ("GET", "/versions", {}),
        ("GET", "/versions", {"params": {"include_deleted": True}}),
        ("GET", "/versions/1", {}),
        ("GET", "/versions/label:good", {}),
        ("GET", "/versions/1", {"params": {"include_deleted": True}}),
        ("PUT", "/versions/1/label", {"json": {"label": "mine"}}),
        ("DELETE", "/versions/3/label", {}),
        ("GET", "/diff", {"params": {"from": 1, "to": 2}}),
        ("GET", "/diff", {"params": {"from": 1, "to": 2, "include_deleted": True}}),
        ("GET", "/blame", {}),
        ("GET", "/blame", {"params": {"path": "/name", "include_deleted": True}}),
        ("GET", "", {"params": {"version": "1"}}),
        ("GET", "", {"params": {"version": "label:good"}}),
        ("GET", "", {"params": {"as_of": "2999-01-01T00:00:00Z"}}),
        ("POST", "/undo", {"json": {"version": 2}}),
        ("POST", "/rollback", {"json": {"to_version": 1}}),
        ("POST", "/rollback", {"json": {"to_label": "good", "dry_run": True}}),
        ("POST", "/restore", {}),
    ],
)
def test_another_organizations_versions_answer_like_those_of_no_assistant(
    foreign: httpx.Client, told: str, verb: str, place: str, options: dict[str, Any]
) -> None:
    answer = foreign.request(verb, f"{told}{place}", **options)
    missing = foreign.request(verb, f"{ASSISTANTS}/99999{place}", **options)
    told_id = told.rpartition("/")[2]
    assert answer.status_code == missing.status_code == 404
    assert answer.text == missing.text.replace("99999", told_id)


def test_a_change_of_very_many_paths_is_told_in_short(editor: httpx.Client) -> None:
    path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json={'name': 'Front desk'}).json()['id']}"
    for value in ("theirs", "again"):
        many = {"custom_settings": {f"n{number}": value for number in range(3000)}}
        assert editor.patch(path, json=many).is_success
    (newest, *_) = editor.get(f"{path}/versions?limit=1").json()
    assert (len(newest["changed_paths"]), newest["more_paths"]) == (1000, 2000)
    mine = {"custom_settings": {f"n{number}": "yours" for number in range(3000)}}
    refused = editor.patch(path, json=mine | {"base_version": 2})
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("3000 of the paths")
    assert len(refused.json()["conflicts"]) == 100
    assert len(refused.content) < 100_000
    for conflict in refused.json()["conflicts"]:
        assert conflict["changed_by"]["paths"] == [conflict["path"]]
        assert conflict["changed_by"]["version"] == 3
