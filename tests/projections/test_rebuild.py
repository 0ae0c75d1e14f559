from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given as for_all
from hypothesis import strategies as st

from app.storage.tables import sealed_secrets
from app.transactions.unit_of_work import Caller, UnitOfWork
from events import store
from events.bodies.patch import read_create, read_patch
from events.changed import AssistantCreated, AssistantSettingsChanged, Cause, Versioned, fold
from events.commands import ChangeSettings, CreateAssistant
from events.pointers import MARK, Tree
from events.secrets.references import places
from projections import current, keyframes, labels, policies, reversals
from projections.rebuild import Difference, differences, rebuild
from projections.views import TABLES
from tests.databases import contents
from tests.events.given import ACTOR, at
from tests.events.log import ORGANIZATIONS, Desk, Log, opened, play, rows
from tests.events.strategies import bodies, few, many, secret_bodies

WISHES = st.one_of(
    bodies(),
    secret_bodies(),
    secret_bodies(),
    st.integers(0, 20),
    st.tuples(st.just("create"), bodies() | secret_bodies()),
    st.tuples(st.just("undo"), st.integers(0, 20)),
    st.tuples(
        st.just("roll back"),
        st.integers(0, 20),
        st.lists(st.sampled_from(["", "/llm_settings", "/api_keys", "/name"]), min_size=1).map(
            tuple
        ),
    ),
    st.tuples(st.just("label"), st.integers(0, 20), st.sampled_from(["one", "two", None])),
    st.tuples(
        st.just("demand"),
        st.sampled_from(
            [
                {"require_reason": True},
                {"require_reason": False, "admin_paths": []},
                {"admin_paths": ["/llm_settings"], "require_condition": True},
                {"require_condition": False},
            ]
        ),
    ),
    st.just(("end or revive",)),
    st.just("rest"),
)
STEPS = st.lists(st.tuples(st.integers(0, 5), WISHES), max_size=16)
OFTEN = 3  # a keyframe at every third version, so that short streams have some


def unheard(_: int) -> None:
    """Nobody waits to hear how far the work is."""


def found(connection: sa.Connection) -> list[Difference]:
    return list(differences(connection, unheard))


def every_view(connection: sa.Connection) -> dict[str, list[Any]]:
    return {table.name: rows(connection, table) for table in TABLES}


# -- the law


def rebuilt_is_live(log: Log, steps: list[tuple[int, Any]]) -> None:
    with log.undone() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyframes, "EVERY", OFTEN)
        play(Desk(log, connection), steps)
        live = every_view(connection)
        assert found(connection) == []
        rebuild(connection, unheard)
        assert every_view(connection) == live


@few
@for_all(STEPS)
def test_the_rebuilt_view_is_the_live_view_byte_for_byte(
    log: Log, steps: list[tuple[int, Any]]
) -> None:
    rebuilt_is_live(log, steps)


@pytest.mark.long
@many
@for_all(STEPS)
def test_every_rebuilt_view_is_the_live_view_byte_for_byte(
    log: Log, steps: list[tuple[int, Any]]
) -> None:
    """Run it with: pytest -m long tests/projections/test_rebuild.py."""
    rebuilt_is_live(log, steps)


@few
@for_all(STEPS)
def test_the_log_of_an_organization_has_no_gaps(log: Log, steps: list[tuple[int, Any]]) -> None:
    with log.undone() as connection:
        play(Desk(log, connection), steps)
        for organization_id in ORGANIZATIONS:
            told = list(store.read_log(connection, organization_id))
            assert [event.sequence for event in told] == list(range(1, len(told) + 1))
            of_streams = [event for event in told if isinstance(event, Versioned)]
            assert store.count_events(connection, organization_id) == len(of_streams)
            moments = [event.occurred_at for event in told]
            assert moments == sorted(moments)


@few
@for_all(STEPS)
def test_a_state_from_the_nearest_keyframe_is_the_fold_of_its_events(
    log: Log, steps: list[tuple[int, Any]]
) -> None:
    with log.undone() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyframes, "EVERY", OFTEN)
        play(Desk(log, connection), steps)
        for organization_id, assistant_id, version, *_ in rows(connection):
            key = (organization_id, assistant_id)
            stream = list(store.read_stream(connection, *key))
            for one in range(1, version + 1):
                then = keyframes.state_at(connection, *key, one)
                assert then == fold(stream[:one])
                assert (
                    keyframes.state_at_time(connection, *key, stream[one - 1].occurred_at) == then
                )


def test_the_law_is_held_against_rows_of_every_view(viewed: sa.Connection) -> None:
    live = every_view(viewed)
    assert [name for name, kept in live.items() if not kept] == []
    assert found(viewed) == []
    for table in TABLES:
        viewed.execute(sa.delete(table))
    assert all(not kept for kept in every_view(viewed).values())
    rebuild(viewed, unheard)
    assert every_view(viewed) == live


# -- differences


@pytest.fixture
def viewed(log: Log) -> Iterator[sa.Connection]:
    """Views of an organization with a long stream, and with labels, reversals and a policy."""
    with log.undone() as connection:
        desk = Desk(log, connection)
        desk.create(1, {})
        for number in range(2, 2 * keyframes.EVERY + 3):
            desk.patch(1, 1, {"custom_settings": {f"n{number % 5}": number}})
        desk.undo(1, 1, keyframes.EVERY - 1)  # version 65, which others changed since: forced
        desk.roll_back(1, 1, 70, ("/custom_settings",))
        desk.label(1, 1, 0, "first")
        desk.label(1, 1, 1, "second")
        desk.delete(1, 1)
        desk.revive(1, 1)
        desk.demand(1, {"require_reason": True})
        desk.rest()
        yield connection


@pytest.mark.parametrize(
    ("table", "column", "place", "tampered"),
    [
        (keyframes.keyframes, "state", "keyframes[1,64].", b"{}"),
        (keyframes.keyframes, "blame", "keyframes[1,64].", b"{}"),
        (keyframes.keyframes, "occurred_at", "keyframes[1,64].", 0),
        (labels.labels, "label", "labels[1,1].", "third"),
        (reversals.reversals, "first_version", "reversals[1,131].", 9),
        (reversals.reversals, "last_version", "reversals[1,131].", 9),
        (reversals.reversals, "paths", "reversals[1,131].", b"[]"),
        (policies.policies, "policy", "policies[].", b"{}"),
        (policies.policies, "sequence", "policies[].", 1),
    ],
    ids=lambda value: str(value) if isinstance(value, sa.Table | str) else "",
)
def test_a_tampered_column_of_another_view_is_found(
    viewed: sa.Connection, table: sa.Table, column: str, place: str, tampered: Any
) -> None:
    live = every_view(viewed)
    key = next(iter(rows(viewed, table)))[: len(table.primary_key)]
    the_row = [one == value for one, value in zip(table.primary_key, key, strict=True)]
    (folded,) = viewed.execute(sa.select(table.c[column]).where(*the_row)).one()
    viewed.execute(sa.update(table).where(*the_row).values({column: tampered}))
    assert found(viewed) == [
        Difference(
            organization_id=1,
            assistant_id=1 if "assistant_id" in table.c else 0,
            column=place + column,
            stored=tampered,
            folded=folded,
        )
    ]
    rebuild(viewed, unheard)
    assert every_view(viewed) == live


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_missing_and_an_extra_row_of_any_view_are_found(
    viewed: sa.Connection, table: sa.Table
) -> None:
    (first, *_) = viewed.execute(sa.select(table)).mappings()
    the_row = [one == first[one.name] for one in table.primary_key]
    viewed.execute(sa.delete(table).where(*the_row))
    assert {d.stored for d in found(viewed)} == {None}
    viewed.execute(sa.insert(table), dict(first))
    assert found(viewed) == []
    extra = dict(first) | {table.primary_key.columns.values()[-1].name: 777}
    viewed.execute(sa.insert(table), extra | ({"label": "other"} if "label" in first else {}))
    assert {d.folded for d in found(viewed)} == {None}


@pytest.fixture
def told(log: Log) -> Any:
    """A view of three organizations, the second of which has two assistants."""
    with log.undone() as connection:
        desk = Desk(log, connection)
        for organization_id in (1, 2, 2, 3):
            desk.create(organization_id, {"name": f"Desk of {organization_id}"})
        desk.patch(2, 1, {"llm_settings": {"temperature": 1.5}})
        desk.delete(2, 2)
        desk.rest()
        yield connection


TAMPERED = {
    "version": 9,
    "deleted": True,
    "user_id": 99,
    "name": "Somebody else's",
    "description": "new",
    "is_active": False,
    "created_at": 0,
    "updated_at": 0,
    "settings": b"{}",
}


def one_row() -> sa.ColumnElement[bool]:
    return sa.and_(
        current.assistants.c.organization_id == 2, current.assistants.c.assistant_id == 1
    )


def test_views_that_say_what_the_log_says_do_not_differ(told: sa.Connection) -> None:
    assert found(told) == []


@pytest.mark.parametrize("column", TAMPERED)
def test_a_tampered_column_is_found(told: sa.Connection, column: str) -> None:
    table = current.assistants
    (folded,) = told.execute(sa.select(table.c[column]).where(one_row())).one()
    told.execute(sa.update(table).where(one_row()).values({column: TAMPERED[column]}))
    assert found(told) == [
        Difference(
            organization_id=2,
            assistant_id=1,
            column=column,
            stored=TAMPERED[column],
            folded=folded,
        )
    ]


def test_one_changed_byte_of_the_settings_is_found(told: sa.Connection) -> None:
    table = current.assistants
    (settings,) = told.execute(sa.select(table.c.settings).where(one_row())).one()
    changed = settings.replace(b'"temperature":1.5', b'"temperature":1.4')
    assert changed != settings
    told.execute(sa.update(table).where(one_row()).values(settings=changed))
    assert [difference.column for difference in found(told)] == ["settings"]


def test_a_missing_row_is_found(told: sa.Connection) -> None:
    told.execute(sa.delete(current.assistants).where(one_row()))
    differing = found(told)
    assert {(d.organization_id, d.assistant_id) for d in differing} == {(2, 1)}
    assert "settings" in {d.column for d in differing}
    assert {d.stored for d in differing} == {None}


def test_an_extra_row_is_found(told: sa.Connection) -> None:
    row = told.execute(sa.select(current.assistants).where(one_row())).mappings().one()
    told.execute(sa.insert(current.assistants), dict(row) | {"assistant_id": 77})
    differing = found(told)
    assert {(d.organization_id, d.assistant_id) for d in differing} == {(2, 77)}
    assert {d.folded for d in differing} == {None}


def test_a_row_of_an_organization_that_is_not_there_is_found(told: sa.Connection) -> None:
    row = told.execute(sa.select(current.assistants).where(one_row())).mappings().one()
    told.execute(sa.insert(current.assistants), dict(row) | {"organization_id": 77})
    assert {(d.organization_id, d.assistant_id) for d in found(told)} == {(77, 1)}
    rebuild(told, unheard)
    assert found(told) == []


@pytest.mark.parametrize("organization_id", [1, 2, 3])
def test_rebuilding_mends_what_was_tampered_with(told: sa.Connection, organization_id: int) -> None:
    live = rows(told)
    of_one = current.assistants.c.organization_id == organization_id
    told.execute(sa.update(current.assistants).where(of_one).values(settings=b"{}", version=5))
    assert found(told)
    rebuild(told, unheard)
    assert found(told) == []
    assert rows(told) == live


def test_rebuilding_from_nothing_writes_every_row(told: sa.Connection) -> None:
    live = rows(told)
    told.execute(sa.delete(current.assistants))
    rebuild(told, unheard)
    assert rows(told) == live


def test_the_progress_counts_every_event_once(told: sa.Connection) -> None:
    for work in (lambda heard: list(differences(told, heard)), lambda heard: rebuild(told, heard)):
        counts: list[int] = []
        work(counts.append)
        assert sum(counts) == sum(store.count_events(told, n) for n in ORGANIZATIONS) == 6


def test_rebuilding_more_assistants_than_go_into_one_batch_keeps_them_all(log: Log) -> None:
    with log.undone() as connection:
        desk = Desk(log, connection)
        for number in range(403):
            desk.create(1, {"name": f"Desk {number}"})
        desk.rest()
        live = rows(connection)
        rebuild(connection, unheard)
        assert len(live) == 403
        assert rows(connection) == live


# -- time


def test_a_clock_that_runs_backwards_does_not_turn_the_log_around(log: Log) -> None:
    minutes = iter([9, 3, 5, 12])
    with log.undone() as connection:
        caller = Caller(organization_id=1, actor=ACTOR)
        unit = UnitOfWork(connection, log.vault, lambda: at(next(minutes)))
        body = read_create({"name": "Front desk"}).tree
        for _ in range(4):
            unit.handle(caller, None, CreateAssistant(patch=body))
        unit.flush()
        moments = [event.occurred_at for event in store.read_log(connection, 1)]
    assert moments == [at(9), at(9), at(9), at(12)]
    assert moments[3] - moments[0] == timedelta(minutes=3)


# -- secrets

HUNTER = "sk-hunter2-of-the-vault"
HOLDERS: list[Tree] = [
    {"llm_provider_config": {"api_key": HUNTER, "custom_config": {"auth": {"token": HUNTER}}}},
    {"tts_settings": {"provider_config": {"api_key": HUNTER}}},
    {"webhook_headers": {"x-anything": HUNTER}},
    {"api_keys": {"openai_api_key": HUNTER}},
    {"custom_settings": {"secrets": [HUNTER, {"deep": HUNTER}], "servers": [{"token": HUNTER}]}},
    {"llm_fallback_providers": {"fallbacks": [{"provider": "a", "api_key": HUNTER}]}},
    {"tools_settings": {"custom_tools": [{"tool_id": 1, "headers": {"Authorization": HUNTER}}]}},
    {"recording_settings": {"s3": {"secretAccessKey": HUNTER}}},
]


def rotated(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: rotated(member) for name, member in body.items()}
    if isinstance(body, list):
        return [rotated(item) for item in body]
    return body + "-rotated" if body == HUNTER else body


def referred_to(connection: sa.Connection) -> set[str]:
    """The ids of the secrets that the events speak of, wherever in a change they stand."""
    found_ids = set()
    for organization_id in ORGANIZATIONS:
        for event in store.read_log(connection, organization_id):
            if isinstance(event, AssistantCreated | AssistantSettingsChanged):
                for path, change in event.changes.items():
                    found_ids |= {place.reference[MARK]["id"] for place in places(change.after)}
                    if path.endswith("/$secret/id"):
                        found_ids.add(change.after)
    return found_ids


def kept_in_the_vault(connection: sa.Connection) -> set[str]:
    return set(connection.scalars(sa.select(sealed_secrets.c.secret_id)))


@pytest.mark.parametrize("body", HOLDERS)
def test_a_secret_of_a_creation_is_kept_in_the_vault(log: Log, body: Tree) -> None:
    with log.undone() as connection:
        desk = Desk(log, connection)
        desk.create(1, body)
        desk.rest()
        assert referred_to(connection)
        assert kept_in_the_vault(connection) == referred_to(connection)


@pytest.mark.parametrize("body", HOLDERS)
def test_a_secret_that_is_set_and_rotated_is_kept_in_the_vault(log: Log, body: Tree) -> None:
    with log.undone() as connection:
        desk = Desk(log, connection)
        assistant_id = desk.create(1, {})
        for sent in (body, rotated(body), body):
            before = len(kept_in_the_vault(connection))
            desk.patch(1, assistant_id, sent)
            desk.rest()
            assert len(kept_in_the_vault(connection)) > before
        assert kept_in_the_vault(connection) == referred_to(connection)


@few
@for_all(STEPS)
def test_every_reference_in_the_log_has_its_secret_in_the_vault(
    log: Log, steps: list[tuple[int, Any]]
) -> None:
    with log.undone() as connection:
        play(Desk(log, connection), steps)
        assert referred_to(connection) == kept_in_the_vault(connection)


@pytest.mark.parametrize("body", HOLDERS)
def test_an_equal_secret_sent_again_records_nothing(log: Log, body: Tree) -> None:
    with log.undone() as connection:
        desk = Desk(log, connection)
        assistant_id = desk.create(1, body)
        desk.rest()
        assert desk.patch(1, assistant_id, body).version == 1
        desk.rest()
        assert desk.patch(1, assistant_id, rotated(body)).version == 2


def test_an_equal_secret_sent_again_at_another_position_is_not_a_new_one(log: Log) -> None:
    first = {"provider": "groq", "api_key": HUNTER}
    other = {"provider": "xai", "api_key": HUNTER}
    with log.undone() as connection:
        desk = Desk(log, connection)
        assistant_id = desk.create(1, {"llm_fallback_providers": {"fallbacks": [first]}})
        body = {"llm_fallback_providers": {"fallbacks": [other, first]}}
        state = desk.patch(1, assistant_id, body)
        settings = state.settings["llm_fallback_providers"]["fallbacks"]
        kept = desk.settings_after(1, assistant_id, 1)["llm_fallback_providers"]["fallbacks"]
    assert settings[1] == kept[0]
    assert settings[0]["api_key"] != kept[0]["api_key"]


def test_a_secret_that_changes_nothing_leaves_nothing_in_the_vault(log: Log) -> None:
    with log.undone() as connection:
        desk = Desk(log, connection)
        assistant_id = desk.create(1, {})
        desk.patch(1, assistant_id, {"api_keys": {"a": HUNTER}})
        desk.rest()
        kept = kept_in_the_vault(connection)
        desk.patch(1, assistant_id, {"api_keys": {"a": HUNTER}})
        desk.rest()
        assert kept_in_the_vault(connection) == kept
        assert len(kept) == 1


def test_no_byte_of_the_database_shows_a_secret(tmp_path: Path) -> None:
    readable = "a description that anybody may read"
    with opened(tmp_path / "backstory.db") as log:
        with log.committed() as connection:
            desk = Desk(log, connection)
            for body in HOLDERS:
                assistant_id = desk.create(1, body | {"description": readable})
                desk.patch(1, assistant_id, rotated(body))
                desk.rest()
        written = contents(tmp_path / "backstory.db")
    assert readable.encode() in written, "what is not secret can be found this way"
    assert b"hunter2" not in written


def test_a_unit_that_is_never_flushed_has_written_nothing(log: Log) -> None:
    with log.undone() as connection:
        unit = UnitOfWork(connection, log.vault, lambda: at(1))
        caller = Caller(organization_id=1, actor=ACTOR)
        body = read_create({"name": "a", "api_keys": {"a": HUNTER}}).tree
        assistant_id, state = unit.handle(caller, None, CreateAssistant(patch=body))
        assert state.version == 1
        assert rows(connection) == []
        assert rows(connection, sealed_secrets) == []
        assert list(store.read_log(connection, 1)) == []
        unit.flush()
        assert len(list(store.read_stream(connection, 1, assistant_id))) == 1


def test_commands_of_one_unit_see_what_those_before_them_left(log: Log) -> None:
    with log.undone() as connection:
        unit = UnitOfWork(connection, log.vault, lambda: at(1))
        caller = Caller(organization_id=1, actor=ACTOR)
        created = CreateAssistant(patch=read_create({"name": "a"}).tree)
        assistant_id, _ = unit.handle(caller, None, created)
        for number in itertools.islice(itertools.count(1), 3):
            body = read_patch({"name": str(number)}).tree
            command = ChangeSettings(patch=body, cause=Cause(type="put"))
            assert unit.handle(caller, assistant_id, command)[1].version == number + 1
        assert list(store.read_stream(connection, 1, assistant_id)) == []
        unit.flush()
        assert [e.version for e in store.read_stream(connection, 1, assistant_id)] == [1, 2, 3, 4]
