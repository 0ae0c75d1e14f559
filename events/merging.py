"""JSON Merge Patch (RFC 7396) over trees, with UNSET for removal, so that null stays a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct

from events.pointers import is_reference
from events.secrets import Path, Plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from events.pointers import Tree


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
