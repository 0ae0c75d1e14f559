"""A write happens only over the state that its condition names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.assistants import review
from tests.app import stored
from tests.app.assistants.conditions.writes import (
    CHANGES,
    OTHERS,
    POLICY,
    READS,
    WRITES,
    if_match,
    if_none_match,
    patch,
    prefer,
    problem,
)
from tests.conftest import ASSISTANTS, Organization, Server, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def told(server: Server, organization: Organization, editor: httpx.Client, path: str) -> Any:
    """What there is to know of an assistant, and how much has happened in its organization."""
    count = len(stored.events(server.database, organization.id))
    return count, editor.get(path).content, editor.get(f"{path}/versions").content


@pytest.fixture
def unchanged(
    server: Server, organization: Organization, editor: httpx.Client, path: str
) -> Iterator[None]:
    """Whatever the test does, nothing has happened."""
    before = told(server, organization, editor, path)
    yield
    assert told(server, organization, editor, path) == before


@pytest.mark.parametrize("what", READS)
def test_a_read_has_a_strong_tag_and_to_who_holds_it_answers_nothing(
    editor: httpx.Client, path: str, what: str
) -> None:
    read = READS[what]
    first = read(editor, path)
    tag = first.headers["etag"]
    assert first.status_code == 200
    assert tag.startswith('"')
    assert tag.endswith('"')
    held = (tag, f"W/{tag}", "*", f'"other", {tag}', f'W/"other",{tag} ,"3rd"')
    for tags in held:
        again = read(editor, path, headers=if_none_match(tags))
        assert (again.status_code, again.content) == (304, b""), tags
        assert again.headers["etag"] == tag
        for name in ("vary", "memento-datetime"):
            assert again.headers.get(name) == first.headers.get(name)
    for tags in ('"other"', 'W/"other"', f'"{tag[1:-1]}x"', '""'):
        again = read(editor, path, headers=if_none_match(tags))
        assert (again.status_code, again.content) == (200, first.content), tags


@pytest.mark.parametrize("what", READS)
def test_a_read_whose_tag_is_old_is_answered_whole(
    editor: httpx.Client, path: str, what: str
) -> None:
    read = READS[what]
    old = read(editor, path).headers["etag"]
    editor.patch(path, json={"name": "New"})
    editor.put(f"{path}/versions/2/label", json={"label": "second"})
    new = read(editor, path, headers=if_none_match(old))
    is_past = what == "one of a version"  # of which nothing can ever change
    assert (new.status_code == 304) is is_past
    assert (new.headers["etag"] == old) is is_past


def test_tags_may_stand_in_several_lines(editor: httpx.Client, path: str) -> None:
    def read(*tags: str) -> int:
        lines = [("if-none-match", tag) for tag in tags]
        return editor.get(path, headers=lines).status_code

    tag = editor.get(path).headers["etag"]
    assert read('"1"', tag) == 304
    assert read('"1"', "", tag) == 304
    assert read('"1"', '"2"') == 200
    assert read('"1"', "*") == 422


@pytest.mark.parametrize("what", CHANGES)
def test_the_tag_of_a_change_is_the_tag_of_the_next_reading(
    editor: httpx.Client, path: str, what: str
) -> None:
    answer = CHANGES[what](editor, path)
    assert answer.is_success
    if what == "DELETE":
        assert "etag" not in answer.headers
        restored = editor.post(f"{path}/restore")
        assert restored.headers["etag"] == editor.get(path).headers["etag"]
        assert version_of(restored) == 5
        return
    assert answer.headers["etag"] == editor.get(path).headers["etag"]
    assert version_of(answer) == 4
    read = editor.get(path, headers=if_none_match(answer.headers["etag"]))
    assert read.status_code == 304


def test_a_new_assistant_and_its_duplicate_are_answered_with_their_tags(
    editor: httpx.Client,
) -> None:
    created = editor.post(ASSISTANTS, json={"name": "New"})
    copied = editor.post(f"{ASSISTANTS}/{created.json()['id']}/duplicate")
    for answer in (created, copied):
        read = editor.get(f"{ASSISTANTS}/{answer.json()['id']}")
        assert (read.headers["etag"], read.content) == (answer.headers["etag"], answer.content)


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
@pytest.mark.usefixtures("unchanged")
def test_a_change_that_changes_nothing_keeps_the_tag(
    editor: httpx.Client, path: str, verb: str
) -> None:
    for headers in ({}, if_match('"3"')):
        answer = editor.request(verb, path, json={"description": "Third"}, headers=headers)
        assert (answer.status_code, version_of(answer)) == (200, 3)
    assert version_of(editor.get(path)) == 3


@pytest.mark.parametrize("what", WRITES)
def test_a_write_over_another_version_is_refused_and_told_what_happened_since(
    server: Server, organization: Organization, editor: httpx.Client, path: str, what: str
) -> None:
    before = told(server, organization, editor, path)
    me = editor.get(f"{ASSISTANTS}/me/organization").json()
    for tags in ('"1"', '"1", "no-version"', 'W/"3", "1"'):
        answer = WRITES[what](editor, path, headers=if_match(tags))
        assert (answer.status_code, problem(answer)) == (412, "precondition-failed"), tags
        assert version_of(answer) == 3
        said = answer.json()
        assert said["version"] == 3
        assert [one["version"] for one in said["changed_since"]] == [3, 2]
        assert [one["reason"] for one in said["changed_since"]] == ["Reason 3", "Reason 2"]
        assert [one["paths"] for one in said["changed_since"]] == [["/description"], ["/tts_limit"]]
        for one in said["changed_since"]:
            assert one["actor"]["name"] == "editor key"
            assert one["actor"]["user_id"] == me["user_id"]
    assert told(server, organization, editor, path) == before
    # The control: over the version that there is, it is carried out.
    assert WRITES[what](editor, path, headers=if_match('"3"')).is_success
    assert told(server, organization, editor, path) != before


@pytest.mark.parametrize("what", ["PATCH", "undo", "DELETE", "label"])
@pytest.mark.usefixtures("unchanged")
def test_only_the_strong_tag_of_the_current_version_matches(
    editor: httpx.Client, path: str, what: str
) -> None:
    for tags in ('"1", "2"', '"4"', '"03"', '"3-4"', 'W/"3"', '"1", W/"3"', '""'):
        answer = WRITES[what](editor, path, headers=if_match(tags))
        assert (answer.status_code, problem(answer)) == (412, "precondition-failed"), tags
        since = [one["version"] for one in answer.json()["changed_since"]]
        assert since == {'"1", "2"': [3], '"1", W/"3"': [3, 2]}.get(tags, []), tags
        now = "If-Match is not the tag of this assistant as it is now (version 3)."
        assert (now in answer.json()["detail"]) == (not since)


def test_a_list_with_the_current_version_or_any_matches(editor: httpx.Client, path: str) -> None:
    lists = ['"{}"', "*", '"1", "{}"', '"1","{}" ,"x"', 'W/"{}","{}"', '"1",, "{}",', ', "{}", ,']
    for version, tags in enumerate(lists, 3):
        headers = if_match(tags.replace("{}", str(version)))
        answer = editor.patch(path, json={"name": f"Over {version}"}, headers=headers)
        assert (answer.status_code, version_of(answer)) == (200, version + 1), tags


def test_a_restoration_may_be_conditional_too(
    server: Server, organization: Organization, editor: httpx.Client, path: str
) -> None:
    assert editor.delete(path, params={"change_description": "Closed"}).is_success
    before = told(server, organization, editor, path)
    stale = editor.post(f"{path}/restore", headers=if_match('"3"'))
    assert (stale.status_code, problem(stale)) == (412, "precondition-failed")
    assert stale.json()["version"] == 4
    assert [one["reason"] for one in stale.json()["changed_since"]] == ["Closed"]
    assert told(server, organization, editor, path) == before
    assert editor.post(f"{path}/restore", headers=if_match('"4"')).json()["version"] == 5


def test_an_erasure_over_another_version_erases_nothing(
    server: Server, organization: Organization, admin: httpx.Client, path: str
) -> None:
    assert admin.patch(path, json={"api_keys": {"own": "sk-1"}}).is_success
    before = stored.rows(server.database, organization.id)
    stale = admin.delete(f"{path}/secrets", headers=if_match('"3"'))
    assert (stale.status_code, problem(stale)) == (412, "precondition-failed")
    assert stale.json()["version"] == 4
    assert [one["paths"] for one in stale.json()["changed_since"]] == [["/api_keys"]]
    assert stored.rows(server.database, organization.id) == before
    assert admin.get(path).json()["api_keys"] == {"own": "********"}
    # The control: over the version that there is, they are erased.
    assert admin.delete(f"{path}/secrets", headers=if_match('"4"')).is_success
    assert admin.get(path).json()["api_keys"] == {"own": "erased"}
    # What never was is missing before it is another version.
    for headers in ({}, if_match('"1"')):
        assert admin.delete(f"{ASSISTANTS}/99999/secrets", headers=headers).status_code == 404


@pytest.mark.parametrize("what", WRITES)
def test_a_write_may_ask_that_it_be_another_version(
    server: Server, organization: Organization, editor: httpx.Client, path: str, what: str
) -> None:
    before = told(server, organization, editor, path)
    for tags in ("*", '"3"', 'W/"3"', '"1", "3"'):
        answer = WRITES[what](editor, path, headers=if_none_match(tags))
        assert (answer.status_code, problem(answer)) == (412, "precondition-failed"), tags
        assert answer.json()["changed_since"] == []
        assert "If-Match" not in answer.json()["detail"]
    both = WRITES[what](editor, path, headers=if_match('"3"') | if_none_match('"3"'))
    assert both.status_code == 412
    assert told(server, organization, editor, path) == before
    assert WRITES[what](editor, path, headers=if_none_match('"2"')).is_success


def test_what_is_not_there_is_missing_before_it_is_another_version(
    editor: httpx.Client, path: str
) -> None:
    editor.delete(path)
    for what, write in WRITES.items():
        for headers in (if_match('"1"'), if_match("*"), if_none_match("*")):
            assert write(editor, path, headers=headers).status_code == 404, what


_NO_TAGS = [
    "", "3", "'3'", '"3', '3"', '"3" "4"', '"3"; "4"', 'w/"3"', 'W "3"', "W/3", '*, "3"',
    '"3", *', "**", ",", '"a b"', '"3"x', '"\t"', ", ".join(['"3"'] * 101),
]  # fmt: skip


@pytest.mark.usefixtures("unchanged")
def test_what_is_no_list_of_tags_is_refused_by_its_place(editor: httpx.Client, path: str) -> None:
    for tags in _NO_TAGS:
        for header in ("If-Match", "If-None-Match"):
            for answer in (
                editor.patch(path, json={"name": "New"}, headers={header: tags}),
                editor.get(path, headers={header: tags}),
            ):
                assert answer.status_code == 422, (header, tags)
                (error,) = answer.json()["detail"]
                assert (error["loc"], error["type"]) == (["header", header], "entity_tag")


def test_a_condition_has_room_for_a_hundred_tags(editor: httpx.Client, path: str) -> None:
    tags = ", ".join([*(f'"{n}"' for n in range(100, 199)), '"3"'])
    assert patch(editor, path, headers=if_match(tags)).is_success


def test_a_condition_holds_for_what_the_one_before_left(editor: httpx.Client, path: str) -> None:
    """Of changes over the same version, the first is made, and the others are told of it."""
    answers = [
        editor.patch(path, json={"name": f"Number {n}"}, headers=if_match('"3"')) for n in range(3)
    ]
    assert [answer.status_code for answer in answers] == [200, 412, 412]
    for answer in answers[1:]:
        assert [one["paths"] for one in answer.json()["changed_since"]] == [["/name"]]
    assert editor.get(path).json()["name"] == "Number 0"
    # The control: without conditions the last one wins.
    for number in range(3):
        assert editor.patch(path, json={"name": f"Number {number}"}).status_code == 200
    assert editor.get(path).json()["name"] == "Number 2"


@pytest.fixture
def demanding(admin: httpx.Client, path: str) -> Iterator[str]:
    """An assistant of an organization whose policy wants conditions."""
    assert admin.put(POLICY, json={"require_condition": True}).is_success
    yield path
    assert admin.put(POLICY, json={"require_condition": False}).is_success


@pytest.mark.parametrize("what", CHANGES)
def test_a_policy_may_want_every_change_to_be_conditional(
    server: Server,
    organization: Organization,
    admin: httpx.Client,
    editor: httpx.Client,
    demanding: str,
    what: str,
) -> None:
    before = told(server, organization, editor, demanding)
    for headers in ({}, if_none_match('"2"'), prefer("return=minimal")):
        for client in (admin, editor):
            answer = CHANGES[what](client, demanding, headers=headers)
            assert (answer.status_code, problem(answer)) == (428, "precondition-required")
            assert answer.json()["rule"] == "require_condition"
    assert told(server, organization, editor, demanding) == before
    assert CHANGES[what](editor, demanding, headers=if_match('"3"')).is_success
    assert told(server, organization, editor, demanding) != before


@pytest.mark.parametrize("what", CHANGES)
def test_a_dry_run_needs_no_condition(editor: httpx.Client, demanding: str, what: str) -> None:
    plan = CHANGES[what](editor, demanding, headers=prefer("dry-run"))
    assert plan.json()["dry_run"] is True
    tag = plan.headers["etag"]
    assert tag == plan.json()["etag"] == editor.get(demanding).headers["etag"]
    assert version_of(plan) == 3
    assert CHANGES[what](editor, demanding, headers=if_match(tag)).is_success


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_a_base_version_is_a_condition(editor: httpx.Client, demanding: str, verb: str) -> None:
    for number, base in enumerate([3, 2, "label:first"]):
        body = {"name": f"{base}", "base_version": base, "on_conflict": "yours"}
        changed = editor.request(verb, demanding, json=body)
        assert changed.json()["version"] == 4 + 2 * number
        query = {"base_version": str(base), "on_conflict": "yours"}
        body = {"description": f"{base}"}
        changed = editor.request(verb, demanding, params=query, json=body)
        assert changed.json()["version"] == 5 + 2 * number


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
@pytest.mark.parametrize("base", ["latest", "-1"])
def test_what_always_means_the_newest_is_no_condition(
    editor: httpx.Client, demanding: str, verb: str, base: str
) -> None:
    refused = editor.request(verb, demanding, json={"name": "Mine", "base_version": base})
    assert refused.status_code == 428
    any_state = {"if-match": "*"}
    refused = editor.request(verb, demanding, json={"name": "Mine"}, headers=any_state)
    assert refused.status_code == 428


@pytest.mark.parametrize("what", OTHERS)
def test_what_changes_no_settings_needs_no_condition(
    editor: httpx.Client, demanding: str, what: str
) -> None:
    assert OTHERS[what](editor, demanding).is_success


@pytest.mark.parametrize(("seconds", "listed"), [(review.SUMMARY_SECONDS, [3, 2, 1]), (-1.0, [3])])
def test_the_changes_that_a_refusal_lists_are_read_for_a_while_only(
    editor: httpx.Client,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    listed: list[int],
) -> None:
    """Others wait for the lock meanwhile, and large changes take long to read."""
    first = version_of(editor.get(path))
    for number in (1, 2, 3):
        assert editor.patch(path, json={"tts_limit": number}).status_code == 200
    monkeypatch.setattr(review, "SUMMARY_SECONDS", seconds)
    stale = editor.patch(path, json={"tts_limit": 4}, headers=if_match(f'"{first}"'))
    assert stale.status_code == 412
    changes = stale.json()["changed_since"]
    assert [change["version"] - first for change in changes] == listed
