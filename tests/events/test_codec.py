from __future__ import annotations

import itertools
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, structs

from events import codec, upcasters
from events.changed import (
    Actor,
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyRevoked,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    AuditExported,
    Cause,
    CheckpointRecorded,
    Event,
    LogEvent,
    LoginRefused,
    PhoneNumberAdded,
    PhoneNumberAssigned,
    PhoneNumberRenamed,
    PhoneNumberUnassigned,
    PolicyChanged,
    SecretKeysRotated,
    SecretsErased,
    SecretsRevealed,
    Versioned,
    VersionLabelled,
    WebhookAsked,
    WebhookChanged,
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    changes_of,
    fold,
)
from events.commands import DeleteAssistant
from events.errors import InvalidSettings
from events.pointers import Change, Tree, same
from tests.events.given import create, given, patch, read_back
from tests.events.strategies import EVENTS, bodies, few, modest, secret_bodies

GOLDEN = Path(__file__).parent / "golden"
SAID: dict[str, Any] = {
    "organization_id": 3,
    "assistant_id": 12,
    "actor": Actor(type="api_key", id=7, name="Büro", user_id=5),
    "request_id": "01J9Z3K8Q4",
}
ABOUT_NO_ASSISTANT = SAID | {"assistant_id": None}
NUMBER: dict[str, Any] = {"phone_number_id": 4, "phone_number": "+14155551234"}
KEY = "/llm_provider_config/api_key"
# References as events held them until their values could no longer be compared.
OLD_SECRET = {"$secret": {"id": "0f1e", "fingerprint": "9a8b"}}
OTHER_SECRET = {"$secret": {"id": "2d3c", "fingerprint": "7e6f"}}

# The bytes of these are stored in files, and stay there for good.
STORED: dict[str, LogEvent] = {
    "assistant_created.v1": AssistantCreated(
        sequence=41,
        version=1,
        occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        reason=None,
        cause=Cause(type="duplicate", assistant_id=2),
        changes={
            "/name": Change(after="Front desk"),
            "/description": Change(after=None),
            "/llm_settings/temperature": Change(after=1.0),
            "/llm_settings/max_tokens": Change(after=1),
            "/is_active": Change(after=True),
            "/custom_settings/": Change(after={}),
            "/custom_settings/a~1b~0c": Change(after=[1, 1.0, {"d": None}, "ä\u2028\U0001d11e"]),
            KEY: Change(after=OLD_SECRET),
        },
        **SAID,
    ),
    "assistant_settings_changed.v1": AssistantSettingsChanged(
        sequence=42,
        version=2,
        occurred_at=datetime(2026, 1, 2, 3, 5, tzinfo=UTC),
        reason='Calmer "voice"',
        cause=Cause(type="rollback", to_version=1),
        idempotency_key="retry-1",
        changes={
            "/llm_settings/temperature": Change(before=1.0, after=0.1),
            "/description": Change(before=None, after="x"),
            "/custom_settings/": Change(before={}),
            "/custom_settings/new": Change(after=None),
            KEY: Change(before=OLD_SECRET, after=OTHER_SECRET),
        },
        **SAID,
    ),
    "assistant_deleted.v1": AssistantDeleted(
        sequence=43,
        version=3,
        occurred_at=datetime(2026, 1, 2, 3, 6, tzinfo=UTC),
        reason=None,
        cause=Cause(type="delete"),
        **SAID,
    ),
    "secrets_erased.v1": SecretsErased(
        sequence=44,
        version=4,
        occurred_at=datetime(2026, 1, 2, 3, 7, tzinfo=UTC),
        reason="Contract ended",
        cause=Cause(type="erase"),
        **SAID,
    ),
    "secrets_revealed.v1": SecretsRevealed(
        sequence=45,
        occurred_at=datetime(2026, 1, 2, 3, 8, tzinfo=UTC),
        reason="Call 7",
        paths=["/api_keys/a~1b", KEY],
        **SAID,
    ),
    "api_key_created.v1": ApiKeyCreated(
        sequence=46,
        occurred_at=datetime(2026, 1, 2, 3, 9, tzinfo=UTC),
        reason=None,
        key_id=9,
        changes={
            "/name": Change(after="CI"),
            "/role": Change(after="editor"),
            "/permissions": Change(after={}),
            "/is_active": Change(after=True),
        },
        **ABOUT_NO_ASSISTANT,
    ),
    "api_key_changed.v1": ApiKeyChanged(
        sequence=47,
        occurred_at=datetime(2026, 1, 2, 3, 10, tzinfo=UTC),
        reason=None,
        key_id=9,
        changes={"/permissions/write": Change(after=False)},
        **ABOUT_NO_ASSISTANT,
    ),
    "api_key_revoked.v1": ApiKeyRevoked(
        sequence=48,
        occurred_at=datetime(2026, 1, 2, 3, 11, tzinfo=UTC),
        reason=None,
        key_id=9,
        changes={"/is_active": Change(before=True, after=False)},
        **ABOUT_NO_ASSISTANT,
    ),
    "login_refused.v1": LoginRefused(
        sequence=49,
        occurred_at=datetime(2026, 1, 2, 3, 12, tzinfo=UTC),
        reason=None,
        key_id=9,
        key_prefix="bks_4fQ2xZ9K",
        ip_address="2001:db8::7",
        unrecorded=3,
        **ABOUT_NO_ASSISTANT,
    ),
    "secret_keys_rotated.v1": SecretKeysRotated(
        sequence=50,
        occurred_at=datetime(2026, 1, 2, 3, 13, tzinfo=UTC),
        reason=None,
        data_keys=True,
        **ABOUT_NO_ASSISTANT,
    ),
    "audit_exported.v1": AuditExported(
        sequence=51,
        occurred_at=datetime(2026, 1, 2, 3, 14, tzinfo=UTC),
        reason=None,
        format="ndjson",
        after=7,
        until_sequence=50,
        filter={"assistant_id": 12, "path": "/name"},
        **ABOUT_NO_ASSISTANT,
    ),
    "checkpoint_recorded.v1": CheckpointRecorded(
        sequence=52,
        occurred_at=datetime(2026, 1, 2, 4, 0, tzinfo=UTC),
        reason=None,
        checkpoint="backstory/organizations/3/0f\n51\ncm9vdA==\n\n\u2014 backstory c2lnbmVk\n",
        **ABOUT_NO_ASSISTANT,
    ),
    "webhook_created.v1": WebhookCreated(
        sequence=56,
        occurred_at=datetime(2026, 1, 2, 4, 4, tzinfo=UTC),
        reason=None,
        webhook_id=4,
        changes={
            "/url": Change(after="https://hooks.example/x?********"),
            "/format": Change(after="standard"),
            "/event_types": Change(after=[]),
            "/assistant_ids": Change(after=[12]),
            "/enabled": Change(after=True),
        },
        **ABOUT_NO_ASSISTANT,
    ),
    "webhook_changed.v1": WebhookChanged(
        sequence=57,
        occurred_at=datetime(2026, 1, 2, 4, 5, tzinfo=UTC),
        reason=None,
        webhook_id=4,
        changes={"/format": Change(before="standard", after="slack")},
        url_changed=True,
        secret_rotated=True,
        **ABOUT_NO_ASSISTANT,
    ),
    "webhook_disabled.v1": WebhookDisabled(
        sequence=58,
        occurred_at=datetime(2026, 1, 2, 4, 6, tzinfo=UTC),
        reason="Switched off after 10 attempts to deliver. The answer was 500",
        webhook_id=4,
        changes={"/enabled": Change(before=True, after=False)},
        **ABOUT_NO_ASSISTANT,
    ),
    "webhook_asked.v1": WebhookAsked(
        sequence=59,
        occurred_at=datetime(2026, 1, 2, 4, 7, tzinfo=UTC),
        reason=None,
        webhook_id=4,
        delivery="redeliver",
        from_sequence=41,
        **ABOUT_NO_ASSISTANT,
    ),
    "webhook_deleted.v1": WebhookDeleted(
        sequence=60,
        occurred_at=datetime(2026, 1, 2, 4, 8, tzinfo=UTC),
        reason=None,
        webhook_id=4,
        **ABOUT_NO_ASSISTANT,
    ),
    "assistant_restored.v1": AssistantRestored(
        sequence=53,
        version=5,
        occurred_at=datetime(2026, 1, 2, 4, 1, tzinfo=UTC),
        reason="Deleted by mistake",
        cause=Cause(type="restore", undoes=3),
        **SAID,
    ),
    "version_labelled.v1": VersionLabelled(
        sequence=54,
        occurred_at=datetime(2026, 1, 2, 4, 2, tzinfo=UTC),
        reason=None,
        labelled_version=2,
        label="vor dem Start",
        **SAID,
    ),
    "policy_changed.v1": PolicyChanged(
        sequence=55,
        occurred_at=datetime(2026, 1, 2, 4, 3, tzinfo=UTC),
        reason="Counsel asked for it",
        changes={"/admin_paths": Change(before=[], after=["/recording_settings"])},
        **ABOUT_NO_ASSISTANT,
    ),
    "phone_number_added.v1": PhoneNumberAdded(
        sequence=56,
        occurred_at=datetime(2026, 1, 2, 4, 4, tzinfo=UTC),
        reason=None,
        changes={"/phone_numbers/+14155551234/friendly_name": Change(after="Büro")},
        **NUMBER,
        **ABOUT_NO_ASSISTANT,
    ),
    "phone_number_renamed.v1": PhoneNumberRenamed(
        sequence=57,
        occurred_at=datetime(2026, 1, 2, 4, 5, tzinfo=UTC),
        reason=None,
        changes={"/phone_numbers/+14155551234/friendly_name": Change(before="Büro", after=None)},
        **NUMBER,
        **ABOUT_NO_ASSISTANT,
    ),
    "phone_number_assigned.v1": PhoneNumberAssigned(
        sequence=58,
        occurred_at=datetime(2026, 1, 2, 4, 6, tzinfo=UTC),
        reason="The campaign begins",
        changes={"/phone_numbers/+14155551234/assistant_id": Change(before=None, after=12)},
        **NUMBER,
        **SAID,
    ),
    "phone_number_unassigned.v1": PhoneNumberUnassigned(
        sequence=59,
        occurred_at=datetime(2026, 1, 2, 4, 7, tzinfo=UTC),
        reason=None,
        changes={"/phone_numbers/+14155551234/assistant_id": Change(before=12, after=None)},
        **NUMBER,
        **SAID,
    ),
}


def stored(tag: str) -> bytes:
    return (GOLDEN / f"{tag}.json").read_bytes()


def as_todays(tag: str) -> bytes:
    """Stored bytes, with the tag that they would have today, and never upcast."""
    return stored(tag).replace(tag.encode(), todays(tag).encode(), 1)


def todays(tag: str) -> str:
    return upcasters.tag(tag.partition(".")[0])


# -- what was stored once


@pytest.mark.parametrize("tag", STORED)
def test_stored_bytes_are_read_and_made_again_as_they_were(tag: str) -> None:
    event = codec.decode(as_todays(tag), todays(tag))
    assert codec.encode(event) == as_todays(tag)
    assert codec.tag_of(event) == todays(tag)


@pytest.mark.parametrize("tag", STORED)
def test_stored_bytes_mean_what_they_meant(tag: str) -> None:
    assert codec.decode(as_todays(tag), todays(tag)) == STORED[tag]
    assert codec.encode(STORED[tag]) == as_todays(tag)


@pytest.mark.parametrize("tag", STORED)
def test_stored_bytes_of_every_tag_are_read_in_todays_shape(tag: str) -> None:
    event = codec.decode(stored(tag), tag)
    assert codec.tag_of(event) == todays(tag)
    assert codec.decode(codec.encode(event), todays(tag)) == event
    assert tag in codec.tags_of(type(event))


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (
            Cause(type="rollback", to_version=1, paths=["/tts_settings"]),
            b'{"type":"rollback","to_version":1,"paths":["/tts_settings"]}',
        ),
        (
            Cause(type="undo", undoes=2, change_set_id=9),
            b'{"type":"undo","undoes":2,"change_set_id":9}',
        ),
        (Cause(type="put", base_version=3), b'{"type":"put","base_version":3}'),
    ],
)
def test_a_cause_says_only_what_it_refers_to(cause: Cause, text: bytes) -> None:
    assert msgspec.json.encode(cause) == text
    assert msgspec.json.decode(text, type=Cause) == cause


def test_an_event_that_was_not_clamped_says_nothing_of_the_clock() -> None:
    event = STORED["assistant_deleted.v1"]
    behind = structs.replace(event, clock_time=datetime(2026, 1, 1, tzinfo=UTC))
    plain, clamped = codec.encode(event), codec.encode(behind)
    assert clamped.replace(b',"clock_time":"2026-01-01T00:00:00Z"', b"") == plain
    assert clamped != plain
    assert codec.decode(clamped, codec.tag_in(clamped)) == behind


def test_a_member_that_is_not_understood_would_be_noticed() -> None:
    more = stored("assistant_deleted.v1")[:-1] + b',"mood":"sad"}'
    assert codec.encode(codec.decode(more, "assistant_deleted.v1")) != more


def test_every_event_that_can_be_recorded_has_stored_bytes() -> None:
    """Later tags may have theirs; what each release wrote is in ``golden/release-N``."""
    known = {tag for kind in LogEvent.__args__ for tag in codec.tags_of(kind)}
    assert set(STORED) <= {path.stem for path in GOLDEN.glob("*.json")} <= known
    assert {codec.tag_of(event) for event in STORED.values()} == set(map(todays, STORED))
    assert {type(event) for event in STORED.values()} == set(LogEvent.__args__)


def test_a_stored_stream_folds_to_the_state_that_it_told() -> None:
    decoded = [codec.decode(as_todays(tag), todays(tag)) for tag in STORED]
    state = fold(event for event in decoded if isinstance(event, Versioned))
    assert (state.version, state.deleted, state.user_id) == (5, False, 5)
    assert state.created_at == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert state.updated_at == datetime(2026, 1, 2, 4, 1, tzinfo=UTC)
    assert state.erased_version == 4
    assert state.settings["llm_settings"]["temperature"] == 0.1
    assert state.settings["llm_provider_config"]["api_key"] == OTHER_SECRET
    assert same(
        state.settings["custom_settings"],
        {"a/b~c": [1, 1.0, {"d": None}, "ä\u2028\U0001d11e"], "new": None},
    )


def test_the_bytes_name_no_class() -> None:
    for tag in STORED:
        assert stored(tag).startswith(b'{"type":"' + tag.encode() + b'"')
        assert b"Assistant" not in stored(tag)


# -- round trips


def returned(event: Event) -> Event:
    return read_back(event)


@modest
@for_all(EVENTS)
def test_any_event_comes_back_as_it_went(event: Event) -> None:
    assert returned(event) == event
    assert codec.encode(returned(event)) == codec.encode(event)


@few
@for_all(st.lists(bodies() | secret_bodies(), max_size=4))
def test_every_recorded_event_comes_back_as_it_went(sent: list[Tree]) -> None:
    story = given().after(create({}))
    numbers = itertools.count()
    for body in sent:
        with suppress(InvalidSettings):
            story = story.after(patch(body, numbers))
    for event in story.after(DeleteAssistant()).events:
        assert returned(event) == event
        assert codec.encode(returned(event)) == codec.encode(event)
        assert msgspec.json.format(codec.encode(event), indent=-1) == codec.encode(event)


def test_an_absent_side_and_a_null_one_come_back_apart() -> None:
    event = STORED["assistant_settings_changed.v1"]
    assert isinstance(event, AssistantSettingsChanged)
    changes = returned(event).changes  # type: ignore[union-attr]
    assert changes["/custom_settings/new"].before is UNSET
    assert changes["/custom_settings/new"].after is None
    assert changes["/description"].before is None
    assert changes["/custom_settings/"].after is UNSET


# -- old shapes


def with_pointers(event: dict[str, Any]) -> dict[str, Any]:
    """v0 wrote dotted paths."""
    changes = {"/" + path.replace(".", "/"): c for path, c in event["changes"].items()}
    return event | {"type": upcasters.tag("assistant_settings_changed"), "changes": changes}


def with_changes(event: dict[str, Any]) -> dict[str, Any]:
    """A rename once was an event of its own."""
    event = dict(event)
    names = {"before": event.pop("old_name"), "after": event.pop("new_name")}
    return event | {"type": "assistant_settings_changed.v0", "changes": {"name": names}}


UPCASTERS = {
    "assistant_settings_changed.v0": with_pointers,
    "assistant_renamed.v1": with_changes,
}


def old_bytes(tag: str, **members: Any) -> bytes:
    event = msgspec.json.decode(stored("assistant_settings_changed.v1"))
    del event["changes"]
    return msgspec.json.encode(event | {"type": tag} | members)


def test_an_old_shape_is_read_as_todays() -> None:
    body = old_bytes(
        "assistant_settings_changed.v0", changes={"llm_settings.top_p": {"before": 1.0}}
    )
    event = codec.decode(body, "assistant_settings_changed.v0", UPCASTERS)
    today = STORED["assistant_settings_changed.v1"]
    changes = {"/llm_settings/top_p": Change(before=1.0)}
    assert event == msgspec.structs.replace(today, changes=changes)


def test_the_changed_paths_are_those_of_the_event_in_todays_shape() -> None:
    for tag, event in STORED.items():
        if isinstance(event, Versioned):
            assert list(codec.changed_paths(stored(tag), tag)) == list(changes_of(event))
    body = old_bytes("assistant_renamed.v1", old_name=None, new_name="Night desk")
    assert list(codec.changed_paths(body, "assistant_renamed.v1", UPCASTERS)) == ["/name"]
    with pytest.raises(codec.NewerEvent):
        codec.changed_paths(body, "assistant_renamed.v1")


def test_upcasters_follow_one_another_until_the_shape_is_todays() -> None:
    body = old_bytes("assistant_renamed.v1", old_name=None, new_name="Night desk")
    event = codec.decode(body, "assistant_renamed.v1", UPCASTERS)
    today = STORED["assistant_settings_changed.v1"]
    changes = {"/name": Change(before=None, after="Night desk")}
    assert event == msgspec.structs.replace(today, changes=changes)
    assert codec.tag_of(event) == upcasters.tag("assistant_settings_changed")
    assert codec.decode(codec.encode(event), codec.tag_of(event)) == event


def test_without_its_upcaster_an_old_shape_is_not_read() -> None:
    body = old_bytes("assistant_renamed.v1", old_name=None, new_name="Night desk")
    with pytest.raises(codec.NewerEvent):
        codec.decode(body, "assistant_renamed.v1")
    only_one = {"assistant_renamed.v1": with_changes}
    with pytest.raises(msgspec.ValidationError):
        codec.decode(body, "assistant_renamed.v1", only_one)


@pytest.mark.parametrize("tag", STORED)
def test_todays_shapes_pass_the_upcasters_by(tag: str) -> None:
    assert codec.decode(as_todays(tag), todays(tag), UPCASTERS) == STORED[tag]
