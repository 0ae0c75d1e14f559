"""JSON Merge Patch (RFC 7396) over the settings as their readers see them: masked.

It is the publication's algorithm, in free-form maps too: objects merge, everything else takes the
place of what was there, null removes. A setting that was removed is not absent afterwards, because
settings never are: it is null where it may be, else its default; the name and others that can
have neither are not removable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from events.bodies.aliases import resolve_aliases
from events.bodies.documents import Document
from events.bodies.patch import SettingsPatch, read_reason
from events.bodies.reasons import REASON
from events.errors import FieldError, InvalidSettings
from events.merging import merge
from events.shape import SETTINGS, Record

if TYPE_CHECKING:
    from events.pointers import Tree
    from events.shape import Member, Shape


def read_merge_patch(
    body: Any, settings: Tree, erased_version: int = 0, *, strict: bool = False
) -> SettingsPatch:
    """What a merge patch makes of stored settings, as a patch of the members that it changes.

    Beside settings it may hold the reason. Raises ``InvalidSettings``; neither argument is changed.
    """
    if not isinstance(body, dict):
        message = "Input should be a valid object"
        error = FieldError(loc=("body",), msg=message, type="model_attributes_type")
        raise InvalidSettings((error,))
    members = resolve_aliases(body)
    reason = read_reason(members.pop(REASON, None))
    document = Document(settings, erased_version)
    before = document.copy()
    after: Tree = merge(before, _removing(members, SETTINGS, before))
    return msgspec.structs.replace(document.became(after, strict=strict), reason=reason)


def _removing(patch: Any, kind: Shape | None, held: Any) -> Any:
    """The patch with UNSET for each null that removes; a setting that may be null becomes null."""
    if patch is None:
        return UNSET
    if not isinstance(patch, dict):
        return patch
    members = kind.members if isinstance(kind, Record) else {}
    inside = held if isinstance(held, dict) else {}
    return {
        name: None
        if value is None and name in members and _is_null(members[name], inside.get(name, UNSET))
        else _removing(value, members[name].shape if name in members else None, inside.get(name))
        for name, value in patch.items()
    }


def _is_null(member: Member, held: Any) -> bool:
    """Whether a setting is null once it is removed: it may be, or an older rule let it be."""
    return held is None or (member.shape.nullable and member.null == "")
