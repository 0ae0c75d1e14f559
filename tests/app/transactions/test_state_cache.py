"""A write that uses a cached state decides as one that reads it: also beside other writers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from app.assistants import changes, policy
from app.assistants.requests import ChangeRequest, PreconditionRequired
from app.lru import LRUCache
from app.services import utc_now
from app.transactions.caller import system
from app.transactions.state_cache import Head, StateCache
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import Vault, open_vault
from events import store
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create, read_patch
from events.changed import AssistantSettingsChanged, Cause, State
from events.errors import AssistantNotFound
from events.pointers import Change
from projections import current
from tests.app import stored
from tests.conftest import make_organizations
from tests.databases import config_of, copy_database, writing_engine

CALLER = system(1, "tests")
WISH = ChangeRequest(caller=CALLER, assistant_id=1)


class Process:
    """One that writes the database, with a memory of its own."""

    def __init__(self, engine: sa.Engine, vault: Vault) -> None:
        self._engine, self._vault = engine, vault
        self.cache = StateCache()

    def write(self, *work: Callable[[UnitOfWork], Any]) -> None:
        with self._engine.begin() as connection:
            unit = UnitOfWork(connection, self._vault, utc_now, self.cache)
            for one in work:
                one(unit)
            unit.flush()
        unit.committed()

    def fail(self, *work: Callable[[UnitOfWork], Any]) -> None:
        with self._engine.connect() as connection, connection.begin() as transaction:
            unit = UnitOfWork(connection, self._vault, utc_now, self.cache)
            for one in work:
                one(unit)
            unit.flush()
            transaction.rollback()

    def moves_to(self, engine: sa.Engine) -> None:
        """Find another database at the same address."""
        self._engine = engine

    def last_change(self, path: str) -> Change:
        """What the last event says of a setting."""
        with self._engine.connect() as connection:
            *_, event = store.read_log(connection, 1)
        assert isinstance(event, AssistantSettingsChanged)
        return event.changes[path]

    def state(self) -> State | None:
        with self._engine.connect() as connection:
            return current.load(connection, 1, 1)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    path = tmp_path / "backstory.db"
    make_organizations(path, 1)
    vault = open_vault(config_of(path))
    engine = writing_engine(path)
    yield Process(engine, vault), Process(engine, vault)
    engine.dispose()


def create(unit: UnitOfWork) -> None:
    changes.create(unit, CALLER, read_create({"name": "Front desk"}))


def patch(**members: Any) -> Callable[[UnitOfWork], Any]:
    return lambda unit: changes.change(unit, WISH, read_patch(members), Cause(type="patch"))


def delete(unit: UnitOfWork) -> None:
    changes.delete(unit, WISH)


@contextmanager
def readings() -> Iterator[list[str]]:
    """The statements that read what may be cached."""
    found: list[str] = []
    with stored.statements() as seen:
        yield found
    found += [str(one.table) for one in seen if one.text.startswith("SELECT")]


def test_the_second_write_reads_the_counter_alone(two: tuple[Process, Process]) -> None:
    one, other = two
    one.write(create)
    one.write(patch(description="a"))
    with readings() as read:
        one.write(patch(description="b"))
    assert read == ["organizations"]
    with readings() as read:  # the control: without a cache it is read
        other.write(patch(description="c"))
    assert set(read) == {"organizations", "assistants", "policies"}


def test_what_another_process_wrote_in_between_is_what_is_changed(
    two: tuple[Process, Process],
) -> None:
    one, other = two
    one.write(create)
    other.write(patch(description="theirs"))
    one.write(patch(tts_limit=7))
    state = one.state()
    assert state is not None
    assert state.version == 3
    assert (state.settings["description"], state.settings["tts_limit"]) == ("theirs", 7)


def forget_where_logs_ended(
    monkeypatch: pytest.MonkeyPatch, are_same: Callable[[Head, Head], bool]
) -> None:
    """Take off the guard: a cached state is used when the ends of two logs are the same so far."""

    def state(self: StateCache, key: AssistantKey, head: Head) -> State | None:
        cached = self._organizations.get(key[0])
        is_usable = cached is not None and are_same(cached.head, head)
        small = self._states.get(key) if is_usable else None
        assert small is None or isinstance(small, State)
        return small

    monkeypatch.setattr(StateCache, "state", state)


def test_the_control_that_does_not_look_at_the_sequence_loses_a_change(
    two: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_where_logs_ended(monkeypatch, lambda _, __: True)
    one, other = two
    one.write(create)
    other.write(patch(description="theirs"))
    with pytest.raises(sa.exc.IntegrityError):  # the version is there already
        one.write(patch(tts_limit=7))


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_a_database_lost_that_was_put_back_is_not_cached_from_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    """It went on from an older copy, and is as long as the one that was there."""

    if not is_guarded:  # the length alone is compared
        forget_where_logs_ended(monkeypatch, lambda cached, head: cached[0] == head[0])
    path = tmp_path / "backstory.db"
    make_organizations(path, 1)
    vault = open_vault(config_of(path))
    engine = writing_engine(path)
    one = Process(engine, vault)
    one.write(create)
    engine.dispose()
    older = writing_engine(copy_database(path, tmp_path / "older.db"))
    one.write(patch(description="lost"))
    Process(older, vault).write(patch(description="kept"))
    one.moves_to(older)
    one.write(patch(description="next"))
    change = one.last_change("/description")
    for used in (engine, older):
        used.dispose()
    assert change.before == ("kept" if is_guarded else "lost")
    assert change.after == "next"


def test_what_was_rolled_back_is_not_cached(two: tuple[Process, Process]) -> None:
    one, _ = two
    one.write(create)
    one.fail(patch(description="never"))
    one.write(patch(tts_limit=7))
    state = one.state()
    assert state is not None
    assert (state.version, state.settings["description"]) == (2, None)


def test_one_that_another_process_deleted_is_not_there(two: tuple[Process, Process]) -> None:
    one, other = two
    one.write(create)
    other.write(delete)
    with pytest.raises(AssistantNotFound):
        one.write(patch(tts_limit=7))


def test_a_deleted_assistant_is_not_kept_in_memory(two: tuple[Process, Process]) -> None:
    one, _ = two
    one.write(create)
    before = one.cache.size
    one.write(create)
    assert one.cache.size > before + 1000  # the control: another one is
    one.write(lambda unit: changes.delete(unit, replace(WISH, assistant_id=2)))
    assert one.cache.size - before < 100
    with pytest.raises(AssistantNotFound):
        one.write(lambda unit: changes.delete(unit, replace(WISH, assistant_id=2)))


def test_a_policy_holds_from_the_next_command_on(two: tuple[Process, Process]) -> None:
    one, other = two
    strict = {"require_condition": True}
    one.write(create, patch(description="a"))
    one.write(patch(description="b"))

    def demand(unit: UnitOfWork) -> None:
        policy.change(unit, CALLER, strict, None)

    with pytest.raises(PreconditionRequired):
        one.write(demand, patch(description="c"))  # in the same transaction, which is taken back
    one.write(patch(description="d"))
    other.write(demand)
    with pytest.raises(PreconditionRequired):
        one.write(patch(description="e"))


def test_what_is_heavier_than_all_room_is_not_held_and_nothing_goes_for_it() -> None:
    held: LRUCache[str, str] = LRUCache(10)
    held.put("a", "A", 4)
    held.put("b", "B", 4)
    held.put("c", "C", 11)
    assert (list(held), held.weight) == (["a", "b"], 8)


def test_what_was_used_first_goes_first() -> None:
    held: LRUCache[str, str] = LRUCache(10)
    for name in "abc":
        held.put(name, name, 3)
    assert held.get("a") == "a"
    held.put("d", "d", 3)
    assert (list(held), held.weight) == (["c", "a", "d"], 9)
    held.put("a", "lighter", 1)
    held.drop("c")
    held.drop("z")
    assert (list(held), held.weight) == (["d", "a"], 4)
