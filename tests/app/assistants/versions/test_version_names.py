"""A version is named by a number, by counting back or by a label."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from tests.app import stored
from tests.app.assistants.answers import ok
from tests.app.assistants.versions.reads import label, versions
from tests.conftest import ASSISTANTS, Organization, Server, version_of

AUDIT = "/api/v1/audit"


Place = Callable[[httpx.Client, str, Any], httpx.Response]


def version_at(place: str, version: Any) -> str:
    return f"{place}/versions/{quote(str(version), safe='')}"


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


def test_no_version_has_a_label_with_nul(editor: httpx.Client, told: str) -> None:
    """PostgreSQL refuses to compare with it."""
    for name, send in (("version", editor.get), ("base_version", partial(editor.patch, json={}))):
        answer = send(told, params={name: "label:\x00"})
        assert (answer.status_code, name) == (404, name)


def test_a_label_is_unknown_to_other_assistants(editor: httpx.Client, told: str, path: str) -> None:
    assert ok(editor.get(told, params={"version": "label:good"}))["version"] == 3
    assert editor.get(path, params={"version": "label:good"}).status_code == 404


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
