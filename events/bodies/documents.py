"""The settings as the document that a JSON Patch or a JSON Merge Patch is applied to.

It holds what readers see, masks included. The members that the patch changed are read as settings;
the others stay as they are stored.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from events import pointers
from events.bodies.patch import SettingsPatch, read_whole
from events.bodies.untouched import broken_by, untouched
from events.bodies.validation import MOST_ERRORS
from events.errors import FieldError, InvalidSettings, Location
from events.limits import LARGEST
from events.patching import patched
from events.pointers import MARK, Tree, is_reference
from events.secrets.references import mask
from events.secrets.values import Shown
from events.shape import SETTINGS, known

if TYPE_CHECKING:
    from collections.abc import Iterator


class Document:
    """Stored settings as they are shown, masks included."""

    def __init__(self, settings: Tree, erased_version: int) -> None:
        self._settings = known(settings)
        self._erased_version = erased_version

    def copy(self) -> Tree:
        """A copy that may be changed in place. Its masks know for which secrets they are shown."""
        tree: Tree = _shown(self._settings, self._erased_version)
        return tree

    def became(self, after: Tree, *, strict: bool) -> SettingsPatch:
        """The members that changed from the document to ``after``, as a patch.

        Raises ``InvalidSettings``, with places in the settings that would result.
        """
        before = self.copy()
        if size(after) > max(LARGEST, size(before)):
            message = f"The settings would be larger than {LARGEST} bytes"
            raise InvalidSettings((FieldError(loc=("body",), msg=message, type="too_large"),))
        changed = {
            name: after.get(name, UNSET)
            for name in before | after
            if not pointers.same(before.get(name, UNSET), after.get(name, UNSET))
        }
        read = read_whole(changed, strict=strict)
        broken = tuple(broken_by(read.broken, changed, self._settings, self._erased_version))
        patch = msgspec.structs.replace(
            read,
            broken=broken,
            tree=untouched(read.tree, changed, self._settings, self._erased_version),
        ).checked()
        _check_masks(after, _result(self._settings, patch.tree))
        return patch


def size(value: Any) -> int:
    """The size of a value as JSON, in bytes."""
    return len(msgspec.json.encode(value, enc_hook=str))


def _shown(value: Any, erased_version: int) -> Any:
    if is_reference(value):
        return Shown(mask(value, erased_version), value)
    if isinstance(value, dict):
        return {name: _shown(member, erased_version) for name, member in value.items()}
    if isinstance(value, list):
        return [_shown(item, erased_version) for item in value]
    return value


def _result(settings: Tree, tree: Tree) -> Tree:
    """The settings as a patch would leave them, without what the server computes."""
    result: Tree = patched(tree, settings, SETTINGS)
    return result


def _check_masks(document: Tree, result: Tree) -> None:
    """Refuse a document in which a mask would stand for no secret, or for another one.

    A mask keeps the secret of its own place. Operations may move, copy or remove masks, and of two
    elements that look the same, the result alone does not tell which one is gone.
    """
    message = "The mask would not stand for its secret here; send the value"
    strays = itertools.islice(_strays(document, result, ("body",)), MOST_ERRORS)
    errors = tuple(FieldError(loc=at, msg=message, type="secret_mask_unmatched") for at in strays)
    if errors:
        raise InvalidSettings(errors)


def _strays(shown: Any, result: Any, at: Location) -> Iterator[Location]:
    """The places of masks that do not stand for their own secrets."""
    if isinstance(shown, Shown):
        if not _is_same_secret(shown.reference, result):
            yield at
    elif isinstance(shown, dict):
        members = result if isinstance(result, dict) else {}
        for name, member in shown.items():
            yield from _strays(member, members.get(name), (*at, name))
    elif isinstance(shown, list):
        items = result if isinstance(result, list) else []
        for i, (item, kept) in enumerate(itertools.zip_longest(shown, items)):
            yield from _strays(item, kept, (*at, i))


def _is_same_secret(reference: Tree, other: Any) -> bool:
    if not is_reference(other):
        return False
    return bool(reference[MARK]["id"] == other[MARK]["id"])
