"""What the operations of a JSON Patch do to settings, and which are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from events import pointers
from events.bodies.json_patch import PatchTestFailed, read_json_patch
from events.bodies.patch import SettingsPatch
from events.changed import AssistantSettingsChanged
from events.commands import ChangeSettings
from events.errors import InvalidSettings
from events.patching import patched
from events.pointers import MARK, Tree, diff, same
from events.secrets.references import mask, places
from events.settings import SETTING_NAMES
from events.shape import SETTINGS
from tests.events.given import DEFAULTS, PATCH, at_path, created, given, patch
from tests.events.operations import (
    FALLBACKS,
    NO_PLACE,
    NOT_REMOVABLE,
    after,
    command,
    errors,
    move,
    op,
    story,
)

# -- RFC 6902, appendix A, below /custom_settings: document, operations, result.


PUBLISHED: dict[str, tuple[Tree, list[Tree], Tree]] = {
    "A.1 adding an object member": (
        {"foo": "bar"},
        [op("add", "/baz", "qux")],
        {"baz": "qux", "foo": "bar"},
    ),
    "A.2 adding an array element": (
        {"foo": ["bar", "baz"]},
        [op("add", "/foo/1", "qux")],
        {"foo": ["bar", "qux", "baz"]},
    ),
    "A.3 removing an object member": (
        {"baz": "qux", "foo": "bar"},
        [op("remove", "/baz")],
        {"foo": "bar"},
    ),
    "A.4 removing an array element": (
        {"foo": ["bar", "qux", "baz"]},
        [op("remove", "/foo/1")],
        {"foo": ["bar", "baz"]},
    ),
    "A.5 replacing a value": (
        {"baz": "qux", "foo": "bar"},
        [op("replace", "/baz", "boo")],
        {"baz": "boo", "foo": "bar"},
    ),
    "A.6 moving a value": (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [move("/foo/waldo", "/qux/thud")],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    "A.7 moving an array element": (
        {"foo": ["all", "grass", "cows", "eat"]},
        [move("/foo/1", "/foo/3")],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    "A.8 testing a value: success": (
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [op("test", "/baz", "qux"), op("test", "/foo/1", 2)],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    "A.10 adding a nested member object": (
        {"foo": "bar"},
        [op("add", "/child", {"grandchild": {}})],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    "A.11 ignoring unrecognized elements": (
        {"foo": "bar"},
        [op("add", "/baz", "qux", xyz=123)],
        {"foo": "bar", "baz": "qux"},
    ),
    "A.14 escape ordering": (
        {"/": 9, "~1": 10},
        [op("test", "/~01", 10), op("replace", "/~01", 11)],
        {"/": 9, "~1": 11},
    ),
    "A.16 adding an array value": (
        {"foo": ["bar"]},
        [op("add", "/foo/-", ["abc", "def"])],
        {"foo": ["bar", ["abc", "def"]]},
    ),
}


def below(prefix: str, operations: list[Tree]) -> list[Tree]:
    return [
        {n: prefix + v if n in ("path", "from") else v for n, v in operation.items()}
        for operation in operations
    ]


@pytest.mark.parametrize(("document", "operations", "result"), PUBLISHED.values(), ids=PUBLISHED)
def test_operations_are_carried_out_as_the_publication_shows(
    document: Tree, operations: list[Tree], result: Tree
) -> None:
    assistant = story({"custom_settings": document})
    assert same(after(assistant, *below("/custom_settings", operations))["custom_settings"], result)


@pytest.mark.parametrize(
    ("held", "tested"),
    [("qux", "bar"), (10, "10"), ({"a": 1}, {"a": 1, "b": 2}), ([1, 2], [2, 1]), (None, False)],
    ids=["A.9 error", "A.15 strings and numbers", "members", "order", "null"],
)
def test_a_test_of_another_value_fails(held: Any, tested: Any) -> None:
    assistant = story({"custom_settings": {"a": {"b": held}}})
    with pytest.raises(PatchTestFailed) as failure:
        command(
            assistant, op("add", "/description", "x"), op("test", "/custom_settings/a/b", tested)
        )
    assert (failure.value.position, failure.value.path) == (1, "/custom_settings/a/b")
    assert "qux" not in repr(failure.value)


@pytest.mark.parametrize(
    ("held", "tested", "equal"),
    [
        (1, 1.0, True),
        (1.5, 1.5, True),
        ({"a": [1]}, {"a": [1.0]}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (True, 1, False),
        (0, False, False),
        ([1], [True], False),
        ("1", 1, False),
        (None, 0, False),
        ("é", "e\u0301", False),
    ],
)
def test_numbers_are_tested_by_their_value_and_never_equal_a_boolean(
    held: Any,
    tested: Any,
    equal: bool,  # noqa: FBT001 (a parameter of the test)
) -> None:
    assistant = story({"custom_settings": {"a": [held]}})
    test = op("test", "/custom_settings/a/0", tested)
    if equal:
        assistant.when(command(assistant, test)).then()
    else:
        with pytest.raises(PatchTestFailed):
            command(assistant, test)


def test_the_operations_before_a_failed_test_have_no_effect() -> None:
    assistant = story({"description": "old"})
    settings = copy.deepcopy(assistant.state.settings)
    with pytest.raises(PatchTestFailed):
        command(assistant, op("replace", "/description", "new"), op("test", "/description", "old"))
    assert assistant.state.settings == settings


# -- members


def test_a_patch_that_changes_nothing_records_nothing() -> None:
    assistant = story({"description": "x"})
    for operations in (
        [],
        [op("test", "", mask(assistant.state.settings))],
        [op("replace", "/description", "x")],
        [op("add", "/custom_settings", {}), op("replace", "/custom_settings", None)],
        [move("/description", "/description")],
    ):
        assistant.when(command(assistant, *operations)).then()
        assert command(assistant, *operations).patch == {}


def test_only_the_members_that_change_are_in_the_patch() -> None:
    assistant = given(created())
    read = read_json_patch(
        [op("replace", "/llm_settings/top_p", 0.5), op("add", "/stt_settings/keyterms/-", "a")],
        assistant.state.settings,
    )
    assert read.tree.keys() == {"llm_settings", "stt_settings"}
    assert read.reason is None
    event = assistant.when(ChangeSettings(patch=read.tree, cause=PATCH)).decided()
    assert isinstance(event, AssistantSettingsChanged)
    assert event.changes.keys() == {"/llm_settings/top_p", "/stt_settings/keyterms"}


@pytest.mark.parametrize("path", ["/llm_settings/temperature", "/tts_settings/background_sound"])
def test_a_typed_member_that_is_removed_has_its_default_again(path: str) -> None:
    assistant = story(
        {"llm_settings": {"temperature": 0.9}, "tts_settings": {"background_sound": {"volume": 1}}}
    )
    assert at_path(assistant.state.settings, path) != at_path(DEFAULTS, path)
    assert at_path(after(assistant, op("remove", path)), path) == at_path(DEFAULTS, path)


def test_a_secret_that_is_removed_is_gone() -> None:
    assistant = story(
        {
            "llm_provider_config": {"api_key": "sk-1"},
            "webhook_headers": {"A": "one", "B": "two"},
            "custom_settings": {"auth": {"token": "t"}, "api_keys": ["k", "l"]},
        }
    )
    settings = after(
        assistant,
        op("remove", "/llm_provider_config/api_key"),
        op("remove", "/webhook_headers/A"),
        op("remove", "/custom_settings/auth"),
        op("remove", "/custom_settings/api_keys/1"),
    )
    kept = [place.at for place in places(settings)]
    assert kept == [("webhook_headers", "B"), ("custom_settings", "api_keys", "0")]
    assert settings["llm_provider_config"]["api_key"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/custom_settings/a",
        "/custom_settings/structured_data_schema",
        "/custom_settings/deep/a",
        "/llm_provider_config/custom_config/a",
        "/tts_settings/provider_config/a",
        "/recording_settings/a",
        "/tools_settings/custom_tools/0/config/a",
    ],
)
def test_null_is_a_value_in_a_free_form_map_and_not_a_removal(path: str) -> None:
    assistant = story(
        {
            "custom_settings": {"deep": {}},
            "tools_settings": {"custom_tools": [{"tool_id": 1, "config": {}}]},
        }
    )
    settings = after(assistant, op("add", path, None))
    holder, _, name = path.rpartition("/")
    tools = settings["tools_settings"]["custom_tools"]
    where = tools[0]["config"] if "custom_tools" in path else at_path(settings, holder)
    assert where == {**where, name: None}


def test_a_member_of_a_free_form_map_that_is_removed_is_gone() -> None:
    assistant = story(
        {
            "custom_settings": {"a": 1, "b": {"c": 2, "d": 3}},
            "recording_settings": {"a": {"b": 1}, "format": "wav"},
        }
    )
    settings = after(
        assistant,
        op("remove", "/custom_settings/a"),
        op("remove", "/custom_settings/b/c"),
        op("remove", "/recording_settings/a"),
    )
    assert settings["custom_settings"] == {"b": {"d": 3}}
    assert settings["recording_settings"] == DEFAULTS["recording_settings"] | {"format": "wav"}


@pytest.mark.parametrize("name", [n for n in SETTING_NAMES if n not in NOT_REMOVABLE])
def test_a_member_at_the_top_that_is_removed_is_as_null_would_leave_it(name: str) -> None:
    assistant = story(
        {
            "description": "x",
            "llm_settings": {"temperature": 0.9},
            "recording_settings": {"a": 1},
            "custom_settings": {"a": 1},
            "bypass_numbers": ["+14155551234"],
            "webhook_headers": {"A": "one"},
        }
    )
    assert (
        after(assistant, op("remove", f"/{name}"))
        == assistant.after(patch({name: None})).state.settings
    )


@pytest.mark.parametrize("name", NOT_REMOVABLE)
def test_a_member_that_must_have_a_value_cannot_be_removed(name: str) -> None:
    assistant = given(created())
    assert errors(assistant, op("remove", f"/{name}")) == [(("body", name), "not_removable")]
    assistant.when(
        command(assistant, op("replace", f"/{name}", None))
    ).then()  # ignored, as in a body


def test_the_root_may_be_replaced_by_other_settings() -> None:
    assistant = story({"description": "x"})
    document = mask(assistant.state.settings) | {"description": None, "idle_timeout": 5}
    document.pop("llm_settings")
    settings = after(assistant, op("replace", "", document))
    assert settings == assistant.state.settings | {"description": None, "idle_timeout": 5}


@pytest.mark.parametrize("value", [None, 1, "x", [], True])
def test_the_root_stays_an_object(value: Any) -> None:
    assistant = given(created())
    for kind in ("add", "replace"):
        assert errors(assistant, op("test", "/description", None), op(kind, "", value)) == [
            (("body", 1), "model_attributes_type")
        ]
    assert errors(assistant, move("/name", "")) == [(("body", 0), "model_attributes_type")]


def test_which_tools_are_enabled_is_the_servers_to_say() -> None:
    assistant = given(created())
    assistant.when(
        command(assistant, op("add", "/tools_settings/enabled_tools/-", "endCall"))
    ).then()
    settings = after(assistant, op("replace", "/tools_settings/end_call/enabled", value=True))
    assert settings["tools_settings"]["enabled_tools"] == ["endCall"]


@pytest.mark.parametrize(
    "path",
    [
        "/foo",
        "/llm_settings/foo",
        "/tts_settings/background_sound/foo",
        "/change_description",
        "/backchannel_generation_settings",
        "/tts_settings/tts_model_id",
        "/llm_settings/model",
    ],
)
def test_what_nobody_knows_is_ignored_and_named(path: str) -> None:
    assistant = given(created())
    operations = [op("add", path, "x")]
    read = read_json_patch(operations, assistant.state.settings)
    assert read.ignored == (path,)
    assistant.when(ChangeSettings(patch=read.tree, cause=PATCH)).then()
    assert errors(assistant, *operations, strict=True) == [
        (("body", *pointers.split(path)), "extra_forbidden")
    ]


@pytest.mark.parametrize("name", ["id", "version", "created_at", "organization_id"])
def test_what_is_no_setting_cannot_be_read_and_is_ignored_where_it_is_sent(name: str) -> None:
    assistant = given(created())
    assert errors(assistant, op("test", f"/{name}", 1)) == [(("body", 0, "path"), NO_PLACE)]
    assert errors(assistant, move(f"/{name}", "/description", "copy")) == [
        (("body", 0, "from"), NO_PLACE)
    ]
    sent = read_json_patch([op("add", f"/{name}", 1)], assistant.state.settings, strict=True)
    assert sent == SettingsPatch(tree={}, sent={name: 1})


def test_the_values_that_result_are_read_by_the_rules_of_any_body() -> None:
    assistant = given(created())
    settings = after(
        assistant,
        op("replace", "/llm_settings/temperature", "0.25"),
        op("replace", "/bypass_numbers", ["+1 (415) 555-1234", "+14155551234"]),
        op("replace", "/idle_message", "  "),
        op("add", "/custom_settings", {"structured_data_schema": '{"a": null}'}),
        op("add", "/stt_settings/keywords/-", {"keyword": "pizza"}),
    )
    assert settings["llm_settings"]["temperature"] == 0.25
    assert settings["bypass_numbers"] == ["+14155551234"]
    assert settings["idle_message"] is None
    assert settings["custom_settings"] == {"structured_data_schema": {"a": None}}
    assert settings["stt_settings"]["keywords"] == [{"keyword": "pizza", "intensifier": 1.0}]


def test_every_value_that_breaks_a_rule_is_named_by_its_place_in_the_settings() -> None:
    assistant = story({"llm_fallback_providers": {"fallbacks": [{"provider": "groq"}]}})
    assert errors(
        assistant,
        op("replace", "/llm_settings/temperature", "hot"),
        op("replace", "/stt_settings/utterance_end_ms", 5),
        op("replace", "/tts_settings/voice_id", None),
        op("remove", f"{FALLBACKS}/0/provider"),
        op("add", "/custom_settings", {MARK: {"id": "1.0"}}),
    ) == [
        (("body", "llm_settings", "temperature"), "float_parsing"),
        (("body", "tts_settings", "voice_id"), "string_type"),
        (("body", "stt_settings", "utterance_end_ms"), "greater_than_equal"),
        (("body", *pointers.split(FALLBACKS), 0, "provider"), "missing"),
        (("body", "custom_settings", MARK), "reserved_name"),
    ]


# -- operations that are no operations


@pytest.mark.parametrize("body", [None, {}, "x", 1, True, {"op": "remove", "path": "/name"}])
def test_a_body_that_is_no_list_is_refused(body: Any) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_json_patch(body, DEFAULTS)
    assert [(e.loc, e.type) for e in refusal.value.errors] == [(("body",), "list_type")]


@pytest.mark.parametrize(
    ("sent", "place", "kind"),
    [
        (5, (), "model_attributes_type"),
        ([], (), "model_attributes_type"),
        (None, (), "model_attributes_type"),
        ("remove", (), "model_attributes_type"),
        ({"path": "/name"}, ("op",), "missing"),
        ({"op": "append", "path": "/name", "value": "x"}, ("op",), "literal_error"),
        ({"op": ["add"], "path": "/name"}, ("op",), "literal_error"),
        ({"op": None, "path": "/name"}, ("op",), "literal_error"),
        ({"op": "Add", "path": "/name", "value": 1}, ("op",), "literal_error"),
        ({"op": "remove"}, ("path",), "missing"),
        ({"op": "add", "path": "/name"}, ("value",), "missing"),
        ({"op": "test", "path": "/name"}, ("value",), "missing"),
        ({"op": "move", "path": "/name"}, ("from",), "missing"),
        ({"op": "copy", "from": "/name"}, ("path",), "missing"),
        ({"op": "remove", "path": None}, ("path",), "string_type"),
        ({"op": "remove", "path": ["name"]}, ("path",), "string_type"),
        ({"op": "move", "from": 1, "path": "/name"}, ("from",), "string_type"),
        ({"op": "remove", "path": "name"}, ("path",), "json_pointer"),
        ({"op": "remove", "path": "#/name"}, ("path",), "json_pointer"),
        ({"op": "remove", "path": "/~2"}, ("path",), "json_pointer"),
        ({"op": "remove", "path": "/name~"}, ("path",), "json_pointer"),
        ({"op": "copy", "from": "~0", "path": "/name"}, ("from",), "json_pointer"),
    ],
)
def test_an_operation_that_is_not_well_formed_is_refused(
    sent: Any, place: tuple[str, ...], kind: str
) -> None:
    assistant = given(created())
    assert errors(assistant, op("remove", "/description"), sent) == [(("body", 1, *place), kind)]


def test_all_operations_that_are_not_well_formed_are_named_before_any_is_carried_out() -> None:
    assistant = given(created())
    assert errors(assistant, {"op": "move", "path": 1}, op("remove", "/no/such"), 5) == [
        (("body", 0, "from"), "missing"),
        (("body", 0, "path"), "string_type"),
        (("body", 2), "model_attributes_type"),
    ]
    assert len(errors(assistant, *[5] * 1000)) == 100


@pytest.mark.parametrize(
    "operation",
    [
        op("remove", "/foo"),
        op("remove", ""),
        op("replace", "/foo", 1),
        op("test", "/foo", 1),
        op("add", "/foo/bar", 1),  # A.12: a target that is not there
        op("add", "/name/0", 1),  # through a string
        op("add", "/llm_settings/max_tokens/0", 1),
        op("add", "/description/x", 1),  # through null
        op("add", "/is_active/x", 1),
        op("remove", "/stt_settings/keyterms/2"),
        op("replace", "/stt_settings/keyterms/2", "x"),
        op("add", "/stt_settings/keyterms/3", "x"),
        op("test", "/stt_settings/keyterms/2", "x"),
        op("add", "/stt_settings/keyterms/01", "x"),
        op("add", "/stt_settings/keyterms/-1", "x"),
        op("add", "/stt_settings/keyterms/+1", "x"),
        op("add", "/stt_settings/keyterms/1e0", "x"),
        op("add", "/stt_settings/keyterms/ 1", "x"),
        op("add", "/stt_settings/keyterms/²", "x"),
        op("add", "/stt_settings/keyterms/", "x"),
        op("add", "/stt_settings/keyterms/a", "x"),
        op("add", "/stt_settings/keyterms/-/a", "x"),
        op("remove", "/stt_settings/keyterms/-"),
        op("replace", "/stt_settings/keyterms/-", "x"),
        op("test", "/stt_settings/keyterms/-", "x"),
        op("remove", f"/stt_settings/keyterms/{10**30}"),
        op("add", f"/stt_settings/keyterms/{10**30}", "x"),
        op("replace", f"/stt_settings/keyterms/{'9' * 5000}", "x"),
        op("add", "/x" * 5000, 1),
        move("/stt_settings/keyterms/0", "/stt_settings/keyterms/2"),  # of one that is left
        move("/llm_settings", "/llm_settings/top_p"),
        move("", "/llm_settings"),
        move("/stt_settings/keyterms/0", "/stt_settings/keyterms/0/0"),
        move("/llm_provider_config/api_key", "/llm_provider_config/api_key/x", "copy"),
        move("/name", "/name/0", "copy"),
    ],
    ids=lambda operation: f"{operation['op']} {operation['path'][:40]}",
)  # fmt: skip
def test_a_place_that_is_not_there_is_refused(operation: Tree) -> None:
    assistant = story(
        {"stt_settings": {"keyterms": ["a", "b"]}, "llm_provider_config": {"api_key": "sk-1"}}
    )
    assert errors(assistant, op("test", "/description", None), operation) == [
        (("body", 1, "path"), NO_PLACE)
    ]


@pytest.mark.parametrize("kind", ["move", "copy"])
@pytest.mark.parametrize(
    "source", ["/foo", "/name/0", "/stt_settings/keyterms/0", "/stt_settings/keyterms/-", "/x/y"]
)
def test_a_source_that_is_not_there_is_refused(kind: str, source: str) -> None:
    assistant = given(created())
    assert errors(assistant, move(source, "/description", kind)) == [
        (("body", 0, "from"), NO_PLACE)
    ]


def test_no_error_says_what_the_settings_hold() -> None:
    assistant = story({"description": "canary", "llm_provider_config": {"api_key": "sk-canary"}})
    for operation in (op("remove", "/foo"), op("add", "/a/b", 1), op("remove", "/description/x")):
        with pytest.raises(InvalidSettings) as refusal:
            command(assistant, operation)
        assert "canary" not in repr(refusal.value.errors)
    with pytest.raises(PatchTestFailed) as failure:
        command(assistant, op("test", "/description", "no"))
    assert "canary" not in repr((failure.value, failure.value.__dict__))


CANARY = "canary_of_the_sender"


@pytest.mark.parametrize(
    "operation",
    [
        CANARY,
        [CANARY],
        {"op": CANARY, "path": "/name"},
        {"op": [CANARY], "path": {CANARY: 1}},
        {"op": "remove", "path": [CANARY]},
        op("add", CANARY, CANARY),
        op("add", f"/~{CANARY}", CANARY),
        op("add", f"/{CANARY}/a", CANARY),
        op("add", "/llm_settings/temperature", CANARY),
        op("add", "/llm_provider_config/api_key", [CANARY]),
        op("add", "/api_keys", {"a": {"b": CANARY}}),
        op("add", "/bypass_numbers", [CANARY]),
        op("add", "/tools_settings/transfer_call/transfer_type", CANARY),
        op("add", "/custom_settings", {"structured_data_schema": CANARY}),
        op("add", "/custom_settings", {MARK: CANARY}),
        op("replace", "", CANARY),
        op("test", "/name", CANARY),
        move(f"/{CANARY}", "/name"),
    ],
    ids=repr,
)
def test_no_error_says_what_was_sent(operation: Any) -> None:
    assistant = given(created())
    with pytest.raises((InvalidSettings, PatchTestFailed)) as refusal:
        command(assistant, operation)
    assert CANARY not in repr(refusal.value)
    assert CANARY not in repr(getattr(refusal.value, "errors", ()))


def test_what_stands_beside_a_change_is_neither_rewritten_nor_held_against_the_rules() -> None:
    settings = copy.deepcopy(story({}).state.settings)
    sound = settings["tts_settings"]["background_sound"]
    sound["volume"] = 7.5  # a bound came later
    sound["of_a_newer_release"] = {"kept": [1, True]}
    settings["rag_settings"]["enabled"] = "yes"  # a type came later
    operations = [
        op("replace", "/tts_settings/background_sound/loop", value=False),
        op("replace", "/rag_settings/search_limit", value=4),
    ]
    read = read_json_patch(operations, settings, strict=True)
    after = patched(read.tree, settings, SETTINGS)
    assert diff(settings, after).keys() == {one["path"] for one in operations}
    # The control: who changes it is held to the rules.
    wrong = [op("replace", "/tts_settings/background_sound/volume", value=7.25)]
    with pytest.raises(InvalidSettings):
        read_json_patch(wrong, settings)
    unknown = [op("replace", "/tts_settings/background_sound/of_a_newer_release", value=1)]
    with pytest.raises(InvalidSettings):  # it is not shown, so there is no such place
        read_json_patch(unknown, settings)
