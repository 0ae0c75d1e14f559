"""Two people's edits of one tree, merged: against what a reader of the three copies would say."""

from __future__ import annotations

import copy
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET

from events.changed import Cause, fold
from events.commands import ChangeSettings, OnConflict, UndoChange
from events.derived import COMPUTED
from events.errors import InvalidSettings
from events.merging import Conflict, MergeConflict, three_way
from events.pointers import MARK, Tree, apply, at, diff, flatten, overlaps, put, same
from events.secrets.references import places
from events.settings import Settings
from tests.events.given import Given, changed, create, created, given, patch, secret, settings_after
from tests.events.strategies import bodies, few, many, modest, pairs_of_trees, secret_bodies

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = st.sampled_from("abc")
_REFERENCES = st.builds(secret, st.sampled_from(["1", "2", "3"]))
_LEAVES = st.integers(0, 2) | st.none() | st.lists(st.integers(0, 1), max_size=2) | _REFERENCES
_VALUES = st.recursive(_LEAVES, lambda v: st.dictionaries(_NAMES, v, max_size=3), max_leaves=8)
_TREES = st.dictionaries(_NAMES, _VALUES, max_size=3)
# A few names, so that edits meet: each sets a path to a value, or removes what is there.
_EDITS = st.lists(
    st.tuples(st.lists(_NAMES, min_size=1, max_size=3), _VALUES | st.just(UNSET)), max_size=3
)


def is_object(value: Any) -> bool:
    return isinstance(value, dict) and MARK not in value


def edited(tree: Tree, edits: list[tuple[list[str], Any]]) -> Tree:
    for names, value in edits:
        tree = _edited(tree, names, value)
    return tree


def _edited(tree: Any, names: list[str], value: Any) -> Tree:
    members = dict(tree) if is_object(tree) else {}
    name, *others = names
    if others and (value is not UNSET or is_object(members.get(name))):
        members[name] = _edited(members.get(name), others, value)
    elif value is UNSET:
        members.pop(name, None)
    else:
        members[name] = value
    return members


@st.composite
def edits_of_a_base(draw: st.DrawFn) -> tuple[Tree, Tree, Tree]:
    """A tree, and what two people made of it."""
    base = draw(_TREES)
    return base, edited(base, draw(_EDITS)), edited(base, draw(_EDITS))


TRIPLES = edits_of_a_base()


def carelessly(conflict: Conflict) -> Any:
    """Insists without any care for secrets."""
    return conflict.yours


# -- a reader of the three copies


class Reading:
    """What a reader makes of three copies, member by member; UNSET is for no value.

    ``insisting`` writes yours over theirs where it notes a conflict.
    """

    def __init__(self, base: Tree, yours: Tree, theirs: Tree, *, insisting: bool = False) -> None:
        self.conflicts: dict[str, tuple[Any, Any, Any]] = {}
        self._insisting = insisting
        self.tree = self._read(base, yours, theirs, "")

    def _read(self, base: Any, yours: Any, theirs: Any, path: str) -> Any:
        if same(yours, base):
            return theirs
        if same(theirs, base):
            return yours
        if all(map(is_object, (base, yours, theirs))):
            return self._members(base, yours, theirs, path)
        if same(yours, theirs):
            return theirs
        if is_object(base) and is_object(yours):
            members = self._in_what_they_took(base, yours, path)
            return members if self._insisting and members else theirs
        return self._conflict(base, yours, theirs, path)

    def _members(self, base: Tree, yours: Tree, theirs: Tree, path: str) -> Tree:
        read = {}
        for name in dict.fromkeys([*theirs, *base, *yours]):
            old, mine, their = (tree.get(name, UNSET) for tree in (base, yours, theirs))
            read[name] = self._read(old, mine, their, f"{path}/{name}")
        return {name: value for name, value in read.items() if value is not UNSET}

    def _in_what_they_took(self, base: Tree, yours: Tree, path: str) -> Tree:
        """What yours set inside of something that theirs removed or replaced."""
        read = {}
        for name in dict.fromkeys([*base, *yours]):
            old, new, at_name = base.get(name, UNSET), yours.get(name, UNSET), f"{path}/{name}"
            if is_object(old) and is_object(new):
                if inner := self._in_what_they_took(old, new, at_name):
                    read[name] = inner
            elif new is not UNSET and not same(old, new):
                read[name] = new
                self._conflict(old, new, UNSET, at_name)
        return read

    def _conflict(self, base: Any, yours: Any, theirs: Any, path: str) -> Any:
        self.conflicts[path] = (base, yours, theirs)
        return yours if self._insisting else theirs


@modest
@for_all(TRIPLES)
def test_a_merge_is_what_a_reader_of_the_three_copies_would_say(
    copies: tuple[Tree, Tree, Tree],
) -> None:
    read, found = Reading(*copies), three_way(*copies)
    assert same(found.tree, read.tree)
    reported = {c.path: (c.base, c.yours, c.theirs) for c in found.conflicts}
    assert reported.keys() == read.conflicts.keys()
    assert all(same(list(sides), list(read.conflicts[path])) for path, sides in reported.items())


@pytest.mark.parametrize("names", list(itertools.permutations("abc")))
def test_what_both_changed_alike_hides_none_of_your_other_changes(names: tuple[str, ...]) -> None:
    alike, yours, both = names
    base = dict.fromkeys("abc", 0)
    found = three_way(base, base | {alike: 1, yours: 2, both: 3}, base | {alike: 1, both: 4})
    assert found.tree == {alike: 1, yours: 2, both: 4}
    assert [conflict.path for conflict in found.conflicts] == [f"/{both}"]


@modest
@for_all(TRIPLES)
def test_insisting_makes_yours_win_where_both_changed_and_nowhere_else(
    copies: tuple[Tree, Tree, Tree],
) -> None:
    read = Reading(*copies, insisting=True)
    found = three_way(*copies, insist=carelessly)
    assert same(found.tree, read.tree)
    assert found.conflicts == three_way(*copies).conflicts
    for conflict in found.conflicts:
        assert same(at(found.tree, conflict.path), at(copies[1], conflict.path))


@pytest.mark.long
@many
@for_all(TRIPLES)
def test_many_merges_are_what_a_reader_of_the_three_copies_would_say(
    copies: tuple[Tree, Tree, Tree],
) -> None:
    """Run it with: pytest -m long tests/events/test_three_way.py."""
    for insisting in (False, True):
        read = Reading(*copies, insisting=insisting)
        found = three_way(*copies, insist=carelessly if insisting else None)
        assert same(found.tree, read.tree)
        assert {conflict.path for conflict in found.conflicts} == read.conflicts.keys()


# -- laws


@few
@for_all(pairs_of_trees(), st.data())
def test_edits_of_different_paths_commute(pair: tuple[Tree, Tree], data: st.DataObject) -> None:
    base, both = pair
    changes = diff(base, both)
    is_yours = {path: data.draw(st.booleans()) for path in changes}
    yours = apply({path: one for path, one in changes.items() if is_yours[path]}, base)
    theirs = apply({path: one for path, one in changes.items() if not is_yours[path]}, base)
    for one, other in ((yours, theirs), (theirs, yours)):
        merged = three_way(base, one, other)
        assert merged.conflicts == ()
        assert same(merged.tree, both)


@few
@for_all(pairs_of_trees())
def test_an_edit_that_nobody_else_met_is_the_edit(pair: tuple[Tree, Tree]) -> None:
    base, yours = pair
    assert same(three_way(base, yours, base).tree, yours)
    assert three_way(base, yours, base).conflicts == ()


@few
@for_all(pairs_of_trees())
def test_an_edit_that_changes_nothing_leaves_everything(pair: tuple[Tree, Tree]) -> None:
    base, theirs = pair
    assert same(three_way(base, base, theirs).tree, theirs)
    assert three_way(base, base, theirs).conflicts == ()


@few
@for_all(pairs_of_trees())
def test_two_who_did_the_same_do_not_conflict(pair: tuple[Tree, Tree]) -> None:
    base, edit = pair
    merged = three_way(base, edit, copy.deepcopy(edit))
    assert same(merged.tree, edit)
    assert merged.conflicts == ()


@few
@for_all(TRIPLES, st.none() | st.just(carelessly))
def test_a_merge_changes_no_path_that_yours_did_not(
    copies: tuple[Tree, Tree, Tree], insist: Any
) -> None:
    base, yours, theirs = copies
    merged = three_way(base, yours, theirs, insist=insist).tree
    for path in diff(theirs, merged):
        assert any(overlaps(path, changed) for changed in diff(base, yours))
    for path in flatten(theirs):
        if not any(overlaps(path, changed) for changed in diff(base, yours)):
            assert same(at(merged, path), at(theirs, path))


@few
@for_all(TRIPLES)
def test_without_insisting_every_conflict_stays_as_theirs_has_it(
    copies: tuple[Tree, Tree, Tree],
) -> None:
    merged = three_way(*copies)
    for conflict in merged.conflicts:
        assert same(at(merged.tree, conflict.path), at(copies[2], conflict.path))
        assert same(conflict.theirs, at(copies[2], conflict.path))


@few
@for_all(TRIPLES)
def test_merging_changes_nothing_in_place(copies: tuple[Tree, Tree, Tree]) -> None:
    before = copy.deepcopy(copies)
    three_way(*copies, insist=carelessly)
    assert same(list(copies), list(before))


# -- parents and children


A = {"a": {"b": 1, "c": 2}, "d": 3}
SECRET = secret("of theirs")


@pytest.mark.parametrize(
    ("yours", "theirs", "path", "kept", "insisted"),
    [
        # Yours removes or replaces what theirs changed inside.
        ({"d": 3}, {"a": {"b": 9, "c": 2}, "d": 3}, "/a", {"b": 9, "c": 2}, UNSET),
        ({"a": 5, "d": 3}, {"a": {"b": 1}, "d": 3}, "/a", {"b": 1}, 5),
        ({"a": None, "d": 3}, {"a": {"b": 9, "c": 2}, "d": 3}, "/a", {"b": 9, "c": 2}, None),
        # Yours changes inside what theirs removed or replaced.
        ({"a": {"b": 9, "c": 2}, "d": 3}, {"d": 3}, "/a/b", UNSET, {"b": 9}),
        ({"a": {"b": 9, "c": 2}, "d": 3}, {"a": [], "d": 3}, "/a/b", [], {"b": 9}),
        ({"a": {"b": 1, "c": 2, "e": 4}, "d": 3}, {"a": None, "d": 3}, "/a/e", None, {"e": 4}),
        (
            {"a": {"b": 9, "c": 2}, "d": 3},
            {"a": secret("s"), "d": 3},
            "/a/b",
            secret("s"),
            {"b": 9},
        ),
    ],
)
def test_a_change_inside_of_what_another_took_is_a_conflict(
    yours: Tree, theirs: Tree, path: str, kept: Any, insisted: Any
) -> None:
    merged = three_way(A, yours, theirs)
    assert [conflict.path for conflict in merged.conflicts] == [path]
    assert same(at(merged.tree, "/a"), kept)
    won = three_way(A, yours, theirs, insist=carelessly)
    assert same(at(won.tree, "/a"), insisted)
    assert won.tree["d"] == 3


def test_what_both_removed_is_no_conflict_though_one_removed_more() -> None:
    merged = three_way(A, {"a": {"c": 2}, "d": 3}, {"d": 3})
    assert merged.conflicts == ()
    assert merged.tree == {"d": 3}


@pytest.mark.parametrize(
    "wrap", [lambda r: r, lambda r: {"own": r}, lambda r: [r], lambda r: [{"key": r, "n": [1]}]]
)
def test_a_secret_that_both_set_is_a_conflict_whatever_the_values_are(wrap: Any) -> None:
    """Otherwise a merge would tell whether a guess is right."""
    yours, theirs = ({"a": wrap(secret(name))} for name in ("1", "2"))
    assert [c.path for c in three_way({"a": None}, yours, theirs).conflicts] == ["/a"]
    # The same sealed value, restored on both sides, is none.
    assert three_way({"a": None}, yours, yours).conflicts == ()


# -- what the server computes


@few
@for_all(TRIPLES)
def test_a_computed_path_is_nobodys_edit(copies: tuple[Tree, Tree, Tree]) -> None:
    base, yours, theirs = (put(tree, "/a", n) for n, tree in enumerate(copies))
    merged = three_way(base, yours, theirs, computed=("/a",))
    assert "/a" not in [conflict.path for conflict in merged.conflicts]
    assert merged.tree["a"] == theirs["a"]
    # The control: otherwise it is one.
    assert "/a" in [conflict.path for conflict in three_way(base, yours, theirs).conflicts]


_TOOLS = {
    "end_call": "endCall",
    "transfer_call": "transferCall",
    "dtmf_solver": "dtmfSolver",
    "send_sms": "sendSms",
}
_SWITCHES = st.dictionaries(st.sampled_from(sorted(_TOOLS)), st.booleans(), max_size=4)


def switching(switches: dict[str, bool]) -> Tree:
    return {"tools_settings": {name: {"enabled": on} for name, on in switches.items()}}


@few
@for_all(_SWITCHES, _SWITCHES, _SWITCHES)
def test_switching_different_tools_on_and_off_is_no_conflict(
    first: dict[str, bool], theirs: dict[str, bool], yours: dict[str, bool]
) -> None:
    theirs = {name: on for name, on in theirs.items() if name not in yours}
    story = given().after(create(switching(first))).after(patch(switching(theirs)))
    command = rebased(patch(switching(yours)), story, 1)
    tools = story.after(command).state.settings["tools_settings"]
    switches = dict.fromkeys(_TOOLS, False) | first | theirs | yours
    assert {name: tools[name]["enabled"] for name in _TOOLS} == switches
    assert tools["enabled_tools"] == [said for name, said in _TOOLS.items() if switches[name]]


def test_the_list_of_tools_alone_would_conflict() -> None:
    base, yours, theirs = (
        settings_after(switching(switches))
        for switches in ({}, {"end_call": True}, {"send_sms": True})
    )
    reported = [conflict.path for conflict in three_way(base, yours, theirs).conflicts]
    assert reported == list(COMPUTED)
    assert three_way(base, yours, theirs, computed=COMPUTED).conflicts == ()


# -- by way of the decider

_WAYS: tuple[OnConflict, ...] = ("theirs", "yours")


def rebased(
    command: ChangeSettings, story: Given, version: int, on_conflict: OnConflict = "fail"
) -> ChangeSettings:
    """The command of an author who had read a version."""
    base = fold(story.events[:version]).settings
    return msgspec.structs.replace(command, base=base, on_conflict=on_conflict)


@few
@for_all(bodies(), st.lists(bodies(), max_size=3), bodies())
def test_a_patch_of_an_older_version_is_merged_or_refused_as_a_reader_would_say(
    first: Tree, between: list[Tree], yours: Tree
) -> None:
    story = given().after(create(first))
    for body in between:
        story = story.after(patch(body))
    base, theirs = fold(story.events[:1]).settings, story.state.settings
    wanted = given().after(create(first)).after(patch(yours)).state.settings
    sides = [without_computed(settings) for settings in (base, wanted, theirs)]
    read = Reading(*sides)
    if read.conflicts:
        refusal = story.when(rebased(patch(yours), story, 1)).refused(MergeConflict)
        assert {conflict.path for conflict in refusal.conflicts} == read.conflicts.keys()
    else:
        after = story.after(rebased(patch(yours), story, 1)).state.settings
        assert same(without_computed(after), read.tree)
    for on_conflict in _WAYS:
        after = story.after(rebased(patch(yours), story, 1, on_conflict)).state.settings
        expected = completed(Reading(*sides, insisting=on_conflict == "yours").tree)
        assert same(without_computed(after), without_computed(expected))


def without_computed(settings: Tree) -> Tree:
    (path,) = COMPUTED
    return put(settings, path, UNSET)


def completed(settings: Tree) -> Tree:
    """The settings with the defaults of what yours set inside of something that theirs took."""
    whole: Tree = msgspec.to_builtins(msgspec.convert(settings, Settings))
    return whole


# -- secrets


def ids_of(settings: Any) -> set[str]:
    return {place.reference[MARK]["id"] for place in places(settings)}


def history(first: Tree, between: list[Tree], numbers: Iterator[int]) -> Given:
    story = given().after(create(first))
    for body in between:
        with suppress(InvalidSettings):
            story = story.after(patch(body, numbers))
    return story


# Lists with a secret in them: each conflicts as a whole. Sent first, by the other, and by you.
OLD, ROTATED, MINE, MASK = "sk-old", "sk-rotated", "sk-mine", "********"
_FALLBACK: Tree = {"provider": "openai", "model": "small"}
LISTS: dict[str, tuple[str, Any, Any]] = {
    "a fallback": (
        "/llm_fallback_providers/fallbacks",
        lambda key: [_FALLBACK | {"api_key": key}],
        lambda key: [_FALLBACK | {"api_key": key, "enabled": False}],
    ),
    "a fallback's config": (
        "/llm_fallback_providers/fallbacks",
        lambda key: [_FALLBACK | {"config": {"token": key}}],
        lambda key: [_FALLBACK | {"config": {"token": key, "region": "eu"}}],
    ),
    "a tool": (
        "/tools_settings/custom_tools",
        lambda key: [{"tool_id": 1, "headers": {"Authorization": key}}],
        lambda key: [{"tool_id": 1, "headers": {"Authorization": key}, "note": "mine"}],
    ),
    "a tool that moves": (
        "/tools_settings/custom_tools",
        lambda key: [{"tool_id": 1, "headers": {"Authorization": key}}, {"tool_id": 2}],
        lambda key: [{"tool_id": 3}, {"tool_id": 1, "headers": {"Authorization": key}}],
    ),
    "a list of keys": (
        "/tts_settings/provider_config/private_keys",
        lambda key: [key],
        lambda key: [key, MINE],
    ),
}


def body_at(path: str, value: Any) -> Tree:
    for name in reversed(path.split("/")[1:]):
        value = {name: value}
    return dict(value)


def rotated_meanwhile(path: str, list_with: Any) -> Given:
    return history(body_at(path, list_with(OLD)), [body_at(path, list_with(ROTATED))], counting())


def counting(start: int = 1000) -> Iterator[int]:
    """Ids that no creation takes."""
    return itertools.count(start)


@pytest.mark.parametrize("holder", LISTS)
def test_insisting_on_a_list_keeps_the_secret_that_was_rotated_meanwhile(holder: str) -> None:
    path, first, mine = LISTS[holder]
    story = rotated_meanwhile(path, first)
    command = rebased(patch(body_at(path, mine(MASK)), counting(2000)), story, 1, "yours")
    (rotated,) = ids_of(story.state.settings)
    after = at(story.after(command).state.settings, path)
    assert rotated in ids_of(after)
    assert ids_of(after) <= {rotated, "id-2000"}
    assert not same(after, at(story.state.settings, path))


@pytest.mark.parametrize("holder", LISTS)
def test_insisting_without_care_would_bring_the_old_secret_back(holder: str) -> None:
    path, first, mine = LISTS[holder]
    story = rotated_meanwhile(path, first)
    base = fold(story.events[:1]).settings
    yours = Given(story.events[:1]).after(patch(body_at(path, mine(MASK))))
    careless = three_way(base, yours.state.settings, story.state.settings, insist=carelessly)
    assert ids_of(base) <= ids_of(careless.tree)
    assert not ids_of(story.state.settings) <= ids_of(careless.tree)


@pytest.mark.parametrize("holder", LISTS)
def test_insisting_on_a_new_secret_sets_it(holder: str) -> None:
    path, first, mine = LISTS[holder]
    story = rotated_meanwhile(path, first)
    command = rebased(patch(body_at(path, mine(MINE)), counting(2000)), story, 1, "yours")
    after = ids_of(at(story.after(command).state.settings, path))
    assert "id-2000" in after
    assert after.isdisjoint(ids_of(story.state.settings))


def test_insisting_on_a_url_keeps_the_credentials_that_were_rotated_meanwhile() -> None:
    url = "https://hooks.example.com/"
    old, rotated = (secret(name) | {"url": url + "a"} for name in (OLD, ROTATED))
    story = given(created({"webhook_url": old}), changed({"/webhook_url": (old, rotated)}))
    mine = patch({"webhook_url": f"https://{MASK}@hooks.example.com/b"})
    after = story.after(rebased(mine, story, 1, "yours")).state.settings["webhook_url"]
    assert after == rotated | {"url": url + "b"}


@pytest.mark.parametrize(
    ("first", "theirs", "yours", "path", "expected"),
    [
        ({"api_keys": {"own": OLD}}, {"api_keys": {"own": ROTATED}}, {"api_keys": None},
         "/api_keys", None),
        ({"api_keys": {"own": OLD}}, {"api_keys": {"own": ROTATED}}, {"api_keys": {"own": None}},
         "/api_keys", {}),
        ({"webhook_headers": {"x": OLD}}, {"webhook_headers": {"x": ROTATED}},
         {"webhook_headers": None}, "/webhook_headers", None),
        ({"custom_settings": {"token": OLD, "n": 1}}, {"custom_settings": {"token": ROTATED}},
         {"custom_settings": None}, "/custom_settings", None),
        ({}, {"custom_settings": {"token": ROTATED}}, {"custom_settings": {"n": 1}},
         "/custom_settings", {"n": 1}),
        (body_at("/llm_fallback_providers/fallbacks", [_FALLBACK | {"api_key": OLD}]),
         body_at("/llm_fallback_providers/fallbacks", [_FALLBACK | {"api_key": ROTATED}]),
         body_at("/llm_fallback_providers/fallbacks", [_FALLBACK | {"api_key": None}]),
         "/llm_fallback_providers/fallbacks/0/api_key", None),
    ],
)  # fmt: skip
def test_insisting_on_the_removal_of_a_secret_removes_it(
    first: Tree, theirs: Tree, yours: Tree, path: str, expected: Any
) -> None:
    story = history(first, [theirs], counting())
    after = story.after(rebased(patch(yours), story, 1, "yours")).state.settings
    assert ids_of(after) == set()
    if "/0/" not in path:
        assert at(after, path) == expected


SECRET_STORIES = st.lists(secret_bodies(), min_size=1, max_size=4)


def brings_no_old_secret_back(first: Tree, between: list[Tree], yours: Tree, version: int) -> None:
    numbers = counting()
    story = history({}, [first, *between], numbers)
    newest = next(numbers)
    command = rebased(patch(yours, numbers), story, version % len(story.events) + 1, "yours")
    with suppress(InvalidSettings):
        story_after = story.after(command)
        came = ids_of(story_after.state.settings) - ids_of(story.state.settings)
        assert all(int(identity[3:]) > newest for identity in came)


@few
@for_all(secret_bodies(), SECRET_STORIES, secret_bodies(), st.integers(0, 3))
def test_no_insisting_brings_a_secret_back_that_is_not_there_any_more(
    first: Tree, between: list[Tree], yours: Tree, version: int
) -> None:
    brings_no_old_secret_back(first, between, yours, version)


@pytest.mark.long
@many
@for_all(secret_bodies(), SECRET_STORIES, secret_bodies(), st.integers(0, 3))
def test_of_many_none_brings_a_secret_back_that_is_not_there_any_more(
    first: Tree, between: list[Tree], yours: Tree, version: int
) -> None:
    """Run it with: pytest -m long tests/events/test_three_way.py."""
    brings_no_old_secret_back(first, between, yours, version)


def undoing_keeps_todays_secrets(first: Tree, later: list[Tree], number: int) -> None:
    story = history({}, [first, *later], counting())
    if len(story.events) == 1:
        return
    version = number % (len(story.events) - 1) + 2
    undo = UndoChange(
        undoes=version,
        before=fold(story.events[: version - 1]).settings,
        after=fold(story.events[:version]).settings,
        cause=Cause(type="undo", undoes=version),
        on_conflict="force",
    )
    now = ids_of(story.state.settings)
    assert ids_of(story.after(undo).state.settings) <= now


@few
@for_all(secret_bodies(), SECRET_STORIES, st.integers(0, 3))
def test_no_forced_undo_brings_a_secret_back_that_is_not_there_any_more(
    first: Tree, later: list[Tree], number: int
) -> None:
    undoing_keeps_todays_secrets(first, later, number)


@pytest.mark.long
@many
@for_all(secret_bodies(), SECRET_STORIES, st.integers(0, 3))
def test_of_many_forced_undoes_none_brings_a_secret_back(
    first: Tree, later: list[Tree], number: int
) -> None:
    """Run it with: pytest -m long tests/events/test_three_way.py."""
    undoing_keeps_todays_secrets(first, later, number)
