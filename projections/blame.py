"""Blame: which version changed each setting last.

Keyframes hold it as ``{path: version}``, with the paths of changes. It is shown for each leaf of
the settings: the newest change of the leaf or of a path above it set the leaf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType

from events import pointers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from events.pointers import Tree

Blame = dict[str, int]
_MAX_REMOVED = 2000  # paths that hold nothing any more; older ones are dropped


class BlamedPath(Struct, frozen=True, kw_only=True):
    """A path, its value (UNSET if it was removed), and the version that set or removed it."""

    path: str
    version: int
    value: Any | UnsetType = UNSET


def evolve(blame: Blame, changed: Iterable[str], version: int) -> None:
    """Add the paths that a version changed, in place. A change of a path is one of all below it."""
    for path in changed:
        blame.pop(path, None)  # the newest come last
        blame[path] = version


def bound(blame: Blame, settings: Tree) -> Blame:
    """The blame without superfluous paths: old removals, and paths replaced from above."""
    latest = {path: version for path, version in blame.items() if not _superseded(blame, path)}
    removed = [path for path in latest if pointers.at(settings, path) is UNSET]
    for path in removed[:-_MAX_REMOVED]:
        del latest[path]
    return latest


def paths(blame: Blame, settings: Tree) -> Iterator[BlamedPath]:
    """Every leaf of the settings with the version that set it, then the removed paths."""
    for path, value in pointers.flatten(settings).items():
        yield BlamedPath(path=path, version=_version_of(blame, path), value=value)
    for path, version in bound(blame, settings).items():
        if pointers.at(settings, path) is UNSET:
            yield BlamedPath(path=path, version=version)


def _superseded(blame: Blame, path: str) -> bool:
    """Whether a path above this one was changed later."""
    ancestors = pointers.ancestors(path)
    if blame.keys().isdisjoint(ancestors):  # as of nearly all
        return False
    return any(blame.get(above, 1) > blame[path] for above in ancestors)


def _version_of(blame: Blame, path: str) -> int:
    """The version that last changed a path or one above it.

    A setting that no event mentions was introduced after the assistant was created. It counts as
    set to its default by version 1.
    """
    return max([blame.get(at, 1) for at in (path, *pointers.ancestors(path))])


def newest_at(blame: Blame, paths: Iterable[str]) -> dict[str, int]:
    """For each path the newest version that changed it, a path below it, or a path above it."""
    newest = {path: _version_of(blame, path) for path in paths}
    for path, version in blame.items():
        for above in pointers.ancestors(path):
            if version > newest.get(above, version):
                newest[above] = version
    return newest
