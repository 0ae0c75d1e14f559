"""The change stream over HTTP: what it sends, from where, to whom, and what it refuses."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.api.event_stream import EventStream
from app.api.problems import answer_error
from app.audit import following
from app.limits import LimitExceeded
from projections.event_types import EVENT_TYPES
from tests.app import stored
from tests.app.limited import Application, served
from tests.app.streams import STREAM, events_in, events_until_now, open_stream, sequences
from tests.conftest import ASSISTANTS, Organization, Server, make_organizations, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = "/api/v1/users/me/api-keys"
SECRET = "sk-never-shown-4f7a"  # noqa: S105  # of the test
_OPEN = {
    "assistant_created", "assistant_settings_changed", "assistant_deleted", "assistant_restored",
    "secrets_erased", "version_labelled", "phone_number_added", "phone_number_renamed",
    "phone_number_assigned", "phone_number_unassigned",
}  # fmt: skip


@pytest.fixture
def log(admin: httpx.Client) -> list[dict[str, Any]]:
    """A log with events of every kind that its readers tell apart, as the export has it."""
    first = admin.post(ASSISTANTS, json={"name": "Front desk", "api_keys": {"x": SECRET}}).json()
    second = admin.post(ASSISTANTS, json={"name": "Back office"}).json()
    path = f"{ASSISTANTS}/{first['id']}"
    admin.patch(path, json={"llm_settings": {"temperature": 0.2}, "change_description": "Calm"})
    admin.post(KEYS, json={"name": "spare"})
    admin.patch(f"{ASSISTANTS}/{second['id']}", json={"idle_message": "Hello?"})
    admin.put(f"{path}/versions/2/label", json={"label": "calm"})
    admin.post(f"{path}/secrets/reveal", json={"paths": ["/api_keys"], "reason": "Call 7"})
    admin.delete(f"{ASSISTANTS}/{second['id']}")
    admin.post(f"{ASSISTANTS}/{second['id']}/restore")
    admin.delete(f"{path}/secrets")
    export = admin.get("/api/v1/audit/export", params={"format": "json"}).json()
    events: list[dict[str, Any]] = export["events"]
    return events


def of_type(event: dict[str, Any]) -> str:
    return str(event["type"]).partition(".")[0]


# -- from where


def test_after_any_event_the_stream_is_the_rest_of_the_log(
    admin: httpx.Client, log: list[dict[str, Any]]
) -> None:
    whole = events_until_now(admin, after=0)[: len(log)]
    assert [(one.data["sequence"], one.data["event_type"]) for one in whole] == [
        (event["sequence"], of_type(event)) for event in log
    ]
    assert sequences(whole) == [one.data["sequence"] for one in whole]
    assert {one.event for one in whole} == {"message"}
    for after in range(len(log) + 1):
        rest = whole[after:]
        assert events_until_now(admin, after=after)[: len(rest)] == rest
        assert events_until_now(admin, last_event_id=after, after=0)[: len(rest)] == rest


def test_without_a_start_it_starts_at_the_newest_and_says_where(
    admin: httpx.Client, log: list[dict[str, Any]]
) -> None:
    with open_stream(admin) as (answer, lines):
        last = int(answer.headers["x-after-sequence"])
        assert last == len(log) + 1  # the export is an event, too
        admin.patch(f"{ASSISTANTS}/1", json={"idle_message": "Still there?"})
        (event,) = islice(events_in(lines), 1)
    assert event.id == str(last + 1)
    assert event.data["paths"] == ["/idle_message"]
    assert events_until_now(admin, after=last) == [event]


def test_a_viewer_gets_of_a_deleted_assistant_what_the_list_of_changes_shows(
    viewer: httpx.Client, editor: httpx.Client
) -> None:
    path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json={'name': 'A'}).json()['id']}"
    editor.patch(path, json={"idle_message": "Hello?"})
    editor.delete(path)
    assert viewer.get(path).status_code == 404
    listed = viewer.get("/api/v1/changes").json()
    streamed = [one.data for one in events_until_now(viewer, after=0)]
    assert [one["version"] for one in streamed] == [1, 2, 3]
    assert streamed[-1]["event_type"] == "assistant_deleted"
    assert [one["sequence"] for one in streamed] == [one["sequence"] for one in reversed(listed)]
    # The settings of each version while it existed are no secret either.
    assert viewer.get(path, params={"version": 2}).json()["idle_message"] == "Hello?"


def test_its_headers_keep_caches_and_proxies_from_holding_it(viewer: httpx.Client) -> None:
    with open_stream(viewer) as (answer, lines):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert next(lines) == "retry: 3000"


# -- what


def test_an_event_says_who_changed_what_why_and_where_to_read_on(
    admin: httpx.Client, log: list[dict[str, Any]]
) -> None:
    (changed,) = events_until_now(admin, after=0, path="/llm_settings", assistant_id=1)[1:]
    event = log[changed.data["sequence"] - 1]
    named = ("sequence", "occurred_at", "actor", "reason", "request_id", "assistant_id", "version")
    assert {name: changed.data[name] for name in named} == {name: event[name] for name in named}
    assert changed.data["cause"] == {"type": "patch"}
    assert changed.data["paths"] == ["/llm_settings/temperature"]
    assert "changes" not in changed.data
    for link in changed.data["links"].values():
        assert admin.get(link).status_code == 200


def test_the_values_come_for_those_who_ask_and_are_those_of_the_history(
    admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    admin.patch(f"{ASSISTANTS}/{assistant['id']}", json={"api_keys": {"x": SECRET}, "tts_limit": 3})
    (entry,) = admin.get(f"{ASSISTANTS}/{assistant['id']}/settings-history").json()
    (event,) = events_until_now(admin, after=1, include="changes")
    assert event.data["changes"] == entry["changes"]
    assert "more_changes" not in event.data


@pytest.mark.usefixtures("log")
def test_no_secret_is_ever_in_it(admin: httpx.Client) -> None:
    text = admin.get(f"{STREAM}?after=0&follow=false&include=changes").text
    assert '"********"' in text or '"erased"' in text
    assert SECRET not in text


def test_values_beyond_the_room_of_a_message_are_counted(
    admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    long = {"llm_settings": {"system_prompt": "x" * 300_000}, "idle_message": "Hello?"}
    admin.patch(f"{ASSISTANTS}/{assistant['id']}", json=long)
    (event,) = events_until_now(admin, after=1, include="changes")
    kept = [change["path"] for change in event.data["changes"]]
    assert len(kept) + event.data["more_changes"] == len(event.data["paths"]) == 2


@pytest.mark.parametrize("kind", [kind.event_type for kind in EVENT_TYPES])
def test_each_filter_leaves_what_it_names(
    admin: httpx.Client, log: list[dict[str, Any]], kind: str
) -> None:
    last = len(log)

    def found(**query: Any) -> list[int]:
        return [one for one in sequences(events_until_now(admin, after=0, **query)) if one <= last]

    def expected(matches: Any) -> list[int]:
        return [event["sequence"] for event in log if matches(event)]

    assert found(event_type=kind) == expected(lambda event: of_type(event) == kind)
    assert found(assistant_id=2) == expected(lambda event: event["assistant_id"] == 2)
    both = {"event_type": kind, "assistant_id": 1}
    assert found(**both) == expected(
        lambda event: of_type(event) == kind and event["assistant_id"] == 1
    )


def test_a_path_finds_what_lies_below_it_and_what_contains_it(
    admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    admin.patch(path, json={"llm_settings": {"temperature": 0.2}})
    admin.patch(path, json={"idle_message": "Hello?"})
    for pointer, versions in (
        ("/llm_settings", [1, 2]),
        ("/llm_settings/temperature", [1, 2]),
        ("/llm_settings/top_p", [1]),
        ("/idle_message", [1, 3]),
    ):
        events = events_until_now(admin, after=0, path=pointer)
        assert [event.data["version"] for event in events] == versions


# -- to whom


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_only_admins_get_what_is_in_the_audit_log_alone(
    server: Server, organization: Organization, log: list[dict[str, Any]], role: str
) -> None:
    with server.client(getattr(organization, role)) as reader:
        seen = sequences(events_until_now(reader, after=0))
        assert seen == [event["sequence"] for event in log if of_type(event) in _OPEN]
        for kind in (kind.event_type for kind in EVENT_TYPES):
            status = 200 if kind in _OPEN else 403
            asked = f"{STREAM}?after=0&follow=false&event_type={kind}"
            assert reader.get(asked).status_code == status


def test_a_log_is_followed_by_its_own_organization_alone(
    server: Server, admin: httpx.Client, log: list[dict[str, Any]]
) -> None:
    with (
        server.client(server.organization().admin) as stranger,
        open_stream(stranger) as (
            answer,
            lines,
        ),
    ):
        assert answer.headers["x-after-sequence"] == "0"
        admin.patch(f"{ASSISTANTS}/1", json={"idle_message": "Theirs"})
        stranger.post(ASSISTANTS, json={"name": "Ours"})
        (event,) = islice(events_in(lines), 1)
    assert event.data["event_type"] == "assistant_created"
    assert log


# -- what is refused


@pytest.mark.parametrize(
    ("query", "header", "loc"),
    [
        ({"after": "-1"}, None, ["query", "after"]),
        ({"after": "x"}, None, ["query", "after"]),
        ({"after": "7"}, None, ["query", "after"]),
        ({}, "x", ["header", "Last-Event-ID"]),
        ({}, "-1", ["header", "Last-Event-ID"]),
        ({}, "7", ["header", "Last-Event-ID"]),
        ({"after": "0"}, "9" * 40, ["header", "Last-Event-ID"]),
        ({"event_type": "nothing"}, None, ["query", "event_type"]),
        ({"path": "no pointer"}, None, ["query", "path"]),
        ({"assistant_id": "0"}, None, ["query", "assistant_id"]),
        ({"include": "everything"}, None, ["query", "include"]),
        ({"follow": "perhaps"}, None, ["query", "follow"]),
    ],
)
@pytest.mark.usefixtures("assistant")
def test_a_refusal_names_the_place(
    admin: httpx.Client, query: dict[str, str], header: str | None, loc: list[str]
) -> None:
    headers = {} if header is None else {"last-event-id": header}
    with admin.stream("GET", STREAM, params=query, headers=headers) as answer:
        assert answer.status_code == 422
        answer.read()
    (error,) = answer.json()["detail"]
    assert error["loc"] == loc


class Watching:
    """A client that takes the first piece of a stream, and then one for each ``takes``."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.has_begun, self.leaves = asyncio.Event(), asyncio.Event()
        self.is_offered, self.has_last = asyncio.Event(), asyncio.Event()
        self.takes = asyncio.Semaphore(1)
        self.status = 0

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self.pieces:
            self.is_offered.set()
        await self.takes.acquire()
        self.pieces.append(message["body"])
        self.has_begun.set()
        if b"id: 41\n" in message["body"]:
            self.has_last.set()

    async def watch(self, application: Application, token: str, query: bytes = b"") -> Any:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": STREAM, "raw_path": STREAM.encode(), "root_path": "",
            "query_string": query, "client": ("192.0.2.1", 1), "server": ("here", 80),
            "headers": [(b"host", b"x"), (b"authorization", f"Bearer {token}".encode())],
            "state": {},
        }  # fmt: skip
        task = asyncio.create_task(application.app(scope, self.receive, self.send))
        await self.has_begun.wait()
        return task


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def tenant(database: Path) -> Organization:
    (made,) = make_organizations(database, 1)
    return made


@pytest.mark.parametrize(
    ("limits", "policy", "second", "third"),
    [
        ({"stream_limit": 1}, "key-streams", 429, 200),
        ({"organization_stream_limit": 1}, "organization-streams", 429, 429),
    ],
)
def test_one_stream_more_is_refused_until_one_ends(
    database: Path,
    tenant: Organization,
    limits: dict[str, int],
    policy: str,
    second: int,
    third: int,
) -> None:
    path = f"{STREAM}?follow=false"

    async def story(application: Application) -> None:
        watching = Watching()
        task = await watching.watch(application, tenant.viewer)
        assert watching.status == 200
        assert await application.statuses(tenant.viewer, 1, path=path) == [second]
        assert await application.statuses(tenant.editor, 1, path=path) == [third]
        async with application.client(tenant.viewer) as viewer:
            refused = await viewer.get(path)
        assert refused.headers["retry-after"] == "5"
        assert refused.headers["ratelimit-policy"] == f'"{policy}";q=1;qu="concurrent-requests"'
        assert refused.headers["ratelimit"] == f'"{policy}";a=0'
        watching.leaves.set()
        await task
        assert await application.statuses(tenant.viewer, 2, path=path) == [200, 200]

    served(database, story, **limits)


def test_each_limit_of_streams_has_words() -> None:
    for policy in ("key-streams", "organization-streams"):
        error = LimitExceeded(policy=policy, quota=1, seconds=None, wait=5)
        assert b"limited to 1 at a time" in answer_error(error).content


# -- as fast as it is taken


def test_a_client_that_takes_nothing_has_little_read_for_it(
    database: Path, tenant: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = following.read_portion, 0

    def counted(*args: Any, **options: Any) -> following.Portion:
        nonlocal reads
        reads += 1
        return read(*args, **options)

    async def story(application: Application) -> None:
        nonlocal reads
        async with application.client(tenant.editor) as editor:
            await editor.post(ASSISTANTS, json={"name": "Front desk"})
            for n in range(40):
                prompt = {"llm_settings": {"system_prompt": f"{n}" + "x" * 50_000}}
                await editor.patch(f"{ASSISTANTS}/1", json=prompt)
        watching = Watching()
        task = await watching.watch(application, tenant.viewer, b"after=0&include=changes")
        await watching.is_offered.wait()
        await application.statuses(tenant.viewer, 20)
        assert reads <= 2  # of the end of the log, and of the first portion for this client
        for _ in range(200):
            watching.takes.release()
        await watching.has_last.wait()
        text = b"".join(watching.pieces).decode()
        assert sequences(events_in(text.split("\n"))) == list(range(1, 42))
        assert reads > 10
        watching.leaves.set()
        await task

    monkeypatch.setattr(following, "read_portion", counted)
    served(database, story)


# -- the key is checked again


@pytest.fixture
def hasty(database: Path) -> Iterator[Server]:
    """A server whose streams have a heartbeat each second."""
    organizations = make_organizations(database, 1)
    with serving(database, organizations, stream_heartbeat="1s") as running:
        yield running


def revoke(admin: httpx.Client, name: str) -> None:
    (key,) = [key["id"] for key in admin.get(KEYS).json() if key["name"] == name]
    assert admin.delete(f"{KEYS}/{key}").is_success


def test_a_stream_ends_with_the_next_heartbeat_after_its_key_is_revoked(hasty: Server) -> None:
    organization = hasty.organization()
    with hasty.client(organization.admin) as admin, hasty.client(organization.viewer) as viewer:
        with open_stream(viewer) as (_, lines):
            assert list(islice(lines, 2)) == ["retry: 3000", ": heartbeat"]
            revoke(admin, "viewer key")
            assert list(lines) == []
        with viewer.stream("GET", STREAM) as refused:
            assert refused.status_code == 401


def test_the_control_of_it_a_stream_that_is_not_checked_goes_on(
    hasty: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(*_: Any) -> bool:
        return True

    monkeypatch.setattr(EventStream, "_may_go_on", unchecked)
    organization = hasty.organization()
    with (
        hasty.client(organization.admin) as admin,
        hasty.client(organization.viewer) as viewer,
        open_stream(viewer) as (_, lines),
    ):
        next(lines)
        revoke(admin, "viewer key")
        assert list(islice(lines, 2)) == [": heartbeat", ": heartbeat"]


def test_a_key_that_was_narrowed_gets_no_more_than_its_role_may_read(hasty: Server) -> None:
    organization = hasty.organization()
    with hasty.client(organization.admin) as admin:
        answer = admin.post(KEYS, json={"name": "narrow", "role": "admin"}).json()
        key_id, token = answer["api_key"]["id"], answer["key"]
        with hasty.client(token) as narrow, open_stream(narrow) as (_, lines):
            narrowed = admin.put(f"{KEYS}/{key_id}", json={"permissions": {"admin": False}})
            assert narrowed.is_success, narrowed.text
            until = [line for line in iter(lambda: next(lines), ": heartbeat") if "data" in line]
            assert "api_key_changed" in until[0]
            admin.post(KEYS, json={"name": "hidden"})
            admin.post(ASSISTANTS, json={"name": "Front desk"})
            (event,) = islice(events_in(lines), 1)
            assert event.data["event_type"] == "assistant_created"


@pytest.mark.sqlite
def test_a_heartbeat_needs_no_statement_on_a_file(hasty: Server) -> None:
    organization = hasty.organization()
    with hasty.client(organization.viewer) as viewer, open_stream(viewer) as (_, lines):
        with stored.statements() as seen:
            assert ": heartbeat" in islice(lines, 2)
        assert not [one for one in seen if "api_keys" in one.text]
