from __future__ import annotations

import copy
import itertools
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import jsonpatch
import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from events import pointers
from events.bodies import documents, parsing
from events.bodies.json_patch import PatchTestFailed, read_json_patch
from events.bodies.patch import SettingsPatch, read_patch
from events.changed import AssistantSettingsChanged
from events.commands import ChangeSettings
from events.errors import InvalidSettings
from events.merging import merge, seal
from events.pointers import MARK, Path, Tree, diff, same
from events.secrets.masks import MASK
from events.secrets.references import URL, SecretPlacement, mask, places
from events.secrets.values import Plain, url_members
from events.settings import SETTING_NAMES
from events.unknown import with_unknown_members
from tests.events.given import (
    DEFAULTS,
    PATCH,
    Given,
    at_path,
    create,
    created,
    given,
    patch,
    secret,
)
from tests.events.strategies import NAMES, VALUES, bodies, few, many, modest, secret_bodies

Loc = tuple[str | int, ...]
MIB = 1024 * 1024
FALLBACKS = "/llm_fallback_providers/fallbacks"
NOT_REMOVABLE = ["name", "llm_provider", "is_active", "conversation_continuity_enabled"]
NO_PLACE = "no_such_path"
NEW = 10_000  # the ids of secrets that a patch brings


def story(*sent: Tree) -> Given:
    """A creation and then patches; each secret has an id of its own."""
    ids = itertools.count()
    told = given().after(create({}))
    for body in sent:
        with suppress(InvalidSettings):
            tree = sealed(read_patch(body).tree, ids)
            told = told.after(ChangeSettings(patch=tree, cause=PATCH))
    return told


def command(told: Given, *operations: Any, strict: bool = False) -> ChangeSettings:
    read = read_json_patch(list(operations), told.state.settings, strict=strict)
    return ChangeSettings(patch=sealed(read.tree, itertools.count(NEW)), cause=PATCH)


def sealed(tree: Tree, ids: Iterator[int]) -> Tree:
    """The tree with references as the vault makes them, those in a URL too."""

    def reference_to(plain: Plain, _: Path) -> Tree:
        return secret(f"id-{next(ids)}") | url_members(plain)

    tree_with_references: Tree = seal(tree, reference_to)
    return tree_with_references


def after(told: Given, *operations: Any) -> Tree:
    """The settings that the operations leave."""
    return told.after(command(told, *operations)).state.settings


def errors(told: Given, *operations: Any, strict: bool = False) -> list[tuple[Loc, str]]:
    with pytest.raises(InvalidSettings) as refusal:
        command(told, *operations, strict=strict)
    return [(error.loc, error.type) for error in refusal.value.errors]


def op(kind: str, path: str, value: Any = None, **members: Any) -> Tree:
    needs_value = {"value": value} if kind in ("add", "replace", "test") else {}
    return {"op": kind, "path": path} | needs_value | members


def move(source: str, path: str, kind: str = "move") -> Tree:
    return {"op": kind, "from": source, "path": path}


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
    told = story({"custom_settings": document})
    assert same(after(told, *below("/custom_settings", operations))["custom_settings"], result)


@pytest.mark.parametrize(
    ("held", "tested"),
    [("qux", "bar"), (10, "10"), ({"a": 1}, {"a": 1, "b": 2}), ([1, 2], [2, 1]), (None, False)],
    ids=["A.9 error", "A.15 strings and numbers", "members", "order", "null"],
)
def test_a_test_of_another_value_fails(held: Any, tested: Any) -> None:
    told = story({"custom_settings": {"a": {"b": held}}})
    with pytest.raises(PatchTestFailed) as failure:
        command(told, op("add", "/description", "x"), op("test", "/custom_settings/a/b", tested))
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
    told = story({"custom_settings": {"a": [held]}})
    test = op("test", "/custom_settings/a/0", tested)
    if equal:
        told.when(command(told, test)).then()
    else:
        with pytest.raises(PatchTestFailed):
            command(told, test)


def test_the_operations_before_a_failed_test_have_no_effect() -> None:
    told = story({"description": "old"})
    settings = copy.deepcopy(told.state.settings)
    with pytest.raises(PatchTestFailed):
        command(told, op("replace", "/description", "new"), op("test", "/description", "old"))
    assert told.state.settings == settings


# -- members


def test_a_patch_that_changes_nothing_records_nothing() -> None:
    told = story({"description": "x"})
    for operations in (
        [],
        [op("test", "", mask(told.state.settings))],
        [op("replace", "/description", "x")],
        [op("add", "/custom_settings", {}), op("replace", "/custom_settings", None)],
        [move("/description", "/description")],
    ):
        told.when(command(told, *operations)).then()
        assert command(told, *operations).patch == {}


def test_only_the_members_that_change_are_in_the_patch() -> None:
    told = given(created())
    read = read_json_patch(
        [op("replace", "/llm_settings/top_p", 0.5), op("add", "/stt_settings/keyterms/-", "a")],
        told.state.settings,
    )
    assert read.tree.keys() == {"llm_settings", "stt_settings"}
    assert read.reason is None
    event = told.when(ChangeSettings(patch=read.tree, cause=PATCH)).decided()
    assert isinstance(event, AssistantSettingsChanged)
    assert event.changes.keys() == {"/llm_settings/top_p", "/stt_settings/keyterms"}


@pytest.mark.parametrize("path", ["/llm_settings/temperature", "/tts_settings/background_sound"])
def test_a_typed_member_that_is_removed_has_its_default_again(path: str) -> None:
    told = story(
        {"llm_settings": {"temperature": 0.9}, "tts_settings": {"background_sound": {"volume": 1}}}
    )
    assert at_path(told.state.settings, path) != at_path(DEFAULTS, path)
    assert at_path(after(told, op("remove", path)), path) == at_path(DEFAULTS, path)


def test_a_secret_that_is_removed_is_gone() -> None:
    told = story(
        {
            "llm_provider_config": {"api_key": "sk-1"},
            "webhook_headers": {"A": "one", "B": "two"},
            "custom_settings": {"auth": {"token": "t"}, "api_keys": ["k", "l"]},
        }
    )
    settings = after(
        told,
        op("remove", "/llm_provider_config/api_key"),
        op("remove", "/webhook_headers/A"),
        op("remove", "/custom_settings/auth"),
        op("remove", "/custom_settings/api_keys/1"),
    )
    with_unknown_members = [place.at for place in places(settings)]
    assert with_unknown_members == [("webhook_headers", "B"), ("custom_settings", "api_keys", "0")]
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
    told = story(
        {
            "custom_settings": {"deep": {}},
            "tools_settings": {"custom_tools": [{"tool_id": 1, "config": {}}]},
        }
    )
    settings = after(told, op("add", path, None))
    holder, _, name = path.rpartition("/")
    tools = settings["tools_settings"]["custom_tools"]
    where = tools[0]["config"] if "custom_tools" in path else at_path(settings, holder)
    assert where == {**where, name: None}


def test_a_member_of_a_free_form_map_that_is_removed_is_gone() -> None:
    told = story(
        {
            "custom_settings": {"a": 1, "b": {"c": 2, "d": 3}},
            "recording_settings": {"a": {"b": 1}, "format": "wav"},
        }
    )
    settings = after(
        told,
        op("remove", "/custom_settings/a"),
        op("remove", "/custom_settings/b/c"),
        op("remove", "/recording_settings/a"),
    )
    assert settings["custom_settings"] == {"b": {"d": 3}}
    assert settings["recording_settings"] == DEFAULTS["recording_settings"] | {"format": "wav"}


@pytest.mark.parametrize("name", [n for n in SETTING_NAMES if n not in NOT_REMOVABLE])
def test_a_member_at_the_top_that_is_removed_is_as_null_would_leave_it(name: str) -> None:
    told = story(
        {
            "description": "x",
            "llm_settings": {"temperature": 0.9},
            "recording_settings": {"a": 1},
            "custom_settings": {"a": 1},
            "bypass_numbers": ["+14155551234"],
            "webhook_headers": {"A": "one"},
        }
    )
    assert after(told, op("remove", f"/{name}")) == told.after(patch({name: None})).state.settings


@pytest.mark.parametrize("name", NOT_REMOVABLE)
def test_a_member_that_must_have_a_value_cannot_be_removed(name: str) -> None:
    told = given(created())
    assert errors(told, op("remove", f"/{name}")) == [(("body", name), "not_removable")]
    told.when(command(told, op("replace", f"/{name}", None))).then()  # ignored, as in a body


def test_the_root_may_be_replaced_by_other_settings() -> None:
    told = story({"description": "x"})
    document = mask(told.state.settings) | {"description": None, "idle_timeout": 5}
    document.pop("llm_settings")
    settings = after(told, op("replace", "", document))
    assert settings == told.state.settings | {"description": None, "idle_timeout": 5}


@pytest.mark.parametrize("value", [None, 1, "x", [], True])
def test_the_root_stays_an_object(value: Any) -> None:
    told = given(created())
    for kind in ("add", "replace"):
        assert errors(told, op("test", "/description", None), op(kind, "", value)) == [
            (("body", 1), "model_attributes_type")
        ]
    assert errors(told, move("/name", "")) == [(("body", 0), "model_attributes_type")]


def test_which_tools_are_enabled_is_the_servers_to_say() -> None:
    told = given(created())
    told.when(command(told, op("add", "/tools_settings/enabled_tools/-", "endCall"))).then()
    settings = after(told, op("replace", "/tools_settings/end_call/enabled", value=True))
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
    told = given(created())
    operations = [op("add", path, "x")]
    read = read_json_patch(operations, told.state.settings)
    assert read.ignored == (path,)
    told.when(ChangeSettings(patch=read.tree, cause=PATCH)).then()
    assert errors(told, *operations, strict=True) == [
        (("body", *pointers.split(path)), "extra_forbidden")
    ]


@pytest.mark.parametrize("name", ["id", "version", "created_at", "organization_id"])
def test_what_is_no_setting_cannot_be_read_and_is_ignored_where_it_is_sent(name: str) -> None:
    told = given(created())
    assert errors(told, op("test", f"/{name}", 1)) == [(("body", 0, "path"), NO_PLACE)]
    assert errors(told, move(f"/{name}", "/description", "copy")) == [
        (("body", 0, "from"), NO_PLACE)
    ]
    sent = read_json_patch([op("add", f"/{name}", 1)], told.state.settings, strict=True)
    assert sent == SettingsPatch(tree={}, sent={name: 1})


def test_the_values_that_result_are_read_by_the_rules_of_any_body() -> None:
    told = given(created())
    settings = after(
        told,
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
    told = story({"llm_fallback_providers": {"fallbacks": [{"provider": "groq"}]}})
    assert errors(
        told,
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
    told = given(created())
    assert errors(told, op("remove", "/description"), sent) == [(("body", 1, *place), kind)]


def test_all_operations_that_are_not_well_formed_are_named_before_any_is_carried_out() -> None:
    told = given(created())
    assert errors(told, {"op": "move", "path": 1}, op("remove", "/no/such"), 5) == [
        (("body", 0, "from"), "missing"),
        (("body", 0, "path"), "string_type"),
        (("body", 2), "model_attributes_type"),
    ]
    assert len(errors(told, *[5] * 1000)) == 100


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
    told = story(
        {"stt_settings": {"keyterms": ["a", "b"]}, "llm_provider_config": {"api_key": "sk-1"}}
    )
    assert errors(told, op("test", "/description", None), operation) == [
        (("body", 1, "path"), NO_PLACE)
    ]


@pytest.mark.parametrize("kind", ["move", "copy"])
@pytest.mark.parametrize(
    "source", ["/foo", "/name/0", "/stt_settings/keyterms/0", "/stt_settings/keyterms/-", "/x/y"]
)
def test_a_source_that_is_not_there_is_refused(kind: str, source: str) -> None:
    told = given(created())
    assert errors(told, move(source, "/description", kind)) == [(("body", 0, "from"), NO_PLACE)]


def test_no_error_says_what_the_settings_hold() -> None:
    told = story({"description": "canary", "llm_provider_config": {"api_key": "sk-canary"}})
    for operation in (op("remove", "/foo"), op("add", "/a/b", 1), op("remove", "/description/x")):
        with pytest.raises(InvalidSettings) as refusal:
            command(told, operation)
        assert "canary" not in repr(refusal.value.errors)
    with pytest.raises(PatchTestFailed) as failure:
        command(told, op("test", "/description", "no"))
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
    told = given(created())
    with pytest.raises((InvalidSettings, PatchTestFailed)) as refusal:
        command(told, operation)
    assert CANARY not in repr(refusal.value)
    assert CANARY not in repr(getattr(refusal.value, "errors", ()))


# -- how much


def test_a_patch_of_more_than_a_thousand_operations_is_refused() -> None:
    told = given(created())
    test = op("test", "/name", DEFAULTS["name"])
    told.when(command(told, *[test] * 1000)).then()
    assert errors(told, *[test] * 1001) == [(("body",), "too_long")]


NUMERALS = [str(i) for i in range(4_000)]


def doublings(count: int) -> list[Tree]:
    return [move("/custom_settings", f"/custom_settings/{i}", "copy") for i in range(count)]


def test_copies_of_copies_end_before_they_fill_the_memory() -> None:
    told = story({"custom_settings": {"a": "x" * 1000}})
    tracemalloc.start()
    try:
        assert errors(told, *doublings(28)) == [(("body", 11), "too_large")]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * MIB


def test_the_settings_do_not_grow_beyond_two_mebibytes() -> None:
    told = story({"custom_settings": {"a": "x" * MIB}})
    after(told, op("add", "/custom_settings/b", "x" * (MIB - 20_000)))
    assert errors(told, op("add", "/custom_settings/b", "x" * MIB)) == [(("body",), "too_large")]


def test_settings_that_are_larger_may_still_shrink() -> None:
    large = {f"{i}": "x" * MIB for i in range(3)}
    told = given(created({"custom_settings": large}))
    settings = after(told, op("remove", "/custom_settings/0"), op("add", "/description", "x"))
    assert settings["custom_settings"].keys() == {"1", "2"}


def test_all_that_is_moved_and_copied_has_a_bound() -> None:
    told = story({"custom_settings": {"a": "x" * MIB}})
    back_and_forth = [
        move("/custom_settings/a", "/custom_settings/b"),
        move("/custom_settings/b", "/custom_settings/a"),
    ]
    assert errors(told, *back_and_forth * 20) == [(("body", 1), "too_large")]


def test_all_values_that_are_put_in_place_have_a_bound() -> None:
    told = given(created({"custom_settings": {"a": [[]] * 20_000}}))
    copies = [move("/custom_settings/a", f"/custom_settings/{n}", "copy") for n in range(3)]
    assert errors(told, *copies) == [(("body", 2), "too_many")]
    sent = op("add", "/custom_settings/b", [0] * 50_000)
    assert errors(told, sent) == [(("body", 0), "too_many")]
    # The controls: one copy less, and a value less.
    remove = op("remove", "/custom_settings/a")
    assert after(told, *copies[:2], remove)["custom_settings"].keys() == {"0", "1"}
    sent["value"].pop()
    assert command(told, sent)


def test_a_thousand_operations_may_change_settings_that_fill_a_body() -> None:
    held = {"text": "x" * 800_000, "list": [0] * 20_000, "map": dict.fromkeys(NUMERALS, 0)}
    told = story({"custom_settings": held})
    settings = after(
        told,
        *(op("add", "/custom_settings/list/0", i) for i in range(400)),
        *(move(f"/custom_settings/map/{i}", f"/custom_settings/map/to{i}") for i in range(400)),
        *(op("remove", "/custom_settings/list/0") for _ in range(200)),
    )
    assert settings["custom_settings"]["list"] == [*reversed(range(200)), *[0] * 20_000]
    moved = {*NUMERALS[400:], *(f"to{i}" for i in range(400))}
    assert settings["custom_settings"]["map"].keys() == moved


def nested(levels: int) -> Any:
    return {} if levels == 1 else {"a": nested(levels - 1)}


def test_the_settings_are_nested_no_deeper_than_a_body_may_be() -> None:
    told = given(created())
    deepest = parsing.MAX_DEPTH - 1
    grown = [op("add", "/custom_settings", nested(deepest))]
    settings = after(told, *grown)
    assert parsing.parse(json.dumps(settings).encode()) == settings
    assert errors(told, op("add", "/custom_settings", nested(deepest + 1))) == [
        (("body", 0), "too_deep")
    ]
    bottom = "/custom_settings" + "/a" * (deepest - 1)
    assert errors(told, *grown, op("add", f"{bottom}/b", [])) == [(("body", 1), "too_deep")]
    assert errors(told, *grown, move("/custom_settings", "/custom_settings/b", "copy")) == [
        (("body", 1), "too_deep")
    ]
    assert errors(told, op("add", "/x", {}), op("add", "/x/y", nested(100_000 // 200))) == [
        (("body", 1), "too_deep")
    ]


# -- masks


def with_fallbacks(*fallbacks: Tree) -> Given:
    return story({"llm_fallback_providers": {"fallbacks": list(fallbacks)}})


def fallback(provider: str, **members: Any) -> Tree:
    return {"provider": provider, "api_key": f"sk-{provider}"} | members


def fallbacks_of(settings: Tree) -> list[Tree]:
    found: list[Tree] = settings["llm_fallback_providers"]["fallbacks"]
    return found


def test_a_mask_that_stays_at_its_place_keeps_its_secret() -> None:
    told = story(
        {
            "llm_provider_config": {"api_key": "sk-1", "custom_config": {"token": "t", "a": 1}},
            "webhook_headers": {"A": "one"},
            "webhook_url": "https://user:password@example.com/a",
            "custom_settings": {"api_keys": ["k", "l"], "auth": {"token": "t"}},
            "llm_fallback_providers": {"fallbacks": [fallback("groq"), fallback("xai")]},
        }
    )
    assert len(list(places(told.state.settings))) == 9
    settings = after(
        told,
        op("replace", "/llm_provider_config/custom_config/a", 2),
        op("add", "/webhook_headers/B", "two"),
        op("add", "/custom_settings/auth/user", "x"),
        op("replace", f"{FALLBACKS}/1/model", "large"),
    )
    with_unknown_members = {place.at: place.reference for place in places(told.state.settings)}
    now = {place.at: place.reference for place in places(settings)}
    assert with_unknown_members.items() <= now.items()
    assert now.keys() - with_unknown_members.keys() == {("webhook_headers", "B")}
    assert fallbacks_of(settings)[1]["model"] == "large"


def test_a_mask_may_be_tested_and_a_secret_may_not() -> None:
    told = story({"llm_provider_config": {"api_key": "sk-1"}})
    told.when(command(told, op("test", "/llm_provider_config/api_key", MASK))).then()
    with pytest.raises(PatchTestFailed):
        command(told, op("test", "/llm_provider_config/api_key", "sk-1"))
    with pytest.raises(PatchTestFailed):
        command(told, op("test", "/llm_provider_config/api_key", secret("id-0")))


def test_the_mask_of_an_erased_secret_stays_too() -> None:
    told = story({"llm_provider_config": {"api_key": "sk-1"}})
    settings = copy.deepcopy(told.state.settings)
    settings["llm_provider_config"]["api_key"][MARK]["id"] = "2.0"
    operations = [
        op("test", "/llm_provider_config/api_key", "erased"),
        op("replace", "/llm_provider_config/model", "x"),
    ]
    read = read_json_patch(operations, settings, 2)
    assert "erased" not in repr(read.tree)
    assert repr(settings["llm_provider_config"]["api_key"]) in repr(read.tree)


def test_a_fallback_that_is_moved_takes_its_secret_along() -> None:
    told = with_fallbacks(fallback("openai"), fallback("groq"), fallback("xai"))
    one, two, three = fallbacks_of(told.state.settings)
    assert fallbacks_of(after(told, move(f"{FALLBACKS}/2", f"{FALLBACKS}/0"))) == [three, one, two]
    assert fallbacks_of(after(told, op("remove", f"{FALLBACKS}/0"))) == [two, three]
    new = fallbacks_of(after(told, op("add", f"{FALLBACKS}/0", fallback("azure"))))
    assert new[1:] == [one, two, three]


def test_a_url_that_is_moved_in_a_list_takes_its_credentials_along() -> None:
    told = story({"custom_settings": {"hooks": ["https://a:b@c.example", "https://a:c@d.example"]}})
    one, two = told.state.settings["custom_settings"]["hooks"]
    settings = after(told, move("/custom_settings/hooks/1", "/custom_settings/hooks/0"))
    assert settings["custom_settings"]["hooks"] == [two, one]


def test_the_names_in_a_schema_are_those_of_data_to_come() -> None:
    told = story({"custom_settings": {"structured_data_schema": {"api_key": "string"}}})
    settings = after(told, op("add", "/custom_settings/structured_data_schema/token", "string"))
    schema = settings["custom_settings"]["structured_data_schema"]
    assert schema == {"api_key": "string", "token": "string"}


def test_a_secret_does_not_go_to_another_provider_of_its_place() -> None:
    told = with_fallbacks(fallback("openai"), fallback("groq"))
    assert errors(told, op("replace", f"{FALLBACKS}/0/provider", "elsewhere")) == [
        (("body", *pointers.split(FALLBACKS), 0, "api_key"), "secret_mask_unmatched")
    ]


def test_a_mask_that_is_sent_keeps_the_secret_or_is_nothing() -> None:
    told = story({"llm_provider_config": {"api_key": "sk-1"}})
    told.when(command(told, op("replace", "/llm_provider_config/api_key", MASK))).then()
    told.when(command(told, op("add", "/webhook_headers", {"A": MASK}))).then()


def test_the_mask_of_a_url_keeps_its_credentials_on_its_own_host_alone() -> None:
    told = story({"webhook_url": "https://user:password@example.com/a"})
    operations = [
        op("test", "/webhook_url", f"https://{MASK}@example.com/a"),
        op("replace", "/webhook_url", f"https://{MASK}@example.com/b"),
    ]
    (old,), (new,) = places(told.state.settings), places(after(told, *operations))
    assert new.reference == old.reference | {"url": "https://example.com/b"}
    evil = op("replace", "/webhook_url", f"https://{MASK}@evil.example/b")
    refused = told.when(command(told, evil)).errors()
    assert refused == [(("body", "webhook_url"), "secret_address_changed")]


def test_a_header_that_is_a_pair_keeps_its_secret() -> None:
    pair = {"key": "Authorization", "value": "Bearer x"}
    told = story({"tools_settings": {"custom_tools": [{"tool_id": 1, "headers": [pair]}]}})
    settings = after(told, op("replace", "/tools_settings/end_call/custom_message", "bye"))
    assert list(places(settings)) == list(places(told.state.settings))


MASKS = {
    "llm_provider_config": {"api_key": "sk-0", "custom_config": {"token": "t"}},
    "webhook_headers": {"A": "one", "B": "two"},
    "webhook_url": "https://user:password@example.com/a",
    "custom_settings": {"keys": ["k", "l"], "auth": {"token": "u"}},
    "llm_fallback_providers": {"fallbacks": [fallback("groq"), fallback("xai", api_key=None)]},
}
ELSEWHERE = [
    "/description",
    "/foo",
    "/sms_webhook_url",
    "/webhook_headers/B",
    "/webhook_headers/C",
    "/custom_settings/token",
    "/custom_settings/text",
    "/custom_settings/keys/-",
    "/custom_settings/keys/0",
    "/llm_provider_config/base_url",
    f"{FALLBACKS}/1/api_key",
    f"{FALLBACKS}/1/base_url",
    f"{FALLBACKS}/-",
    "/stt_settings",
    "/stt_settings/endpointing",
    "/bypass_numbers",
    "/name",
]


def elsewhere(told: Given, result: Tree) -> set[int]:
    """The secrets that stand where they did not stand before; a list is one place."""
    stood = {(place.bound, id_of(place)) for place in places(told.state.settings)}
    stands = {(place.bound, id_of(place)) for place in places(result)}
    return {secret_id for _, secret_id in stands - stood if secret_id < NEW}


def id_of(place: SecretPlacement) -> int:
    return int(place.reference[MARK]["id"].removeprefix("id-"))


@pytest.mark.parametrize("kind", ["move", "copy"])
@pytest.mark.parametrize("target", ELSEWHERE)
@pytest.mark.parametrize(
    "source",
    ["/llm_provider_config/api_key", "/llm_provider_config/custom_config", "/webhook_headers/A",
     "/webhook_url", "/custom_settings/auth", f"{FALLBACKS}/0/api_key"],
)  # fmt: skip
def test_a_mask_carries_no_secret_to_another_place(kind: str, source: str, target: str) -> None:
    told = story(MASKS)
    kinds = {rule for _, rule in errors(told, move(source, target, kind))}
    assert kinds <= {"secret_mask_unmatched", "string_type", "list_type", "missing"}


@pytest.mark.parametrize("target", ["/description", "/webhook_headers/C", "/custom_settings/token"])
def test_control_what_is_stored_would_carry_it(target: str) -> None:
    """The operations see masks: on the references themselves, a copy gives the secret away."""
    told = story(MASKS)
    operations = [move("/llm_provider_config/api_key", target, "copy")]
    assert elsewhere(told, jsonpatch.apply_patch(told.state.settings, operations))
    with pytest.raises(InvalidSettings):
        after(told, *operations)


def test_a_mask_that_is_moved_away_and_back_is_where_it_was() -> None:
    told = story(MASKS)
    told.when(
        command(
            told,
            move("/webhook_headers/A", "/webhook_headers/C"),
            move("/webhook_headers/C", "/webhook_headers/A"),
        )
    ).then()


TWINS = [fallback("groq", api_key=key) for key in ("sk-old", "sk-new")]


@pytest.mark.parametrize(
    "operation",
    [
        op("remove", f"{FALLBACKS}/0"),
        move(f"{FALLBACKS}/0", f"{FALLBACKS}/1"),
        move(f"{FALLBACKS}/0", f"{FALLBACKS}/2", "copy"),
    ],
    ids=lambda operation: operation["op"],
)
def test_of_two_that_look_alike_none_is_taken_for_the_other(operation: Tree) -> None:
    """To remove the old key must not leave it and remove the new one."""
    told = with_fallbacks(*TWINS)
    assert {rule for _, rule in errors(told, operation)} == {"secret_mask_unmatched"}


def test_control_without_the_check_the_wrong_key_would_be_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = with_fallbacks(*TWINS)
    monkeypatch.setattr(documents, "_check_masks", lambda *_: None)
    (left,) = fallbacks_of(after(told, op("remove", f"{FALLBACKS}/0")))
    old, new = fallbacks_of(told.state.settings)
    assert left == old != new


# -- laws

TOUCHED = {
    "/llm_provider_config/model": "touched",
    "/tts_settings/voice_id": "touched",
    "/stt_settings/model": "touched",
    "/tools_settings/end_call/custom_message": "touched",
    "/recording_settings/format": "touched",
    "/llm_fallback_providers/enabled": True,
    "/custom_settings/touched": "touched",
}


@modest
@for_all(st.lists(secret_bodies() | bodies(), max_size=4))
@example([{"custom_settings": {"pair": {"key": "Authorization", "value": "x"}}}])
@example([{"custom_settings": {"hooks": [{"url": "https://a:b@c.d/e"}, "https://u:p/w@h"]}}])
def test_what_an_operation_does_not_touch_stays_as_it_is(sent: list[Tree]) -> None:
    told = story(*sent)
    settings = told.state.settings
    touched = {
        path: value
        for path, value in TOUCHED.items()
        if isinstance(at_path(settings, path.rpartition("/")[0]), dict)
        and at_path(settings, path) != value
    }
    operations = [op("add", path, value) for path, value in touched.items()]
    event = told.when(command(told, *operations)).decided()
    assert isinstance(event, AssistantSettingsChanged)
    assert event.changes.keys() == touched.keys()


@modest
@for_all(bodies(), bodies(), st.booleans())
def test_the_difference_of_two_settings_makes_one_of_the_other(
    one: Tree,
    other: Tree,
    kin: bool,  # noqa: FBT001 (drawn)
) -> None:
    a = story(one)
    b = story(one, other) if kin else story(other)
    shown, wanted = (mask(told.state.settings) for told in (a, b))
    operations = jsonpatch.make_patch(shown, wanted, generate_test_ops=kin).patch
    settings = after(a, *operations)
    assert same(settings, b.state.settings)
    assert read_json_patch(operations, a.state.settings, strict=True).ignored == ()


@modest
@for_all(st.lists(secret_bodies(), max_size=3), secret_bodies(), st.booleans())
def test_the_difference_of_settings_with_secrets_makes_what_it_shows_or_is_refused(
    sent: list[Tree],
    last: Tree,
    moves: bool,  # noqa: FBT001 (drawn)
) -> None:
    a, b = story(*sent), story(*sent, last)
    shown, wanted = (mask(told.state.settings) for told in (a, b))
    operations = jsonpatch.JsonPatch.from_diff(shown, wanted, optimization=moves).patch
    with suppress(InvalidSettings):
        settings = after(a, *operations)
        assert not elsewhere(a, settings)
        # A mask that is sent for a secret which is not stored is nothing.
        assert same(mask(settings), wanted) or MASK in repr(operations)


@modest
@for_all(bodies(nulls=False))
def test_to_replace_a_value_is_to_merge_it(body: Tree) -> None:
    told = given(created())
    settings = told.state.settings
    merged: Tree = {}
    operations = []
    for path, value in pointers.flatten(body).items():
        if value not in ({}, None) and isinstance(at_path(settings, path), type(value)):
            operations.append(op("replace", path, value))
            merged = pointers.put(merged, path, value)
    assert same(after(told, *operations), told.after(patch(merged)).state.settings)


def pointers_into(value: Any, at: tuple[str, ...] = ()) -> list[str]:
    members: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else []
    members = enumerate(value) if isinstance(value, list) else members
    inside = [path for name, member in members for path in pointers_into(member, (*at, str(name)))]
    return [pointers.join(at), *inside]


STOCKED = story(MASKS | {"stt_settings": {"keyterms": ["a", "b"]}})
PLACES = pointers_into(mask(STOCKED.state.settings))
ODD_TOKENS = st.sampled_from(
    ["-", "0", "1", "2", "01", "-1", "~0", "~1", "~2", "~", "", "²", "9" * 25, "$secret", "a"]
)
ODD_PATHS = st.one_of(
    st.sampled_from(PLACES),
    st.builds("{}/{}".format, st.sampled_from(PLACES), ODD_TOKENS | NAMES),
    st.lists(ODD_TOKENS | NAMES, max_size=40).map("/".join),
)
ODD_VALUES = VALUES | st.sampled_from([MASK, "erased", f"https://{MASK}@example.com", {MARK: {}}])
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": ODD_PATHS,
        "from": ODD_PATHS,
        "value": ODD_VALUES,
    }
)
MALFORMED = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]) | VALUES,
        "path": ODD_PATHS | VALUES,
        "from": ODD_PATHS | VALUES,
        "value": ODD_VALUES,
    },
)


ANY_JSON = st.lists(OPERATIONS, max_size=5) | st.lists(OPERATIONS | MALFORMED | VALUES) | VALUES


@modest
@for_all(ANY_JSON)
def test_any_json_is_understood_or_refused_and_changes_nothing_itself(body: Any) -> None:
    understood_or_refused(body)


@pytest.mark.long
@many
@for_all(ANY_JSON)
def test_all_json_is_understood_or_refused_and_changes_nothing_itself(body: Any) -> None:
    """Run it with: pytest -m long tests/events/test_json_patch.py."""
    understood_or_refused(body)


def understood_or_refused(body: Any) -> None:
    settings, sent = copy.deepcopy(STOCKED.state.settings), copy.deepcopy(body)
    try:
        read = read_json_patch(body, STOCKED.state.settings)
    except (InvalidSettings, PatchTestFailed):
        return
    finally:
        assert same(STOCKED.state.settings, settings)
        assert same(body, sent)
    result = STOCKED.after(
        ChangeSettings(patch=sealed(read.tree, itertools.count(NEW)), cause=PATCH)
    )
    assert not elsewhere(STOCKED, result.state.settings)
    assert same(mask(result.state.settings), parsing.parse(as_text(mask(result.state.settings))))


def as_text(value: Any) -> bytes:
    return json.dumps(value).encode()


MOVES = st.one_of(
    st.builds(op, st.just("remove"), st.sampled_from(PLACES)),
    st.builds(
        move,
        st.sampled_from(PLACES),
        st.sampled_from([*PLACES, *ELSEWHERE]),
        st.sampled_from(["move", "copy"]),
    ),
)


@modest
@for_all(st.lists(MOVES, min_size=1, max_size=4))
@example([move("/custom_settings/keys/0", "/custom_settings/keys/1")])
def test_operations_on_masks_do_to_the_secrets_what_they_say_or_are_refused(
    operations: list[Tree],
) -> None:
    as_said_or_refused(operations)


@pytest.mark.long
@many
@for_all(st.lists(MOVES, min_size=1, max_size=4))
def test_all_operations_on_masks_do_to_the_secrets_what_they_say_or_are_refused(
    operations: list[Tree],
) -> None:
    """Run it with: pytest -m long tests/events/test_json_patch.py."""
    as_said_or_refused(operations)


def as_said_or_refused(operations: list[Tree]) -> None:
    with suppress(InvalidSettings):
        result = after(STOCKED, *operations)
        # What they say: the same, done to the references instead of the masks.
        meant = jsonpatch.apply_patch(STOCKED.state.settings, operations)
        assert old_secrets(result) == old_secrets(meant)


def old_secrets(settings: Tree) -> dict[tuple[str, ...], int]:
    return {place.at: id_of(place) for place in places(settings) if id_of(place) < NEW}


# -- whose a secret is

TOOLS = "/tools_settings/custom_tools"
OWNED = story(
    {
        "webhook_url": "https://user:password@example.com/a",
        "custom_settings": {"hooks": [{"url": "https://a:b@c.example"}, "https://a:c@d.example"]},
        "llm_fallback_providers": {
            "fallbacks": [
                fallback("groq"),
                fallback("xai", base_url="https://q:r@x.example"),
                fallback("groq", model="large", api_key="sk-large"),
                {"provider": "azure", "config": {"token": "z"}},
            ]
        },
        "tools_settings": {
            "custom_tools": [
                {"tool_id": 1, "headers": {"Authorization": "one"}},
                {"tool_id": 2, "headers": [{"name": "Authorization", "value": "two"}]},
            ]
        },
    }
)
OWNED_PLACES = [
    path
    for path in pointers_into(mask(OWNED.state.settings))
    if path.startswith(("/webhook_url", "/custom_settings", FALLBACKS, TOOLS))
] + [f"{FALLBACKS}/-", f"{TOOLS}/-"]
OWNED_VALUES = st.sampled_from(
    [
        *(MASK, "groq", "xai", "elsewhere", "large", 1, 2, 3, None, [], {}, [MASK, MASK]),
        *(f"https://{MASK}@{host}.example/b" for host in ("c", "d", "x", "evil")),
        *({"provider": name, "api_key": MASK} for name in ("groq", "xai", "elsewhere")),
        {"provider": "groq", "model": "large", "api_key": MASK},
        *({"tool_id": i, "headers": {"Authorization": MASK}} for i in (1, 2, 3)),
    ]
)
ON_OWNED = st.one_of(
    st.builds(op, st.sampled_from(["add", "replace"]), st.sampled_from(OWNED_PLACES), OWNED_VALUES),
    st.builds(op, st.just("remove"), st.sampled_from(OWNED_PLACES)),
    st.builds(
        move,
        st.sampled_from(OWNED_PLACES),
        st.sampled_from(OWNED_PLACES),
        st.sampled_from(["move", "copy"]),
    ),
)
Owner = tuple[tuple[str, ...], Any, str | None]


def owners(settings: Tree) -> list[tuple[int, Owner]]:
    """The stored secrets: each with its place, and its provider, tool and host."""
    return [
        (id_of(place), (place.bound, owner_at(settings, place.at), host_of(place.reference)))
        for place in places(settings)
        if id_of(place) < NEW
    ]


def owner_at(settings: Tree, at: Path) -> Any:
    if not pointers.join(at).startswith((FALLBACKS, TOOLS)):
        return None
    element: Tree = settings[at[0]][at[1]][int(at[2])]
    return element.get("provider", element.get("tool_id"))


def host_of(reference: Tree) -> str | None:
    url: str | None = reference.get(URL)
    return url and url.split("/")[2]


def stays_with_its_owner(operations: list[Tree]) -> None:
    """Those of the operations that can be carried out together leave each secret where it is."""
    carried_out: list[Tree] = []
    settings = OWNED.state.settings
    for operation in operations:
        with suppress(InvalidSettings):
            settings = after(OWNED, *carried_out, operation)
            carried_out.append(operation)
    left = owners(settings)
    assert len(dict(left)) == len(left)
    assert dict(left).items() <= dict(owners(OWNED.state.settings)).items()


@few
@for_all(st.lists(ON_OWNED, min_size=1, max_size=5))
def test_a_secret_stays_with_its_provider_its_tool_and_its_host(operations: list[Tree]) -> None:
    stays_with_its_owner(operations)


@pytest.mark.long
@many
@for_all(st.lists(ON_OWNED, min_size=1, max_size=5))
def test_every_secret_stays_with_its_provider_its_tool_and_its_host(operations: list[Tree]) -> None:
    """Run it with: pytest -m long tests/events/test_json_patch.py."""
    stays_with_its_owner(operations)


@pytest.mark.parametrize("path", [f"{FALLBACKS}/0/provider", f"{TOOLS}/0/tool_id", "/webhook_url"])
def test_control_the_law_notices_a_secret_whose_owner_is_another(path: str) -> None:
    """Done to the references themselves, the edit leaves the secret with the new owner."""
    settings = copy.deepcopy(OWNED.state.settings)
    edited = op("replace", path, "elsewhere")
    if path == "/webhook_url":
        edited = op("replace", "/webhook_url/url", "https://evil.example")
    leaked = jsonpatch.apply_patch(settings, [edited])
    assert not dict(owners(leaked)).items() <= dict(owners(settings)).items()
    sent = op("replace", path, f"https://{MASK}@evil.example" if "url" in path else "elsewhere")
    with pytest.raises(InvalidSettings):
        after(OWNED, sent)


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
    after = with_unknown_members(merge(settings, read.tree), settings)
    assert diff(settings, after).keys() == {one["path"] for one in operations}
    # The control: who changes it is held to the rules.
    wrong = [op("replace", "/tts_settings/background_sound/volume", value=7.25)]
    with pytest.raises(InvalidSettings):
        read_json_patch(wrong, settings)
    unknown = [op("replace", "/tts_settings/background_sound/of_a_newer_release", value=1)]
    with pytest.raises(InvalidSettings):  # it is not shown, so there is no such place
        read_json_patch(unknown, settings)
