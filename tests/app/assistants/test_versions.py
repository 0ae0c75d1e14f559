"""The versions of an assistant over HTTP: named, compared, blamed, and read as they were."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import jsonpatch
import msgspec
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from app.main import create_app
from app.services import utc_now
from tests.app import stored
from tests.conftest import ASSISTANTS, Organization, Server, make_organizations, version_of
from tests.databases import config_of
from tests.no_tls import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUDIT = "/api/v1/audit"
JSON_PATCH = "application/json-patch+json"
MASK = "********"
PROMPT = "You are the receptionist of the Hotel Seeblick. Answer in one sentence, be kind to all."
_NEXT = re.compile(r'<([^>]+)>; rel="next"')

Place = Callable[[httpx.Client, str, Any], httpx.Response]


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture(scope="module")
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


@pytest.fixture(scope="module")
def viewer(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.viewer) as client:
        yield client


@pytest.fixture
def path(assistant: dict[str, Any]) -> str:
    return f"{ASSISTANTS}/{assistant['id']}"


@pytest.fixture(scope="module")
def told(server: Server, organization: Organization, editor: httpx.Client) -> str:
    """An assistant that the tests only read: each of its versions 2 to 5 changed another path."""
    with server.client(organization.admin) as admin:
        created = editor.post(ASSISTANTS, json={"name": "Told", "api_keys": {"own": "k1"}}).json()
        place = f"{ASSISTANTS}/{created['id']}"
        editor.patch(place, json={"description": "First", "change_description": "Said so"})
        admin.patch(place, json={"llm_settings": {"temperature": 0.3}})
        editor.patch(place, json={"stt_settings": {"keyterms": ["Seeblick"]}})
        editor.patch(place, json={"idle_message": None})
        editor.put(f"{place}/versions/3/label", json={"label": "good"})
    return place


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def versions(client: httpx.Client, place: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(client.get(f"{place}/versions", params=query))
    return found


def pages(client: httpx.Client, url: str, **query: Any) -> Iterator[list[Any]]:
    """The pages of a list, following ``Link`` to the end."""
    following = str(httpx.URL(url, params=query))
    while following:
        answer = client.get(following)
        yield ok(answer)
        link = _NEXT.fullmatch(answer.headers.get("link", ""))
        following = link[1] if link else ""


def label(client: httpx.Client, place: str, version: int | str, name: Any) -> httpx.Response:
    return client.put(f"{place}/versions/{version}/label", json={"label": name})


def version_at(place: str, version: Any) -> str:
    return f"{place}/versions/{quote(str(version), safe='')}"


# -- the list


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


# -- naming a version: numbers, counting back, labels

PLACES: dict[str, Place] = {
    "query.version": lambda c, p, r: c.get(p, params={"version": r}),
    "path.version": lambda c, p, r: c.get(version_at(p, r)),
    "query.from": lambda c, p, r: c.get(f"{p}/diff", params={"from": r, "to": 1}),
    "query.to": lambda c, p, r: c.get(f"{p}/diff", params={"from": 1, "to": r}),
    "query.version of blame": lambda c, p, r: c.get(f"{p}/blame", params={"version": r}),
    "query.version of a path's blame": lambda c, p, r: c.get(
        f"{p}/blame", params={"version": r, "path": "/name"}
    ),
    "body.version": lambda c, p, r: c.post(f"{p}/undo", json={"version": r, "dry_run": True}),
    "body.to_version": lambda c, p, r: c.post(
        f"{p}/rollback", json={"to_version": r, "dry_run": True}
    ),
    "body.base_version": lambda c, p, r: c.patch(
        p, json={"name": "New", "base_version": r, "dry_run": True}
    ),
    "query.base_version": lambda c, p, r: c.patch(
        p, params={"base_version": r, "dry_run": True}, json={"name": "New"}
    ),
}
_ALL_PLACES = pytest.mark.parametrize("place", PLACES)


@_ALL_PLACES
@pytest.mark.parametrize(
    ("reference", "number"), [("latest", 5), ("-1", 4), ("-2", 3), ("label:good", 3), ("02", 2)]
)
def test_a_version_may_be_named_in_any_way_wherever_one_is_taken(
    editor: httpx.Client, told: str, place: str, reference: str, number: int
) -> None:
    ask = PLACES[place]
    answers = {n: ask(editor, told, n) for n in range(2, 6)}
    assert ok(ask(editor, told, reference)) == ok(answers[number])
    if "path's" not in place:  # its name was never changed: each version tells the same of it
        assert len({answer.content for answer in answers.values()}) == 4


@_ALL_PLACES
@pytest.mark.parametrize(
    "reference",
    ["0", "6", "-5", "-0", "9" * 15, "9" * 99, "label:", "label:bad", "label:Good", "label:3"],
)
def test_a_version_that_there_is_not_is_not_found(
    editor: httpx.Client, told: str, place: str, reference: str
) -> None:
    answer = PLACES[place](editor, told, reference)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:backstory:problem:version-not-found"
    assert answer.json()["detail"].startswith(f"Version {reference} not found")


@_ALL_PLACES
@pytest.mark.parametrize(
    "reference", ["seven", "1.5", "LATEST", "label", "--1", "+1", "1 2", "\u0663"]
)
def test_nonsense_for_a_version_is_refused_by_its_place(
    editor: httpx.Client, told: str, place: str, reference: str
) -> None:
    answer = PLACES[place](editor, told, reference)
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert error["loc"] == place.partition(" ")[0].split(".")
    assert error["type"] == "version"


def test_a_label_is_unknown_to_other_assistants(editor: httpx.Client, told: str, path: str) -> None:
    assert ok(editor.get(told, params={"version": "label:good"}))["version"] == 3
    assert editor.get(path, params={"version": "label:good"}).status_code == 404


# -- labels


def test_a_label_is_shown_with_its_version_alone(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"description": "Changed"})
    answer = label(editor, path, 1, "before-launch")
    assert ok(answer)["message"] == "Version 1 is labelled before-launch"
    assert [one["label"] for one in versions(editor, path)] == [None, "before-launch"]
    assert ok(editor.get(f"{path}/versions/1"))["label"] == "before-launch"


@pytest.mark.parametrize("reference", ["latest", "-1", "2", "label:old name"])
def test_a_version_is_labelled_by_any_of_its_names(
    editor: httpx.Client, path: str, reference: str
) -> None:
    for number in range(2, 4):
        editor.patch(path, json={"description": f"{number}"})
    label(editor, path, 3, "old name")
    labelled = {"latest": 3, "-1": 2, "2": 2, "label:old name": 3}[reference]
    assert ok(label(editor, path, quote(reference), "new"))["message"].startswith(
        f"Version {labelled} "
    )
    assert ok(editor.get(path, params={"version": "label:new"}))["version"] == labelled


@pytest.mark.parametrize(
    "name",
    [
        "v1",
        "x" * 80,
        "Größe 7 ✓",
        "latest",
        "-1",
        "7",
        "label:x",
        "a b",
        "50% & more?",
        "👩\u200d🚀",
    ],
)
def test_what_is_printable_may_be_a_label(editor: httpx.Client, path: str, name: str) -> None:
    assert label(editor, path, 1, f" {name} " if len(name) < 79 else name).status_code == 200
    assert versions(editor, path)[0]["label"] == name
    assert ok(editor.get(version_at(path, f"label:{name}")))["label"] == name
    answer = editor.post(f"{path}/rollback", json={"to_label": name, "dry_run": True})
    assert ok(answer)["version"] == 1


def test_a_label_is_found_however_it_is_composed(editor: httpx.Client, path: str) -> None:
    assert label(editor, path, 1, "café").status_code == 200
    for spelled in ("café", "cafe\u0301"):
        assert ok(editor.get(version_at(path, f"label:{spelled}")))["label"] == "café"
    assert editor.get(version_at(path, "label:CAFÉ")).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "\u00a0", "x" * 81, "a/b", "a\tb", "a\nb", "a\u200bb", "\ue000", None, 5, [],
        "\u202egnp", "a\u200db", "\u3164", "a\ufe0f", "\u00ada", "cafe\u0301",
    ],
)  # fmt: skip
def test_what_cannot_be_a_label_is_refused(
    server: Server, organization: Organization, editor: httpx.Client, path: str, name: Any
) -> None:
    before = stored.rows(server.database, organization.id)
    answer = label(editor, path, 1, name)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "label"]
    assert stored.rows(server.database, organization.id) == before


def test_a_label_that_another_version_has_is_a_conflict_which_names_that_version(
    server: Server, organization: Organization, editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"description": "Changed"})
    label(editor, path, 1, "good")
    before = stored.rows(server.database, organization.id)
    answer = label(editor, path, 2, "good")
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:backstory:problem:label-taken"
    assert answer.json()["version"] == 1
    assert stored.rows(server.database, organization.id) == before
    # The control: another name is free, and so is this one on another assistant.
    assert label(editor, path, 2, "better").status_code == 200
    other = ok(editor.patch(path, json={}))["id"] + 1
    assert editor.post(ASSISTANTS, json={"name": "Other"}).json()["id"] == other
    assert label(editor, f"{ASSISTANTS}/{other}", 1, "good").status_code == 200


def test_a_version_has_one_label_and_a_new_one_frees_the_old(
    editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"description": "Changed"})
    label(editor, path, 1, "good")
    label(editor, path, 1, "fine")
    assert versions(editor, path)[1]["label"] == "fine"
    assert editor.get(path, params={"version": "label:good"}).status_code == 404
    assert label(editor, path, 2, "good").status_code == 200
    assert ok(editor.get(path, params={"version": "label:good"}))["version"] == 2


def test_a_label_is_taken_away_and_free_again(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"description": "Changed"})
    label(editor, path, 1, "good")
    answer = editor.delete(f"{path}/versions/label:good/label")
    assert ok(answer)["message"] == "Version 1 has no label"
    assert [one["label"] for one in versions(editor, path)] == [None, None]
    assert editor.delete(f"{path}/versions/label:good/label").status_code == 404
    assert label(editor, path, 2, "good").status_code == 200


def test_a_label_changes_no_state_no_version_and_no_tag(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    before = editor.get(path)
    for name in ("one", "two"):
        label(editor, path, 1, name)
        after = editor.get(path)
        assert after.json() == assistant
        assert after.headers["etag"] == before.headers["etag"]
        assert version_of(after) == 1
    assert len(versions(editor, path)) == 1
    assert ok(editor.get(f"{path}/settings-history")) == []
    changed = editor.patch(path, json={"name": "New"}, headers={"if-match": '"1"'})
    assert ok(changed)["version"] == 2


def test_the_same_label_again_or_none_where_none_is_records_nothing(
    server: Server, organization: Organization, editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"description": "Changed"})
    label(editor, path, 1, "good")
    before = stored.rows(server.database, organization.id)
    assert label(editor, path, 1, "good").status_code == 200
    assert editor.delete(f"{path}/versions/2/label").status_code == 200
    assert stored.rows(server.database, organization.id) == before


def test_labels_are_events_of_the_log_and_of_its_export(
    editor: httpx.Client, admin: httpx.Client, path: str
) -> None:
    assistant_id = int(path.rpartition("/")[2])
    place = f"{path}/versions/1/label"
    editor.put(place, json={"label": "good", "change_description": " Tried on calls "})
    admin.delete(place, params={"change_description": "Not so good"})
    query: dict[str, Any] = {"event_type": "version_labelled", "assistant_id": assistant_id}
    logs = ok(admin.get(f"{AUDIT}/logs", params={"event_type": "version_labelled"}))["logs"]
    removed, given = (one for one in logs if one["resource_id"] == str(assistant_id))
    assert (given["resource_type"], given["action"]) == ("assistant", "label")
    assert (given["user_email"], removed["user_email"]) == (
        "editor@example.com",
        "admin@example.com",
    )
    assert given["details"].items() >= {
        ("labelled_version", 1),
        ("label", "good"),
        ("reason", "Tried on calls"),
    }
    assert removed["details"]["reason"] == "Not so good"
    assert "label" not in removed["details"]
    exported = admin.get(f"{AUDIT}/export", params=query).text.splitlines()
    events = [msgspec.json.decode(line) for line in exported]
    found = [one["event"] for one in events if "event" in one]
    assert [(one["type"], one["labelled_version"], one["label"]) for one in found] == [
        ("version_labelled.v1", 1, "good"),
        ("version_labelled.v1", 1, None),
    ]


def test_a_viewer_names_no_version(viewer: httpx.Client, told: str) -> None:
    assert label(viewer, told, 1, "mine").status_code == 403
    assert viewer.delete(f"{told}/versions/3/label").status_code == 403
    assert [one["label"] for one in versions(viewer, told)].count("good") == 1


def test_labels_of_a_deleted_assistant_rest_until_it_is_restored(
    editor: httpx.Client, admin: httpx.Client, path: str
) -> None:
    label(editor, path, 1, "good")
    editor.delete(path)
    for answer in (label(editor, path, 1, "x"), editor.delete(f"{path}/versions/1/label")):
        assert answer.status_code == 404
    found = versions(admin, path, include_deleted=True)
    assert [one["label"] for one in found] == [None, "good"]
    shown = admin.get(version_at(path, "label:good"), params={"include_deleted": True})
    assert ok(shown)["version"] == 1
    editor.post(f"{path}/restore")
    assert ok(editor.get(path, params={"version": "label:good"}))["version"] == 1
    assert label(editor, path, 1, "better").status_code == 200


# -- differences


def diff(client: httpx.Client, place: str, older: Any, newer: Any, **query: Any) -> Any:
    return ok(client.get(f"{place}/diff", params={"from": older, "to": newer} | query))


@pytest.fixture
def edited(editor: httpx.Client) -> str:
    """Three changes of one free-form map: a value, a removal and an addition."""
    body = {"name": "Edited", "llm_provider_config": {"custom_config": {"a": 1, "b": 2}}}
    path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json=body).json()['id']}"
    for change in ({"a": 3}, {"b": None, "c": [1]}, {"c": [1, 2]}):
        editor.patch(path, json={"llm_provider_config": {"custom_config": change}})
    return path


def test_a_difference_names_each_path_both_sides_and_the_versions_that_changed_it(
    editor: httpx.Client, edited: str
) -> None:
    config = "/llm_provider_config/custom_config"
    assert diff(editor, edited, 1, 4) == [
        {"path": f"{config}/a", "op": "replace", "before": 1, "after": 3, "changed_by": [2]},
        {"path": f"{config}/b", "op": "remove", "before": 2, "changed_by": [3]},
        {"path": f"{config}/c", "op": "add", "after": [1, 2], "changed_by": [4, 3]},
    ]


def test_a_difference_without_who_made_it_is_the_same_otherwise(
    editor: httpx.Client, edited: str
) -> None:
    whole = diff(editor, edited, 1, 4)
    assert all(one.pop("changed_by") for one in whole)
    assert diff(editor, edited, 1, 4, changed_by=False) == whole


def test_a_difference_read_backwards_swaps_the_sides(editor: httpx.Client, edited: str) -> None:
    config = "/llm_provider_config/custom_config"
    assert diff(editor, edited, 4, 1) == [
        {"path": f"{config}/a", "op": "replace", "before": 3, "after": 1, "changed_by": [2]},
        {"path": f"{config}/c", "op": "remove", "before": [1, 2], "changed_by": [4, 3]},
        {"path": f"{config}/b", "op": "add", "after": 2, "changed_by": [3]},
    ]


def test_null_is_a_value_of_a_difference(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"description": "Said", "idle_message": None})
    (said, idle) = diff(editor, path, 1, 2)
    assert (said["op"], said["before"], said["after"]) == ("replace", None, "Said")
    assert (idle["op"], idle["after"]) == ("replace", None)


@pytest.mark.parametrize("accept", ["application/json", JSON_PATCH])
def test_a_version_does_not_differ_from_itself(
    editor: httpx.Client, edited: str, accept: str
) -> None:
    for end in ("1", "latest"):
        query = {"from": end, "to": end}
        answer = editor.get(f"{edited}/diff", params=query, headers={"accept": accept})
        assert ok(answer) == []


def test_what_was_changed_and_changed_back_is_no_difference(
    editor: httpx.Client, path: str
) -> None:
    for text in ("There", None):
        editor.patch(path, json={"description": text})
    assert diff(editor, path, 1, 3) == []
    assert len(diff(editor, path, 1, 2)) == 1


def test_a_value_that_came_with_what_it_is_in_names_both_versions(
    editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "a"}}})
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "b"}}})
    (entry,) = diff(editor, path, 1, 3)
    assert (entry["path"], entry["changed_by"]) == ("/stt_settings/flux_config", [3, 2])


@pytest.mark.parametrize(
    ("query", "missing"), [({}, "from"), ({"to": "1"}, "from"), ({"from": "1"}, "to")]
)
def test_a_difference_needs_both_ends(
    editor: httpx.Client, told: str, query: dict[str, str], missing: str
) -> None:
    answer = editor.get(f"{told}/diff", params=query)
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert (error["loc"], error["type"]) == (["query", missing], "missing")


def test_secrets_are_compared_but_never_shown(editor: httpx.Client, path: str) -> None:
    for value in ("sk-one", "sk-two", None):
        editor.patch(
            path, json={"llm_provider_config": {"api_key": value}, "description": f"{value}"}
        )
    place = "/llm_provider_config/api_key"

    def secret(older: int, newer: int) -> Any:
        return [one for one in diff(editor, path, older, newer) if one["path"] == place]

    replaced = {"path": place, "op": "replace"}
    assert secret(1, 2) == [replaced | {"before": None, "after": MASK, "changed_by": [2]}]
    assert secret(2, 3) == [replaced | {"before": MASK, "after": MASK, "changed_by": [3]}]
    assert secret(3, 4) == [replaced | {"before": MASK, "after": None, "changed_by": [4]}]
    assert secret(1, 4) == []


def test_long_texts_are_compared_word_by_word_on_demand(editor: httpx.Client, path: str) -> None:
    other = PROMPT.replace("one sentence", "two short sentences").replace(" to all", "")
    for text in (PROMPT, other):
        editor.patch(path, json={"llm_settings": {"system_prompt": text}, "name": text[:20]})
    editor.patch(path, json={"name": "Short"})
    name, prompt = diff(editor, path, 2, 4, words=True)
    assert "words" not in name
    hunks = prompt["words"]
    assert "".join(h["text"] for h in hunks if h["op"] != "insert") == PROMPT
    assert "".join(h["text"] for h in hunks if h["op"] != "delete") == other
    assert {"op": "delete", "text": " to all"} in hunks
    assert all("words" not in entry for entry in diff(editor, path, 2, 4))


@pytest.mark.parametrize(("older", "newer"), [(1, 4), (4, 1), (2, 3), (3, 2)])
def test_as_json_patch_a_difference_turns_one_version_into_the_other(
    editor: httpx.Client, edited: str, older: int, newer: int
) -> None:
    query = {"from": older, "to": newer, "words": True}
    answer = editor.get(f"{edited}/diff", params=query, headers={"accept": JSON_PATCH})
    assert answer.headers["content-type"] == JSON_PATCH
    assert "Accept" in answer.headers["vary"].split(", ")
    steps = ok(answer)
    assert {tuple(step) for step in steps} <= {("op", "path", "value"), ("op", "path")}
    then = {"version", "updated_at"}
    one, other = (
        {name: value for name, value in shown.items() if name not in then}
        for shown in (ok(editor.get(edited, params={"version": end})) for end in (older, newer))
    )
    assert jsonpatch.apply_patch(one, steps) == other


def test_without_asking_for_a_json_patch_one_gets_the_difference(
    editor: httpx.Client, edited: str
) -> None:
    answer = editor.get(f"{edited}/diff?from=1&to=2")
    assert answer.headers["content-type"] == "application/json"
    assert "Accept" in answer.headers["vary"].split(", ")


# -- blame


def blame(client: httpx.Client, place: str, **query: Any) -> Any:
    return ok(client.get(f"{place}/blame", params=query))


def leaves(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {
            path: leaf
            for name, member in value.items()
            for path, leaf in leaves(member, f"{at}/{name}").items()
        }
    return {at: value}


def test_every_path_has_its_value_and_whoever_set_it(viewer: httpx.Client, told: str) -> None:
    found = {one["path"]: one for one in blame(viewer, told)}
    shown = leaves(ok(viewer.get(told)))
    assert {path: one["value"] for path, one in found.items()} == {
        path: value for path, value in shown.items() if path in found
    }
    assert set(shown) - set(found) == {
        "/id", "/organization_id", "/user_id", "/created_at", "/updated_at", "/version",
        "/total_calls", "/avg_call_duration", "/success_rate",
    }  # fmt: skip
    changes = {one["version"]: one for one in versions(viewer, told)}
    set_by = {path: one["changed_by"] for path, one in found.items()}
    assert {path: said["version"] for path, said in set_by.items() if said["version"] > 1} == {
        "/description": 2,
        "/llm_settings/temperature": 3,
        "/stt_settings/keyterms": 4,
        "/idle_message": 5,
    }
    for path, said in set_by.items():
        entry = changes[said["version"]]
        assert said == {
            "version": entry["version"],
            "actor": {
                "type": "api_key",
                "id": 3 if entry["version"] == 3 else 2,
                "name": entry["changed_by"]["name"],
                "user_id": entry["changed_by"]["user_id"],
            },
            "reason": entry["change_description"],
            "created_at": entry["created_at"],
            "paths": [path],
        }
    assert set_by["/description"]["reason"] == "Said so"
    assert set_by["/llm_settings/temperature"]["actor"]["name"] == "admin key"
    assert found["/api_keys/own"]["value"] == MASK


def test_what_was_removed_is_blamed_without_a_value(editor: httpx.Client, edited: str) -> None:
    config = "/llm_provider_config/custom_config"
    found = {
        one["path"]: (one["changed_by"]["version"], one.get("value", "nothing"))
        for one in blame(editor, edited)
        if one["path"].startswith(config)
    }
    assert found == {
        f"{config}/a": (2, 3),
        f"{config}/b": (3, "nothing"),
        f"{config}/c": (4, [1, 2]),
    }


def test_blame_of_a_past_version_is_what_it_was_then(editor: httpx.Client, path: str) -> None:
    then = [blame(editor, path)]
    for number in range(4):
        editor.patch(
            path,
            json={
                "description": f"{number}",
                "llm_provider_config": {"custom_config": {f"k{number}": 1, f"k{number - 1}": None}},
            },
        )
        then.append(blame(editor, path))
    for version, found in enumerate(then, 1):
        assert blame(editor, path, version=version) == found
    assert len({msgspec.json.encode(found) for found in then}) == 5


def test_a_path_is_told_with_all_of_its_changes_newest_first(
    editor: httpx.Client, path: str
) -> None:
    for number in range(5):
        editor.patch(path, json={"llm_settings": {"temperature": number / 10}})
        editor.patch(path, json={"llm_settings": {"max_tokens": number}})
    for limit in (1, 2, 6, 200):
        found = list(pages(editor, f"{path}/blame", path="/llm_settings/temperature", limit=limit))
        told = list(itertools.chain(*found))
        # Version 1, the creation, set it first; the last of the changes is version 10.
        assert [one["changed_by"]["version"] for one in told] == [10, 8, 6, 4, 2, 1]
        assert len(found) == -(-6 // limit)
    values = [[(c.get("before"), c["after"]) for c in one["changes"]] for one in told]
    assert values == [
        [(0.3, 0.4)], [(0.2, 0.3)], [(0.1, 0.2)], [(0.0, 0.1)], [(0.5, 0.0)], [(None, 0.5)],
    ]  # fmt: skip
    assert all("value" not in one for one in told)


def test_a_paths_changes_are_those_at_below_and_above_it(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "a"}}})
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "b"}}})
    editor.patch(path, json={"stt_settings": {"flux_config": None}})
    editor.patch(path, json={"stt_settings": {"model": "nova-3"}})
    told = {
        wanted: [one["changed_by"]["version"] for one in blame(editor, path, path=wanted)]
        for wanted in ("/stt_settings", "/stt_settings/flux_config/tag", "/stt_settings/flux")
    }
    assert told == {
        "/stt_settings": [5, 4, 3, 2, 1],
        "/stt_settings/flux_config/tag": [4, 3, 2, 1],
        "/stt_settings/flux": [],
    }
    versions = blame(editor, path, path="/stt_settings/flux_config", version=3)
    assert [one["changed_by"]["version"] for one in versions] == [3, 2, 1]


def test_a_path_is_a_pointer(viewer: httpx.Client, told: str) -> None:
    answer = viewer.get(f"{told}/blame", params={"path": "name"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "path"]


def test_a_paths_changes_show_no_secret(editor: httpx.Client, path: str) -> None:
    for value in ("sk-one", "sk-two"):
        editor.patch(path, json={"api_keys": {"own": value}})
    answer = editor.get(f"{path}/blame", params={"path": "/api_keys/own"})
    assert [one["changes"] for one in ok(answer)] == [
        [{"path": "/api_keys/own", "before": MASK, "after": MASK}],
        [{"path": "/api_keys", "before": None, "after": {"own": MASK}}],
        [{"path": "/api_keys", "after": None}],
    ]
    assert "sk-" not in answer.text


# -- deleted assistants


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


# -- erased secrets


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


# -- as it was at a moment


class Clock:
    """A server's clock that stands until the test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def serving_at(database: Path, clock: Clock) -> Iterator[str]:
    config = config_of(database)
    app: Any = create_app(config, clock)
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()


class Past:
    """A server whose assistants lived through some days, one change a day at noon."""

    def __init__(self, url: str, clock: Clock, organization: Organization) -> None:
        self.clock = clock
        self.first = clock.now
        self.editor = self._client(url, organization.editor)
        self.admin = self._client(url, organization.admin)
        self.viewer = self._client(url, organization.viewer)

    @staticmethod
    def _client(url: str, token: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=url, headers=headers, timeout=30, verify=NO_TLS)

    def day(self, number: float) -> datetime:
        return self.first + timedelta(days=number)

    def text(self, number: float) -> str:
        return self.day(number).isoformat()

    def http_date(self, number: float) -> str:
        return f"{self.day(number):%a, %d %b %Y %H:%M:%S} GMT"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """Day 1: Anna. 2: Ben, by an admin, inactive. 3: Anna is renamed. 4: Anna is deleted.

    5: Ben is active. 6: Anna is restored. 7: Cleo.
    """
    database = tmp_path_factory.mktemp("past") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    noon = (utc_now() + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=250)
    clock = Clock(noon)
    with serving_at(database, clock) as url:
        one = Past(url, clock, organization)
        anna, ben = f"{ASSISTANTS}/1", f"{ASSISTANTS}/2"
        steps: list[Callable[[], httpx.Response]] = [
            lambda: one.editor.post(ASSISTANTS, json={"name": "Anna"}),
            lambda: one.admin.post(ASSISTANTS, json={"name": "Ben", "is_active": False}),
            lambda: one.editor.patch(anna, json={"name": "Anna B."}),
            lambda: one.editor.delete(anna),
            lambda: one.editor.patch(f"{ben}/status?is_active=true"),
            lambda: one.editor.post(f"{anna}/restore"),
            lambda: one.editor.post(ASSISTANTS, json={"name": "Cleo"}),
        ]
        for number, step in enumerate(steps, 1):
            clock.now = one.day(number)
            assert step().is_success
        yield one
        for client in (one.editor, one.admin, one.viewer):
            client.close()


ANNA = f"{ASSISTANTS}/1"


@pytest.mark.parametrize(
    ("day", "version"),
    [(1, 1), (1.5, 1), (2.999, 1), (3, 2), (3.5, 2), (6, 4), (6.5, 4), (900, 4)],
)
def test_an_assistant_is_read_as_it_was_at_a_moment(past: Past, day: float, version: int) -> None:
    answer = past.viewer.get(ANNA, params={"as_of": past.text(day)})
    assert ok(answer)["version"] == version
    by_number = past.viewer.get(ANNA, params={"version": version})
    assert answer.content == by_number.content
    assert version_of(answer) == version_of(by_number) == version
    assert answer.headers["etag"] != by_number.headers["etag"]  # other resources


@pytest.mark.parametrize("day", [0, 0.999, 4, 5.5])
def test_an_assistant_is_not_found_at_a_moment_at_which_it_did_not_live(
    past: Past, day: float
) -> None:
    answers = [
        past.viewer.get(ANNA, params={"as_of": past.text(day)}),
        past.viewer.get(ANNA, headers={"accept-datetime": past.http_date(day)}),
        past.viewer.get(f"{ASSISTANTS}/99", params={"as_of": past.text(day)}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert answers[0].json()["type"] == "urn:backstory:problem:assistant-not-found"


def test_a_moment_is_exact_to_the_microsecond_and_of_any_zone(past: Past) -> None:
    def at(moment: datetime | str) -> int:
        text = moment if isinstance(moment, str) else moment.isoformat()
        version: int = ok(past.viewer.get(ANNA, params={"as_of": text}))["version"]
        return version

    then = past.day(3)
    assert at(then - timedelta(microseconds=1)) == 1
    assert at(then) == 2
    assert at(then.replace(tzinfo=None)) == 2  # UTC where it names no zone
    assert at((then + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")) == 2
    assert at(then.isoformat().replace("+00:00", "+02:00")) == 1


_LINK = re.compile(r'<([^>]*)>; rel="([^"]*)"(?:; datetime="([^"]*)")?(?:, |$)')


def links(answer: httpx.Response) -> set[tuple[str, str, str | None]]:
    """Each relation that an answer's links have, with the target and its moment."""
    said = answer.headers["link"]
    assert _LINK.sub("", said) == ""
    found = _LINK.findall(said)
    return {(rel, to, at or None) for to, rels, at in found for rel in rels.split()}


def test_the_links_of_mementos_lead_through_all_of_them_and_back(
    editor: httpx.Client, viewer: httpx.Client, path: str
) -> None:
    for number in range(2, 5):
        ok(editor.patch(path, json={"description": f"{number}"}))
    editor.delete(path)
    met = []
    at: str | None = f"{path}?version=1"
    while at is not None:
        answer = viewer.get(at)
        met.append(ok(answer)["version"])
        said = {rel: to for rel, to, _ in links(answer) if rel != "memento"}
        assert said["original"] == said["timegate"] == path
        assert said["first"] == f"{path}?version=1"
        assert said["last"] == f"{path}?version={met[0] + 3}"
        for rel, to, moment in links(answer):
            if rel not in ("original", "timegate"):
                assert viewer.get(to).headers["memento-datetime"] == moment
        at = said.get("next")
        if at is not None:
            back = {rel: to for rel, to, _ in links(viewer.get(at)) if rel == "prev"}
            assert back == {"prev": answer.headers["content-location"]}
    assert met == [1, 2, 3, 4]


def test_a_list_as_of_a_moment_leads_to_the_list_and_to_itself(past: Past) -> None:
    wanted = {"limit": "2", "active_only": "true"}
    answer = past.editor.get(
        ASSISTANTS, params=wanted, headers={"accept-datetime": past.http_date(3.5)}
    )
    moment = answer.headers["memento-datetime"]
    assert moment == past.http_date(3.5)
    whole = f"{ASSISTANTS}?active_only=true&limit=2"
    then = answer.headers["content-location"]
    assert links(answer) == {
        ("original", whole, None),
        ("timegate", whole, None),
        ("memento", then, moment),
    }
    assert past.editor.get(then).content == answer.content


def test_a_memento_says_which_moment_and_which_version_it_is_of(past: Past) -> None:
    for asked in (
        {"params": {"as_of": past.text(3.5)}},
        {"params": {"version": "2"}},
        {"params": {"version": "2"}, "headers": {"accept-datetime": past.http_date(1.5)}},
        {"headers": {"accept-datetime": past.http_date(3.5)}},
    ):
        answer = past.viewer.get(ANNA, **asked)  # type: ignore[arg-type]  # its options
        assert ok(answer)["name"] == "Anna B."
        assert answer.headers["memento-datetime"] == past.http_date(3)
        assert answer.headers["content-location"] == f"{ANNA}?version=2"
        assert links(answer) == {
            ("original", ANNA, None),
            ("timegate", ANNA, None),
            ("memento", f"{ANNA}?version=1", past.http_date(1)),
            ("first", f"{ANNA}?version=1", past.http_date(1)),
            ("prev", f"{ANNA}?version=1", past.http_date(1)),
            ("memento", f"{ANNA}?version=2", past.http_date(3)),
            ("next", f"{ANNA}?version=4", past.http_date(6)),  # the third deleted it
            ("last", f"{ANNA}?version=4", past.http_date(6)),
            ("memento", f"{ANNA}?version=4", past.http_date(6)),
        }
        assert "accept-datetime" in answer.headers["vary"].lower()
        assert past.viewer.get(answer.headers["content-location"]).content == answer.content
        again = {"accept-datetime": answer.headers["memento-datetime"]}
        assert past.viewer.get(ANNA, headers=again).content == answer.content


def test_the_present_is_no_memento_but_varies_by_the_moment(past: Past) -> None:
    answer = past.viewer.get(ANNA)
    assert "memento-datetime" not in answer.headers
    assert "content-location" not in answer.headers
    assert "accept-datetime" in answer.headers["vary"].lower()


@pytest.mark.parametrize("place", [ASSISTANTS, ANNA])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-03-01T09:00:00Z",
        "Sun, 01 Mar 2026 09:00:00 +0100",
        "Sun, 99 Mar GMT",
        # Python has no year 10,000, nor numbers of any length for a year or a zone.
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 31 Dec 9999 23:59:59 -2359 GMT",
        "Fri, 01 Jan 999999999999 00:00:00 GMT",
        "Sun, 01 Mar 2026 09:00:00 +9999999999999999 GMT",
        # Dates that mail has, or HTTP had, or that never were.
        "Sun, 1 Mar 2026 09:00:00 GMT",
        "01 Mar 2026 09:00:00 GMT",
        "Sunday, 01-Mar-26 09:00:00 GMT",
        "Sun Mar  1 09:00:00 2026",
        "Sun, 01 Mar 2026 09:00 GMT",
        "Sun, 31 Feb 2026 09:00:00 GMT",
        "Sun, 01 Mar 2026 25:00:00 GMT",
        "Sun, 01 Mar 2026 09:00:00 GMT, Sun, 01 Mar 2026 09:00:00 GMT",
    ],
)
def test_an_accept_datetime_that_is_no_http_date_is_refused(
    past: Past, place: str, text: str
) -> None:
    answer = past.viewer.get(place, headers={"accept-datetime": text})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("Accept-Datetime: It should be one HTTP date")
    beside = {"as_of": past.text(2)}
    ignored = past.viewer.get(place, params=beside, headers={"accept-datetime": text})
    assert ignored.status_code == 400


@pytest.mark.parametrize("place", [ASSISTANTS, ANNA])
def test_two_moments_that_are_accepted_are_refused(past: Past, place: str) -> None:
    headers = [("accept-datetime", past.http_date(day)) for day in (2, 3)]
    assert past.viewer.get(place, headers=headers).status_code == 400


# What clients send at all in a header.
_VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=9)


@pytest.mark.parametrize("place", [ASSISTANTS, ANNA])
@given(date=st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1)), junk=_VISIBLE)  # noqa: DTZ001  # written as GMT
@settings(max_examples=25, deadline=None)
def test_what_is_an_http_date_is_read_and_what_is_more_or_less_is_400(
    past: Past, place: str, date: datetime, junk: str
) -> None:
    """Other dates: ``pytest tests/app/assistants/test_versions.py --hypothesis-seed=7``."""
    text = f"{date:%a, %d %b %Y %H:%M:%S} GMT"
    assert past.viewer.get(place, headers={"accept-datetime": text}).status_code in (200, 404)
    wrong = f"{text[:-4]}{junk}"
    assert past.viewer.get(place, headers={"accept-datetime": wrong}).status_code == 400


@pytest.mark.parametrize("place", [ASSISTANTS, ANNA])
@pytest.mark.parametrize("text", ["", "yesterday", "7", "2026-13-01T00:00:00Z", "2026-03-01"])
def test_a_moment_that_is_none_is_refused(past: Past, place: str, text: str) -> None:
    answer = past.viewer.get(place, params={"as_of": text})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "as_of"]


def test_a_version_and_a_moment_together_are_refused(past: Past) -> None:
    answer = past.viewer.get(ANNA, params={"version": "1", "as_of": past.text(2)})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "as_of"]


def test_what_a_reader_has_of_the_past_is_not_sent_again(past: Past) -> None:
    query = {"as_of": past.text(3.5)}
    tag = past.viewer.get(ANNA, params=query).headers["etag"]
    again = past.viewer.get(ANNA, params=query, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["memento-datetime"] == past.http_date(3)


def names(past: Past, day: float | None, **query: Any) -> list[str]:
    if day is not None:
        query["as_of"] = past.text(day)
    return [one["name"] for one in ok(past.editor.get(ASSISTANTS, params=query))]


@pytest.mark.parametrize(
    ("day", "listed", "active"),
    [
        (0.5, [], []),
        (1, ["Anna"], ["Anna"]),
        (2, ["Ben", "Anna"], ["Anna"]),
        (3, ["Ben", "Anna B."], ["Anna B."]),
        (4, ["Ben"], []),
        (5, ["Ben"], ["Ben"]),
        (6, ["Ben", "Anna B."], ["Ben", "Anna B."]),
        (7, ["Cleo", "Ben", "Anna B."], ["Cleo", "Ben", "Anna B."]),
        (None, ["Cleo", "Ben", "Anna B."], ["Cleo", "Ben", "Anna B."]),
    ],
)
def test_the_list_as_of_a_moment_has_those_who_lived_then_as_they_were_then(
    past: Past, day: float | None, listed: list[str], active: list[str]
) -> None:
    assert names(past, day) == listed
    assert names(past, day, active_only=True) == active
    mine = [name for name in listed if name != "Ben"]  # whom the admin made
    assert names(past, day, my_assistants_only=True) == mine
    for skip, limit in itertools.product(range(4), range(1, 4)):
        assert names(past, day, skip=skip, limit=limit) == listed[skip : skip + limit]
        paged = names(past, day, skip=skip, limit=limit, active_only=True)
        assert paged == active[skip : skip + limit]


def test_each_of_a_list_as_of_a_moment_is_what_it_is_alone(past: Past) -> None:
    for day in range(1, 8):
        query = {"as_of": past.text(day)}
        for one in ok(past.editor.get(ASSISTANTS, params=query)):
            assert ok(past.editor.get(f"{ASSISTANTS}/{one['id']}", params=query)) == one


def test_a_list_of_the_past_says_when_it_is_of_and_is_not_sent_twice(past: Past) -> None:
    by_header = past.editor.get(ASSISTANTS, headers={"accept-datetime": past.http_date(3.5)})
    by_query = past.editor.get(ASSISTANTS, params={"as_of": past.text(3.5)})
    assert ok(by_header) == ok(by_query)
    assert by_query.headers["memento-datetime"] == past.http_date(3.5)
    assert "accept-datetime" in by_query.headers["vary"].lower()
    assert "memento-datetime" not in past.editor.get(ASSISTANTS).headers
    tag = {"if-none-match": by_query.headers["etag"]}
    again = past.editor.get(ASSISTANTS, params={"as_of": past.text(3.5)}, headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    for day in (3.7, 4):
        other = past.editor.get(ASSISTANTS, params={"as_of": past.text(day)}, headers=tag)
        assert other.status_code == 200


def test_the_past_of_an_assistant_that_was_deleted_since_is_read_where_it_lived(
    editor: httpx.Client, viewer: httpx.Client, path: str
) -> None:
    created = ok(viewer.get(path))
    editor.delete(path)
    assert viewer.get(path).status_code == 404
    for query in ({"version": "1"}, {"as_of": created["created_at"]}):
        assert ok(viewer.get(path, params=query)) == created
    for query in ({"version": "2"}, {"version": "latest"}, {"as_of": utc_now().isoformat()}):
        assert viewer.get(path, params=query).status_code == 404


# -- other organizations


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
