from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from events.assistant_key import AssistantKey
from events.changed import NOTHING
from events.secrets.masks import MASK
from events.secrets.references import mask
from events.settings import SETTING_NAMES
from events.shape import known
from projections import assistant_json, current
from projections.current import Selection
from tests.events.given import ACTOR, created, deleted, given, secret
from tests.events.log import Desk, Log

ALL = Selection()


@pytest.fixture
def view(log: Log) -> Iterator[sa.Connection]:
    """Four assistants of one organization, of which the third is deleted, and one of another."""
    with log.undone() as connection:
        desk = Desk(log, connection)
        desk.create(1, {"name": "Front desk", "description": "answers 100% of calls"})
        desk.create(1, {"name": "Night_desk", "is_active": False})
        desk.create(1, {"name": "Gone desk"})
        desk.create(1, {"name": "Sales", "description": "the DESK of sales"})
        desk.create(2, {"name": "Their desk"})
        desk.delete(1, 3)
        desk.rest()
        yield connection


def ids(connection: sa.Connection, selection: Selection, **page: Any) -> list[int]:
    selected = [
        assistant_id for assistant_id, _ in current.select(connection, 1, selection, **page)
    ]
    if not page:
        assert current.count(connection, 1, selection) == len(selected)
    return selected


def test_existing_assistants_are_selected_newest_first(view: sa.Connection) -> None:
    assert ids(view, ALL) == [4, 2, 1]


def test_a_page_is_a_part_of_the_whole(view: sa.Connection) -> None:
    assert ids(view, ALL, skip=1, limit=1) == [2]
    assert ids(view, ALL, skip=3, limit=5) == []
    assert ids(view, ALL, limit=0) == []


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(active=True), [4, 1]),
        (Selection(active=False), [2]),
        (Selection(user_id=ACTOR.user_id), [4, 2, 1]),
        (Selection(user_id=ACTOR.user_id + 1), []),
        (Selection(assistant_ids=(1, 3, 4, 99)), [4, 1]),
        (Selection(assistant_ids=()), []),
        (Selection(search="desk"), [4, 2, 1]),
        (Selection(search="FRONT"), [1]),
        (Selection(search="_"), [2]),
        (Selection(search="100%"), [1]),
        (Selection(search="%"), [1]),
        (Selection(search="their"), []),
        (Selection(search="desk", active=True, assistant_ids=(2, 4)), [4]),
    ],
)
def test_assistants_are_selected(
    view: sa.Connection, selection: Selection, expected: list[int]
) -> None:
    assert ids(view, selection) == expected


def test_the_deleted_can_still_be_loaded_and_the_unknown_cannot(view: sa.Connection) -> None:
    gone = current.load(view, 1, 3)
    assert gone is not None
    assert (gone.deleted, gone.version, gone.settings["name"]) == (True, 2, "Gone desk")
    assert current.load(view, 1, 99) is None
    assert current.load(view, 2, 2) is None


def test_a_state_is_stored_and_loaded_unchanged(log: Log) -> None:
    body = {"custom_settings": {"a/b": [1, 1.0, True, None, {}]}, "api_keys": {"a": secret("1")}}
    for story in (given(created(body)), given(created(body), deleted())):
        with log.undone() as connection:
            current.project(connection, {AssistantKey(1, 9): story.state})
            current.project(connection, {})
            loaded = current.load(connection, 1, 9)
            assert loaded == story.state
            assert current.row_of(AssistantKey(1, 9), story.state) == current.row_of(
                AssistantKey(1, 9), loaded
            )


def test_what_never_happened_has_no_row() -> None:
    with pytest.raises(ValueError, match="without events"):
        current.row_of(AssistantKey(1, 9), NOTHING)


def test_what_is_shown_has_every_member_and_no_secret() -> None:
    state = given(created({"llm_provider_config": {"api_key": secret("A")}})).state
    shown = msgspec.json.decode(assistant_json.encode(1, 9, state))
    assert set(SETTING_NAMES) < set(shown)
    assert shown["llm_provider_config"]["api_key"] == MASK
    assert (shown["id"], shown["organization_id"], shown["version"]) == (9, 1, 1)
    assert {shown[name] for name in ("total_calls", "avg_call_duration", "success_rate")} == {None}


UNKNOWN = {"of_another_release": [1]}
AS_STORED: dict[str, tuple[dict[str, Any], int]] = {
    "plain": ({"custom_settings": {"a\\$secret": "é", "n": [1.0, None]}}, 0),
    "a secret": ({"api_keys": {"crm": secret("1")}}, 0),
    "an erased secret": ({"api_keys": {"crm": secret("1")}}, 1),
    "a text like a reference": ({"description": '{"$secret": {"id": "1.a"}}'}, 0),
}


@pytest.mark.parametrize("name", AS_STORED)
@pytest.mark.parametrize("unknown", [{}, UNKNOWN, {"llm_settings": UNKNOWN}], ids=str)
@pytest.mark.parametrize("members", [{}, {"warnings": ["é"], "merge": None}], ids=str)
def test_what_is_spliced_is_what_is_encoded_whole(
    name: str, unknown: dict[str, Any], members: dict[str, Any]
) -> None:
    body, erased_version = AS_STORED[name]
    state = given(created(body)).state
    settings = state.settings | unknown
    if "llm_settings" in unknown:
        settings["llm_settings"] = state.settings["llm_settings"] | UNKNOWN
    state = replace(state, settings=settings, erased_version=erased_version)
    whole = {
        "id": 9,
        "organization_id": 1,
        "user_id": state.user_id,
        "created_at": state.created_at,
        "updated_at": state.updated_at,
        "version": 1,
        **mask(known(settings), erased_version),
        "total_calls": None,
        "avg_call_duration": None,
        "success_rate": None,
    }
    spliced = assistant_json.encode(1, 9, state, **members)
    assert spliced == msgspec.json.encode(whole | members)
    assert b"of_another_release" not in spliced
