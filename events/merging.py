"""JSON Merge Patch (RFC 7396) over trees, with UNSET for removal, so that null stays a value.

And the merge of two people's edits of the same tree: ``three_way``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct

from events import pointers
from events.errors import Refusal
from events.pointers import Change, Changes, Path, Paths, Tree, is_reference
from events.secrets.masks import is_mask
from events.secrets.pairs import NAMING
from events.secrets.references import URL
from events.secrets.values import KEPT, Plain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class Conflict(Struct, frozen=True, kw_only=True):
    """A path that two edits of one base set to different values; a side is UNSET for nothing."""

    path: str
    base: Any
    theirs: Any
    yours: Any


class MergeConflict(Refusal):
    """Paths that an edit sets were changed by others since it was begun."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        super().__init__(len(conflicts))
        self.conflicts = conflicts


class Merged(Struct, frozen=True, kw_only=True):
    """Two edits of one base, as one tree."""

    tree: Tree
    conflicts: tuple[Conflict, ...]


class Replace(Struct, frozen=True):
    """A value that takes the place of a whole subtree instead of merging with it."""

    value: Any


def merge(base: Any, patch: Any) -> Any:
    """Objects merge, member by member; everything else takes the place of what was there."""
    if isinstance(patch, Replace):
        return patch.value
    if not isinstance(patch, dict) or is_reference(patch):
        return patch
    merged = dict(base) if isinstance(base, dict) and not is_reference(base) else {}
    for name, member in patch.items():
        if member is UNSET:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), member)
    return merged


def seal(patch: Any, reference_to: Callable[[Plain, Path], Tree], at: Path = ()) -> Any:
    """The patch with a reference in place of each Plain.

    ``at`` names places as the vault binds them: the position in a list is ``*``, because a
    secret moves with its element.
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
    """The patch, in which a value that takes a secret's place is as secret as that was.

    A pair such as ``{"key": "Authorization", "value": ...}`` is known by the member that names it:
    whoever sends the value alone means the pair that is there. With its name, it says what it is.
    """
    if isinstance(patch, Replace):
        return Replace(still_secret(patch.value, current))
    if not isinstance(patch, dict) or not isinstance(current, dict):
        return patch
    is_named = any(name.lower() in NAMING for name in patch)
    return {
        name: _as_secret(value)
        if _hides(current.get(name)) and not is_named
        else still_secret(value, current.get(name))
        for name, value in patch.items()
    }


def _hides(current: Any) -> bool:
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
    """``theirs`` with what ``yours`` changes of ``base``, but for paths that theirs changed, too.

    Those are conflicts, unless both hold the same now: they stay as theirs has them, or become
    what ``insist`` makes of them. ``computed`` paths follow from others, so nobody edits them.
    """
    came = Paths(pointers.diff(base, theirs))
    taken: Changes = {}
    conflicts = []
    for path, change in pointers.diff(base, yours).items():
        if path in computed:
            continue
        if not came.overlap(path):
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
