"""Conditional requests: nobody overwrites what they have not seen, or reads what they have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app import stored
from tests.app.route_table import KEYS, OPERATIONS, Operation
from tests.conftest import ASSISTANTS, Organization, Server, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGE_SETS = "/api/v1/change-sets"
POLICY = "/api/v1/policy"
JSON_PATCH = {"content-type": "application/json-patch+json"}

Send = Callable[..., httpx.Response]


def _json_patch(
    client: httpx.Client, path: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    steps = [{"op": "replace", "path": "/name", "value": "New"}]
    return client.patch(path, json=steps, headers=JSON_PATCH | (headers or {}))


# Every way to change an assistant, each over version 3 of the one that ``path`` makes.
CHANGES: dict[str, Send] = {
    "PATCH": lambda c, p, **o: c.patch(p, json={"name": "New"}, **o),
    "JSON Patch": _json_patch,
    "PUT": lambda c, p, **o: c.put(p, json={"name": "New"}, **o),
    "status": lambda c, p, **o: c.patch(f"{p}/status", params={"is_active": False}, **o),
    "rollback": lambda c, p, **o: c.post(f"{p}/rollback", json={"to_version": 1}, **o),
    "rollback to an entry": lambda c, p, **o: c.post(f"{p}/settings-history/2/rollback", **o),
    "undo": lambda c, p, **o: c.post(f"{p}/undo", json={"version": 2}, **o),
    "DELETE": lambda c, p, **o: c.delete(p, **o),
}
# These change no settings: a policy does not ask that they be conditional.
OTHERS: dict[str, Send] = {
    "label": lambda c, p, **o: c.put(f"{p}/versions/2/label", json={"label": "second"}, **o),
    "label away": lambda c, p, **o: c.delete(f"{p}/versions/1/label", **o),
}
WRITES = CHANGES | OTHERS
# Without a body, where the client asks for none.
MINIMAL = [name for name in CHANGES if name != "DELETE"]

READS: dict[str, Send] = {
    "one": lambda c, p, **o: c.get(p, **o),
    "one of a version": lambda c, p, **o: c.get(f"{p}?version=2", **o),
    "one of a moment": lambda c, p, **o: c.get(f"{p}?as_of=2126-01-01T00:00:00Z", **o),
    "a version": lambda c, p, **o: c.get(f"{p}/versions/2", **o),
    "a list": lambda c, p, **o: c.get(f"{p.rpartition('/')[0]}?limit=2", **o),
    "a list of a moment": lambda c, p, **o: c.get(
        f"{p.rpartition('/')[0]}?as_of=2126-01-01T00:00:00Z", **o
    ),
}


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


@pytest.fixture(scope="module")
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture
def path(editor: httpx.Client) -> str:
    return make(editor)


def make(editor: httpx.Client) -> str:
    """An assistant in version 3; its version 1 has a label."""
    created = editor.post(ASSISTANTS, json={"name": "Front desk"}).json()
    path = f"{ASSISTANTS}/{created['id']}"
    changes: list[dict[str, Any]] = [{"tts_limit": 7}, {"description": "Third"}]
    for number, change in enumerate(changes, 2):
        answer = editor.patch(path, json=change | {"change_description": f"Reason {number}"})
        assert answer.json()["version"] == number
    assert editor.put(f"{path}/versions/1/label", json={"label": "first"}).is_success
    return path


def if_match(tags: str) -> dict[str, str]:
    return {"if-match": tags}


def if_none_match(tags: str) -> dict[str, str]:
    return {"if-none-match": tags}


def prefer(preference: str) -> dict[str, str]:
    return {"prefer": preference}


def problem(answer: httpx.Response) -> str:
    kind: str = answer.json()["type"]
    return kind.removeprefix("urn:backstory:problem:")


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


# -- reading what one has


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


# -- changing what one has seen


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
    assert _patch(editor, path, headers=if_match(tags)).is_success


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


def _patch(client: httpx.Client, path: str, **options: Any) -> httpx.Response:
    return CHANGES["PATCH"](client, path, **options)


# -- a policy that wants every change to be conditional


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


# -- preferences


@pytest.mark.parametrize("what", MINIMAL)
def test_who_prefers_a_minimal_answer_gets_the_tag_alone(
    editor: httpx.Client, path: str, what: str
) -> None:
    answer = CHANGES[what](editor, path, headers=prefer("return=minimal"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["preference-applied"] == "return=minimal"
    assert answer.headers["etag"] == editor.get(path).headers["etag"]
    assert version_of(answer) == 4
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers


def test_a_creation_a_copy_and_a_restoration_may_be_minimal_too(
    editor: httpx.Client, path: str
) -> None:
    minimal = prefer("return=minimal")
    editor.delete(path)
    for answer, version in (
        (editor.post(ASSISTANTS, json={"name": "New"}, headers=minimal), 1),
        (editor.post(f"{path}/restore", headers=minimal), 5),
        (editor.post(f"{path}/duplicate", headers=minimal), 1),
    ):
        assert (answer.status_code, answer.content) == (204, b"")
        assert version_of(answer) == version
        assert answer.headers["preference-applied"] == "return=minimal"


def test_preferences_are_told_which_of_them_were_honoured(editor: httpx.Client, path: str) -> None:
    def applied(*lines: str) -> str | None:
        headers = [("prefer", line) for line in lines]
        answer = editor.patch(path, json={"name": "New"}, headers=headers)
        assert answer.is_success
        said: str | None = answer.headers.get("preference-applied")
        return said

    assert applied() is None
    assert applied("respond-async, wait=10") is None
    assert applied("return=representation") is None
    assert applied('Return="minimal"; foo=bar') == "return=minimal"
    both = "handling=strict, return=minimal"
    assert applied("return=minimal, handling=strict") == both
    assert applied("return=minimal", "handling=strict") == both
    assert applied("return=minimal, dry-run") == "dry-run"


def test_a_refusal_is_told_whole_whatever_is_preferred(editor: httpx.Client, path: str) -> None:
    answer = _patch(editor, path, headers=if_match('"1"') | prefer("return=minimal"))
    assert answer.status_code == 412
    assert len(answer.json()["changed_since"]) == 2


# -- dry runs of everything that writes

_WRITES = [operation for operation in OPERATIONS if operation.writes or operation.needs_a_scope]
_SECRET = {"llm_provider_config": {"api_key": "sk-of-ours"}}


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        yield client


@pytest.fixture
def ids(boss: httpx.Client) -> dict[str, Any]:
    """What the operations are about; each would find something to do."""
    path = make(boss)
    boss.patch(path, json=_SECRET | {"is_active": False})
    assistant_id = int(path.rpartition("/")[2])
    wanted = {"assistant_ids": [assistant_id], "patch": {"llm_settings": {"temperature": 0.9}}}
    return {
        "assistant_id": assistant_id,
        "version_id": 2,
        "version": 1,
        "change_set_id": boss.post(CHANGE_SETS, json=wanted).json()["change_set_id"],
        "key_id": boss.post(KEYS, json={"name": "spare"}).json()["api_key"]["id"],
    }


# By the route table: a new operation is here until somebody gives it a dry run.
_NO_DRY_RUN = {
    "DELETE /api/v1/assistants/{assistant_id}/secrets",
    "DELETE /api/v1/assistants/{assistant_id}/versions/{version}/label",
    "DELETE /api/v1/users/me/api-keys/{key_id}",
    "DELETE /api/v1/vault/secrets",
    "POST /api/v1/assistants/{assistant_id}/secrets/reveal",
    "POST /api/v1/users/me/api-keys",
    "POST /api/v1/vault/rotate",
    "PUT /api/v1/assistants/{assistant_id}/versions/{version}/label",
    "PUT /api/v1/policy",
    "PUT /api/v1/users/me/api-keys/{key_id}",
}


@pytest.mark.parametrize("operation", _WRITES, ids=str)
def test_a_dry_run_is_told_or_refused_and_never_carried_out(
    server: Server,
    tenant: Organization,
    boss: httpx.Client,
    ids: dict[str, Any],
    operation: Operation,
) -> None:
    if operation.path.endswith("/restore"):
        boss.delete(f"{ASSISTANTS}/{ids['assistant_id']}")
    token = tenant.runtime if operation.needs_a_scope else tenant.admin
    key = {"authorization": f"Bearer {token}"}
    before = stored.rows(server.database, tenant.id)
    for preference in ("dry-run", "return=minimal, dry-run", "Dry-Run; please"):
        answer = operation.send(boss, ids, headers=key | prefer(preference))
        if str(operation) in _NO_DRY_RUN:
            assert answer.status_code == 422
            (error,) = answer.json()["detail"]
            assert (error["loc"], error["type"]) == (["header", "Prefer"], "no_dry_run")
        else:
            assert answer.status_code == 200
            assert answer.json()["dry_run"] is True
            assert answer.headers["preference-applied"] == "dry-run"
    body = operation.body if isinstance(operation.body, dict) else {}
    path = operation.path.format(**ids)
    elsewhere: list[tuple[dict[str, str], dict[str, Any] | None]] = [
        ({"dry_run": "true"}, body or None),
        ({"dry_run": "1"}, body or None),
        ({"dry_run": "perhaps"}, body or None),
        ({}, body | {"dry_run": True}),
    ]
    for query, sent in elsewhere:
        asked = {"params": operation.query | query, "json": sent, "headers": key}
        answer = boss.request(operation.verb, path, **asked)  # type: ignore[arg-type]
        if answer.status_code == 200 and "perhaps" not in query.values():
            assert answer.json()["dry_run"] is True
        else:
            assert answer.status_code == 422, answer.text
            assert "dry_run" in answer.json()["detail"][0]["loc"]
        assert (str(operation) in _NO_DRY_RUN) <= (answer.status_code == 422)
    assert stored.rows(server.database, tenant.id) == before
    # The control: what was not carried out would have done something.
    assert operation.send(boss, ids, headers=key).is_success
    assert stored.rows(server.database, tenant.id) != before
    if operation.path == POLICY:
        free: dict[str, Any] = {"require_reason_for": [], "admin_paths": []}
        assert boss.put(POLICY, json=free).is_success


@pytest.mark.parametrize("no", [False, 0, None])
def test_no_dry_run_is_none_wherever_it_is_said(boss: httpx.Client, no: Any) -> None:
    path = make(boss)
    query = {} if no is None else {"dry_run": str(int(no))}
    answer = boss.request("DELETE", path, params=query, json={"dry_run": no})
    assert answer.json()["message"].endswith("deleted successfully")
    assert boss.get(path).status_code == 404


def test_a_dry_run_in_escapes_is_one_too(boss: httpx.Client) -> None:
    path = make(boss)
    answer = boss.request("DELETE", path, content=rb'{"dry\u005frun": true}')
    assert answer.json()["detail"][0]["loc"] == ["body", "dry_run"]
    assert boss.get(path).is_success
