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
    from collections.abc import Iterable, Iterator

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
    """Take one more event in. What it says of a path goes for all below it, too."""
    for path in changes_of(event):
        blame.pop(path, None)  # so that the newest stand last
        blame[path] = event.version


def bound(blame: Blame, settings: Tree) -> Blame:
    """The blame without what says nothing any more: overtaken from above, or long removed."""
    standing = {path: version for path, version in blame.items() if not _overtaken(blame, path)}
    kept = frozenset(_removed(standing, settings))
    return {
        path: version
        for path, version in standing.items()
        if path in kept or pointers.at(settings, path) is not UNSET
    }


def paths(blame: Blame, settings: Tree) -> Iterator[BlamedPath]:
    """Every leaf of the settings with the version that set it, then what was removed."""
    for path, value in pointers.flatten(settings).items():
        yield BlamedPath(path=path, version=_version_of(blame, path), value=value)
    for path in _removed(blame, settings):
        yield BlamedPath(path=path, version=blame[path])


def _removed(blame: Blame, settings: Tree) -> list[str]:
    """The paths that hold nothing any more, but for the oldest of too many."""
    found = [
        path
        for path in blame
        if pointers.at(settings, path) is UNSET and not _overtaken(blame, path)
    ]
    return found[-_MOST_REMOVED:]


def _overtaken(blame: Blame, path: str) -> bool:
    """Whether all of what a path is in was set later."""
    return _version_of(blame, path) > blame[path]


def _version_of(blame: Blame, path: str) -> int:
    """The last change of a path or of what it is in.

    A member that is younger than the assistant has its default since the creation.
    """
    return max(blame.get(at, 1) for at in (path, *pointers.ancestors(path)))


def newest_at(blame: Blame, wanted: Iterable[str]) -> dict[str, int]:
    """For each path the newest version that changed it, something below it, or what it is in."""
    newest = {path: _version_of(blame, path) for path in wanted}
    for path, version in blame.items():
        for above in pointers.ancestors(path):
            if version > newest.get(above, version):
                newest[above] = version
    return newest
