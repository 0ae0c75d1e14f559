"""Blame: which version changed each setting last.

Keyframes hold it as ``{path: version}``, with the paths of changes. It is shown for each leaf of
the settings: the newest change of the leaf or of a path above it set the leaf.
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
_MAX_REMOVED = 2000  # paths that hold nothing any more; older ones are dropped


class BlamedPath(Struct, frozen=True, kw_only=True):
    """A path, its value (UNSET if it was removed), and the version that set or removed it."""

    path: str
    version: int
    value: Any | UnsetType = UNSET


def evolve(blame: Blame, event: Event) -> None:
    """Add an event, in place. A change of a path is a change of everything below it."""
    for path in changes_of(event):
        blame.pop(path, None)  # the newest come last
        blame[path] = event.version


def bound(blame: Blame, settings: Tree) -> Blame:
    """The blame without superfluous paths: old removals, and paths replaced from above."""
    latest = {path: version for path, version in blame.items() if not _superseded(blame, path)}
    removed = frozenset(_removed(latest, settings))
    return {
        path: version
        for path, version in latest.items()
        if path in removed or pointers.at(settings, path) is not UNSET
    }


def paths(blame: Blame, settings: Tree) -> Iterator[BlamedPath]:
    """Every leaf of the settings with the version that set it, then the removed paths."""
    for path, value in pointers.flatten(settings).items():
        yield BlamedPath(path=path, version=_version_of(blame, path), value=value)
    for path in _removed(blame, settings):
        yield BlamedPath(path=path, version=blame[path])


def _removed(blame: Blame, settings: Tree) -> list[str]:
    """The newest paths that hold nothing any more, at most ``_MAX_REMOVED``."""
    removed = [
        path
        for path in blame
        if pointers.at(settings, path) is UNSET and not _superseded(blame, path)
    ]
    return removed[-_MAX_REMOVED:]


def _superseded(blame: Blame, path: str) -> bool:
    """Whether a path above this one was changed later."""
    return _version_of(blame, path) > blame[path]


def _version_of(blame: Blame, path: str) -> int:
    """The version that last changed a path or one above it.

    A setting that no event mentions was introduced after the assistant was created. It counts as
    set to its default by version 1.
    """
    return max(blame.get(at, 1) for at in (path, *pointers.ancestors(path)))


def newest_at(blame: Blame, paths: Iterable[str]) -> dict[str, int]:
    """For each path the newest version that changed it, a path below it, or a path above it."""
    newest = {path: _version_of(blame, path) for path in paths}
    for path, version in blame.items():
        for above in pointers.ancestors(path):
            if version > newest.get(above, version):
                newest[above] = version
    return newest
