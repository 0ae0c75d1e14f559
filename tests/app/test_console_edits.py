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

from app import representation
from app.console import asking, edits, fields
from app.console.fields import Field
from app.console.line_ends import as_typed
from app.console.pages import templates
from events import parsing, pointers
from events.changed import AssistantSettingsChanged
from events.decider import ChangeSettings, decide
from events.errors import InvalidSettings
from events.json_patch import read_json_patch
from events.merging import untouched
from events.patch import derive
from events.pointers import Changes, Tree, same
from events.secrets import mask
from events.shape import with_defaults
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
from tests.events.strategies import FREE_VALUES, PLAIN_NAMES, bodies, secret_bodies
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
    found: Tree = msgspec.json.decode(representation.encode(ORGANIZATION, ASSISTANT, story.state))
    return found


def opened(shown: Tree, path: str) -> tuple[list[Field], Form]:
    """The fields that stand with a field, and their form as a browser has it."""
    (found,) = (g.fields for g in fields.groups(shown) if any(f.path == path for f in g.fields))
    return found, Form(_FORM.render(found=found), path)


def saved(story: Given, form: Form, read: Given | None = None) -> Changes:
    """The changes that the API records for a form; ``read`` is what its page was made from."""
    base = read or story
    shown = shown_of(base)
    edit = edits.edit(fields.every(shown), asking.decode(form.encoded()), shown)
    assert not edit.errors
    sent = msgspec.json.encode(edits.operations(shown, edit.made))
    tree = read_json_patch(parsing.parse(sent), base.state.settings, strict=True).tree
    tree = sealed(untouched(tree, base.state.settings), itertools.count(1000))
    command = ChangeSettings(patch=tree, cause=PATCH, base=base.state.settings)
    said = envelope(len(story.events) + 1)
    event = decide(command, story.state, said, may_reveal=True)
    assert event is None or isinstance(event, AssistantSettingsChanged)
    return event.changes if event else {}


@st.composite
def stories(draw: st.DrawFn) -> Given:
    """An assistant with settings of any kind, secrets among them, and texts of many lines."""
    told = given().after(create(draw(bodies())))
    for body in (draw(secret_bodies()), {"llm_settings": {"system_prompt": draw(_TEXTS_OF_LINES)}}):
        with suppress(InvalidSettings):
            told = told.after(patch(body))
    return told


def _replaced_line(draw: st.DrawFn, text: str) -> str:
    """A text in which one line is another."""
    parts = re.split("(\r\n|\r|\n)", text)  # a line, its end, a line, ...
    at = draw(st.integers(0, len(parts) // 2)) * 2
    return "".join([*parts[:at], draw(st.sampled_from(["x", "x y", " z "])), *parts[at + 1 :]])


@st.composite
def made_of(draw: st.DrawFn, one: Field, stored: Any, other: Any) -> tuple[str, Any]:
    """What somebody types into a field, and the value that they mean by it."""
    match one.kind:
        case "long" if isinstance(stored, str) and draw(st.booleans()):
            value: Any = _replaced_line(draw, stored)
        case "lines" if stored:
            at = draw(st.integers(0, len(stored) - 1))
            value = [*stored[:at], draw(st.sampled_from(["x", " x ", "\t"])), *stored[at + 1 :]]
        case "json" if isinstance(stored, dict) and draw(st.booleans()):
            value = stored | {draw(PLAIN_NAMES): draw(FREE_VALUES)}
        case _:
            value = other
    return _text_of(one, value), value


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


@configured(max_examples=40, deadline=None)
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
    """pytest -m long tests/app/test_console_edits.py"""
    _one_field_alone(story, other, data)


def _one_field_alone(story: Given, other: Tree, data: st.DataObject) -> None:
    settings, shown = story.state.settings, shown_of(story)
    others = given().after(create(other)).state.settings
    found = [f for f in fields.every(shown) if not f.computed and f.kind != "secret"]
    differing = [
        f for f in found if not same(pointers.at(settings, f.path), pointers.at(others, f.path))
    ]
    one = data.draw(st.sampled_from(differing * 5 + found), label="field")
    stored, another = (_value_at(tree, one.path) for tree in (settings, others))
    text, value = data.draw(made_of(one, stored, another), label="typed")
    assume(one.kind != "text" or not _END.search(text))  # it has one line
    assume(value is not None or one.nullable)
    assume(one.kind != "lines" or (all(value or ()) and not any(map(_END.search, value or ()))))
    assume(len(one.path.split("/")) > 2 or not isinstance(value, str) or value.strip())
    assume(value not in ("", []) or stored is not None)

    _, form = opened(shown, one.path)
    assert saved(story, form) == {}, "left alone"
    form.type(one.path, text)
    wanted = derive(with_defaults(pointers.put(settings, one.path, value)))
    expected = {} if same(stored, value) else pointers.diff(settings, wanted)
    changes = saved(story, form)
    assert same(msgspec.to_builtins(changes), msgspec.to_builtins(expected))


def _value_at(tree: Tree, path: str) -> Any:
    found = pointers.at(tree, path)
    return None if found is UNSET else found
