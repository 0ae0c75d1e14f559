"""JSON Merge Patch (RFC 7396) over trees, with UNSET for removal, so that null stays a value.

And the merge of two people's edits of the same tree: ``three_way``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, json

from events import pointers
from events.credentials import MASK, NAMING, is_mask
from events.errors import Refusal
from events.pointers import Change, Changes, Paths, Tree, is_reference, same
from events.secrets import AT, KEPT, URL, Kept, Path, Plain, mask

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


def untouched(patch: Any, current: Any, erased_version: int = 0) -> Any:
    """The patch, in which what was shown and came back means what is stored.

    What is a credential can change with a release or a policy. A value that stood readable stays
    as it is until another one is set, and the text that is shown of a URL keeps its credentials.
    """
    if isinstance(patch, Replace):
        return Replace(untouched(patch.value, current, erased_version))
    if isinstance(patch, dict) and isinstance(current, dict) and not is_reference(current):
        return {
            name: untouched(value, current.get(name), erased_version)
            for name, value in patch.items()
        }
    if isinstance(patch, list) and isinstance(current, list):
        return _untouched_elements(patch, current, erased_version)
    if not isinstance(patch, str | Plain | Kept):
        return patch
    return _untouched_text(patch, current, erased_version)


def _untouched_text(patch: str | Plain | Kept, current: Any, erased_version: int) -> Any:
    if is_reference(current):
        if URL not in current or _as_sent(patch) != mask(current, erased_version):
            return patch
        at = current.get(AT)
        return Kept(url=current[URL], at=None if at is None else tuple(at))
    if isinstance(patch, Kept) and isinstance(current, str):
        is_same = current == patch.sent if patch.sent is not None else is_mask(current)
        return current if is_same else patch
    if isinstance(patch, Plain) and patch.sent is not None and same(patch.sent, current):
        return current
    return patch


def _untouched_elements(news: list[Any], olds: list[Any], erased_version: int) -> list[Any]:
    """A list with each element that came back as it was shown settled with the one it was."""
    if not any(map(_was_read, news)) and not any(map(_has_address, olds)):
        return news
    waiting: dict[bytes, deque[Any]] = {}
    for old in olds:
        waiting.setdefault(_key_of(mask(old, erased_version)), deque()).append(old)
    return [
        untouched(new, found.popleft(), erased_version)
        if (found := waiting.get(_key_of(_as_sent(new))))
        else new
        for new in news
    ]


def _key_of(value: Any) -> bytes:
    return json.encode(value, enc_hook=repr, order="sorted")


def _was_read(value: Any) -> bool:
    """Whether a value holds what was taken for a secret, or for a mask."""
    if isinstance(value, dict):
        return any(map(_was_read, value.values()))
    return (
        any(map(_was_read, value)) if isinstance(value, list) else isinstance(value, Plain | Kept)
    )


def _has_address(value: Any) -> bool:
    if isinstance(value, dict):
        return URL in value if is_reference(value) else any(map(_has_address, value.values()))
    return isinstance(value, list) and any(map(_has_address, value))


def _as_sent(value: Any) -> Any:
    """A value of a patch as the client sent it."""
    if isinstance(value, Plain):
        return value if value.sent is None else value.sent
    if isinstance(value, Kept):
        return MASK if value.sent is None else value.sent
    if isinstance(value, dict):
        return {name: _as_sent(member) for name, member in value.items()}
    return [_as_sent(item) for item in value] if isinstance(value, list) else value


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
