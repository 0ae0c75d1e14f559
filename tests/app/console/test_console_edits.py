"""What a form sends is what was made of its page, and nothing else: without a browser and a server.

The page's own controls are rendered, read as a browser reads them, sent as it sends them, and what
the console makes of that is decided as the API decides it.
"""

from __future__ import annotations

import itertools
import json
import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import assume
from hypothesis import given as for_all
from hypothesis import settings as configured
from hypothesis import strategies as st
from msgspec import UNSET

from app.console import edits, fields, forms
from app.console.field import Field, edited_value
from app.console.line_ends import as_typed
from app.console.rendering import templates
from events import pointers, shape
from events.bodies import parsing
from events.bodies.json_patch import read_json_patch
from events.changed import AssistantSettingsChanged
from events.commands import ChangeSettings
from events.decider import decide
from events.derived import derive
from events.errors import InvalidSettings
from events.pointers import Changes, Tree, same
from events.secrets.references import mask
from events.shape import with_defaults
from projections import assistant_json
from tests.events.given import (
    ASSISTANT,
    ORGANIZATION,
    PATCH,
    Given,
    create,
    envelope,
    given,
    patch,
    sealed,
)
from tests.events.strategies import (
    FREE_VALUES,
    PLAIN_NAMES,
    bodies,
    pairs_of_trees,
    secret_bodies,
)
from tests.forms import Form

_FORM = templates.from_string(
    '{% from "field.html" import control %}<!doctype html><title>One</title><form>'
    "{% for one in found %}{{ control(one, true, {}, none) }}{% endfor %}</form>"
)


_END = re.compile("\r\n|\r|\n")


_ENDS = st.sampled_from(["\r\n", "\r", "\n"])


_CALM = st.text("ab .\t", max_size=4)


# Texts with line ends of all kinds; two that would be one, a CR before an LF, are not drawn apart.
_TEXTS_OF_LINES = st.lists(st.tuples(_CALM, _ENDS), max_size=6).map(
    lambda lines: "".join(line + end for line, end in lines)
)


def shown_of(story: Given) -> Tree:
    """The assistant as its page gets it from the API."""
    found: Tree = msgspec.json.decode(assistant_json.encode(ORGANIZATION, ASSISTANT, story.state))
    return found


def opened(shown: Tree, path: str) -> tuple[list[Field], Form]:
    """The fields that stand with a field, and their form as a browser has it."""
    (found,) = (g.fields for g in fields.groups(shown) if any(f.path == path for f in g.fields))
    return found, Form(_FORM.render(found=found), path)


def saved(story: Given, form: Form, read: Given | None = None) -> Changes:
    """The changes that the API records for a form; ``read`` is what its page was made from."""
    base = read or story
    shown = shown_of(base)
    edit = edits.edit(fields.all_fields(shown), forms.decode(form.encoded()), shown)
    assert not edit.errors
    sent = msgspec.json.encode(edits.operations(shown, edit.edited))
    tree = read_json_patch(parsing.parse(sent), base.state.settings, strict=True).tree
    tree = sealed(tree, itertools.count(1000))
    command = ChangeSettings(patch=tree, cause=PATCH, base=base.state.settings)
    said = envelope(len(story.events) + 1)
    event = decide(command, story.state, said, may_reveal=True)
    assert event is None or isinstance(event, AssistantSettingsChanged)
    return event.changes if event else {}


@st.composite
def stories(draw: st.DrawFn) -> Given:
    """An assistant with settings of any kind, secrets among them, and texts of many lines."""
    story = given().after(create(draw(bodies())))
    for body in (draw(secret_bodies()), {"llm_settings": {"system_prompt": draw(_TEXTS_OF_LINES)}}):
        with suppress(InvalidSettings):
            story = story.after(patch(body))
    return story


def _replaced_line(draw: st.DrawFn, text: str) -> str:
    """A text in which one line is another."""
    parts = re.split("(\r\n|\r|\n)", text)  # a line, its end, a line, ...
    at = draw(st.integers(0, len(parts) // 2)) * 2
    return "".join([*parts[:at], draw(st.sampled_from(["x", "x y", " z "])), *parts[at + 1 :]])


@st.composite
def edits_of(draw: st.DrawFn, one: Field, stored: Any, other: Any) -> tuple[str, Any]:
    """A text to type into a field, and the value that it stands for."""
    match one.kind:
        case "long" if isinstance(stored, str) and draw(st.booleans()):
            value: Any = _replaced_line(draw, stored)
        case "lines" if stored and one.path != "/bypass_numbers":  # whose lines are numbers
            at = draw(st.integers(0, len(stored) - 1))
            value = [*stored[:at], draw(st.sampled_from(["x", " x ", "\t"])), *stored[at + 1 :]]
        case "json" if isinstance(stored, dict) and _is_free(one) and draw(st.booleans()):
            value = stored | {draw(PLAIN_NAMES): draw(FREE_VALUES)}
        case _:
            value = other
    return _text_of(one, value), value


def _is_free(one: Field) -> bool:
    return isinstance(shape.find(pointers.split(one.path)), shape.FreeForm)


def _text_of(one: Field, value: Any) -> str:
    if value is None:
        return ""
    match one.kind:
        case "switch":
            return "on" if value else "off"
        case "lines":
            return "\n".join(value)
        case "json":
            return json.dumps(mask(value), ensure_ascii=False, sort_keys=True, indent=1)
        case "integer" | "number":
            return repr(value)
        case _:
            return as_typed(str(value))


@configured(max_examples=20, deadline=None)
@for_all(stories(), bodies(), st.data())
def test_the_edit_of_one_field_changes_that_field_alone(
    story: Given, other: Tree, data: st.DataObject
) -> None:
    _one_field_alone(story, other, data)


@pytest.mark.long
@configured(max_examples=5000, deadline=None)
@for_all(stories(), bodies(), st.data())
def test_the_edit_of_one_field_changes_that_field_alone_many_times(
    story: Given, other: Tree, data: st.DataObject
) -> None:
    """pytest -m long tests/app/console/test_console_edits.py"""
    _one_field_alone(story, other, data)


def _one_field_alone(story: Given, other: Tree, data: st.DataObject) -> None:
    settings, shown = story.state.settings, shown_of(story)
    others = given().after(create(other)).state.settings
    found = [f for f in fields.all_fields(shown) if not f.computed and f.kind != "secret"]
    differing = [
        f for f in found if not same(pointers.at(settings, f.path), pointers.at(others, f.path))
    ]
    one = data.draw(st.sampled_from(differing * 5 + found), label="field")
    stored, another = (_value_at(tree, one.path) for tree in (settings, others))
    text, value = data.draw(edits_of(one, stored, another), label="typed")
    assume(one.kind != "text" or not _END.search(text))  # it has one line
    assume(value is not None or one.nullable)
    assume(value is not None or not one.has_switch)  # a switch is on or off
    assume(one.kind != "lines" or (all(value or ()) and not any(map(_END.search, value or ()))))
    assume(len(one.path.split("/")) > 2 or not isinstance(value, str) or value.strip())
    assume(value not in ("", []) or stored is not None)

    _, form = opened(shown, one.path)
    assert saved(story, form) == {}, "left alone"
    form.type(one.path, text)
    wanted = derive(with_defaults(pointers.put(settings, one.path, value)))
    is_same = same(stored, value) or text == one.text
    expected = {} if is_same else pointers.diff(settings, wanted)
    changes = saved(story, form)
    assert same(msgspec.to_builtins(changes), msgspec.to_builtins(expected))


def _value_at(tree: Tree, path: str) -> Any:
    found = pointers.at(tree, path)
    return None if found is UNSET else found


_FREE = {"one": 1, "none": 0, "real": 1.0, "text": " x\r\n ", "list": [1, "b "], "in": {"a": 1}}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("one", True), ("none", False), ("one", 1.0), ("real", 1), ("text", " y\r\n "),
        ("list", [True, "b "]), ("list", ["b ", 1]), ("list", [1, "b"]), ("in", {"a": True}),
        ("in", {}), ("in", None), ("new", None), ("new", ""), ("new", {"a": [None]}),
        ("two words", " x "), ("********", 1), ("a\nb", 1), ("", 1), ("a/b~", 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/custom_settings", "/llm_provider_config/custom_config"])
def test_an_edited_member_is_the_only_change(path: str, member: str, value: Any) -> None:
    story = given().after(create(pointers.put({}, path, _FREE)))
    shown = shown_of(story)
    _, form = opened(shown, path)
    # In another order, which says nothing.
    form.type(path, json.dumps(dict(reversed((_FREE | {member: value}).items()))))
    expected = pointers.diff({"": _FREE}, {"": _FREE | {member: value}})
    assert expected, "the control: these differ"
    tree = {f"{path}{at[1:]}": change for at, change in expected.items()}
    assert same(msgspec.to_builtins(saved(story, form)), msgspec.to_builtins(tree))


def test_a_removed_member_is_the_only_change() -> None:
    story = given().after(create({"custom_settings": _FREE}))
    shown = shown_of(story)
    _, form = opened(shown, "/custom_settings")
    form.type("/custom_settings", json.dumps({n: v for n, v in _FREE.items() if n != "real"}))
    assert list(saved(story, form)) == ["/custom_settings/real"]


@configured(max_examples=25, deadline=None)
@for_all(st.dictionaries(PLAIN_NAMES, FREE_VALUES, min_size=2), FREE_VALUES, FREE_VALUES)
def test_a_change_by_others_of_a_sibling_is_kept(free: Tree, mine: Any, theirs: Any) -> None:
    path = "/llm_provider_config/custom_config"
    one, other, *_ = free
    read = given().after(create(pointers.put({}, path, free)))
    standing = pointers.at(read.state.settings, path)
    assume(one in standing and other in standing)
    now = given(*_facts(read)).after(_setting(read, f"{path}/{_escaped(other)}", theirs))
    _, form = opened(shown_of(read), path)
    form.type(path, json.dumps(standing | {one: mine}))
    changes = saved(now, form, read)
    after = pointers.apply(changes, now.state.settings)
    wanted = standing | {other: _value_at(now.state.settings, path)[other], one: mine}
    assert same(pointers.at(after, path), wanted)


def _facts(story: Given) -> list[Any]:
    return [lambda _, event=event: event for event in story.events]


def _escaped(name: str) -> str:
    return pointers.join((name,))[1:]


def _setting(story: Given, path: str, value: Any) -> ChangeSettings:
    operations = [{"op": "add", "path": path, "value": value}]
    tree = read_json_patch(operations, story.state.settings).tree
    return ChangeSettings(patch=sealed(tree), cause=PATCH)


@configured(max_examples=30, deadline=None)
@for_all(pairs_of_trees(), pairs_of_trees(), st.data())
def test_each_path_gets_its_chosen_value(
    one: tuple[Tree, Tree], two: tuple[Tree, Tree], data: st.DataObject
) -> None:
    (shown, mine), (_, theirs) = one, two
    # A page gets masks from the API, never references of secrets, which count as one value.
    assume(pointers.MARK not in repr((shown, mine, theirs)))
    changes = pointers.diff(shown, mine)
    trees = {"yours": None, "theirs": theirs, "base": shown}
    chosen = {path: data.draw(st.sampled_from(sorted(trees)), label=path) for path in changes}
    made = edits.resolved(shown, mine, theirs, {path: trees[how] for path, how in chosen.items()})
    for path, how in chosen.items():
        assert same(
            pointers.at(made, path), pointers.at(mine if how == "yours" else trees[how], path)
        )
    touched = pointers.Paths(path for path, how in chosen.items() if how != "theirs")
    assert all(touched.overlap(path) for path in pointers.diff(theirs, made)), "and nothing else"


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("/llm_settings/stop_sequences", ["a", " b "], "lines"),
        ("/llm_settings/stop_sequences", [""], "json"),
        ("/llm_settings/stop_sequences", ["a", "", "b"], "json"),
        ("/llm_settings/stop_sequences", ["a\rb"], "json"),
        ("/llm_settings/temperature", 1e-07, "number"),
        ("/llm_settings/temperature", 1, "number"),
        ("/llm_settings/temperature", "hot", "json"),
        ("/llm_settings/max_tokens", True, "json"),
        ("/llm_settings/max_tokens", 1.5, "json"),
        ("/stt_settings/punctuate", "yes", "json"),
        ("/tools_settings/transfer_call/transfer_type", "lukewarm", "choice"),
        ("/tts_settings/background_sound/volume", 7.5, "number"),
        ("/name", "\U0001f600" * 80, "text"),
        ("/name", " a\tb ", "text"),
        ("/webhook_url", "https://example.com/\r\n", "long"),
    ],
)
def test_a_value_that_todays_rules_refuse_is_shown_and_kept(
    path: str, value: Any, kind: str
) -> None:
    shown = pointers.put(shown_of(given().after(create({}))), path, value)
    found, form = opened(shown, path)
    (one,) = (field for field in found if field.path == path)
    assert one.kind == kind
    assert one.maximum is None or value <= one.maximum
    edit = edits.edit(fields.all_fields(shown), forms.decode(form.encoded()), shown)
    assert (edit.paths, edit.errors) == ([], {})
    assert edits.operations(shown, edit.edited) == []


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("/llm_settings/temperature", "0.50", UNSET), ("/llm_settings/temperature", "5e-1", UNSET),
        ("/llm_settings/temperature", "1", 1.0), ("/llm_settings/temperature", "1e999", "1e999"),
        ("/llm_settings/max_tokens", "1e3", UNSET), ("/llm_settings/max_tokens", "01001", 1001),
        ("/llm_settings/max_tokens", "1.5", "1.5"), ("/llm_settings/stop_sequences", "\n\n", UNSET),
        ("/llm_settings/stop_sequences", "\n a\n\n", [" a"]), ("/bypass_numbers", "\n", UNSET),
        ("/custom_settings", " ", UNSET), ("/custom_settings", "null", UNSET),
        ("/custom_settings", "{}", {}), ("/llm_settings/welcome_message", " ", " "),
    ],
)  # fmt: skip
def test_a_text_is_read_as_its_value(path: str, text: str, value: Any) -> None:
    shown = shown_of(given().after(create({})))
    (one,) = (field for field in fields.all_fields(shown) if field.path == path)
    assert same(edited_value(one, {path: [text]}), value)


def test_a_form_with_more_edits_than_operations_is_sent_as_whole_settings() -> None:
    many = {f"name {number}": number for number in range(1200)}
    story = given().after(create({"custom_settings": many | {"stays": [1.0]}}))
    shown = shown_of(story)
    made = pointers.put(
        shown, "/custom_settings", {n: v + 1 for n, v in many.items()} | {"stays": [1.0]}
    )
    (operation,) = edits.operations(shown, made)
    assert operation["path"] == "/custom_settings"
    _, form = opened(shown, "/custom_settings")
    form.type("/custom_settings", json.dumps(made["custom_settings"]))
    assert len(saved(story, form)) == 1200
