"""Stories over HTTP against a plain copy of every state: the past is as it was, and plans hold."""

from __future__ import annotations

import random
import re
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import httpx
import hypothesis
import jsonpatch
import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, Struct, field

from events.pointers import Tree, ancestors, at, diff, overlaps, same
from tests.app import stored
from tests.conftest import ASSISTANTS, Organization, Server, version_of
from tests.events.given import DEFAULTS, NAME
from tests.events.model import Model
from tests.events.reversals import paths_of, undone, with_paths_of
from tests.events.strategies import bodies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Send = Callable[[httpx.Client, str, "Asked"], httpx.Response]

JSON_PATCH = "application/json-patch+json"
DAY = timedelta(days=1)
STEPS = 20
_NEXT = re.compile(r'<([^>]+)>; rel="next"')
few_stories = hypothesis.settings(max_examples=4, deadline=None)
many_stories = hypothesis.settings(max_examples=400, deadline=None)


# -- what is asked, and how it is answered


class Asked(NamedTuple):
    """A request that changes an assistant."""

    method: str
    place: str = ""
    body: Any = None
    media_type: str = "application/json"

    def send(self, client: httpx.Client, path: str, **headers: str) -> httpx.Response:
        content = None if self.body is None else msgspec.json.encode(self.body)
        if content is not None:
            headers["content-type"] = self.media_type
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.request(self.method, path + self.place, content=content, headers=named)


class RawPlan(Struct, frozen=True):
    """What of a plan is compared; ``changes`` byte for byte."""

    etag: str
    version: int
    applicable: bool
    changes: msgspec.Raw
    conflicts: list[dict[str, Any]]


class RawEntry(Struct, frozen=True):
    """What of an entry of the history is compared; ``changes`` byte for byte."""

    version: int
    changes: msgspec.Raw
    settings_snapshot: Tree


def read(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return msgspec.json.decode(answer.content)


def settings_of(shown: Tree) -> Tree:
    return {name: shown[name] for name in DEFAULTS}


def same_settings(shown: Tree, kept: Tree) -> bool:
    return diff(settings_of(shown), kept) == {}


def planned_and_applied(client: httpx.Client, path: str, asked: Asked) -> httpx.Response:
    """Plan a change, apply the plan under its tag, and hold both against each other."""
    plan = msgspec.json.decode(asked.send(client, path, prefer="dry-run").content, type=RawPlan)
    answer = asked.send(client, path, if_match=plan.etag)
    assert answer.is_success == plan.applicable, answer.text
    if not answer.is_success:
        assert answer.status_code == 409
        assert answer.json()["conflicts"] == plan.conflicts
        return answer
    if answer.headers["etag"] == plan.etag:  # nothing was to be changed
        assert bytes(plan.changes) == b"[]"
        return answer
    version = read(answer)["version"]
    assert version == plan.version + 1
    entry = client.get(f"{path}/settings-history/{version}")
    told = msgspec.json.decode(entry.content, type=RawEntry)
    assert bytes(told.changes) == bytes(plan.changes)
    return answer


# -- an assistant and a copy of each of its states


class Kept(Struct):
    """An assistant and what somebody knows of it who kept a copy of everything."""

    id: int
    model: Model
    moments: list[datetime] = field(default_factory=list)
    deleted: list[bool] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"{ASSISTANTS}/{self.id}"

    @property
    def version(self) -> int:
        return self.model.version

    def settings(self, version: int) -> Tree:
        return self.model.copies[version - 1]

    def changes(self, version: int) -> list[str]:
        """The paths that a version changed."""
        return list(diff(self.settings(version - 1), self.settings(version)))

    def version_at(self, moment: datetime) -> int:
        return sum(occurred_at <= moment for occurred_at in self.moments)

    def lived_at(self, moment: datetime) -> bool:
        version = self.version_at(moment)
        return version > 0 and not self.deleted[version - 1]

    def became(self, settings: Tree) -> None:
        if not same(settings, self.model.settings):
            self.model.copies.append(settings)

    def note(self, occurred_at: str, *, deleted: bool = False) -> None:
        """The moment of every version that the model has by now."""
        if len(self.moments) < self.version:
            self.moments.append(datetime.fromisoformat(occurred_at))
            self.deleted.append(deleted)


def created(client: httpx.Client, body: Tree) -> Kept:
    shown = read(Asked("POST", body={"name": NAME} | body).send(client, ASSISTANTS))
    kept = Kept(id=shown["id"], model=Model({"name": NAME} | body))
    assert same_settings(shown, kept.model.settings)
    kept.note(shown["created_at"])
    return kept


class Teller:
    """Tells a story over HTTP, and to the model."""

    def __init__(
        self, admin: httpx.Client, first: list[Tree], *, send: Send = planned_and_applied
    ) -> None:
        self._admin = admin
        self._send = send
        self.all = [created(admin, body) for body in first]

    def tell(self, steps: Iterable[tuple[int, Any]]) -> None:
        for who, step in steps:
            kept = self.all[who % len(self.all)]
            match step:
                case "delete or restore":
                    self._delete_or_restore(kept)
                case _ if kept.deleted[-1]:
                    assert self._admin.get(kept.path).status_code == 404
                case "label", number, name:
                    self._label(kept, number % kept.version + 1, name)
                case "undo", number, on_conflict:
                    self._undo(kept, number, on_conflict)
                case "roll back", number, several:
                    self._roll_back(kept, number, several)
                case "status", is_active:
                    kept.model.patch({"is_active": is_active})
                    self._change(kept, Asked("PATCH", f"/status?is_active={is_active}"))
                case method, body:
                    kept.model.patch(body)
                    self._change(kept, Asked(method, body=body))

    def _change(self, kept: Kept, asked: Asked) -> None:
        """Do what the model has done."""
        shown = read(self._send(self._admin, kept.path, asked))
        assert shown["version"] == kept.version
        assert same_settings(shown, kept.model.settings)
        kept.note(shown["updated_at"])

    def _roll_back(self, kept: Kept, number: int, several: list[int]) -> None:
        now = kept.model.settings
        others = [n for n in range(1, kept.version) if diff(kept.settings(n), now)]
        version = (others or [kept.version])[number % max(len(others), 1)]
        then = kept.settings(version)
        differing = sorted({one for path in diff(now, then) for one in (path, *ancestors(path))})
        candidates = differing if number % 4 and differing else paths_of(now, then)
        paths = [candidates[one % len(candidates)] for one in several]
        body: Tree = {"to_version": version}
        if paths:
            body["paths"] = paths
        kept.became(with_paths_of(now, then, paths or [""]))
        self._change(kept, Asked("POST", "/rollback", body))

    def _undo(self, kept: Kept, number: int, on_conflict: str) -> None:
        changes = [
            v for v in range(2, kept.version + 1) if diff(kept.settings(v - 1), kept.settings(v))
        ]
        if not changes:
            return
        version = changes[number % len(changes)]
        asked = Asked("POST", "/undo", {"version": version, "on_conflict": on_conflict})
        expected = undone(kept.model, version, forcing=on_conflict == "force")
        if expected.conflicts and on_conflict == "fail":
            answer = self._send(self._admin, kept.path, asked)
            assert answer.status_code == 409
            assert {one["path"] for one in answer.json()["conflicts"]} == expected.conflicts
            return
        kept.became(expected.settings)
        self._change(kept, asked)

    def _delete_or_restore(self, kept: Kept) -> None:
        was_deleted = kept.deleted[-1]
        kept.model.delete()  # one more copy
        if was_deleted:
            shown = read(self._admin.post(f"{kept.path}/restore"))
            assert same_settings(shown, kept.model.settings)
            kept.note(shown["updated_at"])
        else:
            read(self._admin.delete(kept.path))
            told = read(self._admin.get(f"{kept.path}/versions/latest?include_deleted=true"))
            kept.note(told["created_at"], deleted=True)

    def _label(self, kept: Kept, version: int, name: str) -> None:
        answer = self._admin.put(f"{kept.path}/versions/{version}/label", json={"label": name})
        if kept.labels.get(name, version) != version:
            assert answer.status_code == 409
            return
        read(answer)
        kept.labels = {one: at for one, at in kept.labels.items() if at != version} | {
            name: version
        }


# -- what the past has to be


def every_version_is_its_copy(client: httpx.Client, kept: Kept) -> None:
    names: list[tuple[str, int]] = [(f"{n}", n) for n in range(1, kept.version + 1)]
    names += [("latest", kept.version), *(("label:" + one, n) for one, n in kept.labels.items())]
    names += [(f"-{n}", kept.version - n) for n in range(1, kept.version)][-2:]
    for name, version in names:
        answer = client.get(kept.path, params={"version": name})
        assert answer.status_code == (404 if kept.deleted[version - 1] else 200)
        named = client.get(f"{kept.path}/versions/{quote(name, safe='')}?include_deleted=true")
        told = read(named)
        assert told["version"] == told["assistant"]["version"] == version
        assert same_settings(told["assistant"], kept.settings(version))
        assert datetime.fromisoformat(told["created_at"]) == kept.moments[version - 1]
        if answer.is_success:
            assert same(read(answer), told["assistant"])
            assert version_of(answer) == version


def many_moments_are_their_copies(
    client: httpx.Client, everybody: list[Kept], choose: random.Random
) -> None:
    """Each assistant alone, and the list of all; at, between, before and after their changes."""
    moments = sorted(one for kept in everybody for one in kept.moments)
    between = [one + (other - one) / 2 for one, other in pairwise(moments)]
    chosen = choose.sample([*moments, *between], min(len(between), 12))
    for moment in [*chosen, moments[0] - DAY, moments[-1] + DAY]:
        query = {"as_of": moment.isoformat(), "limit": "1000"}
        listed = {one["id"]: one for one in read(client.get(ASSISTANTS, params=query))}
        alive = [kept.id for kept in reversed(everybody) if kept.lived_at(moment)]
        assert [one for one in listed if one in {kept.id for kept in everybody}] == alive
        for kept in everybody:
            answer = client.get(kept.path, params={"as_of": moment.isoformat()})
            assert answer.is_success == (kept.id in alive)
            if answer.is_success:
                assert same(read(answer), listed[kept.id])
                assert same_settings(read(answer), kept.settings(kept.version_at(moment)))
                assert read(answer)["version"] == kept.version_at(moment)


def every_difference_turns_one_version_into_the_other(
    client: httpx.Client, kept: Kept, choose: random.Random
) -> None:
    versions = range(1, kept.version + 1)
    for _ in range(4):
        one, other = choose.choice(versions), choose.choice(versions)
        before, after = kept.settings(one), kept.settings(other)
        place = f"{kept.path}/diff?from={one}&to={other}&include_deleted=true"
        entries = read(client.get(place))
        assert {entry["path"] for entry in entries} == set(diff(before, after))
        for entry in entries:
            assert same(entry.get("before", UNSET), at(before, entry["path"]))
            assert same(entry.get("after", UNSET), at(after, entry["path"]))
            assert set(entry["changed_by"]) == changers(kept, entry["path"], one, other)
        steps = client.get(place, headers={"accept": JSON_PATCH})
        assert steps.headers["content-type"] == JSON_PATCH
        assert same(jsonpatch.apply_patch(before, read(steps)), after)


def changers(kept: Kept, path: str, one: int, other: int) -> set[int]:
    """The versions between two that touched a path."""
    numbers = range(min(one, other) + 1, max(one, other) + 1)
    return {n for n in numbers if any(overlaps(path, changed) for changed in kept.changes(n))}


def every_entry_has_the_state_before_it(client: httpx.Client, kept: Kept, limit: int) -> None:
    seen = []
    url = f"{kept.path}/settings-history?limit={limit}&include_deleted=true"
    while url:
        answer = client.get(url)
        for entry in msgspec.json.decode(answer.content, type=list[RawEntry]):
            assert diff(entry.settings_snapshot, kept.settings(entry.version - 1)) == {}
            seen.append(entry.version)
        link = _NEXT.fullmatch(answer.headers.get("link", ""))
        url = link[1] if link else ""
    assert seen == list(range(kept.version, 1, -1))


# -- stories


def some_body(choose: random.Random) -> Tree:
    """A body of one or two of a few members, so that one change meets another."""
    member = choose.choice([None, {"n": choose.randint(0, 9)}])
    some: list[Tree] = [
        {"description": choose.choice([None, "a", "b"])},
        {"custom_settings": choose.choice([None, {choose.choice("ab"): member}])},
        {"stt_settings": {"flux_config": choose.choice([None, {"tag": choose.choice("ab")}])}},
        {"llm_settings": {"temperature": choose.randint(0, 9) / 10}},
    ]
    return choose.choice(some) | choose.choice(some)


def story(choose: random.Random, sent: list[Tree]) -> Iterator[tuple[int, Any]]:
    """Steps for two assistants; ``sent`` are bodies that come up among others."""
    for _ in range(STEPS):
        number = choose.randint(0, 999)
        several = [choose.randint(0, 999) for _ in range(choose.randint(0, 2))]
        body = choose.choice([*sent, *(some_body(choose) for _ in range(1 + len(sent)))])
        steps: list[Any] = [
            *[("PATCH", body), ("PUT", body)] * 3,
            ("status", number % 2 == 0),
            *[("undo", number, choose.choice(["fail", "skip", "force"]))] * 2,
            *[("roll back", number, several)] * 2,
            ("label", number, choose.choice(["good", "7", "é b"])),
            "delete or restore",
        ]
        yield choose.randint(0, 1), choose.choice(steps)


_FIRST = st.lists(bodies(), min_size=2, max_size=2)
_SENT = st.lists(bodies(), max_size=5)
_SEEDS = st.integers(0, 10**6)


def the_past_is_as_it_was(
    admin: httpx.Client, first: list[Tree], sent: list[Tree], seed: int
) -> None:
    choose = random.Random(seed)
    teller = Teller(admin, first)
    teller.tell(story(choose, sent))
    for kept in teller.all:
        every_version_is_its_copy(admin, kept)
        every_difference_turns_one_version_into_the_other(admin, kept, choose)
        every_entry_has_the_state_before_it(admin, kept, choose.randint(1, 4))
    many_moments_are_their_copies(admin, teller.all, choose)


@few_stories
@for_all(_FIRST, _SENT, _SEEDS)
def test_any_story_leaves_a_past_that_is_as_it_was_and_plans_that_hold(
    admin: httpx.Client, first: list[Tree], sent: list[Tree], seed: int
) -> None:
    the_past_is_as_it_was(admin, first, sent, seed)


@pytest.mark.long
@many_stories
@for_all(_FIRST, _SENT, _SEEDS)
def test_many_stories_leave_a_past_that_is_as_it_was_and_plans_that_hold(
    admin: httpx.Client, first: list[Tree], sent: list[Tree], seed: int
) -> None:
    """Run it with: pytest -m long tests/app/assistants/test_time_travel_over_http.py."""
    the_past_is_as_it_was(admin, first, sent, seed)


# -- a deep past


@pytest.fixture(scope="module")
def deep(admin: httpx.Client) -> Kept:
    """An assistant with 150 versions, of which some went back."""
    choose = random.Random(11)
    teller = Teller(admin, [{}], send=lambda client, path, asked: asked.send(client, path))
    (kept,) = teller.all
    while kept.version < 150:
        number = choose.randint(0, 99)
        temperature = {"llm_settings": {"temperature": number / 100}}
        member = {"custom_settings": {choose.choice("abc"): choose.choice([None, {"n": number}])}}
        went_back = ("roll back", number, [number] * choose.randint(0, 1))
        steps = [("PATCH", temperature), ("PATCH", member), ("PUT", member), went_back]
        teller.tell([(0, choose.choice(steps))])
    return kept


@pytest.mark.parametrize("limit", [7, 50, 200])
def test_a_snapshot_on_any_page_is_the_state_before_its_change(
    admin: httpx.Client, deep: Kept, limit: int
) -> None:
    every_entry_has_the_state_before_it(admin, deep, limit)


@pytest.mark.parametrize("path", ["/llm_settings/temperature", "/custom_settings/a", "/name"])
def test_a_snapshot_on_a_filtered_page_is_the_state_before_its_change(
    admin: httpx.Client, deep: Kept, path: str
) -> None:
    found = read(admin.get(f"{deep.path}/settings-history", params={"path": path, "limit": 200}))
    expected = [
        version
        for version in range(deep.version, 1, -1)
        if any(
            overlaps(path, one) for one in diff(deep.settings(version - 1), deep.settings(version))
        )
    ]
    assert [entry["version"] for entry in found] == expected
    for entry in found:
        assert diff(entry["settings_snapshot"], deep.settings(entry["version"] - 1)) == {}


def test_any_entry_alone_is_the_one_of_its_page(admin: httpx.Client, deep: Kept) -> None:
    listed = read(admin.get(f"{deep.path}/settings-history?limit=200"))
    for entry in listed[::11]:
        assert read(admin.get(f"{deep.path}/settings-history/{entry['version']}")) == entry


def test_any_version_of_a_deep_past_is_its_copy(admin: httpx.Client, deep: Kept) -> None:
    for version in (*range(1, deep.version, 17), 63, 64, 65, 127, 128, 129, deep.version):
        shown = read(admin.get(deep.path, params={"version": version}))
        assert same_settings(shown, deep.settings(version))
        moment = deep.moments[version - 1].isoformat()
        assert same(read(admin.get(deep.path, params={"as_of": moment})), shown)


# -- a plan that is too old


PLANNED: dict[str, Asked] = {
    "PATCH": Asked("PATCH", body={"llm_settings": {"temperature": 0.1}}),
    "merge patch": Asked("PATCH", "", {"idle_message": None}, "application/merge-patch+json"),
    "JSON Patch": Asked(
        "PATCH", "", [{"op": "replace", "path": "/description", "value": "x"}], JSON_PATCH
    ),
    "a patch of an older version": Asked("PATCH", "?base_version=1", {"tts_limit": 3}),
    "PUT": Asked("PUT", body={"description": "x", "tts_limit": 5}),
    "status": Asked("PATCH", "/status?is_active=false"),
    "rollback": Asked("POST", "/rollback", {"to_version": 1}),
    "rollback of paths": Asked("POST", "/rollback", {"to_version": 1, "paths": ["/stt_limit"]}),
    "rollback to an entry": Asked("POST", "/settings-history/2/rollback", {}),
    "undo": Asked("POST", "/undo", {"version": 2, "change_description": "Why not"}),
    "a secret": Asked("PATCH", body={"api_keys": {"own": "sk-planned"}, "stt_limit": 9}),
}


@pytest.fixture
def changed(editor: httpx.Client) -> str:
    """An assistant with three versions."""
    path = created(editor, {}).path
    for body in ({"stt_limit": 7, "description": "b"}, {"custom_settings": {"a": {"b": [1]}}}):
        read(Asked("PATCH", body=body).send(editor, path))
    return path


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_is_byte_for_byte_what_the_history_then_tells(
    editor: httpx.Client, changed: str, name: str
) -> None:
    before = read(editor.get(changed))
    answer = planned_and_applied(editor, changed, PLANNED[name])
    assert read(answer)["version"] == before["version"] + 1


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_that_somebody_overtook_is_refused_and_changes_nothing(
    server: Server,
    organization: Organization,
    admin: httpx.Client,
    editor: httpx.Client,
    changed: str,
    name: str,
) -> None:
    asked = PLANNED[name]
    plan = read(asked.send(editor, changed, prefer="dry-run"))
    theirs = Asked("PATCH", body={"end_call_message": "Bye", "change_description": "Overtook"})
    read(theirs.send(admin, changed))
    before = stored.rows(server.database, organization.id)
    answer = asked.send(editor, changed, if_match=plan["etag"])
    assert answer.status_code == 412
    assert version_of(answer) == 4
    (since,) = answer.json()["changed_since"]
    assert (since["version"], since["reason"]) == (4, "Overtook")
    assert since["paths"] == ["/end_call_message"]
    assert stored.rows(server.database, organization.id) == before
    # The control: under today's tag, or none, it is done.
    assert asked.send(editor, changed, if_match=answer.headers["etag"]).is_success


def test_a_plan_records_nothing(
    server: Server, organization: Organization, editor: httpx.Client, changed: str
) -> None:
    before = stored.rows(server.database, organization.id)
    for asked in (*PLANNED.values(), Asked("DELETE")):
        assert read(asked.send(editor, changed, prefer="dry-run"))["dry_run"] is True
    assert stored.rows(server.database, organization.id) == before
