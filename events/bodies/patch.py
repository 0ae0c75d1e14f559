"""A body of settings, read, checked and normalized before anything is decided.

All broken rules of a body are collected, so that one answer names them all. What is read is a tree
for ``events.patching``: UNSET removes a member, ``Replace`` sets a whole subtree, ``Plain`` is a
secret on its way to the vault, and ``Kept`` is a mask that was sent back.
"""

from __future__ import annotations

from typing import Any, Self

import msgspec
from msgspec import UNSET, Struct

from events.bodies.aliases import resolve_aliases
from events.bodies.findings import Findings
from events.bodies.reasons import REASON
from events.bodies.settings_reader import SettingsReader
from events.bodies.validation import MOST_ERRORS
from events.errors import FieldError, InvalidSettings, Location
from events.merging import Replace
from events.pointers import Tree
from events.secrets.masks import MASK
from events.secrets.values import Kept


class SettingsPatch(Struct, frozen=True, kw_only=True):
    """A body that was read. ``ignored`` are the JSON Pointers of unknown members.

    ``sent`` is the body that ``tree`` was read from, and ``broken`` are the rules that it breaks.
    Neither counts for a value that came back as it was shown (``events.bodies.untouched``).
    """

    tree: Tree
    reason: str | None = None
    ignored: tuple[str, ...] = ()
    sent: Tree = {}
    broken: tuple[FieldError, ...] = ()

    def checked(self) -> Self:
        """The patch itself; raises ``InvalidSettings`` with every error."""
        if self.broken:
            raise InvalidSettings(self.broken[:MOST_ERRORS])
        return self


def read_patch(body: Any, *, strict: bool = False) -> SettingsPatch:
    """Read the body of a PATCH or a PUT; raises ``InvalidSettings`` with every error.

    ``strict`` makes unknown members errors that suggest the nearest known name.
    """
    return read_edit(body, strict=strict).checked()


def read_edit(body: Any, *, strict: bool = False) -> SettingsPatch:
    """As ``read_patch``, but broken rules are noted in ``broken`` of the patch.

    Raises ``InvalidSettings`` only for a body that is no object.
    """
    return _read(body, SettingsReader(strict=strict, with_reason=True))


def read_create(body: Any, *, strict: bool = False, lenient: bool = False) -> SettingsPatch:
    """Read the body of a creation. Nothing is merged, so that null is a value everywhere.

    A new assistant has no secret that a mask could stand for: each mask is an error. If
    ``lenient``, masks are left out, and named in ``ignored``. Raises ``InvalidSettings`` with
    every error.
    """
    reader = SettingsReader(strict=strict, whole=True, with_reason=True)
    read = _read(body, reader, required=("name",))
    findings = reader.findings
    tree = _without_masks(read.tree, ("body",), findings, lenient=lenient)
    return msgspec.structs.replace(
        read, tree=tree, ignored=tuple(findings.ignored), broken=tuple(findings.errors)
    ).checked()


def read_whole(members: Tree, *, strict: bool = False) -> SettingsPatch:
    """Read settings that take the place of the stored ones, whole; UNSET removes one.

    In free-form maps, null is a value here. Broken rules are noted in ``broken`` of the patch.
    """
    reader = SettingsReader(strict=strict, whole=True)
    tree = {
        name: value if isinstance(value, Replace) else Replace(value)
        for name, value in reader.patch(members).items()
    }
    return _patch_of(tree, members, reader)


def read_reason(value: Any) -> str | None:
    """The reason that a body gives; raises ``InvalidSettings``."""
    reader = SettingsReader()
    reason = reader.read_reason(value, ("body", REASON))
    if reader.findings.errors:
        raise InvalidSettings(tuple(reader.findings.errors))
    return reason


def _read(body: Any, reader: SettingsReader, required: tuple[str, ...] = ()) -> SettingsPatch:
    findings = reader.findings
    if not isinstance(body, dict):
        findings.error(("body",), "model_attributes_type", "Input should be a valid object")
        raise InvalidSettings(tuple(findings.errors))
    for name in required:
        if name not in body:
            findings.error(("body", name), "missing", "Field required")
        elif body[name] is None:
            findings.error(("body", name), "string_type", "Input should be a valid string")
    return _patch_of(reader.patch(resolve_aliases(body)), body, reader)


def _patch_of(tree: Tree, sent: Tree, reader: SettingsReader) -> SettingsPatch:
    return SettingsPatch(
        tree=tree,
        reason=reader.reason,
        ignored=tuple(reader.findings.ignored),
        sent=sent,
        broken=tuple(reader.findings.errors),
    )


def _without_masks(value: Any, loc: Location, findings: Findings, *, lenient: bool) -> Any:
    """What was read for a new assistant, without masks: there are no secrets to keep.

    UNSET for a mask itself. Of a URL, the rest stays. A text that only might be a mask is a text.
    """
    if isinstance(value, Kept) and not (value.url is None and value.sent not in (None, MASK)):
        if lenient and not value.mixed:
            findings.ignore(loc)
            return UNSET if value.url is None else value.url
        message = (
            "A mask brings no secret along: send the value, leave it out, or ask with Prefer: "
            "handling=lenient to leave it out for you"
        )
        findings.error(loc, "secret_mask_unmatched", message)
    if isinstance(value, Replace):
        return Replace(_without_masks(value.value, loc, findings, lenient=lenient))
    if isinstance(value, dict):
        members = {
            name: _without_masks(member, (*loc, name), findings, lenient=lenient)
            for name, member in value.items()
        }
        return {name: member for name, member in members.items() if member is not UNSET}
    if isinstance(value, list):
        elements = [
            _without_masks(element, (*loc, i), findings, lenient=lenient)
            for i, element in enumerate(value)
        ]
        return [element for element in elements if element is not UNSET]
    return value
