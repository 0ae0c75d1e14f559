"""JSON Merge Patch (RFC 7396) over the settings as readers see them: masked.

The algorithm is that of the RFC, in free-form maps, too: objects merge, other values are replaced,
null removes. A setting is never absent: one that is removed becomes null if it may be null, else
its default. The name, and others that have neither, cannot be removed.
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
from events.patching import patched
from events.shape import SETTINGS, Record

if TYPE_CHECKING:
    from events.pointers import Tree
    from events.shape import Member, Shape


def read_merge_patch(
    body: Any, settings: Tree, erased_version: int = 0, *, strict: bool = False
) -> SettingsPatch:
    """Apply a merge patch to stored settings; what it changes is the patch that is returned.

    The body may also hold a reason. Raises ``InvalidSettings``. No argument is changed.
    """
    if not isinstance(body, dict):
        message = "Input should be a valid object"
        error = FieldError(loc=("body",), msg=message, type="model_attributes_type")
        raise InvalidSettings((error,))
    members = resolve_aliases(body)
    reason = read_reason(members.pop(REASON, None))
    document = Document(settings, erased_version)
    before = document.copy()
    after: Tree = patched(_removing(members, SETTINGS, before), before)
    return msgspec.structs.replace(document.became(after, strict=strict), reason=reason)


def _removing(patch: Any, kind: Shape | None, stored: Any) -> Any:
    """The patch with UNSET for each null that removes. A setting that may be null becomes null."""
    if patch is None:
        return UNSET
    if not isinstance(patch, dict):
        return patch
    members = kind.members if isinstance(kind, Record) else {}
    inside = stored if isinstance(stored, dict) else {}
    return {
        name: None
        if value is None
        and name in members
        and _becomes_null(members[name], inside.get(name, UNSET))
        else _removing(value, members[name].shape if name in members else None, inside.get(name))
        for name, value in patch.items()
    }


def _becomes_null(member: Member, stored: Any) -> bool:
    """Whether a removed setting becomes null: it may be null, or it is null by an older rule."""
    return stored is None or (member.shape.nullable and member.null == "")
