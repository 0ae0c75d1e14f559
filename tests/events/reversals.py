"""Histories for tests of rollback and undo."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import assume
from hypothesis import strategies as st
from msgspec import UNSET

from events.changed import AssistantSettingsChanged, Cause, fold
from events.commands import OnConflict, RestoreSettings, UndoChange
from events.derived import COMPUTED
from events.pointers import MARK, Tree, ancestors, at, diff, flatten, overlaps, same, split, unapply
from events.secrets.references import places
from tests.events.given import Given, create, given, patch
from tests.events.model import Model, patched
from tests.events.strategies import bodies

if TYPE_CHECKING:
    from collections.abc import Iterable


BODIES = st.lists(bodies(), min_size=1, max_size=5)


def history(sent: Iterable[Tree]) -> tuple[Given, Model]:
    """A story, and a copy of every state that it had."""
    story, model = given().after(create({})), Model({})
    for body in sent:
        story = story.after(patch(body))
        model.patch(body)
    return story, model


def history_with_a_change(
    sent: Iterable[Tree], data: st.DataObject
) -> tuple[Given, Model, AssistantSettingsChanged]:
    """A story, a copy of every state that it had, and one of its changes."""
    story, model = history(sent)
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


def ids_of(settings: Any) -> set[str]:
    return {place.reference[MARK]["id"] for place in places(settings)}


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
