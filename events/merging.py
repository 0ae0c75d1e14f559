"""Patches before they are applied, and the merge of two edits of the same tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from events import pointers
from events.errors import DomainError
from events.pointers import Change, Changes, Path, Paths, Tree, is_reference
from events.secrets.masks import is_mask
from events.secrets.pairs import NAMING
from events.secrets.references import URL
from events.secrets.values import KEPT, Plain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class Conflict(Struct, frozen=True, kw_only=True):
    """A path that two edits of one base set to different values; UNSET is no value."""

    path: str
    base: Any
    theirs: Any
    yours: Any


class MergeConflict(DomainError):
    """Others changed the same paths as an edit, since its author read the settings."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        super().__init__(len(conflicts))
        self.conflicts = conflicts


class Merged(Struct, frozen=True, kw_only=True):
    """Two edits of one base, merged into one tree."""

    tree: Tree
    conflicts: tuple[Conflict, ...]


class Replace(Struct, frozen=True):
    """A value that replaces a whole subtree instead of merging with it."""

    value: Any


def seal(patch: Any, reference_to: Callable[[Plain, Path], Tree], at: Path = ()) -> Any:
    """The patch with a reference in place of each ``Plain``.

    ``reference_to`` gets the secret and the path that the vault binds. There, ``*`` stands for a
    position in a list, because a secret moves with its element.
    """
    if isinstance(patch, Plain):
        return reference_to(patch, at)
    if isinstance(patch, Replace):
        return Replace(seal(patch.value, reference_to, at))
    if isinstance(patch, dict):
        return {name: seal(member, reference_to, (*at, name)) for name, member in patch.items()}
    if isinstance(patch, list):
        return [seal(item, reference_to, (*at, "*")) for item in patch]
    return patch


def still_secret(patch: Any, current: Any) -> Any:
    """The patch, in which a value that takes the place of a secret is secret, too.

    An exception is the value of a pair such as ``{"key": "Authorization", "value": ...}``, if the
    patch also sends the member that names it: that name decides.
    """
    if isinstance(patch, Replace):
        return Replace(still_secret(patch.value, current))
    if not isinstance(patch, dict) or not isinstance(current, dict):
        return patch
    is_named = any(name.lower() in NAMING for name in patch)
    return {
        name: _as_secret(value)
        if _is_secret(current.get(name)) and not is_named
        else still_secret(value, current.get(name))
        for name, value in patch.items()
    }


def _is_secret(current: Any) -> bool:
    return is_reference(current) and URL not in current


def _as_secret(value: Any) -> Any:
    if isinstance(value, str) and is_mask(value):
        return KEPT
    is_text = isinstance(value, str | int | float) and not isinstance(value, bool)
    return Plain(value, sent=value) if is_text and value != "" else value


def three_way(
    base: Tree,
    yours: Tree,
    theirs: Tree,
    *,
    insist: Callable[[Conflict], Any] | None = None,
    computed: Collection[str] = (),
) -> Merged:
    """``theirs`` with the changes from ``base`` to ``yours``.

    A path that both changed is a conflict, unless both values are the same now. It keeps their
    value, or gets what ``insist`` returns for it. ``computed`` paths follow from others, and are
    left out.
    """
    their_paths = Paths(pointers.diff(base, theirs))
    taken: Changes = {}
    conflicts = []
    for path, change in pointers.diff(base, yours).items():
        if path in computed:
            continue
        if not their_paths.overlap(path):
            taken[path] = change
            continue
        now = pointers.at(theirs, path)
        if pointers.same(now, change.after):
            continue
        conflict = Conflict(path=path, base=change.before, theirs=now, yours=change.after)
        conflicts.append(conflict)
        if insist:
            taken[path] = Change(before=now, after=insist(conflict))
    return Merged(tree=pointers.apply(taken, theirs), conflicts=tuple(conflicts))
