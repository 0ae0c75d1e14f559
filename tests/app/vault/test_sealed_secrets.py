"""Each secret that an event refers to is in the vault, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given as for_all

from app.storage.tables import sealed_secrets
from events import store
from events.changed import AssistantCreated, AssistantSettingsChanged
from events.pointers import MARK, Tree
from events.secrets.references import places
from tests.databases import contents
from tests.events.log import ORGANIZATIONS, Desk, Log, opened, play
from tests.events.strategies import few
from tests.projections.changes import STEPS


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with opened(tmp_path_factory.mktemp("sealed") / "backstory.db") as made:
        yield made


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
