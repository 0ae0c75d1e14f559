"""Every version, moment and blame of a long stream, against a plain copy of every state."""

from __future__ import annotations

import copy
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import hypothesis
import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, Struct, field

from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from events import codec
from events.bodies.patch import read_create, read_patch
from events.changed import NOTHING, Cause, State
from events.commands import (
    ChangeSettings,
    Command,
    CreateAssistant,
    DeleteAssistant,
    EraseSecrets,
    RestoreAssistant,
    RestoreSettings,
)
from events.pointers import Tree, ancestors, at, covers, diff, flatten, overlaps, same
from projections import blame, keyframes
from projections.check import differences
from projections.rebuild import rebuild
from tests.events.given import ACTOR, NAME, PATCH
from tests.events.log import Log, opened, rows
from tests.events.model import Model
from tests.events.strategies import bodies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[sa.Connection, int, int, Any], Any]

LENGTH = 200
DAY = timedelta(days=1)
_START = datetime(2030, 1, 1, tzinfo=UTC)
_GAPS = [timedelta(microseconds=n) for n in (0, 0, 1, 2_000_000, 12_345_678_901)]
few_streams = hypothesis.settings(max_examples=2, deadline=None)
many_streams = hypothesis.settings(max_examples=150, deadline=None)


# -- a long stream and a copy of each of its states


class Past(Struct):
    """What a reader who kept a copy of everything knows; the nth is of version n + 1."""

    model: Model
    moments: list[datetime] = field(default_factory=list)
    deleted: list[bool] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)
    assistant_id: int = 0

    def settings(self, version: int) -> Tree:
        return self.model.copies[version - 1]

    def changed(self) -> list[list[str]]:
        """The paths that each version changed."""
        copies = self.model.copies
        return [list(flatten(copies[0]))] + [list(diff(*pair)) for pair in pairwise(copies)]

    def version_at(self, moment: datetime) -> int:
        return sum(occurred_at <= moment for occurred_at in self.moments)


class WriteQueue:
    """Writes a stream in units of several commands; the clock stands still now and then."""

    def __init__(self, log: Log, connection: sa.Connection, choose: random.Random) -> None:
        self._log, self._connection, self._choose = log, connection, choose
        self._now = _START
        self._unit = self._new_unit()
        self._caller = Caller(organization_id=1, actor=ACTOR)
        self.past = Past(model=Model({"name": NAME}))
        body = CreateAssistant(patch=read_create({"name": NAME}).tree)
        self.past.assistant_id, state = self._unit.handle(self._caller, None, body)
        self._note(state)

    def _new_unit(self) -> UnitOfWork:
        return UnitOfWork(self._connection, self._log.vault, self._clock)

    def _clock(self) -> datetime:
        self._now += self._choose.choice(_GAPS)
        return self._now

    def rest(self) -> None:
        self._unit.flush()
        self._unit = self._new_unit()

    def patch(self, body: Tree) -> None:
        if self.past.model.patch(body):
            self._handle(ChangeSettings(patch=read_patch(body).tree, cause=PATCH))

    def roll_back(self, version: int) -> None:
        then = copy.deepcopy(self.past.settings(version))
        if self.past.model.restore(version):
            self._handle(RestoreSettings(settings=then, to_version=version))

    def delete_and_restore(self) -> None:
        self._same_settings(DeleteAssistant(), deleted=True)
        self._same_settings(RestoreAssistant(undoes=self.past.model.version))

    def erase(self) -> None:
        self._same_settings(EraseSecrets(cause=Cause(type="erase")), erasing=True)

    def _same_settings(
        self, command: Command, *, deleted: bool = False, erasing: bool = False
    ) -> None:
        self.past.model.delete()  # one more copy
        self._handle(command, deleted=deleted, erasing=erasing)

    def _handle(self, command: Command, *, deleted: bool = False, erasing: bool = False) -> None:
        _, state = self._unit.handle(self._caller, self.past.assistant_id, command)
        self._note(state, deleted=deleted, erasing=erasing)

    def _note(self, state: State, *, deleted: bool = False, erasing: bool = False) -> None:
        assert state.version == self.past.model.version
        self.past.moments.append(self._now)
        self.past.deleted.append(deleted)
        erased = self.past.erased[-1] if self.past.erased else 0
        self.past.erased.append(state.version if erasing else erased)


def some_body(choose: random.Random) -> Tree:
    """A body that mostly changes something: values, members that come and go, whole objects."""
    name, number = choose.choice("abc"), choose.randint(0, 9)
    bodies_of_all_kinds: list[Tree] = [
        {"description": choose.choice([None, f"{number}"])},
        {"llm_settings": {"temperature": number / 10, "stop_sequences": ["x"] * number}},
        {"custom_settings": choose.choice([None, {name: None}, {name: {"n": number}}])},
        {"tts_settings": {"provider_config": {name: choose.choice([None, number, {"n": number}])}}},
        {"tts_settings": {"provider_config": {name: {name: choose.choice([None, [number]])}}}},
        {"stt_settings": {"flux_config": choose.choice([None, {}, {"tag": f"{number}"}])}},
        {"tools_settings": {"end_call": {"enabled": number > 4}}},
        {"recording_settings": choose.choice([None, {"sample_rate": number}])},
    ]
    return choose.choice(bodies_of_all_kinds)


def written(
    log: Log, connection: sa.Connection, sent: list[Tree], seed: int, length: int = LENGTH
) -> Past:
    choose = random.Random(seed)
    writer = WriteQueue(log, connection, choose)
    while writer.past.model.version < length:
        match choose.randint(0, 29):
            case 0:
                writer.delete_and_restore()
            case 1:
                writer.erase()
            case 2 | 3 | 4:
                writer.roll_back(choose.randint(1, writer.past.model.version))
            case 5 | 6 | 7 | 8 if sent:
                writer.patch(choose.choice(sent))
            case 9 | 10:
                writer.rest()
            case _:
                writer.patch(some_body(choose))
    writer.rest()
    return writer.past


# -- the laws


def every_version_is_its_copy(
    connection: sa.Connection, past: Past, versions: Iterator[int] | range
) -> None:
    for version in versions:
        state = keyframes.state_at(connection, 1, past.assistant_id, version)
        is_copy(state, past, version)


def is_copy(state: State, past: Past, version: int) -> None:
    actual = (
        state.version,
        state.deleted,
        state.erased_version,
        state.updated_at,
        state.created_at,
    )
    kept = (past.deleted, past.erased, past.moments)
    assert actual == (version, *(one[version - 1] for one in kept), past.moments[0])
    assert same(state.settings, past.settings(version))


def every_moment_is_its_copy(
    connection: sa.Connection, past: Past, versions: Iterator[int] | range
) -> None:
    for version in versions:
        occurred_at = past.moments[version - 1]
        following = past.moments[version] if version < len(past.moments) else occurred_at + DAY
        for moment in (occurred_at, occurred_at + (following - occurred_at) / 2):
            state = keyframes.state_at_time(connection, 1, past.assistant_id, moment)
            is_copy(state, past, past.version_at(moment))
    before_all = keyframes.state_at_time(connection, 1, past.assistant_id, _START - DAY)
    assert before_all == NOTHING


def every_blame_names_the_last_change(
    connection: sa.Connection, past: Past, versions: Iterator[int] | range
) -> None:
    lasts = list(last_changes(past))
    for version in versions:
        settings, last = past.settings(version), lasts[version - 1]
        blamed = keyframes.blame_at(connection, 1, past.assistant_id, version)
        found = {one.path: one for one in blame.paths(blamed, settings)}
        assert {path: one.version for path, one in found.items()} == shown(last, settings)
        for path, one in found.items():
            assert same(one.value, at(settings, path))


def last_changes(past: Past) -> Iterator[dict[str, int]]:
    """After each version, which one last changed each path that was not taken with a wider one."""
    last: dict[str, int] = {}
    for version, changed in enumerate(past.changed(), 1):
        if version > 1:
            wider = [path for path in changed if at(past.settings(version - 1), path) is not UNSET]
            last = {one: by for one, by in last.items() if not is_below(one, wider)}
        last = last | dict.fromkeys(changed, version)
        yield last


def is_below(path: str, wider: list[str]) -> bool:
    return any(covers(one, path) for one in wider if one != path)


def shown(last: dict[str, int], settings: Tree) -> dict[str, int]:
    """Which version last set each leaf, or what it is in; and which removed what is not there."""
    found = {path: by for path, by in last.items() if at(settings, path) is UNSET}
    for leaf in flatten(settings):
        found[leaf] = max(last[path] for path in (leaf, *ancestors(leaf)) if path in last)
    return found


def all_of_the_past_is_as_it_was(log: Log, sent: list[Tree], seed: int) -> None:
    with log.undone() as connection:
        past = written(log, connection, sent, seed)
        live = rows(connection, keyframes.keyframes)
        all_versions, some = range(1, LENGTH + 1), range(1 + seed % 9, LENGTH + 1, 9)
        every_version_is_its_copy(connection, past, all_versions)
        every_moment_is_its_copy(connection, past, all_versions)
        every_blame_names_the_last_change(connection, past, some)
        connection.execute(sa.delete(keyframes.keyframes))
        for law in LAWS:
            law(connection, past, some)
        rebuild(connection, lambda _: None)
        assert rows(connection, keyframes.keyframes) == live
        assert len(live) == LENGTH // keyframes.EVERY
        for law in LAWS:
            law(connection, past, some)


LAWS = (every_version_is_its_copy, every_moment_is_its_copy, every_blame_names_the_last_change)
SENT, SEEDS = st.lists(bodies(), max_size=6), st.integers(0, 10**6)


@few_streams
@for_all(SENT, SEEDS)
def test_every_version_moment_and_blame_is_as_a_copy_has_it_with_and_without_keyframes(
    log: Log, sent: list[Tree], seed: int
) -> None:
    all_of_the_past_is_as_it_was(log, sent, seed)


@pytest.mark.long
@many_streams
@for_all(SENT, SEEDS)
def test_every_version_of_many_streams_is_as_a_copy_has_it(
    log: Log, sent: list[Tree], seed: int
) -> None:
    """Run it with: pytest -m long tests/projections/test_time_travel.py."""
    all_of_the_past_is_as_it_was(log, sent, seed)


@pytest.fixture(scope="module")
def written_past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sa.Connection, Past]]:
    """One such past in a database of its own, for the tests that only read it."""
    with (
        opened(tmp_path_factory.mktemp("past") / "backstory.db") as log,
        log.undone() as connection,
    ):
        yield connection, written(log, connection, [], 7)


def test_the_newest_change_of_a_path_is_one_at_above_or_below_it(
    written_past: tuple[sa.Connection, Past],
) -> None:
    connection, past = written_past
    for version in range(3, LENGTH + 1, 13):
        blamed = keyframes.blame_at(connection, 1, past.assistant_id, version)
        changed = past.changed()[:version]
        leaves = list(flatten(past.settings(version)))
        for path in {*leaves, *(above for leaf in leaves for above in ancestors(leaf) if above)}:
            newest = max(
                n for n, some in enumerate(changed, 1) if any(overlaps(path, p) for p in some)
            )
            assert blame.newest_at(blamed, [path]) == {path: newest}


def test_a_keyframe_that_lies_is_believed(written_past: tuple[sa.Connection, Past]) -> None:
    """The control: the laws above do read keyframes."""
    connection, past = written_past
    table, is_it = keyframes.keyframes, keyframes.keyframes.c.version == 128
    with connection.begin_nested() as nested:
        state = keyframes.state_at(connection, 1, past.assistant_id, 128)
        lie = msgspec.structs.replace(state, settings=state.settings | {"end_call_message": "No!"})
        values = {"state": msgspec.json.encode(lie)}
        connection.execute(sa.update(table).where(is_it).values(values))
        with pytest.raises(AssertionError):
            every_version_is_its_copy(connection, past, range(128, 130))
        differing = [difference.column for difference in differences(connection, lambda _: None)]
        assert differing == [f"keyframes[{past.assistant_id},128].state"]
        nested.rollback()
    every_version_is_its_copy(connection, past, range(128, 130))


# -- how much is read


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The version of every event that is read from here on, or whose paths are."""
    seen: list[int] = []

    def count(name: str) -> None:
        read = getattr(codec, name)

        def counting(body: bytes, tag: str) -> Any:
            seen.append(msgspec.json.decode(body)["version"])
            return read(body, tag)

        monkeypatch.setattr(codec, name, counting)

    count("decode")
    count("changed_paths")
    return seen


ASKED: dict[str, Ask] = {
    "version": keyframes.state_at,
    "moment": keyframes.state_at_time,
    "blame": keyframes.blame_at,
}


def asked_for(past: Past, question: str, version: int) -> Any:
    return past.moments[version - 1] if question == "moment" else version


@pytest.mark.parametrize("question", ASKED)
def test_any_version_is_read_with_at_most_64_events(
    written_past: tuple[sa.Connection, Past], decoded: list[int], question: str
) -> None:
    connection, past = written_past
    counts = []
    for version in range(1, LENGTH + 1):
        decoded.clear()
        ASKED[question](connection, 1, past.assistant_id, asked_for(past, question, version))
        counts.append(len(decoded))
    assert 32 < max(counts) <= 64


@pytest.mark.parametrize("question", ASKED)
def test_without_keyframes_every_event_up_to_a_version_is_read(
    log: Log, decoded: list[int], monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    monkeypatch.setattr(keyframes, "EVERY", 10**9)
    with log.undone() as connection:
        past = written(log, connection, [], 7)
        assert rows(connection, keyframes.keyframes) == []
        for version in (64, 150, LENGTH):
            decoded.clear()
            ASKED[question](connection, 1, past.assistant_id, asked_for(past, question, version))
            assert decoded[:version] == list(range(1, version + 1))


def test_writing_a_keyframe_reads_no_more_than_the_events_since_the_last(
    log: Log, decoded: list[int]
) -> None:
    with log.undone() as connection:
        written(log, connection, [], 7)
        assert decoded == list(range(1, LENGTH // 64 * 64 + 1))
