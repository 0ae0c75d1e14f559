"""What became of settings that older events name: moved, split, converted, retired, made secret.

A setting that is new needs nothing here: where an event is silent about it, it has its default.
For every other change of what stored events say, append one ``Upcaster`` to ``UPCASTERS``, and
never touch those that stand there. Each gives the events that name settings a new tag; an event of
an older tag passes through every upcaster since, whenever it is read. Stored bytes never change.
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
    Steps = dict[Path, dict[Path, Convert | None]]  # old places, each with the new ones

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
    """One change of the settings. Places are JSON Pointers, in which ``*`` is any element.

    An old place and the new ones have the same beginning up to their last ``*``. All steps of one
    upcaster are taken at once: old places are those of before, new ones those of after.
    """

    # The old place of a value or of an object: its new place.
    moved: Mapping[str, str] = {}
    # The old place of a value: the places that took over from it, and what each makes of it. A
    # change of type is a place that takes over from itself.
    replaced: Mapping[str, Mapping[str, Convert]] = {}
    # Places of settings that are none any longer.
    retired: tuple[str, ...] = ()
    # What older assistants hold where their events are silent, where it is not today's default.
    filled: Mapping[str, Any] = {}
    # Places, as they are now, of values that were plain and are secret; so is all below them.
    made_secret: tuple[str, ...] = ()


# From the oldest to the newest; the first turns events of v1 into those of v2.
UPCASTERS: tuple[Upcaster, ...] = ()

GENERATION = len(UPCASTERS) + 1


def tag(name: str) -> str:
    """The tag that an event gets today, by its name: ``assistant_created.v1``."""
    return f"{name}.v{GENERATION if name in NAMES_SETTINGS else 1}"


def upcast(
    event: dict[str, Any], upcaster: Upcaster, found: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An event's JSON as its next tag has it; ``found`` gets what is secret only since, by id."""
    name, _, generation = event["type"].partition(".v")
    event = event | {"type": f"{name}.v{int(generation) + 1}"}
    match name:
        case _ if name in (_CREATED, _CHANGED):
            event["changes"] = _changes(event, upcaster, found, is_first=name == _CREATED)
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
    """The paths that a value had before it was moved to a path, the newest first."""
    for upcaster in reversed(UPCASTERS):
        moved = upcaster.moved.items()
        for old, new in sorted(moved, key=lambda one: len(split(one[1])), reverse=True):
            if covers(new, path):  # a place first, and then what holds it
                path = old + path[len(new) :]
                yield path
                break


def _steps(upcaster: Upcaster) -> dict[str, dict[str, Convert | None]]:
    """Each old place, with the new ones; None for a value that stays as it is."""
    return {
        **{old: {new: None} for old, new in upcaster.moved.items()},
        **{old: dict(new) for old, new in upcaster.replaced.items()},
        **{old: {} for old in upcaster.retired},
    }


def _paths(paths: Iterable[str], upcaster: Upcaster) -> list[str]:
    """Paths that an event names. One that is retired stays: it says what was meant.

    One that names more than an old place stays as well, and the new places stand beside it: what
    was protected, or brought back, with the object around it still is.
    """
    found: list[str] = []
    for path in paths:
        tokens = split(path)
        steps = [(split(old), places) for old, places in _steps(upcaster).items()]
        steps = [(old, places) for old, places in steps if _touch(tokens, old)]
        news = [_renamed(tokens, old, split(new)) for old, places in steps for new in places]
        if any(places and _covers(old, tokens) for old, places in steps):
            found += map(join, news)
        else:
            found += [path, *(join(new) for new in news if not _covers(tokens, new))]
    return list(dict.fromkeys(found))


def _touch(path: Path, place: Path) -> bool:
    """Whether a path that an event names, and a place, have something in common."""
    return all(_ANY in pair or pair[0] == pair[1] for pair in zip(path, place, strict=False))


def _renamed(path: Path, old: Path, new: Path) -> Path:
    """A path that meets an old place, at the new one; an element that it names stays that one."""
    beginning = path[: _shared(old)]
    return beginning + new[len(beginning) :] + path[len(old) :]


def _covers(path: Path, place: Path) -> bool:
    """Whether all that a place stands for lies at or below a path."""
    pairs = zip(path, place, strict=False)
    return len(path) <= len(place) and all(wanted in (_ANY, name) for wanted, name in pairs)


# -- changes


def _changes(
    event: dict[str, Any], upcaster: Upcaster, found: dict[str, Any] | None, *, is_first: bool
) -> Changes:
    """The changes of the settings, as two trees of what was before and after."""
    changes: Changes = event["changes"]
    steps = _steps(upcaster)
    if any(_meet(old, path) for old in steps for path in changes):
        before, after = _replaced(_trees(changes), steps)
        changes = _first(after) if is_first else _between(before, after)
    changes = _edited(changes, upcaster.filled.items(), _fill)
    if is_first:
        above = {one for path in changes for one in pointers.ancestors(path)}
        for path, value in upcaster.filled.items():
            is_given = any(one in changes for one in (path, *pointers.ancestors(path)))
            if not is_given and path not in above and _ANY not in split(path):
                changes[path] = {"after": value}
    given = (event["version"], {} if found is None else found)
    return _edited(changes, ((place, given) for place in upcaster.made_secret), _seal)


def _meet(place: str, path: str) -> bool:
    """Whether what stands at a path is, holds or is part of what stands at a place."""
    pairs = zip(split(place), split(path), strict=False)
    return all(wanted in (_ANY, name) for wanted, name in pairs)


def _trees(changes: Changes) -> tuple[Tree, Tree]:
    """Both sides of the changes. Objects on the way to a change stand in both."""
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
    """Both sides with the values of the old places in the new ones instead."""
    within: dict[Path, Steps] = {}  # by the way to the elements in which they are
    for old, places in steps.items():
        tokens = split(old)
        shared = _shared(tokens)
        inner = {split(new)[shared:]: convert for new, convert in places.items()}
        within.setdefault(tokens[:shared], {})[tokens[shared:]] = inner
    before, after = sides
    for way in sorted(within, key=len, reverse=True):  # an element, and then what holds it
        if way:
            edit = partial(_element, within[way])
            before, after = _at(before, way, edit), _at(after, way, edit)
        else:
            before, after = _together([before, after], within[way])
    return before, after


def _element(steps: Steps, element: Any, _: str) -> Any:
    return _together([element], steps)[0] if isinstance(element, dict) else element


def _together(sides: list[Tree], steps: Steps) -> list[Tree]:
    """The sides after steps that are taken at once, so that two values may trade places.

    All old places are emptied, what lies deeper first; then all new ones are filled.
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
    for new, values in sorted(moved, key=lambda one: len(one[0])):
        sides = [_put(*pair, join(new)) for pair in zip(sides, values, strict=True)]
    return sides


def _converted(value: Any, convert: Convert | None) -> Any:
    return value if value is UNSET or convert is None else convert(value)


def _shared(place: Path) -> int:
    """How many names an old place shares with the new ones: up to its last ``*``."""
    return len(place) - place[::-1].index(_ANY) if _ANY in place else 0


def _put(tree: Tree, value: Any, path: str) -> Tree:
    """The tree with a value, and with the objects on the way to it, also where it is UNSET."""
    above = path.rpartition("/")[0]
    if above and pointers.at(tree, above) is UNSET:
        tree = pointers.put(tree, above, {})
    return tree if value is UNSET else pointers.put(tree, path, value)


def _at(value: Any, place: Path, edit: Callable[[Any, str], Any], origin: str = "") -> Any:
    """The value with each part at a place edited; UNSET is a part that an object lacks."""
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
    return {name: one for name, one in (value | edited).items() if one is not UNSET}


def _edited(
    changes: Changes, places: Iterable[tuple[str, Any]], edit: Callable[[Any, Any, str], Any]
) -> Changes:
    """The changes with what their values hold at the places edited."""
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
    """References that are made of where their values stand, and of nothing that these say."""
    if value is UNSET or value is None or value == "" or is_reference(value):
        return value
    if isinstance(value, dict):
        return {name: _seal(given, one, origin + join((name,))) for name, one in value.items()}
    if isinstance(value, list):
        return [_seal(given, one, f"{origin}/{i}") for i, one in enumerate(value)]
    version, found = given
    secret_id = f"{version}.{hashlib.sha256(origin.encode()).hexdigest()[:32]}"
    found[secret_id] = value
    return {MARK: {"id": secret_id}}
