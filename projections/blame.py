"""Blame: for every path that ever changed, which version changed it last.

It is kept as ``{path: version}`` over the paths of changes, in keyframes, and shown by leaf: a
leaf was set by the change of the nearest path at or above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from events import pointers
from events.changed import changes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from events.changed import Event
    from events.pointers import Tree

Blame = dict[str, int]
_MOST_REMOVED = 2000  # paths that hold nothing any more; the oldest are forgotten


class BlamedPath(Struct, frozen=True, kw_only=True):
    """A path, what it holds (UNSET where it was removed), and the version that set it."""

    path: str
    version: int
    value: Any | UnsetType = UNSET


def evolve(blame: Blame, event: Event) -> None:
    """Take one more event in."""
    changes = changes_of(event)
    # Only what was an object has blamed paths below it.
    gone = frozenset(path for path, change in changes.items() if isinstance(change.before, dict))
    if gone:
        for path in [one for one in blame if not gone.isdisjoint(pointers.ancestors(one))]:
            del blame[path]
    for path in changes:
        blame.pop(path, None)  # so that the newest stand last
        blame[path] = event.version


def bound(blame: Blame, settings: Tree) -> Blame:
    """The blame without the oldest of too many paths that hold nothing any more."""
    removed = [path for path in blame if pointers.at(settings, path) is UNSET]
    forgotten = frozenset(removed[:-_MOST_REMOVED])
    return {path: version for path, version in blame.items() if path not in forgotten}


def paths(blame: Mapping[str, int], settings: Tree) -> Iterator[BlamedPath]:
    """Every leaf of the settings with the version that set it, then what was removed."""
    for path, value in pointers.flatten(settings).items():
        yield BlamedPath(path=path, version=_version_of(blame, path), value=value)
    for path, version in blame.items():
        if pointers.at(settings, path) is UNSET:
            yield BlamedPath(path=path, version=version)


def _version_of(blame: Mapping[str, int], path: str) -> int:
    at = path
    while at not in blame:
        if not at:
            return 1  # it is younger than the assistant: its default since the creation
        at = at.rpartition("/")[0]
    return blame[at]


def newest_at(blame: Mapping[str, int], path: str) -> int:
    """The newest version that changed the path, something below it, or all of what it is in."""
    below = f"{path}/"
    inside = (version for other, version in blame.items() if other.startswith(below))
    return max((_version_of(blame, path), *inside))
