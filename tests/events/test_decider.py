from __future__ import annotations

import copy
import itertools
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from events import codec
from events.bodies.patch import read_create
from events.changed import NOTHING, AssistantCreated, Cause, SecretsErased, State, evolve, fold
from events.commands import (
    ChangeSettings,
    CreateAssistant,
    DeleteAssistant,
    EraseSecrets,
    RestoreSettings,
)
from events.decider import decide, propose
from events.errors import AssistantNotFound, InvalidSettings
from events.pointers import Tree, flatten, same
from events.secrets.references import holds_secret
from events.shape import with_defaults
from tests.events.given import (
    ACTOR,
    ASSISTANT,
    DEFAULTS,
    NAME,
    ORGANIZATION,
    at,
    at_path,
    changed,
    create,
    created,
    deleted,
    envelope,
    given,
    patch,
    read_back,
    secret,
)
from tests.events.strategies import as_json, bodies, few, modest, secret_bodies

STATUS = Cause(type="status")
COMMANDS = [
    patch({"name": "B"}),
    ChangeSettings(patch={"is_active": False}, cause=STATUS),
    RestoreSettings(settings=DEFAULTS, to_version=1),
    DeleteAssistant(),
]


# -- create


def test_a_creation_records_every_setting() -> None:
    given().when(create({})).then(created())


def test_a_creation_merges_what_was_sent_into_the_defaults() -> None:
    body = {"name": "B", "llm_settings": {"temperature": 0.9}, "custom_settings": {"a": {}}}
    given().when(create(body)).then(created(body))


def test_a_creation_says_how_it_came_about() -> None:
    copied = Cause(type="duplicate", assistant_id=2)
    command = CreateAssistant(patch={"name": NAME}, cause=copied)
    given().when(command).then(created(cause=copied))


def test_a_creation_keeps_null_where_the_default_is_a_value() -> None:
    state = given().after(create({"idle_message": None})).state
    assert state.settings["idle_message"] is None
    assert DEFAULTS["idle_message"] is not None


@pytest.mark.parametrize("name", ["api_keys", "webhook_headers", "custom_settings"])
def test_a_creation_with_masks_is_refused_or_stores_no_mask(name: str) -> None:
    body = {"name": NAME, name: {"api_key": "********"}}
    with pytest.raises(InvalidSettings) as refusal:
        read_create(body)
    assert [error.loc for error in refusal.value.errors] == [("body", name, "api_key")]
    read = read_create(body, lenient=True)
    assert read.ignored == (f"/{name}/api_key",)
    state = given().after(CreateAssistant(patch=read.tree)).state
    assert not state.settings[name]


# -- change


def test_a_patch_records_the_paths_that_changed_and_no_others() -> None:
    body = {"llm_settings": {"temperature": 0.9, "top_p": 1.0}, "name": "B"}
    given(created()).when(patch(body)).then(
        changed({"/llm_settings/temperature": (0.5, 0.9), "/name": (NAME, "B")})
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": NAME},
        {"name": f" {NAME} "},
        {"llm_settings": {}},
        {"llm_settings": {"temperature": "0.5", "max_tokens": 1000.0}},
        {"llm_settings": None},
        {"description": None},
        {"description": " "},
        {"change_description": "why not"},
        {"unknown": 1},
        {"version": 9, "id": 9},
        {"llm_provider_config": {"api_key": "********"}},
        {"llm_provider_config": {"custom_config": {"never": None}}},
        {"tools_settings": {"enabled_tools": ["sendSms"]}},
        {"stt_settings": {"flux_config": None}},
    ],
)
def test_a_patch_that_changes_nothing_records_nothing(body: Tree) -> None:
    given(created()).when(patch(body)).then()


def test_one_and_one_point_zero_and_true_are_three_values() -> None:
    story = given(created({"custom_settings": {"a": 1}}))
    story.when(patch({"custom_settings": {"a": 1}})).then()
    story.when(patch({"custom_settings": {"a": 1.0}})).then(
        changed({"/custom_settings/a": (1, 1.0)})
    )
    story.when(patch({"custom_settings": {"a": True}})).then(
        changed({"/custom_settings/a": (1, True)})
    )


def test_a_status_change_says_that_it_is_one() -> None:
    command = ChangeSettings(patch={"is_active": False}, cause=STATUS)
    given(created()).when(command).then(changed({"/is_active": (True, False)}, STATUS))
    given(created({"is_active": False})).when(command).then()


def test_the_list_of_enabled_tools_is_the_servers() -> None:
    enabled = {name: {"enabled": True} for name in ("send_sms", "end_call", "dtmf_solver")}
    sent = {"tools_settings": enabled | {"enabled_tools": ["anything"]}}
    given(created()).when(patch(sent)).then(
        changed(
            {
                "/tools_settings/enabled_tools": ([], ["endCall", "dtmfSolver", "sendSms"]),
                "/tools_settings/end_call/enabled": (False, True),
                "/tools_settings/dtmf_solver/enabled": (False, True),
                "/tools_settings/send_sms/enabled": (False, True),
            }
        )
    )
    transfer = {"tools_settings": {"transfer_call": {"enabled": True}}}
    state = given().after(create(transfer)).after(patch({"tools_settings": None})).state
    assert state.settings["tools_settings"]["enabled_tools"] == []


def test_an_object_that_was_null_is_completed_when_a_member_is_sent() -> None:
    flux = {
        "eot_timeout_ms": None,
        "eager_eot_threshold": None,
        "eot_threshold": None,
        "language_hints": None,
        "tag": "night",
        "mip_opt_out": False,
    }
    given(created()).when(patch({"stt_settings": {"flux_config": {"tag": "night"}}})).then(
        changed({"/stt_settings/flux_config": (None, flux)})
    )


def test_the_reason_and_the_actor_are_the_envelopes() -> None:
    event = decide(patch({"name": "B"}), given(created()).state, envelope(2, reason="new sign"))
    assert event is not None
    assert event.reason == "new sign"
    assert (event.actor, event.occurred_at) == (ACTOR, at(2))
    assert (event.organization_id, event.assistant_id) == (ORGANIZATION, ASSISTANT)
    assert (event.sequence, event.version) == (2, 2)


def test_the_version_counts_the_stream_whatever_the_sequence_is() -> None:
    said = msgspec.structs.replace(envelope(2), sequence=900)
    event = decide(patch({"name": "B"}), given(created()).state, said)
    assert event is not None
    assert (event.sequence, event.version) == (900, 2)


def test_an_erasure_is_recorded_of_a_deleted_assistant_too() -> None:
    cause = Cause(type="erase")
    for story in (given(created()), given(created(), deleted())):
        event = story.when(EraseSecrets(cause=cause)).decided()
        assert isinstance(event, SecretsErased)
        assert event.cause == cause
        version = len(story.events) + 1
        assert event.version == fold([*story.events, event]).erased_version == version


# -- how much

MIB = 1024 * 1024


def texts(count: int) -> Tree:
    return {f"{number}": "x" * MIB for number in range(count)}


@pytest.mark.parametrize("large", [2, 3])
def test_a_creation_brings_no_more_than_two_mebibytes(large: int) -> None:
    command = create({"custom_settings": texts(large)})
    assert given().when(command).errors() == [(("body",), "too_large")]
    assert given().when(create({"custom_settings": texts(1)})).decided()


def test_settings_do_not_grow_beyond_two_mebibytes_whoever_changes_them() -> None:
    story = given(created({"custom_settings": texts(1)}))
    grown = patch({"custom_settings": {"1": "x" * MIB}})
    over_a_base = msgspec.structs.replace(grown, base=story.state.settings)
    rollback = RestoreSettings(settings=DEFAULTS | {"custom_settings": texts(2)}, to_version=1)
    for command in (grown, over_a_base, rollback):
        assert story.when(command).errors() == [(("body",), "too_large")]
    story.when(patch({"custom_settings": {"1": "x"}})).then(
        changed({"/custom_settings/1": (msgspec.UNSET, "x")})
    )


def test_settings_hold_no_more_than_50000_values_whoever_adds_them() -> None:
    most: Tree = {"a": [[]] * 49_000}
    assert given().when(create({"custom_settings": {"a": [[]] * 50_000}})).errors() == [
        (("body",), "too_many")
    ]
    story = given().after(create({"custom_settings": most}))
    more = patch({"custom_settings": {"b": [0] * 1_000}})
    assert story.when(more).errors() == [(("body",), "too_many")]
    # The controls: a few more, and less of too many.
    assert story.when(patch({"custom_settings": {"b": [0] * 100}})).decided()
    crowded = given(created({"custom_settings": {"a": [[]] * 90_000}}))
    assert crowded.when(patch({"custom_settings": {"a": [[]] * 89_000}})).decided()


def test_settings_that_are_too_large_already_may_shrink_and_not_grow() -> None:
    story = given(created({"custom_settings": texts(3)}))
    story.when(patch({"custom_settings": {"0": "x"}, "description": "Less"})).then(
        changed({"/custom_settings/0": ("x" * MIB, "x"), "/description": (None, "Less")})
    )
    assert story.when(patch({"description": "More"})).errors() == [(("body",), "too_large")]


# -- secrets


KEY_A: Tree = {"llm_provider_config": {"api_key": secret("A")}}
KEY_B: Tree = {"llm_provider_config": {"api_key": secret("B")}}
PATCHED = Cause(type="patch")


def test_a_secret_that_is_set_is_one_change() -> None:
    given(created()).when(ChangeSettings(patch=KEY_A, cause=PATCHED)).then(
        changed({"/llm_provider_config/api_key": (None, secret("A"))})
    )


def test_a_secret_that_is_rotated_is_one_change() -> None:
    given(created(KEY_A)).when(ChangeSettings(patch=KEY_B, cause=PATCHED)).then(
        changed({"/llm_provider_config/api_key": (secret("A"), secret("B"))})
    )


def test_a_secret_given_at_the_creation_is_one_change() -> None:
    event = given().when(CreateAssistant(patch={"name": NAME} | KEY_A)).decided()
    assert isinstance(event, AssistantCreated)
    assert event.changes["/llm_provider_config/api_key"].after == secret("A")


def test_a_secret_that_is_kept_records_nothing() -> None:
    given(created(KEY_A)).when(ChangeSettings(patch=KEY_A, cause=PATCHED)).then()


# -- restore


def test_a_rollback_records_what_it_turns_back() -> None:
    then = given(created()).state.settings
    story = given(created(), changed({"/llm_settings/temperature": (0.5, 0.9)}))
    story.when(RestoreSettings(settings=then, to_version=1)).then(
        changed({"/llm_settings/temperature": (0.9, 0.5)}, Cause(type="rollback", to_version=1))
    )


def test_a_rollback_to_what_is_already_there_records_nothing() -> None:
    story = given(created(), changed({"/name": (NAME, "B")}), changed({"/name": ("B", NAME)}))
    story.when(RestoreSettings(settings=given(created()).state.settings, to_version=1)).then()


def test_a_rollback_keeps_the_secrets_of_now() -> None:
    then = given(created(KEY_A | {"name": "old"})).state.settings
    story = given(created(KEY_B))
    story.when(RestoreSettings(settings=then, to_version=1)).then(
        changed({"/name": (NAME, "old")}, Cause(type="rollback", to_version=1))
    )


def test_a_rollback_does_not_bring_back_a_secret_that_was_removed() -> None:
    then = given(created(KEY_A)).state.settings
    given(created()).when(RestoreSettings(settings=then, to_version=1)).then()


def test_a_rollback_to_before_a_list_of_secrets_was_emptied_can_be_recorded() -> None:
    story = given().after(create({"custom_settings": {"api_keys": ["one", "two"], "a": 1}}))
    then = story.state.settings
    now = story.after(patch({"custom_settings": {"api_keys": [], "a": 2}}))
    after = now.after(RestoreSettings(settings=then, to_version=1))
    codec.encode(after.events[-1])
    assert after.state.settings["custom_settings"] == {"api_keys": [], "a": 1}


def test_settings_from_before_a_member_existed_are_restored_with_its_default() -> None:
    then = copy.deepcopy(given(created()).state.settings)
    del then["recording_settings"]
    del then["llm_settings"]["top_p"]
    story = given(created({"llm_settings": {"top_p": 0.1}}))
    story.when(RestoreSettings(settings=then, to_version=1)).then(
        changed({"/llm_settings/top_p": (0.1, 1.0)}, Cause(type="rollback", to_version=1))
    )


def test_settings_that_break_todays_rules_are_not_restored() -> None:
    then = given(created({"tts_limit": 1001, "llm_settings": {"max_tokens": "x"}})).state.settings
    errors = given(created()).when(RestoreSettings(settings=then, to_version=1)).errors()
    assert sorted(errors) == [
        (("body", "llm_settings", "max_tokens"), "int_parsing"),
        (("body", "tts_limit"), "less_than_equal"),
    ]


# -- delete and not found


def test_a_deletion_closes_the_stream() -> None:
    given(created()).when(DeleteAssistant()).then(deleted())
    state = given(created({"name": "B"}), deleted()).state
    assert state.deleted
    assert state.version == 2
    assert state.settings["name"] == "B", "the history stays readable"


@pytest.mark.parametrize("command", COMMANDS)
def test_what_was_never_created_is_not_found(command: Any) -> None:
    assert given().when(command).refused(AssistantNotFound).assistant_id == ASSISTANT


@pytest.mark.parametrize("command", COMMANDS)
def test_what_was_deleted_is_not_found(command: Any) -> None:
    given(created(), deleted()).when(command).refused(AssistantNotFound)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_state_without_events_is_not_found_from_any_source(command: Any) -> None:
    with pytest.raises(AssistantNotFound):
        decide(command, State(), envelope(1))


@pytest.mark.parametrize("command", COMMANDS[:2] + COMMANDS[3:])
def test_the_same_command_is_carried_out_for_an_existing_assistant(command: Any) -> None:
    assert given(created()).when(command).decided() is not None


# -- evolve


def test_a_creation_says_who_and_when() -> None:
    state = given(created()).state
    assert (state.user_id, state.version) == (ACTOR.user_id, 1)
    assert state.created_at == state.updated_at == at(1)


def test_every_event_moves_the_version_and_the_time() -> None:
    story = given(created(), changed({"/name": (NAME, "B")}), deleted())
    states = [fold(story.events[:count]) for count in range(1, 4)]
    assert [state.version for state in states] == [1, 2, 3]
    assert [state.updated_at for state in states] == [at(1), at(2), at(3)]
    assert {state.created_at for state in states} == {at(1)}


def test_a_member_that_is_younger_than_the_event_has_its_default() -> None:
    event = given(created()).events[0]
    assert isinstance(event, AssistantCreated)
    old = {p: c for p, c in event.changes.items() if not p.startswith("/recording_settings/")}
    state = evolve(NOTHING, msgspec.structs.replace(event, changes=old))
    assert state.settings["recording_settings"] == DEFAULTS["recording_settings"]


def test_folding_goes_on_from_a_state() -> None:
    events = given(created(), changed({"/name": (NAME, "B")}), deleted()).events
    assert fold(events[2:], fold(events[:2])) == fold(events)


@few
@for_all(st.lists(bodies(), max_size=4))
def test_a_decision_changes_nothing_in_place(sent: list[Tree]) -> None:
    story = given().after(create({}))
    defaults = as_json(with_defaults({}))
    for body in sent:
        state, command = story.state, patch(body)
        kept = copy.deepcopy(state.settings)
        text = repr(command)
        decide(command, state, envelope(state.version + 1))
        assert same(state.settings, kept)
        assert repr(command) == text
        story = story.after(command)
    assert as_json(with_defaults({})) == defaults


@modest
@for_all(st.lists(bodies() | secret_bodies(), max_size=4))
def test_a_state_is_complete_and_a_proposal_knows_the_next_one(sent: list[Tree]) -> None:
    state, numbers = given().after(create({})).state, itertools.count()
    for body in sent:
        with suppress(InvalidSettings):  # a mask for a secret that is not there
            proposal = propose(patch(body, numbers), state, envelope(state.version + 1))
            after = evolve(state, proposal.event) if proposal.event else state
            assert proposal.after == after
            state = proposal.after
        assert same(with_defaults(state.settings), state.settings)
        assert state.encoded == msgspec.json.encode(state.settings)
        assert state.holds_secrets is holds_secret(state.settings)


@pytest.mark.parametrize("text", ["$secret", '"$secret":', '{"$secret":{"id":"1.a"}}'])
def test_a_text_about_references_is_none(text: str) -> None:
    assert not State(settings={"name": text, "custom_settings": {f"a{text}": text}}).holds_secrets
    assert State(settings={"name": text, "api_keys": {"a": secret("1.a")}}).holds_secrets


@modest
@for_all(bodies(), bodies())
def test_evolving_leaves_the_state_before_it_alone(first: Tree, second: Tree) -> None:
    story = given().after(create(first))
    state = story.state
    kept = copy.deepcopy(state.settings)
    event = decide(patch(second), state, envelope(2))
    if event is not None:
        kept_event = codec.encode(event)
        after = evolve(state, event)
        after_kept = copy.deepcopy(after.settings)
        assert not same(after.settings, state.settings)
        assert codec.encode(event) == kept_event
        later = decide(patch(first), after, envelope(3))
        if later is not None:
            evolve(after, later)
        assert same(after.settings, after_kept)
    assert same(state.settings, kept)


# -- laws


@modest
@for_all(bodies())
def test_a_creation_has_every_setting_in_its_published_form(body: Tree) -> None:
    event = given().when(create(body)).decided()
    assert isinstance(event, AssistantCreated)
    assert all(change.before is msgspec.UNSET for change in event.changes.values())
    settings = evolve(NOTHING, event).settings
    assert flatten(settings).keys() == event.changes.keys()
    assert list(settings) == list(DEFAULTS)


@modest
@for_all(st.lists(bodies(), max_size=4))
def test_the_events_alone_tell_the_state(sent: list[Tree]) -> None:
    story = given().after(create({}))
    state = story.state
    for body in sent:
        event = decide(patch(body), state, envelope(state.version + 1))
        if event is not None:
            state = evolve(state, event)
            story = type(story)((*story.events, event))
    read_again = [read_back(event) for event in story.events]
    assert msgspec.json.encode(fold(read_again).settings) == msgspec.json.encode(state.settings)


def test_a_mask_for_a_new_fallback_is_refused_and_says_where() -> None:
    body = {"llm_fallback_providers": {"fallbacks": [{"provider": "groq", "api_key": "****"}]}}
    refusal = given(created()).when(patch(body)).refused(InvalidSettings)
    assert refusal.errors[0].loc == ("body", "llm_fallback_providers", "fallbacks", 0, "api_key")
    assert at_path(given(created()).state.settings, "/llm_fallback_providers/fallbacks") == []
