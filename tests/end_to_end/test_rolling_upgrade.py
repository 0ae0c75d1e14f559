"""Two releases of the settings on one database: the older beside the newer, as in an upgrade.

The newer one is made here, with settings more than this one, and runs in processes of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from events.shape import DIGEST
from tests import releases
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.conftest import serving as serving_here
from tests.databases import chosen
from tests.end_to_end.processes import EQUAL, client, run, serving, start

Json = dict[str, Any]
KEY = "sk-voicemail-4f1d9c"
FALLBACKS = [
    {"provider": "anthropic", "model": "claude", "config": {"region": "eu"}, "timeout": 5.0},
    {"provider": "gemini", "model": "flash", "timeout": 12.5},
]
# What only the newer release knows: by pointer, what is set, and what is the default.
SET = {
    "/voicemail_message": "Leave a message.",
    "/voicemail_key": "********",
    "/consent_settings/asks": True,
    "/llm_settings/seed": 11,
    "/llm_fallback_providers/fallbacks/0/timeout": 5.0,
    "/llm_fallback_providers/fallbacks/1/timeout": 12.5,
}
OF_DEFAULTS = {
    "/voicemail_message": "Please call again.",
    "/voicemail_key": None,
    "/consent_settings/asks": False,
    "/llm_settings/seed": 7,
}
BODY = {
    "voicemail_message": SET["/voicemail_message"],
    "voicemail_key": KEY,
    "consent_settings": {"asks": True},
    "llm_settings": {"seed": 11, "temperature": 0.25},
    "llm_fallback_providers": {"enabled": True, "fallbacks": FALLBACKS},
}


class Release(Struct, frozen=True):
    """A release that serves: nothing that it answers may be its own failure."""

    http: httpx.Client

    def ask(self, method: str, path: str, **sent: Any) -> httpx.Response:
        answer = self.http.request(method, f"{ASSISTANTS}{path}", **sent)
        assert answer.is_success, answer.text
        return answer

    def get(self, number: int) -> Json:
        shown: Json = self.ask("GET", f"/{number}").json()
        return shown


class Beside(Struct, frozen=True, kw_only=True):
    """Both releases, and what the operator runs beside them."""

    database: Path
    newer: Path
    old: Release
    new: Release

    def operate(self, *arguments: str) -> str:
        """Run a command of the newer release."""
        return operate(self.newer, self.database, *arguments)


def operate(newer: Path, database: Path, *arguments: str) -> str:
    done = start(database.parent, *arguments, PYTHONPATH=str(newer))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def release(url: str, organization: Organization) -> Iterator[Release]:
    with client(url, organization.admin) as http:
        http.event_hooks["response"] = [_fails_nowhere]
        yield Release(http)


def _fails_nowhere(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.read()


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return releases.make(tmp_path_factory.mktemp("newer") / "release", releases.NEWER.items())


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, newer: Path) -> Iterator[Beside]:
    """In the order of the documentation, as far as both serve."""
    with ExitStack() as stack:
        with chosen("postgresql"):
            database = tmp_path_factory.mktemp("rolling") / "backstory.db"
            (organization,) = make_organizations(database, 1)
            old_one = stack.enter_context(serving(database))
            old = stack.enter_context(release(old_one.url, organization))
            old.ask("POST", "", json={"name": "Of before"})
            operate(newer, database, "migrate")
            new_one = stack.enter_context(serving(database, PYTHONPATH=str(newer)))
            new = stack.enter_context(release(new_one.url, organization))
        yield Beside(database=database, newer=newer, old=old, new=new)
        old_one.process.terminate()
        assert old_one.process.wait(20) == 0
        with chosen("postgresql"):
            operate(newer, database, "migrate")
            assert operate(newer, database, "check").endswith(EQUAL)


def at(shown: Any, pointer: str) -> Any:
    for name in pointer.split("/")[1:]:
        shown = shown[int(name) if isinstance(shown, list) else name]
    return shown


def of_new_ones(shown: Json, expected: Json = SET) -> Json:
    return {pointer: at(shown, pointer) for pointer in expected}


def without_new_ones(shown: Json) -> Json:
    """What the older release shows of what the newer one does."""
    known = {n: v for n, v in shown.items() if n not in (*BODY, "consent_settings")}
    llm = {n: v for n, v in shown["llm_settings"].items() if n != "seed"}
    fallbacks = [
        {n: v for n, v in one.items() if n != "timeout"}
        for one in shown["llm_fallback_providers"]["fallbacks"]
    ]
    providers = shown["llm_fallback_providers"] | {"fallbacks": fallbacks}
    return known | {"llm_settings": llm, "llm_fallback_providers": providers}


def create(through: Release, **body: Any) -> int:
    return int(through.ask("POST", "", json={"name": "Front desk"} | body).json()["id"])


# -- what the older release writes


def operations(*sent: Json) -> Callable[[Release, int], Any]:
    headers = {"content-type": "application/json-patch+json"}
    return lambda old, number: old.ask("PATCH", f"/{number}", json=sent, headers=headers)


def body(method: str, sent: Json, **headers: str) -> Callable[[Release, int], Any]:
    return lambda old, number: old.ask(method, f"/{number}", json=sent, headers=headers)


def whole(method: str, edit: Callable[[Json], Json]) -> Callable[[Release, int], Any]:
    """Read, edit, and send back all that was read."""
    return lambda old, number: old.ask(method, f"/{number}", json=edit(old.get(number)))


def _with_another_model(shown: Json) -> Json:
    first, second = shown["llm_fallback_providers"]["fallbacks"]
    return shown | {"llm_fallback_providers": {"fallbacks": [first | {"model": "opus"}, second]}}


def _sending(path: str, sent: Json) -> Callable[[Release, int], Any]:
    return lambda old, number: old.ask("POST", f"/{number}/{path}", json=sent)


def _undo_of_its_own(old: Release, number: int) -> None:
    old.ask("PATCH", f"/{number}", json={"description": "x", "llm_settings": {"top_p": 0.3}})
    version = old.get(number)["version"]
    old.ask("PUT", f"/{number}", json={"idle_message": None})
    old.ask("POST", f"/{number}/undo", json={"version": version})


def _roll_back_over_its_own(old: Release, number: int) -> None:
    for text in ("a", "b"):
        old.ask("PATCH", f"/{number}", json={"description": text, "llm_settings": {"top_p": 0.3}})
    old.ask("POST", f"/{number}/rollback", json={"to_version": 2})


def _change_set(old: Release, number: int) -> None:
    sent = {"assistant_ids": [number], "patch": {"llm_settings": {"max_tokens": 50}}}
    answer = old.http.post("/api/v1/change-sets", json=sent)
    assert answer.status_code == 201, answer.text
    set_id = answer.json()["change_set_id"]
    assert old.http.post(f"/api/v1/change-sets/{set_id}/revert", json={}).status_code == 200


def _merge_over_an_older_version(old: Release, number: int) -> None:
    sent = {"base_version": 1, "description": "x", "llm_settings": {"top_p": 0.4}}
    old.ask("PATCH", f"/{number}", json=sent)


def _delete_and_restore(old: Release, number: int) -> None:
    old.ask("DELETE", f"/{number}")
    old.ask("POST", f"/{number}/restore")


def _switch_off(old: Release, number: int) -> None:
    old.ask("PATCH", f"/{number}/status?is_active=false")


WRITES: dict[str, Callable[[Release, int], Any]] = {
    "PATCH of another setting": body("PATCH", {"description": "x"}),
    "PATCH of the same object": body("PATCH", {"llm_settings": {"temperature": 0.9}}),
    "PATCH back to the defaults": body("PATCH", {"llm_settings": None}),
    "merge patch": body(
        "PATCH",
        {"llm_settings": {"top_p": 0.9}, "llm_fallback_providers": {"enabled": False}},
        **{"content-type": "application/merge-patch+json"},
    ),
    "PUT of the same object": body("PUT", {"name": "Night", "llm_settings": {"top_p": 0.5}}),
    "PUT of all that was read": whole("PUT", lambda shown: shown | {"description": "x"}),
    "PUT of a list that was read": whole("PUT", _with_another_model),
    "PATCH of a list that was read": whole("PATCH", _with_another_model),
    "JSON Patch of the same object": operations(
        {"op": "replace", "path": "/llm_settings/temperature", "value": 0.9}
    ),
    "JSON Patch of the whole object": operations(
        {"op": "replace", "path": "/llm_settings", "value": {"temperature": 0.9}}
    ),
    "JSON Patch of an element": operations(
        {"op": "replace", "path": "/llm_fallback_providers/fallbacks/0/model", "value": "opus"}
    ),
    "status": _switch_off,
    "change set, and its revert": _change_set,
    "merge over an older version": _merge_over_an_older_version,
    "undo of its own change": _undo_of_its_own,
    "rollback of its own changes": _roll_back_over_its_own,
    "rollback of a path": _sending("rollback", {"to_version": 1, "paths": ["/tts_settings"]}),
    "delete and restore": _delete_and_restore,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_the_newer_release_set_stays_whatever_the_older_one_writes(
    beside: Beside, write: Callable[[Release, int], Any]
) -> None:
    number = create(beside.old)
    beside.new.ask("PATCH", f"/{number}", json=BODY)
    write(beside.old, number)
    shown = beside.new.get(number)
    assert of_new_ones(shown) == SET
    assert beside.old.get(number) == without_new_ones(shown)
    path = f"/{number}/secrets/reveal"
    revealed = beside.new.ask("POST", path, json={"paths": ["/voicemail_key"]}).json()
    assert revealed == {"secrets": {"/voicemail_key": KEY}}


def test_what_either_acknowledges_both_show(beside: Beside) -> None:
    number = create(beside.new, **BODY)
    sent: list[tuple[Release, Json]] = [
        (beside.old, {"description": "by the old one"}),
        (beside.new, {"llm_settings": {"seed": 12}}),
        (beside.old, {"llm_settings": {"max_tokens": 77}}),
        (beside.new, {"name": "Night desk", "consent_settings": {"question": "May we?"}}),
        (beside.old, {"llm_fallback_providers": {"enabled": False}}),
    ]
    for version, (through, patch) in enumerate(sent, 2):
        shown = through.ask("PATCH", f"/{number}", json=patch).json()
        assert shown["version"] == version
        for one in (beside.old, beside.new):
            assert one.get(number)["version"] == version
    assert beside.old.get(number) == without_new_ones(beside.new.get(number))
    new_ones = SET | {"/llm_settings/seed": 12, "/consent_settings/question": "May we?"}
    others = {
        "/description": "by the old one",
        "/llm_settings/max_tokens": 77,
        "/name": "Night desk",
        "/llm_fallback_providers/enabled": False,
    }
    expected = new_ones | others
    assert of_new_ones(beside.new.get(number), expected) == expected


def test_what_the_older_release_creates_has_the_defaults_of_the_newer_one(beside: Beside) -> None:
    for number in (1, create(beside.old)):  # before the newer one came, and beside it
        assert of_new_ones(beside.new.get(number), OF_DEFAULTS) == OF_DEFAULTS
        listed = beside.new.ask("GET", "?limit=1000").json()
        (shown,) = (one for one in listed if one["id"] == number)
        assert of_new_ones(shown, OF_DEFAULTS) == OF_DEFAULTS
        past = beside.new.ask("GET", f"/{number}?version=1").json()
        assert of_new_ones(past, OF_DEFAULTS) == OF_DEFAULTS


def test_a_copy_by_the_older_release_has_the_settings_that_only_the_newer_one_knows(
    beside: Beside,
) -> None:
    number = create(beside.new, **BODY)
    copied = beside.old.ask("POST", f"/{number}/duplicate").json()["id"]
    assert of_new_ones(beside.new.get(copied)) == SET | {"/voicemail_key": None}  # as any secret


def test_the_past_that_the_older_release_restores_is_whole(beside: Beside) -> None:
    number = create(beside.old)
    beside.new.ask("PATCH", f"/{number}", json=BODY)
    changed = {"voicemail_message": None, "llm_settings": {"seed": 2}}
    beside.new.ask("PATCH", f"/{number}", json=changed | {"consent_settings": {"asks": False}})
    beside.old.ask("POST", f"/{number}/rollback", json={"to_version": 2})
    assert of_new_ones(beside.new.get(number)) == SET
    beside.old.ask("POST", f"/{number}/undo", json={"version": 4})
    assert of_new_ones(beside.new.get(number), changed_ones := {
        "/voicemail_message": None, "/llm_settings/seed": 2, "/consent_settings/asks": False
    }) == changed_ones  # fmt: skip
    beside.old.ask("POST", f"/{number}/rollback", json={"to_version": 1})
    kept = OF_DEFAULTS | {"/voicemail_key": "********"}  # a rollback keeps the secrets of today
    assert of_new_ones(beside.new.get(number), kept) == kept
    for version in range(1, 6):
        past = beside.new.ask("GET", f"/{number}?version={version}").json()
        shown = beside.old.ask("GET", f"/{number}?version={version}").json()
        assert shown == without_new_ones(past)


def test_the_older_release_says_that_it_does_not_know_a_new_setting(beside: Beside) -> None:
    number = create(beside.old)
    sent = {"voicemail_message": "x", "llm_settings": {"seed": 3, "top_p": 0.5}}
    answer = beside.old.ask("PATCH", f"/{number}", json=sent)
    assert answer.headers["x-ignored-fields"] == "/voicemail_message, /llm_settings/seed"
    strict = {"prefer": "handling=strict"}
    refused = beside.old.http.patch(f"{ASSISTANTS}/{number}", json=sent, headers=strict)
    assert refused.status_code == 422
    assert of_new_ones(beside.new.get(number), OF_DEFAULTS) == OF_DEFAULTS


def test_a_choice_that_only_the_newer_release_has_stays(beside: Beside) -> None:
    number = create(beside.new)
    hot = {"tools_settings": {"transfer_call": {"transfer_type": "hot"}}}
    assert beside.old.http.patch(f"{ASSISTANTS}/{number}", json=hot).status_code == 422
    beside.new.ask("PATCH", f"/{number}", json=hot)
    others = {"tools_settings": {"transfer_call": {"enabled": True}, "end_call": {"enabled": True}}}
    beside.old.ask("PATCH", f"/{number}", json=others)
    beside.old.ask("POST", f"/{number}/undo", json={"version": 3})
    beside.old.ask("POST", f"/{number}/rollback", json={"to_version": 3})
    for one in (beside.old, beside.new):
        call = one.get(number)["tools_settings"]["transfer_call"]
        assert (call["transfer_type"], call["enabled"]) == ("hot", True)


def test_what_the_older_release_shows_changes_nothing_when_it_is_sent_back(
    beside: Beside,
) -> None:
    number = create(beside.new, **BODY)
    for method in ("PUT", "PATCH"):
        shown = beside.old.get(number)
        strict = {"prefer": "handling=strict"}
        answer = beside.old.ask(method, f"/{number}", json=shown, headers=strict)
        assert answer.json()["version"] == 1
        assert "x-ignored-fields" not in answer.headers


def test_what_one_release_read_is_good_to_write_over_by_the_other(beside: Beside) -> None:
    number = create(beside.new, **BODY)
    both = (beside.new, beside.old)
    for version, (read, write) in enumerate((both, both[::-1], both)):
        tag = read.ask("GET", f"/{number}").headers["etag"]
        held = write.ask("GET", f"/{number}", headers={"if-none-match": tag})
        assert held.status_code == 200
        changed = {"description": f"{version}"}
        write.ask("PATCH", f"/{number}", json=changed, headers={"if-match": tag})
        refused = read.http.patch(f"{ASSISTANTS}/{number}", json={}, headers={"if-match": tag})
        assert refused.status_code == 412


def test_the_history_reads_alike_in_both(beside: Beside) -> None:
    number = create(beside.old)
    beside.new.ask("PATCH", f"/{number}", json=BODY)
    beside.old.ask("PATCH", f"/{number}", json={"description": "x"})
    beside.new.ask("PATCH", f"/{number}", json={"voicemail_message": None})
    path = f"/{number}/settings-history"
    ours, theirs = (one.ask("GET", path).json() for one in (beside.old, beside.new))
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        snapshot = without_new_ones(other["settings_snapshot"])
        assert one == other | {"settings_snapshot": snapshot}


def test_an_older_process_may_start_again(beside: Beside) -> None:
    """It neither folds what the newer release wrote, nor keeps that from being migrated."""
    create_key = ("keys", "create", "--role", "viewer", "--organization")
    with chosen("postgresql"):
        beside.operate(*create_key, "Made by the newer one")
        folder = beside.database.parent
        made = run(folder, *create_key, "Made by the older one")
        assert made.returncode == 0
        assert "a release with other settings has folded the views" in made.stderr
        refused = run(folder, "migrate")
        assert refused.returncode == 1
        assert "'backstory rebuild'" in refused.stderr
        beside.operate("migrate")


# -- what would be lost without


def test_rows_of_the_other_release_would_lack_its_settings(newer: Path, tmp_path: Path) -> None:
    """The control: the newer release takes the rows of the older one for its own."""
    unguarded = f"import events.shape\nevents.shape.DIGEST = {DIGEST!r}"
    with chosen("postgresql"):
        database = tmp_path / "backstory.db"
        (organization,) = make_organizations(database, 1)
        with serving_here(database, []) as here, release(here.url, organization) as old:
            number = create(old)
        with (
            serving(database, preamble=unguarded, PYTHONPATH=str(newer)) as one,
            release(one.url, organization) as new,
        ):
            shown = new.get(number)
    assert "voicemail_message" not in shown
    assert "seed" not in shown["llm_settings"]


# -- an SQLite file: the one after the other


@pytest.mark.long
@pytest.mark.sqlite
def test_one_release_after_another_on_a_file(newer: Path, tmp_path: Path) -> None:
    """``pytest -m long tests/end_to_end/test_rolling_upgrade.py``."""
    database = tmp_path / "backstory.db"
    (organization,) = make_organizations(database, 1)

    @contextmanager
    def newest() -> Iterator[Release]:
        with (
            serving(database, PYTHONPATH=str(newer)) as one,
            release(one.url, organization) as new,
        ):
            yield new
            one.process.terminate()
            assert one.process.wait(20) == 0

    with serving_here(database, []) as here, release(here.url, organization) as old:
        number = create(old)
    with newest() as new:
        assert of_new_ones(new.get(number), OF_DEFAULTS) == OF_DEFAULTS
        new.ask("PATCH", f"/{number}", json=BODY)
        shown = new.get(number)
    with serving_here(database, []) as here, release(here.url, organization) as old:
        assert old.get(number) == without_new_ones(shown)  # back to the older one
        old.ask("PATCH", f"/{number}", json={"llm_settings": {"temperature": 0.75}})
    assert run(tmp_path, "rebuild").returncode == 0
    assert run(tmp_path, "check").stdout.endswith(EQUAL)
    with newest() as new:
        expected = SET | {"/llm_settings/temperature": 0.75}
        assert of_new_ones(new.get(number), expected) == expected
