"""Upcasters: what became of settings that older events name.

A setting was moved, split, converted, retired or made secret: append one ``Upcaster`` to
``UPCASTERS``, and never edit the others. A new setting needs none: it has its default in older
events. Each upcaster gives the events that name settings a new tag. An event with an older tag
passes through every later upcaster, whenever it is read. Stored bytes never change.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct

from events import pointers
from events.pointers import MARK, Change, Path, Tree, covers, is_reference, join, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Convert = Callable[[Any], Any]
    Changes = dict[str, dict[str, Any]]  # by path, ``before`` and ``after``: each where it has one
    Steps = dict[Path, dict[Path, Convert | None]]  # by old place, the new ones

# The events that name settings, without the generation in their tags.
NAMES_SETTINGS = (
    "assistant_created",
    "assistant_settings_changed",
    "secrets_revealed",
    "policy_changed",
)
_CREATED, _CHANGED, _, _POLICY = NAMES_SETTINGS
_ANY = "*"


class Upcaster(Struct, frozen=True, kw_only=True):
    """One change of the settings' definitions.

    Places are JSON Pointers, in which ``*`` stands for every element. An old place and its new
    ones are the same up to the last ``*``. All steps of an upcaster are taken at once: old places
    are from before all of them, new places from after.
    """

    # By the old place of a value or an object: its new place.
    moved: Mapping[str, str] = {}
    # By the old place of a value: the new places, each with its conversion of the value. A change
    # of type has the old place among the new ones.
    replaced: Mapping[str, Mapping[str, Convert]] = {}
    # Places of settings that no longer exist.
    retired: tuple[str, ...] = ()
    # By place, the value where older events say nothing, if it is not today's default.
    filled: Mapping[str, Any] = {}
    # Today's places of values that were plain and are secret now, with all below them.
    made_secret: tuple[str, ...] = ()


# From the oldest to the newest; the first turns events of v1 into those of v2.
UPCASTERS: tuple[Upcaster, ...] = ()

GENERATION = len(UPCASTERS) + 1


def tag(name: str) -> str:
    """The tag of new events with a name: ``assistant_created.v1`` for ``assistant_created``."""
    return f"{name}.v{GENERATION if name in NAMES_SETTINGS else 1}"


def upcast(
    event: dict[str, Any], upcaster: Upcaster, made_secret: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An event's JSON in the shape of its next tag.

    ``made_secret`` gets the values that this upcaster makes secret, by the ids of their references.
    """
    name, _, generation = event["type"].partition(".v")
    event = event | {"type": f"{name}.v{int(generation) + 1}"}
    match name:
        case _ if name in (_CREATED, _CHANGED):
            event["changes"] = _changes(event, upcaster, made_secret, is_first=name == _CREATED)
            if "paths" in event["cause"]:
                paths = _paths(event["cause"]["paths"], upcaster)
                event["cause"] = event["cause"] | {"paths": paths}
        case _ if name == _POLICY:
            event["changes"] = {
                rule: {
                    side: _paths(value, upcaster) if isinstance(value, list) else value
                    for side, value in change.items()
                }
                for rule, change in event["changes"].items()
            }
        case _:
            event["paths"] = _paths(event["paths"], upcaster)
    return event


def former(path: str) -> Iterator[str]:
    """The paths that a value had before it was moved to a path, newest first."""
    for upcaster in reversed(UPCASTERS):
        moved = upcaster.moved.items()
        for old, new in sorted(moved, key=lambda places: len(split(places[1])), reverse=True):
            if covers(new, path):  # a place before the object around it
                path = old + path[len(new) :]
                yield path
                break


def _steps(upcaster: Upcaster) -> dict[str, dict[str, Convert | None]]:
    """By old place, the new ones with their conversions; None if the value stays the same."""
    return {
        **{old: {new: None} for old, new in upcaster.moved.items()},
        **{old: dict(new) for old, new in upcaster.replaced.items()},
        **{old: {} for old in upcaster.retired},
    }


def _paths(paths: Iterable[str], upcaster: Upcaster) -> list[str]:
    """The paths that an event names, at their new places.

    A path that is retired stays: it says what was meant. A path that covers more than an old place
    stays as well, and the new places are added: what the object around an old place protected, or
    restored, still does.
    """
    renamed: list[str] = []
    for path in paths:
        tokens = split(path)
        steps = [(split(old), places) for old, places in _steps(upcaster).items()]
        steps = [(old, places) for old, places in steps if _overlap(tokens, old)]
        news = [_renamed(tokens, old, split(new)) for old, places in steps for new in places]
        if any(places and _covers(old, tokens) for old, places in steps):
            renamed += map(join, news)
        else:
            renamed += [path, *(join(new) for new in news if not _covers(tokens, new))]
    return list(dict.fromkeys(renamed))


def _overlap(path: Path, place: Path) -> bool:
    """Whether a path that an event names and a place cover some of the same values."""
    return all(_ANY in pair or pair[0] == pair[1] for pair in zip(path, place, strict=False))


def _renamed(path: Path, old: Path, new: Path) -> Path:
    """A path that overlaps an old place, at the new one. The elements that it names stay."""
    beginning = path[: _shared(old)]
    return beginning + new[len(beginning) :] + path[len(old) :]


def _covers(path: Path, place: Path) -> bool:
    """Whether all values at a place lie at or below a path."""
    pairs = zip(path, place, strict=False)
    return len(path) <= len(place) and all(token in (_ANY, name) for token, name in pairs)


# -- changes


def _changes(
    event: dict[str, Any],
    upcaster: Upcaster,
    made_secret: dict[str, Any] | None,
    *,
    is_first: bool,
) -> Changes:
    """The changes of an event, in the shape of its next tag."""
    changes: Changes = event["changes"]
    steps = _steps(upcaster)
    if any(_meet(old, path) for old in steps for path in changes):
        before, after = _replaced(_trees(changes), steps)
        changes = _first(after) if is_first else _between(before, after)
    changes = _edited(changes, upcaster.filled.items(), _fill)
    if is_first:
        above = {parent for path in changes for parent in pointers.ancestors(path)}
        for path, value in upcaster.filled.items():
            is_given = any(around in changes for around in (path, *pointers.ancestors(path)))
            if not is_given and path not in above and _ANY not in split(path):
                changes[path] = {"after": value}
    given = (event["version"], {} if made_secret is None else made_secret)
    return _edited(changes, ((place, given) for place in upcaster.made_secret), _seal)


def _meet(place: str, path: str) -> bool:
    """Whether the value at a path is the value at a place, holds it or is part of it."""
    pairs = zip(split(place), split(path), strict=False)
    return all(token in (_ANY, name) for token, name in pairs)


def _trees(changes: Changes) -> tuple[Tree, Tree]:
    """The changes as two trees, before and after. Both hold the objects on the way to a change."""
    before: Tree = {}
    after: Tree = {}
    for path, sides in changes.items():
        for tree, side in ((before, "before"), (after, "after")):
            holder = tree
            *parents, name = split(path)
            for parent in parents:
                holder = holder.setdefault(parent, {})
            if side in sides:
                holder[name] = sides[side]
    return before, after


def _first(after: Tree) -> Changes:
    return {path: {"after": value} for path, value in pointers.flatten(after).items()}


def _between(before: Tree, after: Tree) -> Changes:
    return {path: _sides(change) for path, change in pointers.diff(before, after).items()}


def _sides(change: Change) -> dict[str, Any]:
    sides = {"before": change.before, "after": change.after}
    return {side: value for side, value in sides.items() if value is not UNSET}


def _replaced(
    sides: tuple[Tree, Tree], steps: Mapping[str, Mapping[str, Convert | None]]
) -> tuple[Tree, Tree]:
    """Both sides, with the values of the old places at the new ones."""
    within: dict[Path, Steps] = {}  # by the path to the elements that hold both places
    for old, places in steps.items():
        tokens = split(old)
        shared = _shared(tokens)
        inner = {split(new)[shared:]: convert for new, convert in places.items()}
        within.setdefault(tokens[:shared], {})[tokens[shared:]] = inner
    before, after = sides
    for way in sorted(within, key=len, reverse=True):  # inner elements before outer ones
        if way:
            edit = partial(_element, within[way])
            before, after = _at(before, way, edit), _at(after, way, edit)
        else:
            before, after = _together([before, after], within[way])
    return before, after


def _element(steps: Steps, element: Any, _: str) -> Any:
    return _together([element], steps)[0] if isinstance(element, dict) else element


def _together(sides: list[Tree], steps: Steps) -> list[Tree]:
    """The sides after all steps. They are taken at once, so that two values may change places.

    First all old places are emptied, deeper ones before others. Then the new ones are filled.
    """
    moved: list[tuple[Path, list[Any]]] = []
    for old in sorted(steps, key=len, reverse=True):
        path = join(old)
        values = [pointers.at(side, path) for side in sides]
        if all(value is UNSET for value in values):
            continue
        sides = [pointers.put(side, path, UNSET) for side in sides]
        for new, convert in steps[old].items():
            moved.append((new, [_converted(value, convert) for value in values]))
    for new, values in sorted(moved, key=lambda move: len(move[0])):
        sides = [_put(*pair, join(new)) for pair in zip(sides, values, strict=True)]
    return sides


def _converted(value: Any, convert: Convert | None) -> Any:
    return value if value is UNSET or convert is None else convert(value)


def _shared(place: Path) -> int:
    """How many tokens an old place shares with the new ones: those up to its last ``*``."""
    return len(place) - place[::-1].index(_ANY) if _ANY in place else 0


def _put(tree: Tree, value: Any, path: str) -> Tree:
    """The tree with a value at a path. The objects on the way are made even if it is UNSET."""
    above = path.rpartition("/")[0]
    if above and pointers.at(tree, above) is UNSET:
        tree = pointers.put(tree, above, {})
    return tree if value is UNSET else pointers.put(tree, path, value)


def _at(value: Any, place: Path, edit: Callable[[Any, str], Any], origin: str = "") -> Any:
    """The value with each part at a place edited. A part that an object lacks is UNSET."""
    if not place:
        return edit(value, origin)
    first, *rest = place
    if isinstance(value, list):
        members: dict[Any, Any] = dict(enumerate(value)) if first == _ANY else {}
    elif isinstance(value, dict) and not is_reference(value):
        members = value if first == _ANY else {first: value.get(first, UNSET)}
    else:
        members = {}
    if not members:
        return value
    edited = {
        name: _at(member, tuple(rest), edit, origin + join((str(name),)))
        for name, member in members.items()
    }
    if isinstance(value, list):
        return list(edited.values())
    return {name: part for name, part in (value | edited).items() if part is not UNSET}


def _edited(
    changes: Changes, places: Iterable[tuple[str, Any]], edit: Callable[[Any, Any, str], Any]
) -> Changes:
    """The changes, with their values edited at the places. ``edit`` gets what is given for each."""
    edited = dict(changes)
    for place, given in places:
        tokens = split(place)
        for path, sides in edited.items():
            inner = tokens[len(split(path)) :]
            if _meet(place, path):
                edited[path] = {
                    side: _at(value, inner, partial(edit, given), f"{side} {path}")
                    for side, value in sides.items()
                }
    return edited


def _fill(given: Any, value: Any, _: str) -> Any:
    return given if value is UNSET else value


def _seal(given: tuple[int, dict[str, Any]], value: Any, origin: str) -> Any:
    """A reference in place of each value; its id depends on the value's place alone, not on it."""
    if value is UNSET or value is None or value == "" or is_reference(value):
        return value
    if isinstance(value, dict):
        return {n: _seal(given, member, origin + join((n,))) for n, member in value.items()}
    if isinstance(value, list):
        return [_seal(given, element, f"{origin}/{i}") for i, element in enumerate(value)]
    version, made_secret = given
    secret_id = f"{version}.{hashlib.sha256(origin.encode()).hexdigest()[:32]}"
    made_secret[secret_id] = value
    return {MARK: {"id": secret_id}}
