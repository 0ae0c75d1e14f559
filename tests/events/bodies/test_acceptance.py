"""A stored value that breaks today's rules is not brought back; the nearest valid one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import assume
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, inspect

from events.bodies.acceptance import NotAccepted
from events.changed import Cause
from events.commands import RestoreSettings, UndoChange
from events.decider import Proposal, propose
from events.pointers import Tree, at, diff, same, split
from events.settings import Settings
from tests.events.given import DEFAULTS, Given, changed, created, envelope, given, merged, patch
from tests.events.reversals import back_to, body_at, undoing
from tests.events.strategies import few

if TYPE_CHECKING:
    from collections.abc import Iterator


class BoundedSetting(NamedTuple):
    """A setting with a rule: its path and the published type."""

    path: str
    kind: Any


def bounded(kind: inspect.Type, path: str = "") -> Iterator[BoundedSetting]:
    """Every number with a bound, every choice and every text with a length of the settings."""
    match kind:
        case inspect.Metadata(type=inner):
            yield from bounded(inner, path)
        case inspect.UnionType(types=types):
            for one in types:
                yield from bounded(one, path)
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from bounded(field.type, f"{path}/{field.name}")
        case inspect.IntType(ge=ge, le=le) | inspect.FloatType(ge=ge, le=le):
            if (ge, le) != (None, None):
                yield BoundedSetting(path, kind)
        case inspect.LiteralType() | inspect.StrType(max_length=int()):
            yield BoundedSetting(path, kind)


BOUNDED = list(bounded(inspect.type_info(Settings)))
_ANYTHING = st.integers(-20_000, 20_000)


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, Any, Any]:
    """A path, a value that its rule refuses, and the nearest that it does not."""
    path, kind = draw(st.sampled_from(BOUNDED))
    match kind:
        case inspect.LiteralType(values=values):
            choice = draw(st.sampled_from([str(value) for value in values]))
            position = draw(st.integers(0, len(choice)))
            return path, choice[:position] + "x" + choice[position:], choice
        case inspect.StrType():
            longest = kind.max_length or 0
            text = draw(st.text("ab ", min_size=longest + 1, max_size=longest + 50))
            return path, text, text[:longest]
        case _:
            least = -(10**6) if kind.ge is None else kind.ge
            most = 10**6 if kind.le is None else kind.le
            is_float = isinstance(kind, inspect.FloatType)
            value = draw(st.floats(-(10**5), 10**5) if is_float else _ANYTHING)
            assume(not least <= value <= most)
            return path, value, least if value < least else most


def history_of(path: str, value: Any) -> Given:
    """A story that began with a value, and has its default and a description since."""
    default = at(given(created(parents(path))).state.settings, path)
    return given(
        created(merged(parents(path), body_at(path, value))),
        changed({path: (value, default), "/description": (None, "Since then")}),
    )


def parents(path: str) -> Tree:
    above, _, _ = path.rpartition("/")
    return body_at(above, {}) if above else {}


def proposed(story: Given, command: RestoreSettings | UndoChange) -> Proposal:
    return propose(command, story.state, envelope(len(story.events) + 1))


def listed(story: Given, command: RestoreSettings | UndoChange) -> list[tuple[str, Any]]:
    """The paths that are not accepted, each with the nearest choice."""
    found: tuple[NotAccepted, ...] = proposed(story, command).not_accepted
    return [(one.path, one.nearest) for one in found]


@few
@for_all(broken())
def test_what_todays_rules_refuse_is_not_brought_back_and_the_nearest_value_is_told(
    case: tuple[str, Any, Any],
) -> None:
    path, value, nearest = case
    story = history_of(path, value)
    for command in (back_to(story, 1), back_to(story, 1, path), undoing(story, 2)):
        assert listed(story, command) == [(path, nearest)]
        ((place, _),) = story.when(command).errors()
        assert place == ("body", *split(path))


@few
@for_all(broken())
def test_the_nearest_value_is_accepted(case: tuple[str, Any, Any]) -> None:
    path, value, _ = case
    story = history_of(path, value)
    ((_, nearest),) = listed(story, back_to(story, 1))
    after = story.after(patch(body_at(path, nearest))).state.settings
    assert at(after, path) == (nearest.strip() if path == "/name" else nearest)


@few
@for_all(broken())
def test_a_rollback_of_paths_that_leave_a_refused_value_out_is_accepted(
    case: tuple[str, Any, Any],
) -> None:
    path, value, _ = case
    story = history_of(path, value)
    after = story.after(back_to(story, 1, "/description")).state.settings
    assert after["description"] is None
    assert same(at(after, path), at(story.state.settings, path))


@few
@for_all(broken())
def test_a_refused_value_that_stands_is_in_nobodys_way(case: tuple[str, Any, Any]) -> None:
    path, value, _ = case
    story = given(
        created(merged(parents(path), body_at(path, value))),
        changed({"/description": (None, "b")}),
    )
    for command in (back_to(story, 1), undoing(story, 2)):
        assert listed(story, command) == []
        story.when(command).then(changed({"/description": ("b", None)}, cause_of(command)))


def cause_of(command: RestoreSettings | UndoChange) -> Cause:
    if isinstance(command, UndoChange):
        return command.cause
    return Cause(type="rollback", to_version=command.to_version)


@few
@for_all(st.lists(broken(), min_size=2, max_size=4, unique_by=lambda case: case[0]))
def test_every_refused_value_is_listed(cases: list[tuple[str, Any, Any]]) -> None:
    settings: Tree = {}
    for path, value, _ in cases:
        settings = merged(settings, body_at(path, value))
    story = given(created(settings))
    clean = {name: DEFAULTS[name] for name in settings}
    differences = diff({name: story.state.settings[name] for name in clean}, clean)
    sides = {path: (change.before, change.after) for path, change in differences.items()}
    mended = given(lambda _: story.events[0], changed(sides))
    assert dict(listed(mended, back_to(mended, 1))) == {path: near for path, _, near in cases}


NEAREST: list[tuple[str, Any, str, Any]] = [
    # path, value, where the error is, the nearest
    ("/tools_settings/transfer_call/transfer_type", "Warm", "", "warm"),
    ("/tools_settings/transfer_call/transfer_type", "sideways", "", UNSET),
    ("/tools_settings/transfer_call/transfer_type", 5, "", UNSET),
    ("/max_idle_messages", -1, "", 0),
    ("/max_idle_messages", 2.5, "", UNSET),
    ("/backchannel_settings/frequency", 9.5, "", 5),
    ("/llm_settings/max_tokens", 2.5, "", UNSET),
    ("/llm_settings/max_tokens", 2**60, "", UNSET),
    ("/llm_settings/max_tokens", [1], "", UNSET),
    ("/llm_settings/temperature", "hot", "", UNSET),
    ("/name", "", "", UNSET),
    ("/name", None, "", UNSET),
    ("/is_active", "perhaps", "", UNSET),
    ("/stt_settings/keywords", [{"keyword": "a"}, {"keyword": 5}], "/1/keyword", UNSET),
    ("/stt_settings/keyterms", ["a", {}], "/1", UNSET),
    ("/stt_settings", [], "", UNSET),
    ("/bypass_numbers", ["+14155551234", "911"], "/1", UNSET),
    ("/custom_settings", {"structured_data_schema": "{"}, "/structured_data_schema", UNSET),
    ("/llm_fallback_providers/fallbacks", [{"model": "m"}], "/0/provider", UNSET),
]


@pytest.mark.parametrize(("path", "value", "inside", "nearest"), NEAREST)
def test_the_nearest_value_is_none_where_none_is_near(
    path: str, value: Any, inside: str, nearest: Any
) -> None:
    default = at(DEFAULTS, path)
    story = given(created(), changed({path: (default, value)}), changed({path: (value, default)}))
    ((found, near),) = listed(story, back_to(story, 2))
    assert (found, near) == (path + inside, nearest)


def test_a_refused_value_is_found_behind_any_number_of_others_that_stand() -> None:
    wrong = {"stt_settings": {"keyterms": [0] * 500}, "tts_limit": 5000}
    story = given(created(wrong), changed({"/tts_limit": (5000, 10)}))
    assert listed(story, back_to(story, 1)) == [("/tts_limit", 1000)]
    assert story.when(back_to(story, 1)).errors() == [(("body", "tts_limit"), "less_than_equal")]
