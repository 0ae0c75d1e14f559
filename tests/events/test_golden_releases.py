"""What each release wrote means what it meant: today's fold of its log gives its states.

``golden_release`` says how a release adds its folder. Settings that are younger than a state have
today's defaults in it, and older ones are where the upcasters put them.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from events import codec, pointers
from events.changed import NOTHING, LogEvent, State, evolve
from events.codec import NewerEvent
from events.pointers import MARK, flatten, is_reference, same
from events.shape import SETTINGS, Record, known
from events.upcasters import NAMES_SETTINGS, Upcaster, upcast
from tests.events import golden_release
from tests.events.golden_release import GOLDEN, Upcasters

RELEASES = golden_release.names()
FIRST = "release-1"


def check(root: Path, name: str, upcasters: Upcasters = codec.UPCASTERS) -> None:
    """Hold today's fold of every log that a release knew against its states."""
    created = next(body for body in golden_release.log(root, name) if b"assistant_created." in body)
    for written, states in golden_release.expected(root, name).items():
        bodies = golden_release.log(root, written)
        found = golden_release.folded(bodies, upcasters)
        assert found.keys() == states.keys()
        for assistant, expected in states.items():
            assert len(found[assistant]) == len(expected)
            for state, then in zip(found[assistant], expected, strict=True):
                now = todays(then, msgspec.json.decode(created), upcasters)
                ids = b"\n".join(bodies).decode()
                shown = [as_known(msgspec.to_builtins(one), ids) for one in (state, now)]
                assert same(known(state.settings), state.settings), "not all of it was upcast"
                assert same(*shown), f"{written}, assistant {assistant}, version {then.version}"


def todays(state: State, created: Any, upcasters: Upcasters) -> State:
    """A state of a release with today's settings, as if it had been created so."""
    changes = {path: {"after": value} for path, value in flatten(state.settings).items()}
    body = msgspec.json.encode(created | {"changes": changes, "version": state.version})
    event = codec.decode(body, codec.tag_in(body), upcasters)
    settings = evolve(NOTHING, event).settings  # type: ignore[arg-type]  # it is a creation
    return msgspec.structs.replace(state, settings=settings)


def as_known(value: Any, ids: str) -> Any:
    """The value, in which ids of secrets that were plain when they were stored are one."""
    if is_reference(value):
        known = value[MARK]["id"] in ids
        return value if known else value | {MARK: {"id": "made"}}
    if isinstance(value, dict):
        return {name: as_known(one, ids) for name, one in value.items()}
    return [as_known(one, ids) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_read_as_it_was_meant(name: str) -> None:
    check(GOLDEN, name)


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_knew_the_logs_of_those_before_it(name: str) -> None:
    before = RELEASES[: RELEASES.index(name) + 1]
    assert list(golden_release.expected(GOLDEN, name)) == before


def test_the_first_release_wrote_every_kind_of_event() -> None:
    tags = {codec.tag_in(body) for body in golden_release.log(GOLDEN, FIRST)}
    assert len(tags) == 15  # of then
    assert tags <= {tag for kind in LogEvent.__args__ for tag in codec.tags_of(kind)}


def test_the_first_release_set_every_setting_and_secrets_of_each_kind() -> None:
    states = golden_release.expected(GOLDEN, FIRST)[FIRST]
    plain, full = states["1"][0].settings, states["2"][0].settings
    kept = {path for path, value in flatten(plain).items() if same(pointers.at(full, path), value)}
    assert kept == set()
    text = msgspec.json.encode(full)
    assert text.count(b'"$secret"') > 10
    assert b'"url":"https://hooks.example/in"' in text


def test_no_folder_is_written_twice(tmp_path: Path) -> None:
    golden_release.add(tmp_path, FIRST, golden_release.log(GOLDEN, FIRST)[:1])
    with pytest.raises(FileExistsError):
        golden_release.add(tmp_path, FIRST, [])


# -- the controls: what would be noticed


def silent(body: bytes, path: str) -> bytes:
    """An event of before a setting was there."""
    event = msgspec.json.decode(body)
    event.get("changes", {}).pop(path, None)
    return msgspec.json.encode(event)


def test_another_default_for_what_older_events_are_silent_about_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = golden_release.log(GOLDEN, FIRST)
    older = [silent(body, "/rag_settings/auto_process") for body in bodies]
    golden_release.add(tmp_path, "release-1", older)
    golden_release.add(tmp_path, "release-2", bodies)
    check(tmp_path, "release-2")
    rag = SETTINGS.members["rag_settings"].shape
    assert isinstance(rag, Record)
    member = msgspec.structs.replace(rag.members["auto_process"], default=False)
    monkeypatch.setitem(rag.members, "auto_process", member)
    with pytest.raises(AssertionError, match="release-1, assistant 1, version 1"):
        check(tmp_path, "release-2")


def with_upcaster(upcaster: Upcaster) -> Upcasters:
    """One upcaster more, before all others: for events older than the first release's."""
    more = {f"{name}.v0": partial(upcast, upcaster=upcaster) for name in NAMES_SETTINGS}
    return {**codec.UPCASTERS, **more}


def _rewrite(file: Path, pairs: dict[str, str]) -> None:
    text = file.read_text()
    for now, then in pairs.items():
        assert now in text
        text = text.replace(now, then)
    file.write_text(text)


@pytest.fixture
def before_a_move(tmp_path: Path) -> Path:
    """A release whose ``greeting`` became ``idle_message``."""
    shutil.copytree(GOLDEN / FIRST, tmp_path / FIRST)
    _rewrite(tmp_path / FIRST / "states.json", {'"idle_message":': '"greeting":'})
    tags = {f'"{name}.v1"': f'"{name}.v0"' for name in NAMES_SETTINGS}
    _rewrite(tmp_path / FIRST / "log.jsonl", {'"/idle_message"': '"/greeting"'} | tags)
    return tmp_path


def test_what_was_moved_is_read_where_it_is_now(before_a_move: Path) -> None:
    check(before_a_move, FIRST, with_upcaster(Upcaster(moved={"/greeting": "/idle_message"})))


def test_a_lost_upcaster_is_noticed(before_a_move: Path) -> None:
    with pytest.raises(AssertionError, match="upcast"):
        check(before_a_move, FIRST, with_upcaster(Upcaster()))
    with pytest.raises(NewerEvent):
        check(before_a_move, FIRST)
