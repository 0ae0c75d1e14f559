from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app import stored
from tests.conftest import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Organization, Server

ASSISTANTS = "/api/v1/assistants"
PLAIN = "sk-live-do-not-show"
_NEXT = re.compile(r'<([^>]+)>; rel="next"')
# What an assistant shows that is no setting: an entry's snapshot has settings only.
_NO_SETTINGS = {
    "id", "organization_id", "user_id", "created_at", "updated_at", "version", "total_calls",
    "avg_call_duration", "success_rate",
}  # fmt: skip


def settings(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in _NO_SETTINGS}


def entries(client: httpx.Client, place: str, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"{place}/settings-history", params=query)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


def versions(client: httpx.Client, place: str, **query: Any) -> list[int]:
    return [entry["version"] for entry in entries(client, place, **query)]


def pages(
    client: httpx.Client,
    place: str,
    query: dict[str, Any],
    between: Callable[[], object] = lambda: None,
) -> list[list[int]]:
    """The versions on every page, following ``Link`` to the end."""
    found = []
    url = str(httpx.URL(f"{place}/settings-history", params=query))
    while url:
        answer = client.get(url)
        assert answer.status_code == 200
        found.append([entry["version"] for entry in answer.json()])
        link = _NEXT.fullmatch(answer.headers.get("link", ""))
        url = link[1] if link else ""
        between()
    return found


# -- what an entry says


def test_an_entry_says_what_changed_who_did_it_and_why(
    server: Server,
    organization: Organization,
    editor: httpx.Client,
    assistant: dict[str, Any],
    path: str,
) -> None:
    body = {
        "llm_settings": {"temperature": 0.2},
        "description": "Answers calls",
        "change_description": "  Callers said that answers wander ",
    }
    changed = editor.patch(path, json=body).json()
    (entry,) = entries(editor, path)
    me = editor.get(f"{ASSISTANTS}/me/organization").json()
    stored_event = stored.events(server.database, organization.id)[-1]
    assert entry == {
        "id": stored_event["sequence"],
        "version_id": 2,
        "version": 2,
        "assistant_id": assistant["id"],
        "event": "AssistantSettingsChanged",
        "settings_snapshot": settings(assistant),
        "changed_fields": ["llm_settings", "description"],
        "changes": [
            {"path": "/llm_settings/temperature", "before": 0.5, "after": 0.2},
            {"path": "/description", "before": None, "after": "Answers calls"},
        ],
        "changed_by": {
            "user_id": me["user_id"],
            "email": "editor@example.com",
            "type": "api_key",
            "name": "editor key",
        },
        "change_description": "Callers said that answers wander",
        "cause": {"type": "patch"},
        "created_at": changed["updated_at"],
        "reverts": [],
        "reverted_by": [],
    }
    assert editor.get(f"{path}/settings-history/2").json() == entry


def test_entries_come_newest_first_each_with_the_state_before_it(
    editor: httpx.Client, assistant: dict[str, Any], path: str
) -> None:
    states = [assistant]
    states += [editor.patch(path, json={"name": f"Desk {n}"}).json() for n in range(4)]
    listed = entries(editor, path)
    assert [entry["version_id"] for entry in listed] == [5, 4, 3, 2]
    assert [entry["settings_snapshot"] for entry in listed] == [
        settings(state) for state in reversed(states[:-1])
    ]
    for entry in listed:
        assert editor.get(f"{path}/settings-history/{entry['version_id']}").json() == entry


@pytest.mark.parametrize(
    ("verb", "place", "body", "cause"),
    [
        ("PATCH", "", {"name": "x"}, {"type": "patch"}),
        ("PUT", "", {"name": "x"}, {"type": "put"}),
        ("PATCH", "/status?is_active=false", None, {"type": "status"}),
    ],
)
def test_an_entry_names_its_cause(
    editor: httpx.Client, path: str, verb: str, place: str, body: Any, cause: dict[str, Any]
) -> None:
    assert editor.request(verb, f"{path}{place}", json=body).is_success
    (entry,) = entries(editor, path)
    assert entry["cause"] == cause


def test_a_creation_is_no_entry(editor: httpx.Client, path: str) -> None:
    assert entries(editor, path) == []
    answer = editor.get(f"{path}/settings-history/1")
    assert answer.status_code == 404
    assistant_id = path.rpartition("/")[2]
    assert answer.json()["detail"] == (
        f"Version 1 not found in the settings history of assistant {assistant_id}"
    )


@pytest.mark.parametrize("version", ["0", "3", "-1", "99999999999", "9" * 400])
def test_a_version_that_there_is_not_is_not_found(
    editor: httpx.Client, path: str, version: str
) -> None:
    editor.patch(path, json={"description": "One change"})
    for answer in (
        editor.get(f"{path}/settings-history/{version}"),
        editor.post(f"{path}/settings-history/{version}/rollback"),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith(f"Version {version[:100]} not found")


def test_a_change_of_several_people_names_each(
    admin: httpx.Client, editor: httpx.Client, path: str
) -> None:
    admin.patch(path, json={"description": "a"})
    editor.patch(path, json={"description": "b"})
    assert [entry["changed_by"]["email"] for entry in entries(editor, path)] == [
        "editor@example.com",
        "admin@example.com",
    ]


def test_a_secret_in_the_history_is_a_mask_at_its_own_place(
    editor: httpx.Client, path: str
) -> None:
    for value in (PLAIN, PLAIN + "-rotated", None):
        editor.patch(path, json={"llm_provider_config": {"api_key": value}})
    answer = editor.get(f"{path}/settings-history")
    place = "/llm_provider_config/api_key"
    assert [entry["changes"] for entry in answer.json()] == [
        [{"path": place, "before": "********", "after": None}],
        [{"path": place, "before": "********", "after": "********"}],
        [{"path": place, "before": None, "after": "********"}],
    ]
    assert PLAIN not in answer.text
    assert "fingerprint" not in answer.text


# -- paging


@pytest.fixture(scope="module")
def long_past(server: Server) -> Iterator[tuple[httpx.Client, httpx.Client, str]]:
    """Versions 2 to 24: even ones by an editor on temperatures, odd ones by an admin."""
    tenant = server.organization()
    with server.client(tenant.admin) as admin, server.client(tenant.editor) as editor:
        path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json={'name': 'Old'}).json()['id']}"
        for version in range(2, 25):
            if version % 2:
                body: dict[str, Any] = {
                    "tts_settings": {"background_sound": {"volume": version / 100}}
                }
            else:
                body = {"llm_settings": {"temperature": version / 100}}
            client = admin if version % 2 else editor
            assert client.patch(path, json=body).json()["version"] == version
        yield admin, editor, path


@pytest.mark.parametrize("limit", [1, 4, 22, 23, 24, 200])
def test_pages_cover_every_entry_exactly_once(
    long_past: tuple[httpx.Client, httpx.Client, str], limit: int
) -> None:
    _, editor, path = long_past
    found = pages(editor, path, {"limit": limit})
    assert list(itertools.chain(*found)) == list(range(24, 1, -1))
    assert all(len(page) == limit for page in found[:-1])
    assert 0 < len(found[-1]) <= limit


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"path": "/llm_settings"}, range(24, 1, -2)),
        ({"path": "/llm_settings/temperature"}, range(24, 1, -2)),
        ({"path": "/tts_settings"}, range(23, 1, -2)),
        ({"path": "/tts_settings/background_sound"}, range(23, 1, -2)),
        ({"path": "/llm_set"}, []),
        ({"path": "/nothing"}, []),
        ({"path": ""}, range(24, 1, -1)),
        ({"actor": "editor key"}, range(24, 1, -2)),
        ({"actor": "EDITOR KEY"}, range(24, 1, -2)),
        ({"actor": "api_key:3"}, range(23, 1, -2)),
        ({"actor": "api_key:2", "path": "/tts_settings"}, []),
        ({"actor": "nobody"}, []),
    ],
)
def test_filtered_pages_cover_every_wanted_entry_exactly_once(
    long_past: tuple[httpx.Client, httpx.Client, str], query: dict[str, str], expected: Any
) -> None:
    _, editor, path = long_past
    for limit in (5, 200):
        found = pages(editor, path, query | {"limit": limit})
        assert list(itertools.chain(*found)) == list(expected)
        assert len(found) == max(1, -(-len(expected) // limit))


def test_since_and_until_are_inclusive(long_past: tuple[httpx.Client, httpx.Client, str]) -> None:
    _, editor, path = long_past
    times = {entry["version"]: entry["created_at"] for entry in entries(editor, path)}
    assert versions(editor, path, since=times[20]) == [24, 23, 22, 21, 20]
    assert versions(editor, path, until=times[4]) == [4, 3, 2]
    assert versions(editor, path, since=times[9], until=times[11]) == [11, 10, 9]
    assert versions(editor, path, since=times[11], until=times[9]) == []
    query = {"limit": 2, "since": times[8], "until": times[16], "path": "/llm_settings"}
    found = pages(editor, path, query)
    assert found == [[16, 14], [12, 10], [8]]


def test_a_moment_may_have_any_zone_or_none(
    long_past: tuple[httpx.Client, httpx.Client, str],
) -> None:
    _, editor, path = long_past
    for moment in ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00", "2001-01-01T00:00:00.5+05:30"):
        assert len(versions(editor, path, since=moment)) == 23
        assert versions(editor, path, until=moment) == []


def test_pages_cover_the_past_while_new_changes_arrive(
    editor: httpx.Client, admin: httpx.Client, path: str
) -> None:
    for n in range(10):
        editor.patch(path, json={"description": f"before {n}"})
    count = itertools.count()

    def change() -> None:
        assert admin.patch(path, json={"description": f"meanwhile {next(count)}"}).is_success

    found = pages(editor, path, {"limit": 3}, change)
    assert found == [[11, 10, 9], [8, 7, 6], [5, 4, 3], [2]]
    assert versions(editor, path, limit=1) == [15]


def test_pages_of_many_readers_and_writers_have_no_gap(
    server: Server, organization: Organization, editor: httpx.Client, path: str
) -> None:
    for n in range(12):
        editor.patch(path, json={"description": f"before {n}"})

    def write(n: int) -> bool:
        return editor.patch(path, json={"idle_message": f"meanwhile {n}"}).is_success

    def read(_: int) -> list[int]:
        with server.client(organization.viewer) as client:
            return list(itertools.chain(*pages(client, path, {"limit": 2})))

    with ThreadPoolExecutor(4) as pool:
        writing = pool.map(write, range(30))
        reading = pool.map(read, range(8))
        assert all(writing)
        for seen in reading:
            assert seen == list(range(seen[0], 1, -1))
    assert versions(editor, path, limit=200) == list(range(43, 1, -1))


def test_the_last_page_links_to_nothing(long_past: tuple[httpx.Client, httpx.Client, str]) -> None:
    _, editor, path = long_past
    assert "link" not in editor.get(f"{path}/settings-history?limit=23").headers
    assert "link" in editor.get(f"{path}/settings-history?limit=22").headers
    # Without a limit a page has 50 entries.
    assert len(entries(editor, path)) == 23


def test_a_link_keeps_the_filters(long_past: tuple[httpx.Client, httpx.Client, str]) -> None:
    _, editor, path = long_past
    query: dict[str, str] = {"limit": "2", "actor": "editor key", "path": "/llm_settings"}
    query |= {"cursor": "djk5"}
    answer = editor.get(f"{path}/settings-history", params=query)
    link = _NEXT.fullmatch(answer.headers["link"])
    assert link is not None
    url = httpx.URL(link[1])
    assert url.path == f"{path}/settings-history"
    kept = dict(url.params.multi_items())
    assert kept.pop("cursor") != "djk5"
    assert kept == {name: value for name, value in query.items() if name != "cursor"}


# -- rolling back


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, None),
        ({"json": {}}, None),
        ({"content": b"null", "headers": {"content-type": "application/json"}}, None),
        ({"headers": {"content-type": "application/json"}}, None),
        ({"json": {"change_description": None}}, None),
        ({"json": {"change_description": " "}}, None),
        ({"json": {"change_description": "It was better"}}, "It was better"),
        ({"json": {"change_description": "x" * 500}}, "x" * 500),
    ],
)
def test_a_rollback_restores_the_entrys_snapshot_as_one_new_change(
    editor: httpx.Client,
    assistant: dict[str, Any],
    path: str,
    options: dict[str, Any],
    reason: str | None,
) -> None:
    editor.patch(
        path, json={"llm_settings": {"temperature": 0.9}, "stt_settings": {"keyterms": ["a"]}}
    )
    editor.patch(path, json={"custom_settings": {"x": 1}, "recording_settings": {"bucket": "b"}})
    answer = editor.post(f"{path}/settings-history/2/rollback", **options)
    assert answer.status_code == 200
    assert version_of(answer) == 4
    assert settings(answer.json()) == settings(assistant)
    entry, *older = entries(editor, path)
    assert (entry["version"], entry["change_description"]) == (4, reason)
    assert entry["cause"] == {"type": "rollback", "to_version": 1}
    assert {change["path"] for change in entry["changes"]} == {
        "/llm_settings/temperature",
        "/stt_settings/keyterms",
        "/custom_settings",
        "/recording_settings/bucket",
    }
    assert [entry["version"] for entry in older] == [3, 2]


def test_every_entry_can_be_rolled_back_to(editor: httpx.Client, path: str) -> None:
    for n in range(4):
        editor.patch(path, json={"description": f"{n}", "llm_settings": {"max_tokens": n}})
    for entry in entries(editor, path):
        restored = editor.post(f"{path}/settings-history/{entry['version_id']}/rollback").json()
        assert settings(restored) == entry["settings_snapshot"]


def test_a_rollback_can_be_rolled_back(editor: httpx.Client, path: str) -> None:
    changed = editor.patch(path, json={"description": "Better"}).json()
    rolled = editor.post(f"{path}/settings-history/2/rollback").json()
    assert rolled["description"] is None
    again = editor.post(f"{path}/settings-history/{rolled['version']}/rollback").json()
    assert settings(again) == settings(changed)


def test_a_rollback_that_changes_nothing_records_nothing(
    server: Server, organization: Organization, editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"description": "Changed"})
    editor.patch(path, json={"description": None})
    current = editor.get(path).json()
    before = stored.rows(server.database, organization.id)
    body = {"change_description": "Back to what it is"}
    answer = editor.post(f"{path}/settings-history/2/rollback", json=body)
    assert answer.status_code == 200
    assert answer.json() == current
    assert version_of(answer) == 3
    assert stored.rows(server.database, organization.id) == before


def test_a_rollback_keeps_the_current_secrets(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"llm_provider_config": {"api_key": PLAIN, "base_url": "https://a/1"}})
    editor.patch(
        path, json={"llm_provider_config": {"api_key": "other", "base_url": "https://a/2"}}
    )
    rolled = editor.post(f"{path}/settings-history/3/rollback").json()["llm_provider_config"]
    assert (rolled["api_key"], rolled["base_url"]) == ("********", "https://a/1")
    (entry,) = entries(editor, path, limit=1)
    assert [change["path"] for change in entry["changes"]] == ["/llm_provider_config/base_url"]
    # Before there was a key, there was no address: the key is not for the provider's own.
    refused = editor.post(f"{path}/settings-history/2/rollback")
    assert refused.json()["detail"][0]["type"] == "secret_address_changed"


def test_a_rollbacks_reason_has_at_most_500_characters(
    server: Server, organization: Organization, editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"description": "Changed"})
    before = stored.rows(server.database, organization.id)
    wrong: list[Any] = [{"change_description": "x" * 501}, {"change_description": 5}, [], "back", 1]
    for body in wrong:
        answer = editor.post(f"{path}/settings-history/2/rollback", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "body"
    assert stored.rows(server.database, organization.id) == before


# -- deletion


def test_a_deletion_is_the_last_entry_and_for_admins(
    server: Server, organization: Organization, admin: httpx.Client, editor: httpx.Client, path: str
) -> None:
    changed = editor.patch(path, json={"description": "Last words"}).json()
    assert editor.delete(path).status_code == 200
    history = f"{path}/settings-history"
    with server.client(organization.viewer) as viewer:
        for client in (viewer, editor, admin):
            for place in (history, f"{history}/3", f"{history}/2"):
                assert client.get(place).status_code == 404
                assert client.get(f"{place}?include_deleted=false").status_code == 404
        for client in (viewer, editor):
            for place in (history, f"{history}/3"):
                assert client.get(f"{place}?include_deleted=true").status_code == 403
    deletion, change = entries(admin, path, include_deleted="true")
    assert deletion["event"] == "AssistantDeleted"
    assert deletion["cause"] == {"type": "delete"}
    assert deletion["changes"] == deletion["changed_fields"] == []
    assert deletion["settings_snapshot"] == settings(changed)
    assert change["version"] == 2
    asked = f"{history}/3?include_deleted=true"
    assert admin.get(asked).json() == deletion


def test_pages_of_a_deleted_assistants_history_go_on_for_admins(
    admin: httpx.Client, editor: httpx.Client, path: str
) -> None:
    for n in range(5):
        editor.patch(path, json={"description": f"{n}"})
    editor.delete(path)
    assert pages(admin, path, {"limit": 3, "include_deleted": "true"}) == [[7, 6, 5], [4, 3, 2]]


def test_a_living_assistants_history_is_the_same_with_deleted_included(
    admin: httpx.Client, editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"description": "Alive"})
    assert entries(admin, path, include_deleted="true") == entries(admin, path)


def test_what_never_was_stays_not_found_with_deleted_included(admin: httpx.Client) -> None:
    answer = admin.get(f"{ASSISTANTS}/99999/settings-history?include_deleted=true")
    assert answer.status_code == 404
