"""Rollbacks and undoes, decided against a plain copy of every state that there was."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import assume
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, inspect

from events.bodies.acceptance import NotAccepted
from events.changed import AssistantSettingsChanged, Cause, changes_of, fold
from events.commands import OnConflict, RestoreSettings, UndoChange
from events.decider import Proposal, propose
from events.derived import COMPUTED, derive
from events.errors import AssistantNotFound, InvalidSettings
from events.merging import MergeConflict
from events.pointers import (
    MARK,
    Paths,
    Tree,
    ancestors,
    apply,
    at,
    covers,
    diff,
    flatten,
    is_reference,
    overlaps,
    same,
    split,
    unapply,
)
from events.secrets.references import places
from events.settings import Settings
from tests.events.given import (
    DEFAULTS,
    Given,
    changed,
    create,
    created,
    deleted,
    envelope,
    given,
    merged,
    patch,
    secret,
)
from tests.events.model import Model, patched
from tests.events.strategies import bodies, few, many, modest, secret_bodies
from tests.events.test_three_way import TRIPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BODIES = st.lists(bodies(), min_size=1, max_size=5)


def told(sent: Iterable[Tree]) -> tuple[Given, Model]:
    """A story, and a copy of every state that it had."""
    story, model = given().after(create({})), Model({})
    for body in sent:
        story = story.after(patch(body))
        model.patch(body)
    return story, model


def told_with_a_change(
    sent: Iterable[Tree], data: st.DataObject
) -> tuple[Given, Model, AssistantSettingsChanged]:
    """A story, a copy of every state that it had, and one of its changes."""
    story, model = told(sent)
    assume(model.version > 1)
    event = story.events[data.draw(st.integers(2, model.version)) - 1]
    assert isinstance(event, AssistantSettingsChanged)
    return story, model, event


def back_to(
    story: Given, version: int, *paths: str, restorable: frozenset[str] = frozenset()
) -> RestoreSettings:
    return RestoreSettings(
        settings=fold(story.events[:version]).settings,
        to_version=version,
        paths=paths or None,
        restorable=restorable,
    )


def undoing(
    story: Given,
    version: int,
    on_conflict: OnConflict = "fail",
    paths: tuple[str, ...] | None = None,
) -> UndoChange:
    event = story.events[version - 1]
    assert isinstance(event, AssistantSettingsChanged)
    after = fold(story.events[:version]).settings
    return UndoChange(
        undoes=version,
        before=unapply(event.changes, after),
        after=after,
        cause=Cause(type="undo", undoes=version),
        on_conflict=on_conflict,
        paths=paths,
    )


def body_at(path: str, value: Any) -> Tree:
    for name in reversed(split(path)):
        value = {name: value}
    return dict(value)


# -- what rolling back and undoing mean, member by member


def with_path_of(now: Any, then: Any, names: tuple[str, ...]) -> Any:
    """What is now, but at one path what was then."""
    if not names:
        return copy.deepcopy(then)
    name, *others = names
    here, there = (
        side[name] if isinstance(side, dict) and name in side else UNSET for side in (now, then)
    )
    if here is UNSET and there is UNSET:
        return now
    value = with_path_of(here, there, tuple(others))
    members = {one: member for one, member in (now or {}).items() if one != name}
    return members if value is UNSET else members | {name: value}


def with_paths_of(now: Tree, then: Tree, paths: Iterable[str]) -> Tree:
    """As ``with_path_of``, for several; then complete, as the published Structs are."""
    for path in paths:
        now = with_path_of(now, then, split(path))
    return patched(now, {})


def paths_of(*states: Tree) -> list[str]:
    """Every path that any of the states holds something at, also those of whole subtrees."""
    leaves = {path for state in states for path in flatten(state)}
    return sorted(leaves.union(*(ancestors(path) for path in leaves)))


# -- rollback


def restores_the_chosen_paths_alone(sent: list[Tree], data: st.DataObject) -> None:
    story, model = told(sent)
    version = data.draw(st.integers(1, model.version))
    now, then = model.settings, model.copies[version - 1]
    differing = paths_of(*(side for one in diff(now, then) for side in (body_at(one, 0),)))
    choices = st.sampled_from(paths_of(now, then)) | st.sampled_from(differing or [""])
    paths = data.draw(st.lists(choices, min_size=1, max_size=3))
    after = story.after(back_to(story, version, *paths)).state.settings
    assert diff(after, with_paths_of(now, then, paths)) == {}
    for path in flatten(after):
        if path not in COMPUTED and not any(overlaps(path, one) for one in paths):
            assert same(at(after, path), at(now, path))
    for path in paths:
        if at(then, path) is not UNSET and not any(covers(path, one) for one in COMPUTED):
            assert same(at(after, path), at(then, path))


@few
@for_all(BODIES, st.data())
def test_a_rollback_restores_the_chosen_paths_and_leaves_the_others(
    sent: list[Tree], data: st.DataObject
) -> None:
    restores_the_chosen_paths_alone(sent, data)


@pytest.mark.long
@many
@for_all(BODIES, st.data())
def test_many_rollbacks_restore_the_chosen_paths_and_leave_the_others(
    sent: list[Tree], data: st.DataObject
) -> None:
    """Run it with: pytest -m long tests/events/test_going_back.py."""
    restores_the_chosen_paths_alone(sent, data)


@few
@for_all(BODIES, st.data())
def test_all_paths_and_no_paths_are_the_same_rollback(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, model = told(sent)
    version = data.draw(st.integers(1, model.version))
    for paths in ((), ("",), tuple(f"/{name}" for name in DEFAULTS)):
        restored = story.after(back_to(story, version, *paths)).state.settings
        assert diff(restored, model.copies[version - 1]) == {}


STATES: list[tuple[Any, Any]] = [
    (None, {"x": 1}),
    ({"x": 1}, None),
    ({"x": 1, "y": 2}, {"x": 3}),
    ({}, {"x": {"z": 1}}),
    ({"x": {"z": 1, "y": 2}}, {"x": {}}),
    ({"x": [1]}, {"x": {"z": None}}),
]


@pytest.mark.parametrize(("then", "now"), STATES)
@pytest.mark.parametrize(
    "paths", [p for n in (1, 2, 3) for p in itertools.permutations(["", "/x", "/x/z"], n)]
)
def test_paths_that_hold_each_other_restore_what_the_wider_one_does(
    then: Any, now: Any, paths: tuple[str, ...]
) -> None:
    story = given(created({"custom_settings": then}), changed({"/custom_settings": (then, now)}))
    chosen = [f"/custom_settings{path}" for path in paths]
    after = story.after(back_to(story, 1, *chosen)).state.settings["custom_settings"]
    alone = story.after(back_to(story, 1, min(chosen))).state.settings["custom_settings"]
    assert after == alone
    if "" in paths:
        assert after == then


def test_a_rollback_says_how_far_it_went_and_where() -> None:
    story, _ = told([{"description": "b", "idle_message": "b"}, {"description": "c"}])
    cause = Cause(type="rollback", to_version=1, paths=["/description"])
    story.when(back_to(story, 1, "/description")).then(
        changed({"/description": ("c", None)}, cause)
    )
    whole = {"/description": ("c", None), "/idle_message": ("b", DEFAULTS["idle_message"])}
    story.when(back_to(story, 1)).then(changed(whole, Cause(type="rollback", to_version=1)))


def test_a_rollback_of_paths_that_are_as_they_were_records_nothing() -> None:
    story, _ = told([{"description": "b"}])
    story.when(back_to(story, 1, "/llm_settings", "/name")).then()
    story.when(back_to(story, 2)).then()


def test_a_deleted_assistant_is_neither_rolled_back_nor_undone() -> None:
    story = given(created(), changed({"/description": (None, "b")}), deleted())
    story.when(back_to(story, 1, "/description")).refused(AssistantNotFound)
    story.when(undoing(story, 2)).refused(AssistantNotFound)


@few
@for_all(st.lists(secret_bodies(), min_size=1, max_size=4), st.data())
def test_a_rollback_of_paths_keeps_the_current_secrets(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, numbers = given().after(create({})), itertools.count()
    for body in sent:
        try:
            story = story.after(patch(body, numbers))
        except InvalidSettings:  # a mask for a secret that is not there
            continue
    version = data.draw(st.integers(1, len(story.events)))
    now, then = story.state.settings, fold(story.events[:version]).settings
    paths = data.draw(st.lists(st.sampled_from(paths_of(now, then)), min_size=1, max_size=3))
    after = story.after(back_to(story, version, *paths)).state.settings
    assert ids_of(after) <= ids_of(now)
    # The control: an admin can have all of those of then.
    old = frozenset(ids_of(then))
    asked = story.after(back_to(story, version, restorable=old)).state.settings
    assert ids_of(then) <= ids_of(asked)


def ids_of(settings: Any) -> set[str]:
    return {place.reference[MARK]["id"] for place in places(settings)}


# -- undo

_WAYS: tuple[OnConflict, ...] = ("skip", "force")


class Undone(NamedTuple):
    """What a reader expects of an undo, who goes from path to path."""

    settings: Tree
    conflicts: set[str]


def undone(model: Model, version: int, *, forcing: bool = False) -> Undone:
    before, after, now = model.copies[version - 2], model.copies[version - 1], model.settings
    later = diff(after, now)
    conflicts, settings = set(), now
    for path in diff(after, before):
        if path in COMPUTED or same(at(before, path), at(now, path)):
            continue
        if any(overlaps(path, one) for one in later):
            conflicts.add(path)
            if not forcing:
                continue
        settings = with_path_of(settings, body_at_or_nothing(path, at(before, path)), split(path))
    return Undone(patched(settings, {}), conflicts)


def body_at_or_nothing(path: str, value: Any) -> Tree:
    if value is not UNSET:
        return body_at(path, value)
    parent, _, _ = path.rpartition("/")
    return body_at(parent, {}) if parent else {}


def takes_back_one_change(sent: list[Tree], data: st.DataObject) -> None:
    story, model = told(sent)
    assume(model.version > 1)
    version = data.draw(st.integers(2, model.version))
    expected = undone(model, version)
    if expected.conflicts:
        refusal = story.when(undoing(story, version)).refused(MergeConflict)
        assert {conflict.path for conflict in refusal.conflicts} == expected.conflicts
    else:
        after = story.after(undoing(story, version)).state.settings
        assert diff(after, expected.settings) == {}
    skipping = story.after(undoing(story, version, "skip")).state.settings
    assert diff(skipping, expected.settings) == {}
    forced = story.after(undoing(story, version, "force")).state.settings
    assert diff(forced, undone(model, version, forcing=True).settings) == {}


@few
@for_all(BODIES, st.data())
def test_an_undo_takes_back_one_change_or_names_the_paths_that_were_changed_again(
    sent: list[Tree], data: st.DataObject
) -> None:
    takes_back_one_change(sent, data)


@pytest.mark.long
@many
@for_all(BODIES, st.data())
def test_many_undoes_take_back_one_change_each(sent: list[Tree], data: st.DataObject) -> None:
    """Run it with: pytest -m long tests/events/test_going_back.py."""
    takes_back_one_change(sent, data)


@few
@for_all(BODIES, st.data())
def test_an_undo_of_some_paths_does_there_what_the_whole_one_does_and_nothing_elsewhere(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, model, event = told_with_a_change(sent, data)
    version = event.version
    chosen = tuple(data.draw(st.lists(st.sampled_from(sorted(event.changes)), min_size=1)))
    whole = story.after(undoing(story, version, "skip")).state.settings
    some = story.after(undoing(story, version, "skip", chosen)).state.settings
    assert same(some, derive(some))
    for path in paths_of(whole, some):
        if any(covers(path, one) for one in COMPUTED):
            continue  # it follows from others, be it chosen or not
        if any(covers(one, path) for one in chosen):
            assert same(at(some, path), at(whole, path))
        elif not any(overlaps(path, one) for one in chosen):
            assert same(at(some, path), at(model.settings, path))
    every = story.after(undoing(story, version, "skip", tuple(event.changes))).state.settings
    assert diff(every, whole) == {}


def test_a_computed_setting_is_taken_back_with_what_it_follows_from_and_not_by_itself() -> None:
    switch, (computed,) = "/tools_settings/end_call/enabled", COMPUTED
    story, _ = told([{"tools_settings": {"end_call": {"enabled": True}}}])
    event = story.events[-1]
    assert isinstance(event, AssistantSettingsChanged)
    assert set(event.changes) == {switch, computed}
    now = story.state.settings
    assert story.after(undoing(story, 2, paths=(computed,))).state.settings == now
    without = story.after(undoing(story, 2, paths=(switch,))).state.settings
    assert at(without, computed) == []


@few
@for_all(BODIES, st.data())
def test_an_undo_keeps_every_later_change_of_other_paths(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, model, event = told_with_a_change(sent, data)
    version = event.version
    for on_conflict in _WAYS:
        after = story.after(undoing(story, version, on_conflict)).state.settings
        for path in paths_of(after, model.settings):
            if path not in COMPUTED and not any(overlaps(path, one) for one in event.changes):
                assert same(at(after, path), at(model.settings, path))


@few
@for_all(BODIES, bodies(), st.data())
def test_an_undo_of_an_undo_is_as_if_neither_had_been(
    sent: list[Tree], later: Tree, data: st.DataObject
) -> None:
    story, model = told(sent)
    assume(model.version > 1)
    version = data.draw(st.integers(2, model.version))
    taken_back = story.after(undoing(story, version, "skip"))
    assume(len(taken_back.events) > len(story.events))
    again = taken_back.after(undoing(taken_back, len(taken_back.events)))
    assert diff(again.state.settings, model.settings) == {}
    # Also where somebody changed other paths in between.
    wanted = Paths(changes_of(story.events[version - 1]))
    edit = diff(model.settings, patched(model.settings, later))
    assume(edit and not any(map(wanted.overlap, edit)))
    between = taken_back.after(patch(later))
    try:
        again = between.after(undoing(between, len(taken_back.events)))
    except MergeConflict:
        return
    assert diff(again.state.settings, patched(model.settings, later)) == {}


@few
@for_all(BODIES)
def test_undoing_the_newest_change_is_rolling_back_one_version(sent: list[Tree]) -> None:
    story, model = told(sent)
    assume(model.version > 1)
    undo, rollback = undoing(story, model.version), back_to(story, model.version - 1)
    one, other = (story.when(wish).decided() for wish in (undo, rollback))
    assert isinstance(one, AssistantSettingsChanged)
    assert isinstance(other, AssistantSettingsChanged)
    assert one.changes == other.changes


@few
@for_all(BODIES, st.data())
def test_an_undo_of_what_was_changed_back_records_nothing(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, model = told(sent)
    assume(model.version > 1)
    version = data.draw(st.integers(2, model.version))
    returned = story.after(back_to(story, version - 1))
    assert returned.when(undoing(returned, version)).decided() is None


@few
@for_all(st.lists(secret_bodies(), min_size=1, max_size=4), st.data())
def test_an_undo_keeps_the_current_secrets(sent: list[Tree], data: st.DataObject) -> None:
    story, numbers = given().after(create({})), itertools.count()
    for body in sent:
        try:
            story = story.after(patch(body, numbers))
        except InvalidSettings:  # a mask for a secret that is not there
            continue
    assume(len(story.events) > 1)
    version = data.draw(st.integers(2, len(story.events)))
    after = story.after(undoing(story, version, "skip")).state.settings
    assert ids_of(after) <= ids_of(story.state.settings)


def test_an_undo_of_the_removal_of_a_map_of_secrets_meets_nobody_else() -> None:
    """Its secrets do not come back: null was all that there was to take back, and it stays."""
    story = given().after(create({})).after(patch({"webhook_headers": {"A": "one"}}))
    story = story.after(patch({"webhook_headers": None}))
    story.when(undoing(story, 3)).then()
    story = story.after(patch({"webhook_headers": {"B": "two"}}))
    story.when(undoing(story, 3)).then()


# -- differences


@modest
@for_all(TRIPLES)
def test_a_difference_applied_to_one_tree_gives_the_other_with_references_too(
    trees: tuple[Tree, Tree, Tree],
) -> None:
    for one, other in itertools.permutations(trees, 2):
        changes = diff(one, other)
        assert same(apply(changes, one), other)
        assert same(unapply(changes, other), one)
        for path, change in changes.items():
            assert same(change.before, at(one, path))
            assert same(change.after, at(other, path))
            for above in ancestors(path):  # a reference is one value
                assert not is_reference(at(one, above))
                assert not is_reference(at(other, above))


def test_a_rotated_secret_is_one_change_and_not_one_inside_of_its_reference() -> None:
    one, other = ({"a": {"key": secret(name)}} for name in ("old", "new"))
    assert list(diff(one, other)) == ["/a/key"]


# -- values that today's rules refuse


class LRUCache(NamedTuple):
    """A setting with a rule: its path and the published type."""

    path: str
    kind: Any


def bounded(kind: inspect.Type, path: str = "") -> Iterator[LRUCache]:
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
                yield LRUCache(path, kind)
        case inspect.LiteralType() | inspect.StrType(max_length=int()):
            yield LRUCache(path, kind)


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
